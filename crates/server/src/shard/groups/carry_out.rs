//! Carrying out what a group decides.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidings_core::{
    CursorKey, GroupEffect, Instant, MemberId, Message, Offset, Timestamp, Topic, gap,
};
use tidings_storage::{ReadBatch, StoreError, fault_point};

use super::{OwnedGroup, Purpose, Stage, Wanted};
use crate::clock::Clock;
use crate::dead_letters::audience;
use crate::delivery_record::Happening;
use crate::group_letter::{GroupSlot, MemberWord};
use crate::inbox::{Asker, Want};
use crate::shard::Shard;
use crate::shard::catch_up::READ_RETRY;
use crate::shard::dead_letter::Dead;
use crate::shard::durable::Gap;
use crate::shard::trace::Cause;

impl Shard {
    /// Carries out what the group wants done. Messages `at_hand` need not be read from the log.
    pub(super) fn pump_group(&mut self, slot: GroupSlot, at_hand: &[Arc<Message>]) {
        let now = self.now;
        let wall = Clock::wall();
        let mut to_read = BTreeSet::new();
        while let Some(owned) = self.groups.get(slot) {
            if matches!(owned.stage, Stage::Closing { .. }) {
                return;
            }
            let Some(effect) = owned.group.next_effect(now) else { break };
            let (topic, offset, purpose) = match effect {
                GroupEffect::SaveCursor { topic } => {
                    owned.forget_settled(&topic);
                    self.save_group_soon(slot, &topic);
                    continue;
                }
                GroupEffect::Reserve { topic } => {
                    fault_point("group-reserving");
                    self.save_group_cursor(slot, &topic);
                    continue;
                }
                GroupEffect::Rest { topic } => {
                    self.rest_topic(slot, &topic);
                    continue;
                }
                GroupEffect::Fetch { topic, offset } => (topic, offset, Purpose::Key),
                GroupEffect::Deliver { member, topic, offset, attempt } => {
                    (topic, offset, Purpose::Deliver { member, attempt })
                }
                GroupEffect::DeadLetter { topic, offset, attempts, reason } => {
                    (topic, offset, Purpose::DeadLetter { attempts, reason })
                }
            };
            match owned.at_hand(&topic, offset, at_hand) {
                Some(message) => self.fulfil_group(slot, &message, purpose, wall),
                None => {
                    if let Some(owned) = owned.topics.get_mut(&topic) {
                        owned.wanted.push(Wanted { offset, purpose });
                    }
                    to_read.insert(topic);
                }
            }
        }
        for topic in to_read {
            self.fetch_for_group(slot, &topic);
        }
        self.arm_group(slot);
        self.close_if_deserted(slot);
    }

    /// Asks the readers for the earliest message that is wanted, unless a read is under way.
    fn fetch_for_group(&mut self, slot: GroupSlot, topic: &Topic) {
        let Some(owned) = self.groups.get(slot) else { return };
        let Some(owned) = owned.topics.get_mut(topic) else { return };
        let Some(first) = owned.wanted.iter().map(|wanted| wanted.offset).min() else { return };
        if !std::mem::replace(&mut owned.reading, true) {
            let want = Want::Shared { topic: topic.clone() };
            self.ask_read_for(Asker::Group(slot), want, topic, first);
        }
    }

