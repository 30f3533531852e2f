//! What can happen to a group.

use std::time::Duration;

use tidings_core::{CursorState, Instant, MemberId, Offset, OrderKey, Priority, Topic};

use super::model::{Fate, Letter, Messages, Model, Reserved, is_in_flight};
use super::replies::Reply;
use super::subject::Subject;
use super::{EPOCH, Log, Saved, Scene};
use crate::sometimes::Sometimes;
use crate::violation::{Promise, Violation, ensure};

const TOPICS_MAX: usize = 3;
const MEMBERS_MAX: usize = 5;

impl Scene {
    /// One thing happens.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        match self.random.below(100) {
            0..20 => self.append(),
            20..45 => return self.reply_to_one(),
            45..50 if self.troubles.strays => return self.reply_astray(),
            50..64 => self.time_passes(),
            64..69 if self.troubles.trims => self.lose_messages(),
            69..75 => self.dead_letter_outcome(),
            75..81 => self.join(),
            81..86 if self.troubles.leavers => self.leave(),
            86..89 if self.troubles.pauses => self.pause_or_resume(),
            89..91 => self.open_topic(),
            91..92 => self.close_topic(),
            98..99 => self.told_saved(),
            99..100 => self.give_way(),
            92..97 if !self.fetches.is_empty() => {
                let index = self.random.index(self.fetches.len());
                self.answer_fetch(index);
            }
            97..98 if self.troubles.crashes => self.crash(),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn open_topic(&mut self) {
        if self.logs.len() >= TOPICS_MAX {
            return;
        }
        let name = format!("jobs/{}", self.logs.len());
        let topic = Topic::parse(&name).expect("a valid topic");
        let log = Log { first: Offset::FIRST, ..Log::default() };
        self.logs.insert(topic.clone(), log);
        self.grow(&topic);
        let beginning = self.random.chance(50);
        let state = if beginning {
            CursorState::beginning(EPOCH, Offset::FIRST, 1)
        } else {
            CursorState::at(EPOCH, Offset::FIRST)
        };
        let reserved = state.reserved;
        let expected = state.clone();
        let saved = Saved { state, expected, messages: Messages::new() };
        self.saves.insert(topic.clone(), vec![saved]);
        self.take_up(&topic);
        if beginning {
            self.subject.topic_begins(&topic, reserved);
            self.model
                .reserved
                .insert(topic, Reserved { earlier: Offset::ORIGIN, durable: reserved });
        }
    }

    /// The group hears that a state is durable: an older one will not be found again.
    pub(super) fn told_saved(&mut self) {
        let topics: Vec<_> = self.logs.keys().cloned().collect();
        for topic in topics {
            let Some(saves) = self.saves.get_mut(&topic).filter(|saves| saves.len() > 1) else {
                continue;
            };
            saves.remove(0);
            let reserved = saves[0].state.reserved;
            self.trace.line(|| format!("          told saved {topic} {reserved}"));
            self.subject.saved(&topic, reserved);
            self.model.saved(&topic, reserved);
        }
    }

    /// A topic in which nothing is pending is let go of, and taken up again.
    fn close_topic(&mut self) {
        let Some(topic) = self.draw_topic() else { return };
        let idle = self.model.lag(&topic) == 0;
        if idle {
            // Its closing state is saved when no other save is on its way, and then it is gone.
            let Some(state) = self.subject.closing_state(&topic) else { return };
            let expected = self.model.state(&topic);
            let messages = self.model.messages(&topic).clone();
            self.saves.insert(topic.clone(), vec![Saved { state, expected, messages }]);
        }
        let closed = self.subject.close_if_idle(&topic);
        assert_eq!(closed, idle, "a topic is let go of if nothing is pending in it");
        if closed {
            self.model.unsaved.remove(&topic);
            self.coverage.met(Sometimes::TopicClosed);
            self.take_up(&topic);
        }
    }

    /// Other topics wait for a place.
    fn give_way(&mut self) {
        let most = self.random.index(TOPICS_MAX) + 1;
        self.trace.line(|| format!("          give way, at most {most}"));
        self.subject.give_way(self.now, most);
    }

    /// A topic rests: it is let go of with what waits in it, and taken up again.
    pub(super) fn rest(&mut self, topic: &Topic) -> Result<(), Violation> {
        let in_flight = self.model.messages(topic).values().filter(|m| is_in_flight(m.fate));
        let in_flight = in_flight.count();
        ensure(in_flight == 0, Promise::AtLeastOnce, || {
            format!("{topic} rests while {in_flight} of its messages are in flight")
        })?;
        let Some(state) = self.subject.closing_state(topic) else { return Ok(()) };
        let expected = self.model.state(topic);
        let messages = self.model.messages(topic).clone();
        self.saves.insert(topic.clone(), vec![Saved { state, expected, messages }]);
        let closed = self.subject.close_if_idle(topic);
        ensure(closed, Promise::Liveness, || format!("{topic} rests and cannot be let go of"))?;
        self.coverage.met_if(self.model.lag(topic) > 0, Sometimes::TopicRested);
        self.model.unsaved.remove(topic);
        self.take_up(topic);
        Ok(())
    }

