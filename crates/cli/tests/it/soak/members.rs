//! Members of groups: they work, are slow, give messages back, leave in good order, and break.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tidings_core::{Instant, Offset};
use tidings_sim::history::Name;
use tidings_sim::history::groups::{GroupNumber, GroupRecord, MemberNumber, Place, TopicNumber};

use super::jobs::{GROUPS, JOBS, PATIENT};
use super::ledger::{Count, Ledger, Stage};
use super::link::{Gone, Link};
use super::{RETRY, topic_number};
use crate::program::Dice;

/// What a member does to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trait {
    /// Acks what it gets.
    Works,
    /// Takes its time for each, and asks for more time.
    Slow,
    /// Gives messages back, gives them up, and forgets them.
    GivesBack,
    /// Unsubscribes or says goodbye, and cuts its connection, with messages in hand.
    Leaves,
}

impl Trait {
    pub(crate) const ALL: [Self; 4] = [Self::Works, Self::Slow, Self::GivesBack, Self::Leaves];
}

#[derive(Debug)]
struct Member<'a> {
    ledger: &'a Ledger,
    group: usize,
    habit: Trait,
    dice: Dice,
    /// As which member it is in its group now.
    number: MemberNumber,
    /// Got and not answered.
    open: BTreeSet<Place>,
    /// Acks without their answer, by request.
    asked: BTreeMap<u64, Place>,
}

/// Takes part in a group until nothing waits for it any more.
pub(crate) fn work(ledger: &Ledger, port: u16, group: usize, habit: Trait, dice: Dice) {
    let number = MemberNumber::new(0);
    let (open, asked) = (BTreeSet::new(), BTreeMap::new());
    let mut member = Member { ledger, group, habit, dice, number, open, asked };
    while !member.is_done() {
        if Link::open(ledger, port).and_then(|link| member.run(link)).is_err() {
            member.left();
            std::thread::sleep(RETRY);
        }
    }
}

