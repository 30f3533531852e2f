//! What the group wants done, judged against the model and carried out, or not.

use std::time::Duration;

use tidings_core::{GiveUp, GroupEffect, MemberId, Offset, OrderKey, Topic};

use super::Scene;
use super::model::{Fate, Letter};
use crate::sometimes::Sometimes;
use crate::violation::{Promise, Violation, ensure};

impl Scene {
    pub(super) fn carry_out(&mut self, effect: GroupEffect) -> Result<(), Violation> {
        let now = self.now;
        self.trace.line(|| format!("{:>7}   {effect:?}", now.as_ms()));
        match effect {
            GroupEffect::Fetch { topic, offset } => {
                self.judge_fetch(&topic, offset)?;
                self.fetches.push((topic.clone(), offset));
                if !self.troubles.late_fetches || self.random.chance(50) {
                    self.answer_fetch(self.fetches.len() - 1);
                }
            }
            GroupEffect::Deliver { member, topic, offset, attempt } => {
                self.judge_delivery(member, &topic, offset, attempt)?;
                self.deliver(member, &topic, offset);
            }
            GroupEffect::DeadLetter { topic, offset, attempts, reason } => {
                self.judge_letter(&topic, offset, attempts, reason)?;
                self.coverage.met(Sometimes::GroupGaveUp);
                if self.logs.get(&topic).is_some_and(|log| log.is_gone(offset)) {
                    self.missing(&topic, offset, offset);
                } else {
                    self.appending.insert((topic, offset));
                }
            }
            GroupEffect::SaveCursor { topic } => {
                let wanted = self.model.unsaved.remove(&topic);
                ensure(wanted, Promise::Contract, || {
                    format!("the cursor of {topic} is to be saved though nothing was settled")
                })?;
                if self.random.chance(50) {
                    self.save(&topic);
                }
            }
            GroupEffect::Rest { topic } => self.rest(&topic)?,
            GroupEffect::Reserve { topic } => {
                self.save(&topic);
                if self.random.chance(50) {
                    self.told_saved();
                }
            }
        }
        Ok(())
    }

    fn judge_fetch(&mut self, topic: &Topic, offset: Offset) -> Result<(), Violation> {
        let attempts = match self.model.fate(topic, offset) {
            Some(Fate::FetchFailed { attempts, again }) => {
                ensure(again <= self.now, Promise::Contract, || {
                    format!("{offset} is fetched again before {again:?}")
                })?;
                attempts
            }
            Some(Fate::Unasked { attempts }) => {
                let first = self.model.first_unasked(topic);
                ensure(first == Some(offset), Promise::OneOrder, || {
                    format!("{offset} is asked for before {first:?}")
                })?;
                let bound = self.model.bound();
                let in_flight = self.model.in_flight() as u64;
                ensure(in_flight < bound, Promise::Bounded, || {
                    format!("{offset} is asked for while {in_flight} of {bound} are in flight")
                })?;
                let (room, fetching) = (self.model.room(), self.model.fetching());
                ensure(room > fetching, Promise::Bounded, || {
                    format!("{offset} is asked for: {fetching} are, members have room for {room}")
                })?;
                attempts
            }
            other => {
                let what = format!("{offset} is fetched while {other:?}");
                return Err(Violation::new(Promise::Contract, what));
            }
        };
        self.model.set(topic, offset, Fate::Fetching { attempts });
        Ok(())
    }

    /// The message that was asked for is read, or not.
    pub(super) fn answer_fetch(&mut self, index: usize) {
        let (topic, offset) = self.fetches.remove(index);
        if index < self.fetches.len() {
            self.coverage.met(Sometimes::FetchedOutOfOrder);
        }
        let Some(log) = self.logs.get(&topic) else { return };
        if log.is_gone(offset) {
            let last = log.gone_through(offset);
            self.coverage.met(Sometimes::GoneWhenFetched);
            return self.missing(&topic, offset, last);
        }
        if self.troubles.losses && self.random.chance(10) {
            let again = self.now + Duration::from_millis(self.random.between(1, 5_000));
            self.trace.line(|| format!("          fetch failed {topic} {offset}"));
            self.coverage.met(Sometimes::FetchFailed);
            self.subject.fetch_failed(&topic, offset, again);
            return self.model.fetch_failed(&topic, offset, again);
        }
        self.trace.line(|| format!("          fetched {topic} {offset} {:?}", log.key(offset)));
        self.subject.fetched(&topic, offset, log.key(offset));
        self.model.fetched(&topic, offset);
    }

