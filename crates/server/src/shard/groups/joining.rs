//! Members come and go, and groups with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_core::{
    CursorKey, CursorState, Departure, Group, GroupKey, Instant, MemberId, Offset, Recovery,
    SettleOutcome, Topic, limits,
};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::{StoreError, Write, fault_point};

use super::kept::Kept;
use super::{OwnedGroup, OwnedTopic, Stage};
use crate::clock::Clock;
use crate::delivery_record::{DeliveryRecord, Happening};
use crate::group_letter::{GroupLetter, GroupSlot, GroupWord, Joining, MemberWord};
use crate::problem::store_error;
use crate::shard::attach::{Begins, Start, go_on};
use crate::shard::failed::Moment;
use crate::shard::subscribe::{place, start};
use crate::shard::trace::Cause;
use crate::shard::{PendingWrite, Shard};

impl Shard {
    /// A member of a group, or one to be, has something to say.
    pub(in crate::shard) fn tell_group(&mut self, letter: GroupLetter) {
        let GroupLetter { key, member, word } = letter;
        if let GroupWord::Join(joining) = word {
            return self.join(&key, member, joining);
        }
        let Some(owned) = self.groups.find(&key) else { return };
        let slot = owned.slot;
        match word {
            GroupWord::Join(_) => {}
            GroupWord::Leave { unsent, departure } => {
                self.leave_owned(slot, (member, departure), &unsent);
            }
            GroupWord::Pause { unsent } => {
                owned.group.member_paused(member);
                owned.returned(self.now, &mut self.record, member, &unsent);
            }
            GroupWord::Resume => owned.group.member_resumed(member),
            GroupWord::Ack { .. } | GroupWord::Nack { .. } | GroupWord::Extend { .. } => {
                self.settle_of_member(slot, member, word);
            }
        }
        self.pump_group(slot, &[]);
    }

    pub(super) fn join(&mut self, key: &GroupKey, member: MemberId, joining: Joining) {
        let Some(owned) = self.groups.find(key) else {
            return self.begin_group(key, member, joining);
        };
        let slot = owned.slot;
        let waiting = match &owned.stage {
            Stage::Opening { waiting, .. } | Stage::Closing { waiting, .. } => waiting.len(),
            Stage::Open => 0,
        };
        if owned.members.len() + waiting >= limits::GROUP_MEMBERS_MAX {
            let max = limits::GROUP_MEMBERS_MAX;
            let message = format!(
                "a group has at most {max} members at once: give each a larger `window`, or use \
                 another group for some of the topics"
            );
            let error = ErrorBody::new(ErrorCode::LimitReached, message);
            return self.write_to_member(&joining, member, MemberWord::Refused(error));
        }
        match &mut owned.stage {
            Stage::Opening { waiting, .. } | Stage::Closing { waiting, .. } => {
                waiting.push((member, joining));
            }
            Stage::Open => {
                let next = Recovery::Recovered { next: Offset::FIRST };
                self.admit(slot, member, &joining, next);
                self.pump_group(slot, &[]);
            }
        }
    }

    /// The first member of a group: it goes on where its cursors are.
    fn begin_group(&mut self, key: &GroupKey, member: MemberId, joining: Joining) {
        self.groups.generation = self.groups.generation.wrapping_add(1);
        let generation = self.groups.generation;
        let entry = self.groups.slots.vacant_entry();
        let slot = GroupSlot { index: entry.key() as u32, generation };
        let (from, window) = (joining.from, joining.window);
        let started = Recovery::Recovered { next: Offset::FIRST };
        let waiting = vec![(member, joining)];
        entry.insert(OwnedGroup {
            slot,
            key: key.clone(),
            group: Group::new(self.env.random_seed()),
            members: BTreeMap::new(),
            topics: BTreeMap::new(),
            stage: Stage::Opening { waiting, started },
            from,
            since: Clock::wall(),
            kept: Kept::default(),
            readers: 0,
            armed: None,
            touch_at: self.now + self.env.settings.session_expiry / 2,
            look_again_at: None,
            looked_through: None,
        });
        self.groups.by_key.insert(key.clone(), slot.index);
        self.groups.filters.insert(&key.filter, slot);
        tracing::info!(%key.group, %key.filter, "a group begins");
        match key.filter.as_topic() {
            Some(topic) => self.begin_topic(slot, &topic, window),
            None => self.look_for_topics(slot),
        }
    }

    /// A group of one topic: goes on from its cursor, or saves a first one, so that a crash cannot
    /// move its beginning.
    fn begin_topic(&mut self, slot: GroupSlot, topic: &Topic, window: u32) {
        let Some(owned) = self.groups.get(slot) else { return };
        let key = CursorKey::Group { group: owned.key.clone(), topic: topic.clone() };
        let state = self.env.store.topic_state(topic);
        let Some(saved) = self.env.store.cursor(&key) else {
            let begin = start(owned.from, state);
            owned.started(begin);
            let cursor = CursorState::beginning(state.epoch, begin.next(), window);
            fault_point("group-opening");
            let pending = PendingWrite::GroupOpen { group: slot, topic: topic.clone() };
            return self.write(Write::SaveCursor { key, state: cursor }, Some(pending));
        };
        let start = go_on(saved, state);
        owned.started(start.told);
        self.take_up_topic(slot, topic, start);
        self.open_group(slot);
    }

