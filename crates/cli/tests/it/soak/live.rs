//! Live subscribers: they remember where they are, lose their connections, and come back.

use std::time::Instant;

use serde_json::{Value, json};
use tidings_core::{Epoch, Offset, Position};
use tidings_sim::history::{Name, Record, Subscriber};

use super::ledger::{Count, Ledger, Stage};
use super::link::{Gone, Link};
use super::{CURSOR_LAG_MAX, Place, RETRY, topic_name};
use crate::program::Dice;

#[derive(Debug)]
struct Live<'a> {
    ledger: &'a Ledger,
    place: Place,
    subscriber: Subscriber,
    dice: Dice,
    /// The last message it has, or where it was told to go on.
    at: Option<Position>,
    session: Option<Session>,
}

/// What it shows when it comes back.
#[derive(Debug)]
struct Session {
    id: String,
    process: u64,
    given: Instant,
}

/// Follows a topic until it has all of it.
pub(crate) fn follow(ledger: &Ledger, place: Place, number: usize, dice: Dice) {
    let subscriber = Subscriber::Live(number);
    let mut live = Live { ledger, place, subscriber, dice, at: None, session: None };
    while !live.is_done() {
        let ended = live.connect().and_then(|link| live.run(link));
        if ended.is_err() {
            std::thread::sleep(RETRY);
        }
    }
}

impl Live<'_> {
    fn is_done(&self) -> bool {
        let here = self.at.map_or(Offset::ORIGIN, |at| at.offset);
        here >= self.ledger.head(self.place.topic) || self.ledger.is_overdue()
    }

    /// Connects with its session, which has to be taken up again unless the server was killed too
    /// soon after it was given.
    fn connect(&mut self) -> Result<Link, Gone> {
        let shown = self.session.as_ref().map(|session| json!({"session": session.id}));
        let shown = shown.unwrap_or_else(|| json!({}));
        let (link, answer) = Link::open_with(self.ledger, self.place.port, shown)?;
        let resumed = answer["resumed"] == true;
        if let Some(Session { process, given, .. }) = &self.session {
            let lasts = *process == link.process || given.elapsed() > CURSOR_LAG_MAX * 2;
            assert!(resumed || !lasts, "a session of process {process} was not resumed: {answer}");
        }
        self.ledger.count(Count::Sessions, u64::from(resumed));
        let id = answer["session"].as_str().unwrap().to_owned();
        let given = match &self.session {
            Some(session) if resumed && session.process == link.process => session.given,
            Some(_) | None => Instant::now(),
        };
        self.session = Some(Session { id, process: link.process, given });
        Ok(link)
    }

    fn run(&mut self, mut link: Link) -> Result<(), Gone> {
        let mut body = json!({"topic": topic_name(self.place.topic)});
        match self.at {
            Some(at) => {
                let (epoch, offset) = (at.epoch.to_string(), at.offset.get());
                body["after"] = json!({"epoch": epoch, "offset": offset});
            }
            None => body["from"] = json!("first"),
        }
        let id = link.request("subscribe", body)?;
        let answer = link.answer(id)?;
        self.subscribed(&answer["subscribed"]);
        while !self.is_done() {
            if let Some(frame) = link.next()? {
                self.got(&frame);
            }
            if self.ledger.stage() == Stage::Trouble && self.dice.below(1_200) == 0 {
                self.ledger.count(Count::Left, 1);
                link.cut();
                return Ok(());
            }
        }
        Ok(())
    }

    fn subscribed(&mut self, answer: &Value) {
        let subscriber = self.subscriber;
        let epoch: Epoch = answer["epoch"].as_str().unwrap().parse().unwrap();
        let recovered = answer["recovered"] == true;
        let first = Offset::new(answer["first"].as_u64().unwrap()).max(Offset::FIRST);
        let after = self.at;
        let next = after.filter(|_| recovered).map_or(first, |after| after.offset.next());
        self.ledger.count(if recovered { Count::Recovered } else { Count::Reset }, 1);
        let mut history = self.ledger.history(self.place.topic);
        history.push(Record::Subscribed { subscriber, after, recovered, epoch, next });
        history.push(if recovered {
            Record::Joined { subscriber, epoch, next }
        } else {
            Record::ToldOfGap { subscriber, epoch, next }
        });
        self.at = Some(Position { epoch, offset: next.previous() });
    }

    fn got(&mut self, frame: &Value) {
        let Some(at) = &mut self.at else { return };
        if let Some(message) = frame.get("message") {
            at.offset = Offset::new(message["offset"].as_u64().unwrap());
            let name = Name::new(message["data"]["name"].as_u64().unwrap());
            let attempt = message["attempt"].as_u64().map_or(1, |attempt| attempt as u32);
            let (subscriber, position) = (self.subscriber, *at);
            self.ledger.count(Count::Live, 1);
            self.ledger.seen(self.place.topic, name);
            let record = Record::Delivered { subscriber, position, name, attempt };
            self.ledger.record(self.place.topic, record);
        } else if let Some(reset) = frame.get("reset") {
            let next = Offset::new(reset["first"].as_u64().unwrap());
            at.offset = next.previous();
            let (subscriber, epoch) = (self.subscriber, at.epoch);
            self.ledger.count(Count::Reset, 1);
            self.ledger.record(self.place.topic, Record::ToldOfGap { subscriber, epoch, next });
        }
    }
}
