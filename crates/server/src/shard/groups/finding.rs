//! Which topics a group reads: all that match, but held in memory only where something waits.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{
    CursorKey, CursorState, Durability, Offset, Recovery, ResetReason, Topic, limits,
};
use tidings_protocol::StartFrom;

use super::Stage;
use crate::group_letter::{GroupSlot, MemberWord};
use crate::inbox::FoundTopics;
use crate::reader::FindJob;
use crate::shard::Shard;
use crate::shard::attach::{Begins, Start, go_on};

/// How long after there were too many topics they are looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Topics that give way at once: the others keep the members busy meanwhile.
const GIVE_WAY_AT_ONCE: usize = limits::GROUP_TOPICS_MAX / 2;

impl Shard {
    /// Has a reader look for topics in which something waits for a group with wildcards.
    pub(super) fn look_for_topics(&mut self, slot: GroupSlot) {
        let Some(owned) = self.groups.get(slot) else { return };
        owned.look_again_at = None;
        self.close_idle_topics(slot);
        let Some(owned) = self.groups.get(slot) else { return };
        let room = limits::GROUP_TOPICS_MAX.saturating_sub(owned.topics.len());
        self.env.readers.find(FindJob {
            inbox: Arc::clone(&self.inbox),
            policies: Arc::clone(&self.env.policies),
            group: slot,
            key: owned.key.clone(),
            from: owned.from,
            since: match owned.stage {
                Stage::Opening { .. } => None,
                Stage::Open | Stage::Closing { .. } => Some(owned.since),
            },
            known: owned.topics.keys().cloned().collect(),
            topics_max: room,
            after: owned.looked_through.clone(),
        });
    }

    /// A reader has found topics for a group.
    pub(in crate::shard) fn topics_found(&mut self, found: FoundTopics) {
        let FoundTopics { group: slot, topics, more } = found;
        let Some(owned) = self.groups.get(slot) else { return };
        if let Some((last, _)) = topics.last() {
            owned.looked_through = Some(last.clone());
        }
        // One that gives way is to be found again.
        let more = more || owned.group.gives_way();
        for (topic, start) in topics {
            self.open_topic(slot, &topic, start);
        }
        if more {
            self.look_again(slot);
        }
        let Some(owned) = self.groups.get(slot) else { return };
        match owned.stage {
            Stage::Opening { .. } => self.open_group(slot),
            Stage::Open | Stage::Closing { .. } => self.pump_group(slot, &[]),
        }
    }

    /// Topics wait for a place: some that had their turn are to make room.
    pub(super) fn make_room(&mut self, slot: GroupSlot) {
        let now = self.now;
        let Some(owned) = self.groups.get(slot) else { return };
        if owned.topics.len() >= limits::GROUP_TOPICS_MAX {
            owned.group.give_way(now, GIVE_WAY_AT_ONCE);
        }
    }

    pub(super) fn look_again(&mut self, slot: GroupSlot) {
        let at = self.now + LOOK_AGAIN;
        let Some(owned) = self.groups.get(slot) else { return };
        owned.look_again_at.get_or_insert(at);
        self.arm_group(slot);
    }

    /// The group reads one more topic, from its cursor on or else from `otherwise` on. Returns
    /// whether it does.
    pub(super) fn open_topic(&mut self, slot: GroupSlot, topic: &Topic, otherwise: Offset) -> bool {
        let Some(owned) = self.groups.get(slot) else { return false };
        if owned.topics.contains_key(topic) {
            return true;
        }
        match self.env.policies.policy(topic).durability {
            Durability::Sync | Durability::Async => {}
            // Nothing of it can be delivered again.
            Durability::Memory => return false,
        }
        if owned.look_again_at.is_some() || !self.close_idle_topics(slot) {
            // Nothing is lost: the log has it, and it is looked for again.
            self.look_again(slot);
            return false;
        }
        let Some(owned) = self.groups.get(slot) else { return false };
        let key = CursorKey::Group { group: owned.key.clone(), topic: topic.clone() };
        let state = self.env.store.topic_state(topic);
        let start = match self.env.store.cursor(&key) {
            Some(saved) => go_on(saved, state),
            None => {
                let next = match owned.from {
                    StartFrom::First => state.first.max(Offset::FIRST),
                    StartFrom::New | StartFrom::Last | StartFrom::After(_) => otherwise,
                };
                let cursor = CursorState::at(state.epoch, next);
                Start { cursor, begins: Begins::Before, told: Recovery::Recovered { next } }
            }
        };
        let told = start.told;
        self.take_up_topic(slot, topic, start);
        match told {
            Recovery::Recovered { .. } => {}
            Recovery::Reset { reason, next } => self.tell_reset(slot, topic, reason, next),
        }
        true
    }

    /// Every member is told that the group lost its place in a topic.
    pub(super) fn tell_reset(
        &mut self,
        slot: GroupSlot,
        topic: &Topic,
        reason: ResetReason,
        first: Offset,
    ) {
        let Some(owned) = self.groups.get(slot) else { return };
        let members: Vec<_> = owned.members.iter().map(|(id, j)| (*id, j.clone())).collect();
        tracing::info!(%owned.key.group, %topic, reason = reason.as_str(), "a group lost its place");
        for (member, joining) in members {
            let word = MemberWord::Reset { topic: topic.clone(), reason, first };
            self.write_to_member(&joining, member, word);
        }
    }

    /// News of messages were lost: the store knows what there is.
    pub(in crate::shard) fn refresh_groups(&mut self) {
        for slot in self.groups.slots() {
            let Some(owned) = self.groups.get(slot) else { continue };
            for topic in owned.topics.keys() {
                let head = self.env.store.topic_state(topic).head;
                owned.group.tail_advanced(topic, head);
            }
            if owned.key.filter.as_topic().is_none() {
                self.look_for_topics(slot);
            }
            self.pump_group(slot, &[]);
        }
    }
}
