//! Durable subscribers: fast ones, slow ones, those that nack, and those that leave and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_core::{Epoch, Offset, Position};
use tidings_sim::history::{Name, Record, Subscriber};

use super::ledger::{Count, Ledger, Stage};
use super::link::{Gone, Link};
use super::{Place, RETRY, SHORT, SHORT_WINDOW, topic_name};
use crate::program::Dice;

/// Silence after which a subscriber asks how much it is still owed: longer than an ack timeout and
/// the longest backoff together.
const SILENCE: Duration = Duration::from_secs(2);

/// What a subscriber does to those who wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Acks many at once, as soon as they come.
    Fast,
    /// Takes its time for each, and does not read on meanwhile.
    Slow,
    /// Gives messages back, gives them up, and forgets them.
    Nacks,
    /// Cuts its connection, or takes its subscription over with another one.
    Leaves,
}

#[derive(Debug)]
struct Durable<'a> {
    ledger: &'a Ledger,
    place: Place,
    subscriber: Subscriber,
    name: String,
    habit: Habit,
    dice: Dice,
    epoch: Option<Epoch>,
    /// Got on this connection and not answered.
    open: BTreeSet<Offset>,
    /// Acks without their answer, by request.
    asked: BTreeMap<u64, Vec<Offset>>,
    seen: BTreeSet<Offset>,
    done: bool,
}

/// The durable subscription of subscriber `number`.
pub(crate) fn durable_name(number: usize) -> String {
    format!("d{number}")
}

/// Takes a topic's messages until nothing is owed any more.
pub(crate) fn take(ledger: &Ledger, place: Place, number: usize, habit: Habit, dice: Dice) {
    let mut durable = Durable {
        ledger,
        place,
        subscriber: Subscriber::Durable(number),
        name: durable_name(number),
        habit,
        dice,
        epoch: None,
        open: BTreeSet::new(),
        asked: BTreeMap::new(),
        seen: BTreeSet::new(),
        done: false,
    };
    let mut next = None;
    while !durable.done && !ledger.is_overdue() {
        let link = next.take().map_or_else(|| Link::open(ledger, place.port), Ok);
        match link.and_then(|link| durable.run(link)) {
            Ok(taken_over_by) => next = taken_over_by,
            Err(Gone) => std::thread::sleep(RETRY),
        }
    }
}