    /// The group goes on with a topic from its last saved state.
    fn take_up(&mut self, topic: &Topic) {
        let Some(saved) = self.saves.get(topic).and_then(|saves| saves.last()).cloned() else {
            return;
        };
        let log = &self.logs[topic];
        let Saved { state, mut expected, messages } = saved;
        self.trace.line(|| format!("          {topic} from {state:?}"));
        expected.reserved = state.reserved;
        self.subject.topic_opened(topic, (self.policy, Priority::Normal), state, log.head());
        self.model.open(topic, &expected, messages, log.head());
        self.model.tail_advanced(topic, log.head(), |offset| log.key(offset));
    }

    fn draw_topic(&mut self) -> Option<Topic> {
        let topics: Vec<_> = self.logs.keys().cloned().collect();
        topics.get(self.random.index(topics.len())).cloned()
    }

    fn draw_member(&mut self) -> Option<MemberId> {
        let members: Vec<_> = self.model.members.keys().copied().collect();
        members.get(self.random.index(members.len())).copied()
    }

    fn append(&mut self) {
        let Some(topic) = self.draw_topic() else { return };
        self.grow(&topic);
        let log = &self.logs[&topic];
        // News of the tail may be late, and may come twice.
        let behind = self.random.below(5);
        let tail = Offset::new(log.head().get().saturating_sub(behind));
        self.trace.line(|| format!("          tail_advanced {topic} {tail}"));
        self.subject.tail_advanced(&topic, tail);
        self.model.tail_advanced(&topic, tail, |offset| log.key(offset));
    }

    /// A few messages, some with keys; few keys, so that they meet.
    fn grow(&mut self, topic: &Topic) {
        for _ in 0..self.random.between(1, 4) {
            let key = ["ann", "bob", "cat", "", "", ""][self.random.index(6)];
            let log = self.logs.entry(topic.clone()).or_default();
            log.keys.push(OrderKey::parse(key).ok());
        }
    }

    pub(super) fn join(&mut self) {
        if self.model.members.len() >= MEMBERS_MAX {
            return;
        }
        self.members_made += 1;
        let (id, window) = (MemberId::new(self.members_made), self.random.between(1, 4) as u32);
        self.trace.line(|| format!("          {id:?} joins, window {window}"));
        self.subject.member_joined(id, window);
        self.model.joined(id, window);
    }

    fn leave(&mut self) {
        let Some(id) = self.draw_member() else { return };
        let now = self.now;
        self.trace.line(|| format!("{:>7} {id:?} leaves", now.as_ms()));
        let held = self.model.with(id).count();
        self.coverage.met_if(held > 1, Sometimes::LeftWithMessages);
        self.subject.member_left(id);
        self.model.left(id);
        self.coverage.met_if(self.model.members.is_empty(), Sometimes::WithoutMembers);
    }

    /// A member's connection is stuck, and gives back some of what never left; or has room again.
    fn pause_or_resume(&mut self) {
        let Some(id) = self.draw_member() else { return };
        let Some(member) = self.model.members.get_mut(&id) else { return };
        let paused = !member.paused;
        member.paused = paused;
        self.trace.line(|| format!("          {id:?} paused: {paused}"));
        if !paused {
            return self.subject.member_resumed(id);
        }
        self.subject.member_paused(id);
        for (by, topic, offset) in std::mem::take(&mut self.in_hand) {
            if by != id || self.random.chance(50) {
                self.in_hand.push((by, topic, offset));
                continue;
            }
            self.trace.line(|| format!("          returned {topic} {offset}"));
            self.subject.returned(id, &topic, offset);
            if let Some(Fate::With { member, attempt, .. }) = self.model.fate(&topic, offset)
                && member == id
            {
                self.coverage.met(Sometimes::Returned);
                if self.model.told(&topic, offset, attempt) == 1 {
                    self.sent.remove(&(topic.clone(), offset));
                }
                self.model.not_sent(&topic, offset, None);
            }
        }
    }

    /// To the next deadline, to just before it, or anywhere.
    fn time_passes(&mut self) {
        let deadline = self.subject.next_deadline().unwrap_or(self.now).max(self.now);
        let before = Instant::from_ms(deadline.as_ms().saturating_sub(1)).max(self.now);
        self.now = match self.random.below(10) {
            0..6 => deadline,
            6..8 => before,
            _ => self.now + Duration::from_millis(self.random.below(8_000)),
        };
        let late = |fate| matches!(fate, Fate::With { due, .. } if due <= self.now);
        let late = self.model.all().any(|(_, _, message)| late(message.fate));
        self.coverage.met_if(late, Sometimes::GroupTimedOut);
        if self.random.chance(50) && self.subject.next_deadline().is_some_and(|at| at <= self.now) {
            self.deadline_passed();
        }
    }

