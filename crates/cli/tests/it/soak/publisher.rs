//! Publishers: many messages under way at once, most with a key, and those again until they are
//! acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tidings_core::{Epoch, Offset, Position};
use tidings_sim::history::{Name, Record};

use super::ledger::{Count, Ledger, Stage};
use super::link::{Gone, Link};
use super::{Place, RETRY, jobs, topic_name};
use crate::program::Dice;

/// Most messages without an answer.
const UNDER_WAY_MAX: usize = 32;

/// A message not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Open {
    name: Name,
    keyed: bool,
}

#[derive(Debug)]
struct Publisher<'a> {
    ledger: &'a Ledger,
    topic: usize,
    /// Between two messages.
    pause: Duration,
    dice: Dice,
    /// To be sent, again or for the first time, in order.
    unsent: VecDeque<Open>,
    /// Sent on this connection, by request.
    sent: BTreeMap<u64, Open>,
}

/// Publishes until it is told to finish and everything has its answer.
pub(crate) fn publish(ledger: &Ledger, place: Place, pause: Duration, dice: Dice) {
    let (unsent, sent) = (VecDeque::new(), BTreeMap::new());
    let mut publisher = Publisher { ledger, topic: place.topic, pause, dice, unsent, sent };
    while !publisher.is_done() {
        let ended = Link::open(ledger, place.port).and_then(|link| publisher.run(link));
        publisher.lost_answers();
        if ended.is_err() {
            std::thread::sleep(RETRY);
        }
    }
}

impl Publisher<'_> {
    fn is_done(&self) -> bool {
        let begins_none = match self.ledger.stage() {
            Stage::Trouble => false,
            Stage::Finishing | Stage::Draining => true,
        };
        begins_none && self.unsent.is_empty() && self.sent.is_empty()
    }

    fn run(&mut self, mut link: Link) -> Result<(), Gone> {
        while !self.is_done() {
            if self.unsent.is_empty()
                && self.sent.len() < UNDER_WAY_MAX
                && self.ledger.stage() == Stage::Trouble
            {
                let keyed = self.dice.below(100) < 90;
                let name = self.ledger.name(self.topic, keyed);
                self.unsent.push_back(Open { name, keyed });
                std::thread::sleep(self.pause);
            }
            if let Some(open) = self.unsent.front().copied() {
                let id = link.request("publish", self.body(open))?;
                // Not before: what could not be sent is still to be sent.
                self.unsent.pop_front();
                self.sent.insert(id, open);
            }
            if self.ledger.stage() == Stage::Trouble && self.dice.below(100) == 0 {
                // Before the answer to the last: nobody knows whether it arrived.
                self.ledger.count(Count::Left, 1);
                std::thread::sleep(Duration::from_millis(self.dice.below(10)));
                link.cut();
                return Ok(());
            }
            while let Some(frame) = link.next()? {
                self.answered(&frame);
            }
        }
        Ok(())
    }

    fn body(&self, open: Open) -> Value {
        let name = open.name.number();
        let data = json!({"name": name, "text": "x".repeat((name % 97) as usize)});
        let mut body = json!({"topic": topic_name(self.topic), "data": data});
        if open.keyed {
            body["key"] = json!(format!("soak-{name}"));
        }
        if let Some(lane) = jobs::lane(open.name).filter(|_| jobs::JOBS.contains(&self.topic)) {
            body["order_key"] = json!(format!("account-{}", lane.number()));
        }
        body
    }

    fn answered(&mut self, frame: &Value) {
        let Some(open) = frame["id"].as_u64().and_then(|id| self.sent.remove(&id)) else { return };
        if let Some(published) = frame.get("published") {
            let epoch: Epoch = published["epoch"].as_str().unwrap().parse().unwrap();
            let offset = Offset::new(published["offset"].as_u64().unwrap());
            let (name, position) = (open.name, Position { epoch, offset });
            self.ledger.record(self.topic, Record::Acknowledged { name, position });
            self.ledger.count(Count::Acknowledged, 1);
            if published["duplicate"] == true {
                self.ledger.count(Count::Duplicates, 1);
            }
            return;
        }
        self.ledger.count(Count::Errors, 1);
        assert_eq!(frame["error"]["temporary"], true, "a publish was refused for good: {frame}");
        // Refused means not kept: without a key too it may be sent again.
        std::thread::sleep(Duration::from_millis(50));
        self.unsent.push_back(open);
    }

    /// The connection ended: what has a key is sent again, in the order of the first time.
    fn lost_answers(&mut self) {
        let again: Vec<_> = std::mem::take(&mut self.sent).into_values().collect();
        self.ledger.count(Count::PublishedAgain, again.iter().filter(|o| o.keyed).count() as u64);
        // The first of them may be under way.
        self.unsent.retain(|open| open.keyed);
        for open in again.into_iter().rev().filter(|open| open.keyed) {
            self.unsent.push_front(open);
        }
    }
}