impl Durable<'_> {
    /// Until the connection ends, or another one has taken its subscription over.
    fn run(&mut self, mut link: Link) -> Result<Option<Link>, Gone> {
        self.open.clear();
        self.asked.clear();
        let pending = self.subscribe(&mut link)?;
        if pending == 0 && self.ledger.stage() == Stage::Draining {
            self.done = true;
            return Ok(None);
        }
        let mut heard = Instant::now();
        loop {
            if let Some(frame) = link.next()? {
                heard = Instant::now();
                self.got(&frame);
                self.act(&mut link)?;
            } else {
                self.ack_all(&mut link)?;
            }
            if self.ledger.stage() == Stage::Draining && heard.elapsed() > SILENCE {
                return Ok(None);
            }
            if self.habit == Habit::Leaves
                && self.ledger.stage() == Stage::Trouble
                && self.dice.below(150) == 0
            {
                return self.leave(link);
            }
        }
    }

    /// Subscribes; gives how many messages are owed.
    fn subscribe(&mut self, link: &mut Link) -> Result<u64, Gone> {
        let window = match self.habit {
            _ if self.place.topic == SHORT => SHORT_WINDOW,
            Habit::Fast => 256,
            Habit::Slow => 16,
            Habit::Nacks | Habit::Leaves => 32,
        };
        let topic = topic_name(self.place.topic);
        let body = json!({"topic": topic, "durable": self.name, "window": window, "from": "first"});
        let id = link.request("subscribe", body)?;
        let answer = link.answer(id)?;
        let Some(answer) = answer.get("subscribed") else {
            self.ledger.count(Count::Errors, 1);
            return Err(Gone);
        };
        let (subscriber, recovered) = (self.subscriber, answer["recovered"] == true);
        let epoch: Epoch = answer["epoch"].as_str().unwrap().parse().unwrap();
        self.ledger.count(if recovered { Count::Recovered } else { Count::Reset }, 1);
        let mut history = self.ledger.history(self.place.topic);
        if self.epoch.replace(epoch) != Some(epoch) {
            let next = Offset::FIRST;
            history.push(Record::Subscribed { subscriber, after: None, recovered, epoch, next });
        }
        history.push(Record::Connected { subscriber, process: link.process });
        if !recovered {
            let next = Offset::new(answer["first"].as_u64().unwrap());
            history.push(Record::ToldOfGap { subscriber, epoch, next });
        }
        Ok(answer["pending"].as_u64().unwrap())
    }

    fn position(&self, offset: Offset) -> Position {
        Position { epoch: self.epoch.expect("subscribed"), offset }
    }

    fn got(&mut self, frame: &Value) {
        if let Some(message) = frame.get("message") {
            let offset = Offset::new(message["offset"].as_u64().unwrap());
            let name = Name::new(message["data"]["name"].as_u64().unwrap());
            let attempt = message["attempt"].as_u64().map_or(1, |attempt| attempt as u32);
            let (subscriber, position) = (self.subscriber, self.position(offset));
            self.ledger.count(Count::Durable, 1);
            self.ledger.count(Count::Repeats, u64::from(attempt > 1));
            let record = Record::Delivered { subscriber, position, name, attempt };
            self.ledger.record(self.place.topic, record);
            self.seen.insert(offset);
            self.open.insert(offset);
        } else if let Some(settled) = frame.get("settled") {
            let asked = frame["id"].as_u64().and_then(|id| self.asked.remove(&id));
            let asked = asked.unwrap_or_default();
            // Fewer: some had been settled before, or given up, and which is not said.
            if settled["count"].as_u64() == Some(asked.len() as u64) {
                self.settled(&asked);
            }
        } else if let Some(reset) = frame.get("reset") {
            let next = Offset::new(reset["first"].as_u64().unwrap());
            let (subscriber, epoch) = (self.subscriber, self.position(next).epoch);
            self.ledger.count(Count::Reset, 1);
            self.ledger.record(self.place.topic, Record::ToldOfGap { subscriber, epoch, next });
        } else if frame.get("error").is_some() {
            self.ledger.count(Count::Errors, 1);
        }
    }

    fn settled(&self, offsets: &[Offset]) {
        let (subscriber, at) = (self.subscriber, self.ledger.now());
        let mut history = self.ledger.history(self.place.topic);
        for offset in offsets {
            let position = self.position(*offset);
            history.push(Record::Settled { subscriber, position, at });
        }
        self.ledger.count(Count::Settled, offsets.len() as u64);
    }

    /// Answers as is its habit; once the trouble is over, as it should.
    fn act(&mut self, link: &mut Link) -> Result<(), Gone> {
        let honest = match self.ledger.stage() {
            Stage::Trouble => false,
            Stage::Finishing | Stage::Draining => true,
        };
        match self.habit {
            _ if honest => self.ack_some(link, 1),
            Habit::Fast => self.ack_some(link, 16),
            Habit::Slow => {
                // Far behind where the topic is short.
                let most = if self.place.topic == SHORT { 300 } else { 60 };
                std::thread::sleep(Duration::from_millis(5 + self.dice.below(most)));
                self.ack_one(link)
            }
            Habit::Nacks => self.nack_perhaps(link),
            Habit::Leaves => self.ack_one(link),
        }
    }

    /// Acks everything up to the last, once there are enough.
    fn ack_some(&mut self, link: &mut Link, enough: usize) -> Result<(), Gone> {
        if self.open.len() < enough { Ok(()) } else { self.ack_all(link) }
    }

    fn ack_all(&mut self, link: &mut Link) -> Result<(), Gone> {
        let Some(last) = self.open.last().map(|offset| offset.get()) else { return Ok(()) };
        let offsets: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        self.acked(&offsets);
        let topic = topic_name(self.place.topic);
        let body = match self.habit {
            Habit::Fast | Habit::Slow | Habit::Leaves => json!({"sub": topic, "offset": last}),
            // Through the last would take back what was nacked before it.
            Habit::Nacks => {
                let each: Vec<_> = offsets.iter().map(|offset| offset.get()).collect();
                json!({"sub": topic, "offsets": each})
            }
        };
        let id = link.request("ack", body)?;
        self.asked.insert(id, offsets);
        Ok(())
    }

    fn ack_one(&mut self, link: &mut Link) -> Result<(), Gone> {
        let Some(offset) = self.open.pop_first() else { return Ok(()) };
        self.acked(&[offset]);
        let topic = topic_name(self.place.topic);
        let id = link.request("ack", json!({"sub": topic, "offsets": [offset.get()]}))?;
        self.asked.insert(id, vec![offset]);
        Ok(())
    }

    fn acked(&self, offsets: &[Offset]) {
        let subscriber = self.subscriber;
        let mut history = self.ledger.history(self.place.topic);
        for offset in offsets {
            history.push(Record::Acked { subscriber, position: self.position(*offset) });
        }
        self.ledger.count(Count::Acked, offsets.len() as u64);
    }

    fn nack_perhaps(&mut self, link: &mut Link) -> Result<(), Gone> {
        let topic = topic_name(self.place.topic);
        let chance = self.dice.below(100);
        let Some(offset) = self.open.first().map(|offset| offset.get()) else { return Ok(()) };
        let (count, body) = match chance {
            0..12 => (Count::Nacked, json!({"sub": topic, "offset": offset, "reason": "soak"})),
            12..20 => (Count::Nacked, json!({"sub": topic, "offset": offset, "delay_ms": 30})),
            20..22 => (Count::Refused, json!({"sub": topic, "offset": offset, "dead": true})),
            22..24 => {
                self.ledger.count(Count::Ignored, 1);
                self.open.pop_first();
                return Ok(());
            }
            _ => return self.ack_one(link),
        };
        self.open.pop_first();
        self.ledger.count(count, 1);
        link.request("nack", body).map(|_| ())
    }

    /// Cuts the connection, or opens another that takes the subscription over.
    fn leave(&mut self, mut link: Link) -> Result<Option<Link>, Gone> {
        if self.dice.below(2) == 0 {
            self.ledger.count(Count::Left, 1);
            link.cut();
            return Ok(None);
        }
        let mut newer = Link::open(self.ledger, self.place.port)?;
        if newer.process != link.process {
            return Ok(Some(newer));
        }
        let topic = topic_name(self.place.topic);
        let body = json!({"topic": topic, "durable": self.name, "from": "first"});
        let id = newer.request("subscribe", body)?;
        // The older one hears of it after everything it was sent.
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            let Some(frame) = link.next()? else { continue };
            self.got(&frame);
            if frame["unsubscribed"]["reason"] == "taken_over" {
                self.ledger.count(Count::TakenOver, 1);
                newer.answer(id)?;
                newer.cut();
                return Ok(None);
            }
        }
        panic!("a durable subscription was not taken over in 20 seconds");
    }
}