    /// What a reader found for a group.
    pub(in crate::shard) fn group_read(
        &mut self,
        slot: GroupSlot,
        topic: &Topic,
        from: Offset,
        result: Result<ReadBatch, StoreError>,
    ) {
        let (now, wall) = (self.now, Clock::wall());
        let Some(owned) = self.groups.get(slot) else { return };
        let Some(shared) = owned.topics.get_mut(topic) else { return };
        shared.reading = false;
        let batch = match result {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, %topic, "a group cannot be served; trying again");
                owned.give_back_wanted(topic, now, now + READ_RETRY);
                return self.pump_group(slot, &[]);
            }
        };
        let (resolved, open): (Vec<_>, Vec<_>) = std::mem::take(&mut shared.wanted)
            .into_iter()
            .partition(|wanted| (from..batch.next).contains(&wanted.offset));
        shared.wanted = open;
        let gaps = owned.settle_gaps(topic, from, &batch, wall);
        owned.trace_all_ended(Cause::Read);
        owned.keep_ahead(topic, &batch);
        for Wanted { offset, purpose } in resolved {
            let found = batch.messages.binary_search_by_key(&offset, |m| m.offset);
            if let Some(message) = found.ok().and_then(|at| batch.messages.get(at)) {
                self.fulfil_group(slot, message, purpose, wall);
            }
        }
        for gap in gaps {
            let first = self.first_after(topic, gap);
            self.tell_reset(slot, topic, gap.reason, first);
        }
        self.pump_group(slot, &batch.messages);
        self.fetch_for_group(slot, topic);
        self.go_on_resting(slot, topic);
    }

    /// Does with a message what the group wanted it for.
    fn fulfil_group(
        &mut self,
        slot: GroupSlot,
        message: &Arc<Message>,
        purpose: Purpose,
        wall: Timestamp,
    ) {
        let (topic, offset) = (message.topic(), message.offset);
        let Some(owned) = self.groups.get(slot) else { return };
        if !owned.is_for_it(message, wall) {
            owned.kept.drop_one(topic, offset);
            owned.group.missing(topic, offset, offset);
            return owned.trace_ended(topic, offset, Cause::Read);
        }
        match purpose {
            Purpose::Key => {
                owned.kept.keep(message);
                owned.group.fetched(topic, offset, message.content.order_key.clone());
            }
            Purpose::Deliver { member, attempt } => {
                owned.kept.drop_one(topic, offset);
                self.send_to_member(slot, member, message, attempt);
            }
            Purpose::DeadLetter { attempts, reason } => {
                owned.kept.drop_one(topic, offset);
                let shared = owned.topics.get(topic);
                let failed = shared.and_then(|shared| shared.attempts.of(offset)).cloned();
                let whose = CursorKey::Group { group: owned.key.clone(), topic: topic.clone() };
                let dead = Dead { whose, attempts, reason, failed };
                self.group_dead_letter(slot, message, dead);
            }
        }
    }

    fn send_to_member(
        &mut self,
        slot: GroupSlot,
        member: MemberId,
        message: &Arc<Message>,
        attempt: u32,
    ) {
        let Some(owned) = self.groups.get(slot) else { return };
        // Who has left gave everything back.
        let Some(joining) = owned.members.get(&member).cloned() else { return };
        let about = (self.now, message.offset, attempt);
        owned.note(&mut self.record, message.topic(), Some(member), about, Happening::Sent);
        owned.trace_sent(&self.env.spans, member, message, attempt);
        let word = MemberWord::Deliver { message: Arc::clone(message), attempt };
        self.write_to_member(&joining, member, word);
        fault_point("group-delivered");
    }

    fn group_dead_letter(&mut self, slot: GroupSlot, message: &Message, dead: Dead) {
        let (topic, offset) = (message.topic(), message.offset);
        let pending = crate::shard::PendingWrite::GroupDeadLetter {
            group: slot,
            topic: topic.clone(),
            offset,
        };
        if !self.append_dead_letter(message, dead, pending)
            && let Some(owned) = self.groups.get(slot)
        {
            owned.group.dead_lettered(topic, offset);
        }
    }
}

impl OwnedGroup {
    fn at_hand(
        &self,
        topic: &Topic,
        offset: Offset,
        at_hand: &[Arc<Message>],
    ) -> Option<Arc<Message>> {
        let is_it = |message: &&Arc<Message>| message.offset == offset && message.topic() == topic;
        at_hand.iter().find(is_it).or_else(|| self.kept.get(topic, offset)).cloned()
    }

    /// Keeps what was read beyond what was asked for: it will be, soon.
    fn keep_ahead(&mut self, topic: &Topic, batch: &ReadBatch) {
        let next = self.group.next(topic).unwrap_or_default();
        for message in &batch.messages {
            if message.offset >= next {
                self.kept.keep(message);
            }
        }
    }

    fn forget_settled(&mut self, topic: &Topic) {
        let Some(cursor) = self.group.cursor(topic) else { return };
        self.kept.drop_before(topic, cursor);
        if let Some(shared) = self.topics.get_mut(topic) {
            shared.attempts.settled_before(cursor);
        }
    }

    /// What is wanted cannot be fetched: it is wanted again at `again_at`, and no attempt counts.
    fn give_back_wanted(&mut self, topic: &Topic, now: Instant, again_at: Instant) {
        let Some(shared) = self.topics.get_mut(topic) else { return };
        for Wanted { offset, purpose } in std::mem::take(&mut shared.wanted) {
            match purpose {
                Purpose::Key => self.group.fetch_failed(topic, offset, again_at),
                Purpose::Deliver { .. } => self.group.not_sent(topic, offset, again_at),
                Purpose::DeadLetter { .. } => self.group.dead_letter_failed(now, topic, offset),
            }
        }
    }

    /// Whether a message is worth delivering, and to this group.
    fn is_for_it(&self, message: &Message, wall: Timestamp) -> bool {
        !message.is_expired(wall) && audience(message).includes_group(&self.key)
    }

    /// Settles what the log no longer has of the part that was read, and what has expired or is for
    /// others. Returns what was gone that was not settled before.
    fn settle_gaps(
        &mut self,
        topic: &Topic,
        from: Offset,
        batch: &ReadBatch,
        wall: Timestamp,
    ) -> Vec<Gap> {
        let mut expected = from;
        let mut gaps = Vec::new();
        let found = batch.messages.iter().map(|message| (message.offset, Some(message)));
        for (offset, message) in found.chain([(batch.next, None)]) {
            if let Some(reason) = gap(expected, offset, &batch.damaged) {
                if self.group.lacks(topic, expected, offset.previous()) {
                    gaps.push(Gap { reason, goes_on: offset });
                }
                self.group.missing(topic, expected, offset.previous());
            }
            if message.is_some_and(|message| !self.is_for_it(message, wall)) {
                self.group.missing(topic, offset, offset);
            }
            expected = offset.next();
        }
        gaps
    }
}
