//! The cursors of groups: saved in batches, as those of durable subscriptions are, and closed when
//! a topic or the group rests.

use tidings_core::{CursorKey, CursorState, Offset, Topic, limits};
use tidings_storage::{StoreError, Write, fault_point};

use super::{OwnedGroup, OwnedTopic, Stage};
use crate::group_letter::GroupSlot;
use crate::shard::{CURSOR_SAVE_INTERVAL, PendingWrite, Shard};

impl Shard {
    /// Has the cursors of a group saved though they did not move, so that they are not taken for
    /// forgotten.
    pub(super) fn touch_group_cursors(&mut self, slot: GroupSlot) {
        let touch_at = self.now + self.env.settings.session_expiry / 2;
        let Some(owned) = self.groups.get(slot) else { return };
        owned.touch_at = touch_at;
        let topics: Vec<_> = owned.topics.keys().cloned().collect();
        for topic in topics {
            self.save_group_soon(slot, &topic);
        }
        self.arm_group(slot);
    }

    pub(super) fn save_group_soon(&mut self, slot: GroupSlot, topic: &Topic) {
        let Some(owned) = self.groups.get(slot).and_then(|owned| owned.topics.get_mut(topic))
        else {
            return;
        };
        if std::mem::replace(&mut owned.unsaved, true) {
            return;
        }
        self.groups.unsaved.push((slot, topic.clone()));
        let due = self.now + CURSOR_SAVE_INTERVAL;
        self.save_at = Some(self.save_at.map_or(due, |at| at.min(due)));
    }

    /// Saves the cursors that moved, all in one go.
    pub(in crate::shard) fn save_group_cursors(&mut self) {
        for (slot, topic) in std::mem::take(&mut self.groups.unsaved) {
            let owned = self.groups.get(slot).and_then(|owned| owned.topics.get(&topic));
            if owned.is_some_and(|owned| owned.unsaved) {
                self.save_group_cursor(slot, &topic);
            }
        }
    }

    /// Saves a cursor in this turn.
    pub(super) fn save_group_cursor(&mut self, slot: GroupSlot, topic: &Topic) {
        let Some(owned) = self.groups.get(slot) else { return };
        let Some(state) = owned.group.state(topic) else { return };
        self.write_group_cursor(slot, topic, state);
    }

    fn write_group_cursor(&mut self, slot: GroupSlot, topic: &Topic, state: CursorState) {
        let Some(owned) = self.groups.get(slot) else { return };
        let Some(shared) = owned.topics.get_mut(topic) else { return };
        shared.unsaved = false;
        shared.saving += 1;
        let key = CursorKey::Group { group: owned.key.clone(), topic: topic.clone() };
        let (topic, reserved) = (topic.clone(), state.reserved);
        fault_point("group-cursor-saving");
        let pending = PendingWrite::GroupCursor { group: slot, topic, reserved };
        self.write(Write::SaveCursor { key, state }, Some(pending));
    }

    /// A cursor is saved: what it reserves may be sent. Or it could not be: it is tried again.
    pub(in crate::shard) fn group_cursor_saved(
        &mut self,
        slot: GroupSlot,
        topic: &Topic,
        reserved: Offset,
        refused: Option<&StoreError>,
    ) {
        let Some(owned) = self.groups.get(slot) else { return };
        let Some(shared) = owned.topics.get_mut(topic) else { return };
        shared.saving = shared.saving.saturating_sub(1);
        let closing = shared.saving == 0 && std::mem::take(&mut shared.closing);
        match (refused, &owned.stage) {
            (None, _) => {
                fault_point("group-reserved");
                owned.group.saved(topic, reserved);
            }
            // Who has nobody to serve does not wait for a store that takes nothing.
            (Some(_), Stage::Closing { .. }) => {}
            (Some(error), Stage::Opening { .. } | Stage::Open) => {
                tracing::debug!(%error, %topic, "a cursor could not be saved; trying again");
                self.save_group_soon(slot, topic);
            }
        }
        if closing && refused.is_none() {
            self.drop_topic_if_idle(slot, topic);
        }
        self.go_on_resting(slot, topic);
        self.go_on_closing(slot);
        self.pump_group(slot, &[]);
    }

    /// If a group holds many topics, closes the cursors of those in which nothing waits: once they
    /// are saved there is room for others. Returns whether there is room now.
    pub(super) fn close_idle_topics(&mut self, slot: GroupSlot) -> bool {
        let Some(owned) = self.groups.get(slot) else { return false };
        if owned.topics.len() < limits::GROUP_TOPICS_MAX {
            return true;
        }
        for (topic, state) in owned.close_idle() {
            self.write_group_cursor(slot, &topic, state);
        }
        false
    }

    /// A topic rests: its cursor is closed, and once that is saved another topic has its place.
    pub(super) fn rest_topic(&mut self, slot: GroupSlot, topic: &Topic) {
        let Some(owned) = self.groups.get(slot) else { return };
        if let Some(shared) = owned.topics.get_mut(topic) {
            shared.rests = true;
        }
        self.go_on_resting(slot, topic);
    }

