//! How things stand in the model.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::limits::{GROUP_IN_FLIGHT_MAX, GROUP_LOOK_AHEAD_FACTOR, RESERVED_WINDOWS};
use tidings_core::{CursorState, Instant, MemberId, Offset, Topic};

use super::super::EPOCH;
use super::{Fate, Letter, Message, Messages, Model, failures, is_in_flight, last_of};

impl Model {
    pub(in crate::group) fn messages(&self, topic: &Topic) -> &Messages {
        &self.topics[topic]
    }

    pub(in crate::group) fn message(&self, topic: &Topic, offset: Offset) -> Option<&Message> {
        self.topics.get(topic)?.get(&offset)
    }

    pub(in crate::group) fn fate(&self, topic: &Topic, offset: Offset) -> Option<Fate> {
        self.message(topic, offset).map(|message| message.fate)
    }

    pub(in crate::group) fn all(&self) -> impl Iterator<Item = (&Topic, Offset, &Message)> {
        let topics = self.topics.iter();
        topics.flat_map(|(topic, messages)| messages.iter().map(move |(o, m)| (topic, *o, m)))
    }

    /// What a member has in hand: when it was served, and which.
    pub(in crate::group) fn with(
        &self,
        id: MemberId,
    ) -> impl Iterator<Item = (u64, Topic, Offset)> {
        self.all().filter_map(move |(topic, offset, message)| match message.fate {
            Fate::With { member, serving, .. } if member == id => {
                Some((serving, topic.clone(), offset))
            }
            _ => None,
        })
    }

    /// How many messages each member has in hand. Asked for after every effect, so it looks at
    /// every message once, not once for each member.
    pub(in crate::group) fn unacked(&self) -> BTreeMap<MemberId, usize> {
        let mut unacked = BTreeMap::new();
        for message in self.topics.values().flat_map(BTreeMap::values) {
            if let Fate::With { member, .. } = message.fate {
                *unacked.entry(member).or_default() += 1;
            }
        }
        unacked
    }

    /// How many more messages each of those could take that take any.
    pub(in crate::group) fn free_of_taking(&self) -> BTreeMap<MemberId, u32> {
        let unacked = self.unacked();
        let taking = self.members.iter().filter(|(_, member)| !member.paused);
        let free = taking.map(|(id, member)| {
            let unacked = unacked.get(id).copied().unwrap_or(0);
            (*id, member.window.saturating_sub(unacked as u32))
        });
        free.collect()
    }

    pub(in crate::group) fn free(&self, id: MemberId) -> u32 {
        self.free_of_taking().get(&id).copied().unwrap_or(0)
    }

    /// How many more messages members could take.
    pub(in crate::group) fn room(&self) -> u32 {
        self.free_of_taking().values().sum()
    }

    /// Messages asked for of which nobody knows yet whether they are next.
    pub(in crate::group) fn fetching(&self) -> u32 {
        let fetching = self.all().filter(|(_, _, message)| match message.fate {
            Fate::Fetching { .. } | Fate::FetchFailed { .. } => true,
            Fate::Held { .. } => !message.placed,
            _ => false,
        });
        fetching.count() as u32
    }

    /// Those that take messages.
    pub(in crate::group) fn taking(&self) -> BTreeSet<MemberId> {
        self.members.iter().filter(|(_, m)| !m.paused).map(|(id, _)| *id).collect()
    }

    pub(in crate::group) fn bound(&self) -> u64 {
        let windows: u32 = self.members.values().map(|member| member.window).sum();
        u64::from((windows * GROUP_LOOK_AHEAD_FACTOR).min(GROUP_IN_FLIGHT_MAX))
    }

    pub(in crate::group) fn in_flight(&self) -> usize {
        self.all().filter(|(_, _, message)| is_in_flight(message.fate)).count()
    }

    pub(in crate::group) fn cursor(&self, topic: &Topic) -> Offset {
        let messages = self.messages(topic);
        let unsettled = messages.iter().find(|(_, m)| !matches!(m.fate, Fate::Settled(_)));
        unsettled.map_or(last_of(messages).next(), |(offset, _)| *offset)
    }

    pub(in crate::group) fn lag(&self, topic: &Topic) -> u64 {
        let messages = self.messages(topic);
        messages.values().filter(|m| !matches!(m.fate, Fate::Settled(_))).count() as u64
    }

    pub(in crate::group) fn first_unasked(&self, topic: &Topic) -> Option<Offset> {
        let unasked = |m: &Message| matches!(m.fate, Fate::Unasked { .. });
        self.topics.get(topic)?.iter().find(|(_, m)| unasked(m)).map(|(offset, _)| *offset)
    }

    /// What should be saved now, but for what it reserves.
    pub(in crate::group) fn state(&self, topic: &Topic) -> CursorState {
        let mut state = CursorState::at(EPOCH, self.cursor(topic));
        for (offset, message) in self.messages(topic) {
            let offset = *offset;
            match message.fate {
                Fate::Settled(_) if offset > state.next => match state.settled.last_mut() {
                    Some((_, last)) if last.next() == offset => *last = offset,
                    Some(_) | None => state.settled.push((offset, offset)),
                },
                Fate::Settled(_) => {}
                Fate::Unasked { attempts } if message.interrupted => {
                    state.attempts.push((offset, attempts));
                }
                fate => {
                    let attempts = failures(fate);
                    if attempts > 0 {
                        state.attempts.push((offset, attempts));
                    }
                }
            }
        }
        state
    }

    /// What a state may reserve, at most.
    pub(in crate::group) fn reserves_at_most(&self, topic: &Topic) -> Offset {
        let messages = self.messages(topic);
        let reached = self.first_unasked(topic).map_or(last_of(messages), Offset::previous);
        let reserved = self.reserved.get(topic).copied().unwrap_or_default();
        let ahead = self.bound().max(1) * RESERVED_WINDOWS;
        reached.plus(ahead).max(reserved.durable).max(reserved.earlier)
    }

    /// What a member is told of an attempt.
    pub(in crate::group) fn told(&self, topic: &Topic, offset: Offset, attempt: u32) -> u32 {
        let earlier = self.reserved.get(topic).map(|reserved| reserved.earlier);
        let before = earlier.is_some_and(|earlier| offset <= earlier)
            || self.message(topic, offset).is_some_and(|message| message.interrupted);
        if before { attempt.max(2) } else { attempt }
    }

    /// By when something has to happen for each message.
    pub(in crate::group) fn dues(&self) -> impl Iterator<Item = (Offset, Instant)> {
        self.all().filter_map(|(_, offset, message)| match message.fate {
            Fate::With { due, .. } => Some((offset, due)),
            Fate::FetchFailed { again, .. } => Some((offset, again)),
            Fate::GivenUp { letter: Letter::Failed(retry), .. } => Some((offset, retry.until)),
            Fate::GivenUp { letter: Letter::Due, .. } => Some((offset, Instant::ORIGIN)),
            Fate::GivenUp { letter: Letter::Appending, .. }
            | Fate::BackingOff { .. }
            | Fate::Unasked { .. }
            | Fate::Fetching { .. }
            | Fate::Held { .. }
            | Fate::Settled(_) => None,
        })
    }
}
