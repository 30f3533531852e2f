//! What a reader over HTTP remembers of one topic, and what it tells the history.

use serde_json::Value;
use tidings_core::{Epoch, Offset, Position};
use tidings_sim::history::{Name, Record, Subscriber};

use super::ledger::{Count, Ledger};

/// A reader's place in one topic.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    ledger: &'a Ledger,
    pub(crate) topic: usize,
    subscriber: Subscriber,
    /// The last message it has, or where it was told to go on.
    at: Option<Position>,
    /// Whether it was told, since it asked, that something is missing.
    told: bool,
}

impl<'a> Place<'a> {
    pub(crate) fn new(ledger: &'a Ledger, topic: usize, subscriber: Subscriber) -> Self {
        Self { ledger, topic, subscriber, at: None, told: false }
    }

    /// Whether it has everything.
    pub(crate) fn is_done(&self) -> bool {
        let here = self.at.map_or(Offset::ORIGIN, |at| at.offset);
        here >= self.ledger.head(self.topic)
    }

    /// The server answered: this is where it goes on, unless it was told otherwise before.
    pub(crate) fn goes_on(&mut self, state: &Value) {
        let subscriber = self.subscriber;
        let epoch: Epoch = state["epoch"].as_str().unwrap().parse().unwrap();
        let first = Offset::new(state["first"].as_u64().unwrap()).max(Offset::FIRST);
        let recovered = !std::mem::take(&mut self.told);
        let after = self.at.filter(|_| recovered);
        let next = after.map_or(first, |after| after.offset.next());
        self.ledger.count(if recovered { Count::Recovered } else { Count::Reset }, 1);
        if recovered {
            let mut history = self.ledger.history(self.topic);
            history.push(Record::Subscribed { subscriber, after, recovered, epoch, next });
            history.push(Record::Joined { subscriber, epoch, next });
        }
        self.at = Some(Position { epoch, offset: next.previous() });
    }

    /// It was told that something is missing.
    pub(crate) fn reset(&mut self, reset: &Value) {
        let (subscriber, after) = (self.subscriber, self.at);
        let epoch: Epoch = reset["epoch"].as_str().unwrap().parse().unwrap();
        let next = Offset::new(reset["first"].as_u64().unwrap()).max(Offset::FIRST);
        let mut history = self.ledger.history(self.topic);
        history.push(Record::Subscribed { subscriber, after, recovered: false, epoch, next });
        history.push(Record::ToldOfGap { subscriber, epoch, next });
        self.at = Some(Position { epoch, offset: next.previous() });
        self.told = true;
    }

    pub(crate) fn got(&mut self, message: &Value) {
        let at = self.at.as_mut().expect("no message comes before the place is told");
        at.offset = Offset::new(message["offset"].as_u64().unwrap());
        let (subscriber, position) = (self.subscriber, *at);
        let name = Name::new(message["data"]["name"].as_u64().unwrap());
        let record = Record::Delivered { subscriber, position, name, attempt: 1 };
        self.ledger.record(self.topic, record);
    }
}