impl Member<'_> {
    fn is_done(&self) -> bool {
        self.ledger.is_overdue() || self.ledger.all_jobs_are_done()
    }

    fn now(&self) -> Instant {
        self.ledger.now()
    }

    /// One membership.
    fn run(&mut self, mut link: Link) -> Result<(), Gone> {
        self.open.clear();
        self.asked.clear();
        self.join(&mut link)?;
        while !self.is_done() {
            match link.next()? {
                Some(frame) => {
                    self.got(&frame);
                    self.act(&mut link)?;
                }
                None => self.ack_all(&mut link)?,
            }
            let leaves = self.habit == Trait::Leaves && self.ledger.stage() == Stage::Trouble;
            if leaves && self.dice.below(60) == 0 {
                return self.leave(link);
            }
        }
        self.left();
        Ok(())
    }

    fn join(&mut self, link: &mut Link) -> Result<(), Gone> {
        self.number = self.ledger.member();
        let (group, member) = (GroupNumber::new(self.group), self.number);
        let joining = GroupRecord::Joining { member, group, process: link.process, at: self.now() };
        self.ledger.record_group(joining);
        let window = match self.habit {
            Trait::Works => 32,
            Trait::Slow => 4,
            Trait::GivesBack | Trait::Leaves => 12,
        };
        let (name, sub) = (GROUPS[self.group].name, GROUPS[self.group].sub);
        let mut body = json!({"group": name, "window": window, "from": "first"});
        let kind = if sub.contains(['#', '+']) { "filter" } else { "topic" };
        body[kind] = json!(sub);
        let id = link.request("subscribe", body)?;
        let answer = link.answer(id)?;
        if answer.get("subscribed").is_none() {
            self.ledger.count(Count::Errors, 1);
            return Err(Gone);
        }
        self.ledger.count(Count::Members, 1);
        Ok(())
    }

    fn got(&mut self, frame: &Value) {
        if let Some(message) = frame.get("message") {
            self.delivered(message);
        } else if let Some(settled) = frame.get("settled") {
            let place = frame["id"].as_u64().and_then(|id| self.asked.remove(&id));
            if let Some(place) = place.filter(|_| settled["count"] == 1) {
                let (member, at) = (self.number, self.now());
                self.ledger.record_group(GroupRecord::Settled { member, place, at });
                self.ledger.count(Count::JobsDone, 1);
            }
        } else if frame.get("error").is_some() {
            self.ledger.count(Count::Errors, 1);
        } else if frame.get("reset").is_some() {
            panic!("a group missed something: {frame}");
        }
    }

    fn delivered(&mut self, message: &Value) {
        assert_eq!(message["sub"], GROUPS[self.group].sub, "a message of another subscription");
        let topic = topic_number(message["topic"].as_str().unwrap());
        let place = Place {
            topic: TopicNumber::new(topic),
            epoch: self.ledger.epoch(topic),
            offset: Offset::new(message["offset"].as_u64().unwrap()),
        };
        let attempt = message["attempt"].as_u64().map_or(1, |attempt| attempt as u32);
        self.ledger.count(Count::Jobs, 1);
        self.ledger.count(Count::JobsAgain, u64::from(attempt > 1));
        self.ledger.record_group(GroupRecord::Delivered {
            member: self.number,
            place,
            name: Name::new(message["data"]["name"].as_u64().unwrap()),
            attempt,
            published_at: self.ledger.at(message["at"].as_u64().unwrap()),
            at: self.now(),
        });
        self.open.insert(place);
    }

    /// Answers as is its habit; once the trouble is over, as it should.
    fn act(&mut self, link: &mut Link) -> Result<(), Gone> {
        match (self.ledger.stage(), self.habit) {
            (Stage::Finishing | Stage::Draining, _) | (Stage::Trouble, Trait::Works) => {
                self.ack_all(link)
            }
            (Stage::Trouble, Trait::Slow) => self.take_time(link),
            (Stage::Trouble, Trait::GivesBack) => self.give_back_perhaps(link),
            (Stage::Trouble, Trait::Leaves) => {
                // Something in hand when it leaves.
                if self.open.len() < 4 { Ok(()) } else { self.ack_one(link) }
            }
        }
    }

    fn ack_all(&mut self, link: &mut Link) -> Result<(), Gone> {
        while !self.open.is_empty() {
            self.ack_one(link)?;
        }
        Ok(())
    }

    fn ack_one(&mut self, link: &mut Link) -> Result<(), Gone> {
        let Some(place) = self.open.pop_first() else { return Ok(()) };
        let (member, at) = (self.number, self.now());
        self.ledger.record_group(GroupRecord::Acked { member, place, at });
        let mut body = self.named(place);
        // One at a time, so that each answer is about one message.
        body["offsets"] = json!([place.offset.get()]);
        let id = link.request("ack", body)?;
        self.asked.insert(id, place);
        Ok(())
    }

    /// The start of an answer to a delivery.
    fn named(&self, place: Place) -> Value {
        let topic = JOBS.into_iter().find(|topic| TopicNumber::new(*topic) == place.topic);
        let topic = super::topic_name(topic.expect("a topic of jobs"));
        json!({"sub": GROUPS[self.group].sub, "topic": topic})
    }

    fn take_time(&mut self, link: &mut Link) -> Result<(), Gone> {
        if let Some(place) = self.open.first().copied().filter(|_| self.dice.below(8) == 0) {
            let mut body = self.named(place);
            (body["offset"], body["by_ms"]) = (json!(place.offset.get()), json!(61_000));
            link.request("extend", body)?;
        }
        std::thread::sleep(Duration::from_millis(5 + self.dice.below(60)));
        self.ack_one(link)
    }

    fn give_back_perhaps(&mut self, link: &mut Link) -> Result<(), Gone> {
        let chance = self.dice.below(100);
        let Some(place) = self.open.first().copied() else { return Ok(()) };
        let patient = place.topic == TopicNumber::new(PATIENT);
        let mut body = self.named(place);
        body["offset"] = json!(place.offset.get());
        match chance {
            0..8 => body["reason"] = json!("soak"),
            8..14 => body["delay_ms"] = json!(30),
            14..17 => body["dead"] = json!(true),
            17..19 if !patient => {
                self.ledger.count(Count::Ignored, 1);
                self.open.pop_first();
                return Ok(());
            }
            _ => return self.ack_one(link),
        }
        self.open.pop_first();
        let (member, at) = (self.number, self.now());
        self.ledger.record_group(GroupRecord::Nacked { member, place, at });
        self.ledger.count(if chance < 14 { Count::Nacked } else { Count::Refused }, 1);
        link.request("nack", body).map(|_| ())
    }

    fn left(&mut self) {
        let (member, at) = (self.number, self.now());
        self.ledger.record_group(GroupRecord::Left { member, at });
        self.open.clear();
    }

    /// Ends the membership in one of three ways.
    fn leave(&mut self, mut link: Link) -> Result<(), Gone> {
        // Before the server can hear of it.
        self.left();
        match self.dice.below(3) {
            0 => {
                self.ledger.count(Count::Left, 1);
                link.cut();
            }
            1 => {
                self.ledger.count(Count::Goodbyes, 1);
                link.close();
            }
            _ => {
                self.ledger.count(Count::Goodbyes, 1);
                let id = link.request("unsubscribe", json!({"sub": GROUPS[self.group].sub}))?;
                let answer = link.answer(id)?;
                assert!(answer.get("unsubscribed").is_some(), "cannot leave: {answer}");
                link.cut();
            }
        }
        Ok(())
    }
}