    /// Retention trims the oldest, or a message is damaged. The group hears of it now, or when
    /// the message is read.
    fn lose_messages(&mut self) {
        let unasked = |fate| matches!(fate, Fate::GivenUp { letter: Letter::Due, .. });
        let given_up = self.model.all().find(|(_, _, m)| unasked(m.fate));
        if let Some((topic, offset)) = given_up.map(|(topic, offset, _)| (topic.clone(), offset)) {
            if let Some(log) = self.logs.get_mut(&topic) {
                log.damaged.insert(offset);
            }
            return self.missing(&topic, offset, offset);
        }
        let Some(topic) = self.draw_topic() else { return };
        let (damage, amount) = (self.random.chance(40), self.random.below(4));
        let offset = Offset::new(self.random.between(1, self.logs[&topic].head().get()));
        let Some(log) = self.logs.get_mut(&topic) else { return };
        if damage {
            log.damaged.insert(offset);
            return;
        }
        log.first = log.first.plus(amount).min(log.head().next());
        let first = log.first;
        if self.random.chance(50) {
            let all = self.model.messages(&topic);
            let mut gone = all.range(..first).map(|(_, message)| message);
            let with = gone.any(|message| matches!(message.fate, Fate::With { .. }));
            self.coverage.met_if(with, Sometimes::TrimmedUnderMember);
            self.missing(&topic, Offset::FIRST, first.previous());
        }
    }

    fn dead_letter_outcome(&mut self) {
        let Some((topic, offset)) = self.appending.pop_first() else { return };
        let now = self.now;
        if self.troubles.letters_fail && self.random.chance(40) {
            self.trace.line(|| format!("{:>7} dead_letter_failed {topic} {offset}", now.as_ms()));
            self.coverage.met(Sometimes::GroupDeadLetterFailed);
            self.subject.dead_letter_failed(now, &topic, offset);
            self.model.dead_letter_failed(now, &topic, offset);
        } else {
            self.dead_lettered(&topic, offset);
        }
    }

    fn dead_lettered(&mut self, topic: &Topic, offset: Offset) {
        let now = self.now;
        self.trace.line(|| format!("{:>7} dead_lettered {topic} {offset}", now.as_ms()));
        self.letters.insert((topic.clone(), offset));
        self.subject.dead_lettered(topic, offset);
        self.model.dead_lettered(topic, offset);
    }

    /// The server ends between anything and anything: saved states are all that is left, of each
    /// topic another, and some of the dead letters on their way have become durable.
    fn crash(&mut self) {
        self.trace.line(|| "          crash".to_owned());
        self.coverage.met(Sometimes::GroupCrashed);
        while let Some(letter) = self.appending.pop_first() {
            if self.random.chance(50) {
                self.letters.insert(letter);
            }
        }
        self.subject = Subject::new(self.mutation, self.random.seed());
        self.model = Model::new(self.policy);
        self.in_hand.clear();
        self.fetches.clear();
        for topic in self.logs.keys().cloned().collect::<Vec<_>>() {
            if self.random.chance(50) {
                let saves = self.saves.entry(topic.clone()).or_default();
                let kept = self.random.between(1, saves.len() as u64);
                saves.truncate(kept as usize);
            }
            self.take_up(&topic);
        }
        self.join();
    }

    /// The last fault is over and the members honest: what is owed arrives, in a bounded number
    /// of rounds.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        self.troubles.losses = false;
        self.troubles.late_fetches = false;
        self.join();
        for id in self.model.members.keys().copied().collect::<Vec<_>>() {
            self.subject.member_resumed(id);
        }
        self.model.members.values_mut().for_each(|member| member.paused = false);
        let mut owed = 0;
        for (topic, log) in &self.logs {
            self.subject.tail_advanced(topic, log.head());
            self.model.tail_advanced(topic, log.head(), |offset| log.key(offset));
            owed += log.head().get();
        }
        let rounds_max = 40 + owed * u64::from(self.policy.attempts_max) * 6;
        for _ in 0..rounds_max {
            self.settle_down()?;
            if self.logs.keys().all(|topic| self.model.lag(topic) == 0) {
                return self.check_all_settled();
            }
            if self.saves.values().any(|saves| saves.len() > 1) {
                self.told_saved();
            } else if !self.fetches.is_empty() {
                self.answer_fetch(0);
            } else if let Some((topic, offset)) = self.appending.pop_first() {
                self.dead_lettered(&topic, offset);
            } else if let Some((member, topic, offset)) = self.in_hand.pop() {
                self.reply(member, &topic, offset, Reply::Ack)?;
            } else {
                let deadline = self.subject.next_deadline();
                ensure(deadline.is_some(), Promise::Liveness, || {
                    "something is pending, and nothing is due".to_owned()
                })?;
                self.now = deadline.unwrap_or(self.now).max(self.now);
            }
            self.check_always()?;
        }
        let what = format!("something is pending after {rounds_max} rounds");
        Err(Violation::new(Promise::Liveness, what))
    }
}