    /// The first cursor of a group is saved, or could not be.
    pub(in crate::shard) fn group_opened(
        &mut self,
        slot: GroupSlot,
        topic: &Topic,
        refused: Option<&StoreError>,
    ) {
        let Some(owned) = self.groups.get(slot) else { return };
        fault_point("group-opened");
        let Stage::Opening { waiting, started } = &mut owned.stage else { return };
        let started = *started;
        let Some(error) = refused else {
            let key = CursorKey::Group { group: owned.key.clone(), topic: topic.clone() };
            let cursor = self.env.store.cursor(&key);
            let state = self.env.store.topic_state(topic);
            let cursor = cursor.unwrap_or_else(|| CursorState::at(state.epoch, started.next()));
            let start = Start { cursor, begins: Begins::Now, told: started };
            self.take_up_topic(slot, topic, start);
            return self.open_group(slot);
        };
        for (member, joining) in std::mem::take(waiting) {
            self.write_to_member(&joining, member, MemberWord::Refused(store_error(error)));
        }
        self.groups.remove(slot);
    }

    /// The group reads a topic from `cursor` on.
    pub(super) fn take_up_topic(&mut self, slot: GroupSlot, topic: &Topic, start: Start) {
        let Start { cursor, begins, told: _ } = start;
        let (reserved, epoch) = (cursor.reserved, cursor.epoch);
        let state = self.env.store.topic_state(topic);
        let policy = self.env.policies.policy(topic);
        let policy = (Arc::clone(&policy.delivery), policy.priority);
        let Some(owned) = self.groups.get(slot) else { return };
        owned.group.topic_opened(topic, policy, cursor, state.head);
        match begins {
            Begins::Now => owned.group.topic_begins(topic, reserved),
            Begins::Anew => owned.group.topic_begins_anew(topic),
            Begins::Before => {}
        }
        if let Some(cursor) = owned.group.cursor(topic) {
            owned.group.missing(topic, cursor, state.first.previous());
        }
        let key = CursorKey::Group { group: owned.key.clone(), topic: topic.clone() };
        let attempts = self.env.attempts.take(&key, epoch);
        owned.topics.insert(topic.clone(), OwnedTopic { attempts, ..OwnedTopic::default() });
    }

    /// Whoever waited becomes a member.
    pub(super) fn open_group(&mut self, slot: GroupSlot) {
        let Some(owned) = self.groups.get(slot) else { return };
        let Stage::Opening { waiting, started } = &mut owned.stage else { return };
        let (waiting, started) = (std::mem::take(waiting), *started);
        owned.stage = Stage::Open;
        if waiting.is_empty() {
            // Whoever asked for it has gone.
            return self.begin_closing(slot);
        }
        for (member, joining) in waiting {
            self.admit(slot, member, &joining, started);
        }
        // Saved again though nothing moved: a cursor that is not is forgotten one day.
        self.touch_group_cursors(slot);
        self.pump_group(slot, &[]);
    }

    fn admit(&mut self, slot: GroupSlot, member: MemberId, joining: &Joining, told: Recovery) {
        let Some(owned) = self.groups.get(slot) else { return };
        owned.group.member_joined(member, joining.window);
        owned.members.insert(member, joining.clone());
        let pending = owned.group.lag();
        let place = owned.key.filter.as_topic().map(|topic| {
            let state = self.env.store.topic_state(&topic);
            place(state, told, pending)
        });
        self.write_to_member(joining, member, MemberWord::Joined { place, pending });
    }

    fn leave_owned(
        &mut self,
        slot: GroupSlot,
        (member, departure): (MemberId, Departure),
        unsent: &[(Topic, Offset)],
    ) {
        let at = Moment::at(self.now);
        let Some(owned) = self.groups.get(slot) else { return };
        owned.returned(self.now, &mut self.record, member, unsent);
        // What was still to be fetched for it never left either.
        let mut fetching = Vec::new();
        for (topic, owned) in &mut owned.topics {
            let mine = |purpose| matches!(purpose, super::Purpose::Deliver { member: m, .. } if m == member);
            let unsent = owned.wanted.extract_if(.., |wanted| mine(wanted.purpose));
            fetching.extend(unsent.map(|wanted| (topic.clone(), wanted.offset)));
        }
        for (topic, offset) in fetching {
            owned.group.returned(member, &topic, offset);
        }
        match departure {
            Departure::Broken => owned.note_left(at, &mut self.record, member),
            Departure::Meant | Departure::Ended => {}
        }
        owned.group.member_left(member, departure);
        owned.trace_all_ended(Cause::Parted);
        owned.forget_reader(&mut self.record, member);
        owned.members.remove(&member);
        match &mut owned.stage {
            Stage::Opening { waiting, .. } | Stage::Closing { waiting, .. } => {
                waiting.retain(|(other, _)| *other != member);
            }
            // Without a member it closes, once nothing that was given up is on its way.
            Stage::Open => {}
        }
    }
}

impl OwnedGroup {
    /// A member gives deliveries back that never left.
    fn returned(
        &mut self,
        now: Instant,
        record: &mut DeliveryRecord,
        member: MemberId,
        unsent: &[(Topic, Offset)],
    ) {
        for (topic, offset) in unsent {
            match self.group.returned(member, topic, *offset) {
                SettleOutcome::Done => {
                    self.trace_ended(topic, *offset, Cause::Parted);
                    let about = (now, *offset, 0);
                    self.note(record, topic, Some(member), about, Happening::Returned);
                }
                SettleOutcome::Stale => {}
            }
        }
    }

    /// Where the group starts, for those who wait to be told.
    fn started(&mut self, at: Recovery) {
        match &mut self.stage {
            Stage::Opening { started, .. } => *started = at,
            Stage::Open | Stage::Closing { .. } => {}
        }
    }
}
