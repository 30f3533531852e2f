//! Messages for later: kept over kills, published in their time, and some of them cancelled.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_core::{Epoch, Offset, Position, Timestamp};
use tidings_sim::history::schedule::ScheduleRecord;
use tidings_sim::history::{Name, Record};
use tidings_sim::{Violation, checker};

use super::ledger::{Count, Ledger, Stage};
use super::link::{Gone, Link};
use super::{DRAIN_MAX, RETRY, http, log_of, topic_name};
use crate::program::{Dice, Server};

/// The topic of messages for later.
pub(crate) const LATER: usize = 5;

/// How late a message may come while a server is there, on a busy machine. Without a load it is
/// some milliseconds: the summary says how many.
const LATE_MAX: Duration = Duration::from_secs(3);

/// How far ahead a message is published at most.
const AHEAD_MAX_MS: u64 = 4_000;

const PAUSE: Duration = Duration::from_millis(8);

#[derive(Clone, Copy, Debug)]
struct Open {
    name: Name,
    due: Timestamp,
}

#[derive(Debug)]
struct Scheduler<'a> {
    ledger: &'a Ledger,
    operator_port: u16,
    dice: Dice,
    unsent: VecDeque<Open>,
    /// Sent on this connection, by request.
    sent: BTreeMap<u64, Open>,
}

/// Publishes for later until it is told to finish and everything has its answer.
pub(crate) fn publish(ledger: &Ledger, port: u16, operator_port: u16, dice: Dice) {
    let (unsent, sent) = (VecDeque::new(), BTreeMap::new());
    let mut scheduler = Scheduler { ledger, operator_port, dice, unsent, sent };
    while !scheduler.is_done() {
        let ended = Link::open(ledger, port).and_then(|link| scheduler.run(link));
        let again: Vec<_> = std::mem::take(&mut scheduler.sent).into_values().collect();
        ledger.count(Count::PublishedAgain, again.len() as u64);
        scheduler.unsent.extend(again);
        if ended.is_err() {
            std::thread::sleep(RETRY);
        }
    }
}

impl Scheduler<'_> {
    fn is_done(&self) -> bool {
        self.ledger.stage() != Stage::Trouble && self.unsent.is_empty() && self.sent.is_empty()
    }

    fn run(&mut self, mut link: Link) -> Result<(), Gone> {
        while !self.is_done() {
            if self.unsent.is_empty() && self.ledger.stage() == Stage::Trouble {
                self.begin();
                std::thread::sleep(PAUSE);
            }
            if let Some(open) = self.unsent.front().copied() {
                let name = open.name.number();
                let id = link.request(
                    "publish",
                    json!({
                        "topic": topic_name(LATER), "data": {"name": name},
                        "key": format!("later-{name}"), "deliver_at": open.due.as_ms(),
                    }),
                )?;
                // Not before: what could not be sent is still to be sent.
                self.unsent.pop_front();
                self.sent.insert(id, open);
            }
            if self.ledger.stage() == Stage::Trouble && self.dice.below(150) == 0 {
                self.ledger.count(Count::Left, 1);
                link.cut();
                return Ok(());
            }
            while let Some(frame) = link.next()? {
                self.answered(&frame);
            }
        }
        Ok(())
    }

    /// A message that is about to be published for the first time.
    fn begin(&mut self) {
        // Whether it is published is for the schedule's history to say.
        let name = self.ledger.name(LATER, false);
        let ahead = Duration::from_millis(200 + self.dice.below(AHEAD_MAX_MS));
        let due = self.ledger.wall().plus(ahead);
        self.ledger.record_schedule(ScheduleRecord::Scheduling { name, due });
        self.unsent.push_back(Open { name, due });
    }

    fn answered(&mut self, frame: &Value) {
        let Some(open) = frame["id"].as_u64().and_then(|id| self.sent.remove(&id)) else { return };
        let name = open.name;
        if let Some(scheduled) = frame.get("scheduled") {
            assert_eq!(scheduled["deliver_at"], open.due.as_ms(), "kept for another time");
            let at = self.ledger.wall();
            self.ledger.record_schedule(ScheduleRecord::Kept { name, at });
            self.ledger.count(Count::Scheduled, 1);
            if self.dice.below(5) == 0 {
                self.cancel(name, scheduled["id"].as_str().unwrap());
            }
        } else if let Some(published) = frame.get("published") {
            // Its time had come before this was read.
            let epoch: Epoch = published["epoch"].as_str().unwrap().parse().unwrap();
            let offset = Offset::new(published["offset"].as_u64().unwrap());
            let position = Position { epoch, offset };
            self.ledger.record(LATER, Record::Acknowledged { name, position });
        } else {
            self.ledger.count(Count::Errors, 1);
            assert_eq!(frame["error"]["temporary"], true, "refused for good: {open:?} {frame}");
            self.unsent.push_back(open);
        }
    }

    fn cancel(&self, name: Name, id: &str) {
        self.ledger.record_schedule(ScheduleRecord::Cancelling { name });
        let answer = http::ask(self.operator_port, "DELETE", &format!("/v1/scheduled/{id}"));
        match answer {
            Ok((200, _)) => {
                self.ledger.record_schedule(ScheduleRecord::Cancelled { name });
                self.ledger.count(Count::Cancelled, 1);
            }
            // It is published or about to be, or nobody knows what became of it.
            Ok((404 | 409 | 503, _)) | Err(Gone) => {}
            Ok((status, body)) => panic!("not cancelled: {status} {body}"),
        }
    }
}

/// Waits until nothing is scheduled any more.
pub(crate) fn wait(server: &Server) {
    let until = Instant::now() + DRAIN_MAX;
    let total = || {
        let (_, answer) = http::ask(server.operator_port, "GET", "/v1/scheduled?limit=1").ok()?;
        answer["total"].as_u64()
    };
    while Instant::now() < until && total() != Some(0) {
        std::thread::sleep(RETRY);
    }
}

/// The first promise about messages for later that was not kept.
pub(crate) fn judge(ledger: &Ledger, server: &Server) -> Result<(), Violation> {
    for message in log_of(server, LATER).1 {
        let name = Name::new(message["data"]["name"].as_u64().unwrap());
        let at = Timestamp::from_ms(message["at"].as_u64().unwrap());
        ledger.record_schedule(ScheduleRecord::Found { name, at });
    }
    let history = ledger.schedule();
    checker::schedule::check(&history, LATE_MAX)?;
    let mut late = checker::schedule::lateness(&history)?;
    late.sort_unstable();
    let at = |share: usize| late.get((late.len() * share / 100).min(late.len().saturating_sub(1)));
    println!(
        "{:>9?}  late a message for later was, half of them; 99 %: {:?}; all: {:?}",
        at(50).copied().unwrap_or_default(),
        at(99),
        late.last()
    );
    Ok(())
}