    fn judge_delivery(
        &mut self,
        member: MemberId,
        topic: &Topic,
        offset: Offset,
        attempt: u32,
    ) -> Result<(), Violation> {
        let now = self.now;
        let message = self.model.message(topic, offset).cloned();
        let before = match message.as_ref().map(|message| message.fate) {
            Some(Fate::Held { attempts, .. }) => attempts,
            Some(Fate::BackingOff { attempts, retry, .. }) if retry.from <= now => attempts,
            other => {
                let what = format!("{offset} is delivered, attempt {attempt}, while {other:?}");
                return Err(Violation::new(Promise::Contract, what));
            }
        };
        let told = self.model.told(topic, offset, before + 1);
        ensure(
            attempt == told && before < self.model.policy.attempts_max,
            Promise::AtLeastOnce,
            || format!("{offset} is delivered as attempt {attempt} instead of {told}"),
        )?;
        let repeat = self.sent.contains(&(topic.clone(), offset));
        ensure(!repeat || attempt > 1, Promise::NothingSilent, || {
            format!("{topic} {offset} comes again and does not say so")
        })?;
        let reserved = self.model.reserved.get(topic).copied().unwrap_or_default();
        ensure(offset <= reserved.durable, Promise::AtLeastOnce, || {
            format!("{topic} {offset} is sent, and {:?} are reserved", reserved.durable)
        })?;
        ensure(self.model.free(member) > 0, Promise::Bounded, || {
            format!("{offset} goes to {member:?}, which has no room")
        })?;
        self.coverage.met_if(attempt > 1, Sometimes::DeliveredToAnother);
        match message.and_then(|message| message.key) {
            Some(key) => self.judge_turn(member, topic, offset, &key)?,
            None => self.judge_choice(member, offset)?,
        }
        self.model.servings += 1;
        let serving = self.model.servings;
        if let Some(member) = self.model.members.get_mut(&member) {
            member.served = serving;
        }
        let due = now + self.model.policy.ack_timeout;
        let attempt = before + 1;
        self.model.set(topic, offset, Fate::With { member, attempt, due, serving });
        let messages = self.model.topics.get_mut(topic);
        if let Some(message) = messages.and_then(|messages| messages.get_mut(&offset)) {
            message.delivered = true;
        }
        Ok(())
    }

    /// A key's messages go one at a time, in the order of their log, to the member it falls to.
    fn judge_turn(
        &mut self,
        member: MemberId,
        topic: &Topic,
        offset: Offset,
        key: &OrderKey,
    ) -> Result<(), Violation> {
        for (other_topic, other, message) in self.model.all() {
            if message.key.as_ref() != Some(key) || (other_topic, other) == (topic, offset) {
                continue;
            }
            let settled = matches!(message.fate, Fate::Settled(_));
            // What was given up before it was delivered by this group is nobody's turn any more.
            let given_up = matches!(message.fate, Fate::GivenUp { .. }) && !message.delivered;
            let waits = !message.delivered && (other_topic != topic || other > offset);
            ensure(settled || given_up || waits, Promise::OneOrder, || {
                format!("{topic} {offset} of {key} is delivered while {other_topic} {other} is out")
            })?;
        }
        let taking = self.model.taking();
        if let Some((took, fell_to)) = self.model.fell.get(key)
            && taking.contains(fell_to)
        {
            ensure(member == *fell_to || !took.contains(&member), Promise::Contract, || {
                format!("{key} moves from {fell_to:?} to {member:?}, which is not new")
            })?;
            self.coverage.met_if(member != *fell_to, Sometimes::KeyMovedToJoined);
        }
        self.model.fell.insert(key.clone(), (taking, member));
        Ok(())
    }

    /// A message without a key goes to whoever has the most room, then to whoever waits longest.
    fn judge_choice(&mut self, member: MemberId, offset: Offset) -> Result<(), Violation> {
        let served = |id: MemberId| self.model.members.get(&id).map_or(0, |member| member.served);
        let free = self.model.free_of_taking();
        let room = free.get(&member).copied().unwrap_or(0);
        for (other, free) in free {
            let better = free > room || (free == room && served(other) < served(member));
            ensure(!better, Promise::Contract, || {
                format!("{offset} goes to {member:?} though {other:?} has more room or waits")
            })?;
        }
        Ok(())
    }

    fn judge_letter(
        &mut self,
        topic: &Topic,
        offset: Offset,
        attempts: u32,
        reason: GiveUp,
    ) -> Result<(), Violation> {
        let fate = self.model.fate(topic, offset);
        let fits = match fate {
            // The last attempt was used up before the group began.
            Some(Fate::Unasked { attempts: before }) => {
                before >= self.model.policy.attempts_max
                    && before == attempts
                    && self.model.first_unasked(topic) == Some(offset)
            }
            Some(Fate::GivenUp { attempts: before, reason: given, letter }) => {
                let due = match letter {
                    Letter::Due => true,
                    Letter::Appending => false,
                    Letter::Failed(retry) => retry.from <= self.now,
                };
                due && before == attempts && given == reason
            }
            _ => false,
        };
        ensure(fits, Promise::AtLeastOnce, || {
            format!("{offset} is given up after {attempts} ({reason:?}) while {fate:?}")
        })?;
        let letter = Letter::Appending;
        self.model.set(topic, offset, Fate::GivenUp { attempts, reason, letter });
        Ok(())
    }

    /// Sends the message to its member, if it is still there and nothing is lost on the way.
    fn deliver(&mut self, member: MemberId, topic: &Topic, offset: Offset) {
        let Some(log) = self.logs.get(topic) else { return };
        if log.is_gone(offset) {
            let last = log.gone_through(offset);
            self.coverage.met(Sometimes::GoneWhenDelivered);
            self.missing(topic, offset, last);
        } else if self.troubles.losses && self.random.chance(10) {
            let again = self.now + Duration::from_millis(self.random.between(1, 5_000));
            self.trace.line(|| format!("          not sent {topic} {offset}"));
            self.coverage.met(Sometimes::GroupNotSent);
            self.subject.not_sent(topic, offset, again);
            self.model.not_sent(topic, offset, Some(again));
        } else if self.troubles.losses && self.random.chance(20) {
            self.coverage.met(Sometimes::GroupDeliveryLost);
        } else {
            self.sent.insert((topic.clone(), offset));
            self.in_hand.push((member, topic.clone(), offset));
        }
    }
}