    /// Closes the cursor of a topic that rests, once nothing else of it is on its way.
    pub(super) fn go_on_resting(&mut self, slot: GroupSlot, topic: &Topic) {
        let Some(owned) = self.groups.get(slot) else { return };
        match owned.stage {
            Stage::Open => {}
            Stage::Opening { .. } | Stage::Closing { .. } => return,
        }
        let Some(shared) = owned.topics.get_mut(topic) else { return };
        // It may have taken its place up again meanwhile.
        shared.rests &= owned.group.topic_gives_way(topic);
        // What is still to be saved is part of the closing state.
        let unsaved = std::mem::take(&mut shared.unsaved);
        if !shared.rests || !shared.is_quiet() {
            shared.unsaved = unsaved;
            return;
        }
        shared.rests = false;
        shared.closing = true;
        if let Some(state) = owned.group.closing_state(topic) {
            self.write_group_cursor(slot, topic, state);
        }
    }

    fn drop_topic_if_idle(&mut self, slot: GroupSlot, topic: &Topic) {
        let Some(owned) = self.groups.get(slot) else { return };
        // Something waits in it: it is to be found again when it is its turn.
        let rests = owned.group.topic_gives_way(topic);
        let Some(epoch) = owned.group.state(topic).map(|state| state.epoch) else { return };
        if owned.topics.get(topic).is_some_and(OwnedTopic::is_quiet)
            && owned.group.close_if_idle(topic)
        {
            owned.forget_readers_of(&mut self.record, topic);
            owned.keep_attempts(&self.env.attempts, topic, epoch);
            owned.topics.remove(topic);
            if rests {
                self.look_again(slot);
            }
        }
        let Some(owned) = self.groups.get(slot) else { return };
        let wanted = owned.look_again_at.is_some();
        if wanted && !owned.topics.values().any(|topic| topic.closing) {
            self.look_for_topics(slot);
        }
    }

    /// Closes a group without members, once what they gave up is set aside: cursors that are
    /// closed before would bring it again.
    pub(super) fn close_if_deserted(&mut self, slot: GroupSlot) {
        let Some(owned) = self.groups.get(slot) else { return };
        let deserted = matches!(owned.stage, Stage::Open) && owned.members.is_empty();
        if deserted && !owned.group.awaits_dead_letters() {
            self.begin_closing(slot);
        }
    }

    /// Closes all groups without members as they are, for there is no more time.
    pub(in crate::shard) fn close_deserted(&mut self) {
        for slot in self.groups.slots() {
            let Some(owned) = self.groups.get(slot) else { continue };
            if matches!(owned.stage, Stage::Open) && owned.members.is_empty() {
                self.begin_closing(slot);
            }
        }
    }

    /// The last member has left: the cursors are closed, then the group ends.
    pub(super) fn begin_closing(&mut self, slot: GroupSlot) {
        let Some(owned) = self.groups.get(slot) else { return };
        owned.stage = Stage::Closing { waiting: Vec::new(), written: false };
        owned.topics.values_mut().for_each(|topic| topic.unsaved = false);
        self.go_on_closing(slot);
    }

    /// Closes the cursors of a group that ends, once no other save is on its way, and ends it once
    /// they are saved. Whoever came meanwhile begins it anew.
    fn go_on_closing(&mut self, slot: GroupSlot) {
        let Some(owned) = self.groups.get(slot) else { return };
        let busy = owned.topics.values().any(|topic| topic.saving > 0);
        let Stage::Closing { waiting, written } = &mut owned.stage else { return };
        if busy {
            return;
        }
        if !std::mem::replace(written, true) && !owned.topics.is_empty() {
            for (topic, state) in owned.close_all() {
                self.write_group_cursor(slot, &topic, state);
            }
            return;
        }
        fault_point("group-closed");
        let (key, waiting) = (owned.key.clone(), std::mem::take(waiting));
        tracing::info!(%key.group, %key.filter, "a group has no member left");
        owned.forget_readers(&mut self.record);
        owned.keep_all_attempts(&self.env.attempts);
        self.groups.remove(slot);
        for (member, joining) in waiting {
            self.join(&key, member, joining);
        }
    }
}

impl OwnedGroup {
    fn close_idle(&mut self) -> Vec<(Topic, CursorState)> {
        let mut closed = Vec::new();
        for (topic, shared) in &mut self.topics {
            if shared.is_quiet() && self.group.is_idle(topic) {
                shared.closing = true;
                closed.extend(self.group.closing_state(topic).map(|state| (topic.clone(), state)));
            }
        }
        closed
    }

    fn close_all(&mut self) -> Vec<(Topic, CursorState)> {
        let close = |topic: &Topic| Some((topic.clone(), self.group.closing_state(topic)?));
        self.topics.keys().filter_map(close).collect()
    }
}
