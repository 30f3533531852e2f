//! The group under test, or one that breaks a promise on purpose.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidings_core::{
    CursorState, DeliveryPolicy, Departure, Group, GroupEffect, Instant, MemberId, MemberStanding,
    Offset, OrderKey, Priority, SettleOutcome, Topic, TopicStanding,
};

use crate::mutation::Mutation;

/// A [`Group`] that does as it does, but for the mutation.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    group: Group,
    mutation: Option<Mutation>,
    /// Whom each message went to last.
    went_to: BTreeMap<(Topic, Offset), MemberId>,
    /// Effects a mutation has put off or made up.
    put_off: VecDeque<GroupEffect>,
    joined: u64,
}

impl Subject {
    pub(super) fn new(mutation: Option<Mutation>, seed: u64) -> Self {
        let (went_to, put_off) = (BTreeMap::new(), VecDeque::new());
        Self { group: Group::new(seed), mutation, went_to, put_off, joined: 0 }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub(super) fn topic_opened(
        &mut self,
        topic: &Topic,
        (delivery, priority): (DeliveryPolicy, Priority),
        mut state: CursorState,
        tail: Offset,
    ) {
        if self.is(Mutation::GroupForgetsAttempts) {
            state.attempts.clear();
        }
        self.group.topic_opened(topic, (delivery.into(), priority), state, tail);
        if self.is(Mutation::GroupSendsUnreserved) {
            self.group.saved(topic, Offset::LAST);
        }
    }

    pub(super) fn topic_begins(&mut self, topic: &Topic, reserved: Offset) {
        self.group.topic_begins(topic, reserved);
    }

    pub(super) fn saved(&mut self, topic: &Topic, reserved: Offset) {
        self.group.saved(topic, reserved);
    }

    pub(super) fn closing_state(&mut self, topic: &Topic) -> Option<CursorState> {
        self.group.closing_state(topic)
    }

    pub(super) fn close_if_idle(&mut self, topic: &Topic) -> bool {
        self.group.close_if_idle(topic)
    }

    pub(super) fn give_way(&mut self, now: Instant, most: usize) {
        self.group.give_way(now, most);
    }

    pub(super) fn topic_gives_way(&self, topic: &Topic) -> bool {
        self.group.topic_gives_way(topic)
    }

    pub(super) fn member_joined(&mut self, id: MemberId, window: u32) {
        self.joined += 1;
        let more = u32::from(self.is(Mutation::OverrunsMember));
        self.group.member_joined(id, window + more);
    }

    pub(super) fn member_left(&mut self, id: MemberId) {
        if self.is(Mutation::LeaverUsesUpAttempts) {
            let had: Vec<_> = self.went_to.iter().filter(|(_, to)| **to == id).collect();
            for ((topic, offset), _) in had {
                self.group.nacked(Instant::ORIGIN, id, topic, *offset, Some(Duration::ZERO));
            }
        }
        if !self.is(Mutation::ForgetsLeaver) {
            self.group.member_left(id, Departure::Broken);
        }
    }

    pub(super) fn member_paused(&mut self, id: MemberId) {
        if !self.is(Mutation::PausedGetsMore) {
            self.group.member_paused(id);
        }
    }

    pub(super) fn member_resumed(&mut self, id: MemberId) {
        if !self.is(Mutation::PausedForGood) {
            self.group.member_resumed(id);
        }
    }

    pub(super) fn tail_advanced(&mut self, topic: &Topic, tail: Offset) {
        self.group.tail_advanced(topic, tail);
    }

    pub(super) fn fetched(&mut self, topic: &Topic, offset: Offset, key: Option<OrderKey>) {
        let key = match self.mutation {
            Some(Mutation::IgnoresOrderKeys) => None,
            Some(Mutation::KeysMoveWithEveryMember) => key.map(|key| {
                OrderKey::parse(&format!("{key}{}", self.joined)).expect("a valid order key")
            }),
            Some(Mutation::KeysPerTopic) => {
                key.map(|key| OrderKey::parse(&format!("{key}{topic}")).expect("a valid order key"))
            }
            _ => key,
        };
        self.group.fetched(topic, offset, key);
    }

    pub(super) fn fetch_failed(&mut self, topic: &Topic, offset: Offset, again: Instant) {
        if !self.is(Mutation::ForgetsFailedFetch) {
            self.group.fetch_failed(topic, offset, again);
        }
    }

    pub(super) fn missing(&mut self, topic: &Topic, first: Offset, last: Offset) {
        self.group.missing(topic, first, last);
    }

    pub(super) fn not_sent(&mut self, topic: &Topic, offset: Offset, again: Instant) {
        self.group.not_sent(topic, offset, again);
    }

    pub(super) fn returned(&mut self, id: MemberId, topic: &Topic, offset: Offset) {
        if self.is(Mutation::ReturnedIsAnAttempt) {
            self.group.nacked(Instant::ORIGIN, id, topic, offset, Some(Duration::ZERO));
        } else {
            self.group.returned(id, topic, offset);
        }
    }

    pub(super) fn acked(&mut self, by: MemberId, topic: &Topic, offset: Offset) -> SettleOutcome {
        let went_to = self.went_to.get(&(topic.clone(), offset)).copied();
        let by = match went_to {
            Some(member) if self.is(Mutation::AnybodyMayAck) => member,
            Some(_) | None => by,
        };
        self.group.acked(by, topic, offset)
    }

    pub(super) fn nacked(
        &mut self,
        now: Instant,
        by: MemberId,
        topic: &Topic,
        offset: Offset,
        delay: Option<Duration>,
    ) -> SettleOutcome {
        if self.is(Mutation::GroupNackSettles) {
            return self.group.acked(by, topic, offset);
        }
        self.group.nacked(now, by, topic, offset, delay)
    }

    pub(super) fn refused(&mut self, by: MemberId, topic: &Topic, offset: Offset) -> SettleOutcome {
        self.group.refused(by, topic, offset)
    }

    pub(super) fn extended(
        &mut self,
        now: Instant,
        by: MemberId,
        topic: &Topic,
        offset: Offset,
        more: Duration,
    ) -> SettleOutcome {
        self.group.extended(now, by, topic, offset, more)
    }

    pub(super) fn dead_lettered(&mut self, topic: &Topic, offset: Offset) {
        self.group.dead_lettered(topic, offset);
    }

    pub(super) fn dead_letter_failed(&mut self, now: Instant, topic: &Topic, offset: Offset) {
        self.group.dead_letter_failed(now, topic, offset);
    }

    pub(super) fn deadline_passed(&mut self, now: Instant) {
        if !self.is(Mutation::GroupMissesTimeouts) {
            self.group.deadline_passed(now);
        }
    }

    pub(super) fn next_effect(&mut self, now: Instant) -> Option<GroupEffect> {
        if let Some(effect) = self.put_off.pop_front() {
            return Some(effect);
        }
        let effect = self.group.next_effect(now);
        match &effect {
            Some(GroupEffect::Deliver { member, topic, offset, attempt }) => {
                self.went_to.insert((topic.clone(), *offset), *member);
                let other = self.group.member_standings().find(|s| s.member != *member);
                if let Some(other) = other
                    && self.is(Mutation::DeliversToTwo)
                {
                    self.put_off.push_back(GroupEffect::Deliver {
                        member: other.member,
                        topic: topic.clone(),
                        offset: *offset,
                        attempt: attempt + 1,
                    });
                }
                if self.is(Mutation::AcksForMembers) && *attempt > 1 {
                    self.group.acked(*member, topic, *offset);
                }
            }
            Some(GroupEffect::DeadLetter { topic, offset, .. })
                if self.is(Mutation::GroupSettlesBeforeDeadLetter) =>
            {
                self.group.dead_lettered(topic, *offset);
            }
            Some(
                GroupEffect::Fetch { .. }
                | GroupEffect::DeadLetter { .. }
                | GroupEffect::SaveCursor { .. }
                | GroupEffect::Reserve { .. }
                | GroupEffect::Rest { .. },
            )
            | None => {}
        }
        effect
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let late = Duration::from_millis(u64::from(self.is(Mutation::GroupWakesLate)));
        self.group.next_deadline().map(|at| at + late)
    }

    pub(super) fn state(&self, topic: &Topic) -> Option<CursorState> {
        let mut state = self.group.state(topic)?;
        if self.is(Mutation::GroupCursorLeads) {
            state.next = state.next.next();
        }
        if self.is(Mutation::GroupForgetsToReserve) {
            state.reserved = Offset::ORIGIN;
        }
        Some(state)
    }

    pub(super) fn topic_standings(&self) -> impl Iterator<Item = TopicStanding> {
        self.group.topic_standings()
    }

    pub(super) fn member_standings(&self) -> impl Iterator<Item = MemberStanding> {
        self.group.member_standings()
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.group.in_flight()
    }
}
