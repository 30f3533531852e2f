//! What members say of their deliveries.

use std::time::Duration;

use tidings_core::{MemberId, Offset, SettleOutcome, Topic};

use super::Scene;
use super::checks::agree;
use super::model::Fate;
use crate::sometimes::Sometimes;
use crate::violation::{Promise, Violation};

/// What a member may say of one message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Ack,
    Nack(Option<Duration>),
    Refuse,
    Extend(Duration),
}

impl Scene {
    pub(super) fn reply_to_one(&mut self) -> Result<(), Violation> {
        if self.in_hand.is_empty() {
            return Ok(());
        }
        // Mostly in order, as members are.
        let in_order = self.random.chance(50);
        let index = if in_order { 0 } else { self.random.index(self.in_hand.len()) };
        let (member, topic, offset) = self.in_hand.remove(index);
        let reply = self.draw_reply();
        self.reply(member, &topic, offset, reply)
    }

    /// A reply by anybody to anything: theirs, another's, settled, or never sent.
    pub(super) fn reply_astray(&mut self) -> Result<(), Violation> {
        let member = MemberId::new(self.random.between(1, self.members_made));
        let topics: Vec<_> = self.logs.keys().cloned().collect();
        let topic = &topics[self.random.index(topics.len())];
        let head = self.logs[topic].head();
        let offset = Offset::new(self.random.below(head.get() + 4));
        let reply = self.draw_reply();
        self.reply(member, topic, offset, reply)
    }

    fn draw_reply(&mut self) -> Reply {
        let some_time = Duration::from_millis(self.random.below(6_000));
        match self.random.below(100) {
            0..25 if self.troubles.hesitant => Reply::Nack(None),
            25..35 if self.troubles.hesitant => Reply::Nack(Some(some_time)),
            35..42 if self.troubles.hesitant => Reply::Refuse,
            42..50 if self.troubles.hesitant => Reply::Extend(some_time),
            _ => Reply::Ack,
        }
    }

    pub(super) fn reply(
        &mut self,
        by: MemberId,
        topic: &Topic,
        offset: Offset,
        reply: Reply,
    ) -> Result<(), Violation> {
        let now = self.now;
        self.trace.line(|| format!("{:>7} {reply:?} {topic} {offset} by {by:?}", now.as_ms()));
        let fate = self.model.fate(topic, offset);
        let (subject, model) = (&mut self.subject, &mut self.model);
        let (ours, expected) = match reply {
            Reply::Ack => (subject.acked(by, topic, offset), model.acked(by, topic, offset)),
            Reply::Nack(delay) => (
                subject.nacked(now, by, topic, offset, delay),
                model.nacked(now, by, topic, offset, delay),
            ),
            Reply::Refuse => (subject.refused(by, topic, offset), model.refused(by, topic, offset)),
            Reply::Extend(more) => (
                subject.extended(now, by, topic, offset, more),
                model.extended(now, by, topic, offset, more),
            ),
        };
        let done = expected == SettleOutcome::Done;
        let anothers = matches!(fate, Some(Fate::With { member, .. }) if member != by);
        self.coverage.met_if(anothers, Sometimes::AnsweredForAnother);
        let late = matches!(fate, Some(Fate::BackingOff { .. } | Fate::Held { .. }));
        self.coverage.met_if(late && done, Sometimes::AnsweredLate);
        match reply {
            Reply::Nack(_) => self.coverage.met_if(done, Sometimes::GroupNacked),
            Reply::Refuse => self.coverage.met_if(done, Sometimes::GroupRefused),
            Reply::Extend(_) => self.coverage.met_if(done, Sometimes::GroupExtended),
            Reply::Ack => {}
        }
        agree(Promise::Contract, "the outcome", &ours, &expected)
    }
}
