//! What the deliveries of a group leave behind: events for the story of a message, and spans.

use tidings_core::{CursorKey, Instant, MemberId, Message, Offset, Topic};

use super::{Groups, OwnedGroup};
use crate::dead_letters::ToldAttempt;
use crate::delivery_record::{DeliveryRecord, Happening, Reader};
use crate::inbox::Unsettled;
use crate::shard::failed::Moment;
use crate::shard::trace::Cause;
use crate::spans::{Recipient, Spans};

/// Readers of the record that a group has named at once: one for each member and topic. With more,
/// all are named anew as they are needed, so that members times topics do not fill the memory.
const READERS_MAX: usize = 4096;

impl OwnedGroup {
    /// Has the shard remember what a member did, or without one the group itself.
    pub(super) fn note(
        &mut self,
        record: &mut DeliveryRecord,
        topic: &Topic,
        by: Option<MemberId>,
        about: (Instant, Offset, u32),
        what: Happening,
    ) {
        let joining = by.and_then(|member| self.members.get(&member));
        let who = joining.map(|joining| (joining.user.clone(), joining.client.clone()));
        let key = || CursorKey::Group { group: self.key.clone(), topic: topic.clone() };
        let Some(shared) = self.topics.get(topic) else { return };
        let mut reader = shared.readers.get(&by).copied();
        let is_named = reader.is_some();
        record.note(&mut reader, || Reader { key: key(), who }, about, what);
        let Some(reader) = reader.filter(|_| !is_named) else { return };
        if self.readers >= READERS_MAX {
            self.forget_readers(record);
        }
        if let Some(shared) = self.topics.get_mut(topic) {
            shared.readers.insert(by, reader);
            self.readers += 1;
        }
    }

    /// The names of all readers are given up.
    pub(super) fn forget_readers(&mut self, record: &mut DeliveryRecord) {
        for shared in self.topics.values_mut() {
            for reader in std::mem::take(&mut shared.readers).into_values() {
                record.left(Some(reader));
            }
        }
        self.readers = 0;
    }

    /// The names of a member that leaves are given up.
    pub(super) fn forget_reader(&mut self, record: &mut DeliveryRecord, member: MemberId) {
        for shared in self.topics.values_mut() {
            let reader = shared.readers.remove(&Some(member));
            self.readers -= usize::from(reader.is_some());
            record.left(reader);
        }
    }

    /// The names of the readers of a topic that is let go of are given up.
    pub(super) fn forget_readers_of(&mut self, record: &mut DeliveryRecord, topic: &Topic) {
        let Some(shared) = self.topics.get_mut(topic) else { return };
        for reader in std::mem::take(&mut shared.readers).into_values() {
            self.readers -= 1;
            record.left(Some(reader));
        }
    }

    /// A message goes to a member: its span begins, if it is to have one.
    pub(super) fn trace_sent(
        &mut self,
        spans: &Spans,
        member: MemberId,
        message: &Message,
        attempt: u32,
    ) {
        if spans.are_off() {
            return;
        }
        let Some(joining) = self.members.get(&member) else { return };
        let to =
            Recipient::Member { group: &self.key, user: &joining.user, client: &joining.client };
        if let Some(span) = spans.delivery(message, to, attempt)
            && let Some(shared) = self.topics.get_mut(message.topic())
        {
            shared.traced.begin(message.offset, span);
        }
    }

    /// Ends the span of one delivery, if `cause` has ended it.
    pub(super) fn trace_ended(&mut self, topic: &Topic, offset: Offset, cause: Cause) {
        if let Some(shared) = self.topics.get_mut(topic) {
            let standing = self.group.message_standing(topic, offset);
            shared.traced.end_one(offset, cause, standing);
        }
    }

    /// Ends the spans of all deliveries that `cause` has ended.
    pub(super) fn trace_all_ended(&mut self, cause: Cause) {
        for (topic, shared) in &mut self.topics {
            shared.traced.end_all(cause, |offset| self.group.message_standing(topic, offset));
        }
    }

    fn unsettled(&self, topic: &Topic, offset: Offset, at: Moment) -> Option<Unsettled> {
        let shared = self.topics.get(topic)?;
        let unanswered = self.group.unanswered_at(topic, offset);
        let failed = shared.attempts.of(offset);
        if unanswered.is_none() && failed.is_none() {
            return None;
        }
        let holder = self.group.held_by(topic, offset);
        let joining = holder.and_then(|member| self.members.get(&member));
        let failed = failed.into_iter().flat_map(|failed| failed.kept().map(ToldAttempt::from));
        Some(Unsettled {
            key: CursorKey::Group { group: self.key.clone(), topic: topic.clone() },
            client: joining.map(|joining| joining.client.clone()),
            sent: unanswered.map(|u| (u.attempt, at.wall_at(u.sent_at))),
            failed: failed.collect(),
        })
    }
}

impl Groups {
    /// How a message stands with the groups of this shard that have not settled it.
    pub(in crate::shard) fn unsettled<'a>(
        &'a self,
        topic: &'a Topic,
        offset: Offset,
        at: Moment,
    ) -> impl Iterator<Item = Unsettled> + 'a {
        let all = self.slots.iter();
        all.filter_map(move |(_, owned)| owned.unsettled(topic, offset, at))
    }
}
