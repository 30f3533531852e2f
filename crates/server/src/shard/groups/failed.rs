//! Book of a group's deliveries that failed, kept while their messages are unsettled.

use tidings_core::{Attempt, AttemptEnd, CursorKey, Epoch, MemberId, Topic, Unanswered};

use super::OwnedGroup;
use crate::delivery_record::{DeliveryRecord, Happening};
use crate::kept_attempts::KeptAttempts;
use crate::shard::failed::Moment;

impl OwnedGroup {
    /// A delivery to a member ended without settling its message.
    pub(super) fn failed(
        &mut self,
        at: Moment,
        record: &mut DeliveryRecord,
        (topic, unanswered): (&Topic, Unanswered),
        (member, end, reason): (MemberId, AttemptEnd, Option<String>),
    ) {
        let Some(client) = self.members.get(&member).map(|joining| joining.client.clone()) else {
            return;
        };
        let about = (at.now, unanswered.offset, unanswered.attempt);
        self.note(record, topic, Some(member), about, Happening::Failed(end));
        let Some(shared) = self.topics.get_mut(topic) else { return };
        let attempt = Attempt {
            number: unanswered.attempt,
            client,
            sent_at: at.wall_at(unanswered.sent_at),
            ended_at: at.wall,
            end,
            reason: reason.map(Into::into),
        };
        shared.attempts.failed(unanswered.offset, attempt);
    }

    /// Deliveries that were not answered in time. To be asked before the group is told the time.
    pub(super) fn note_timeouts(&mut self, at: Moment, record: &mut DeliveryRecord) {
        let overdue = |unanswered: Unanswered, _| unanswered.due <= at.now;
        self.note_ended(at, record, AttemptEnd::TimedOut, overdue);
    }

    /// A member's connection broke. To be asked before the group is told.
    pub(super) fn note_left(&mut self, at: Moment, record: &mut DeliveryRecord, member: MemberId) {
        self.note_ended(at, record, AttemptEnd::ConnectionEnded, |_, holder| holder == member);
    }

    /// Nobody is left, or the topic makes room for others: how the deliveries of its messages failed
    /// is kept for whoever goes on. How many did is in the cursor.
    pub(super) fn keep_attempts(&mut self, kept: &KeptAttempts, topic: &Topic, epoch: Epoch) {
        let Some(shared) = self.topics.get_mut(topic) else { return };
        let log = std::mem::take(&mut shared.attempts);
        if !log.is_empty() {
            let key = CursorKey::Group { group: self.key.clone(), topic: topic.clone() };
            kept.keep(&key, epoch, log);
        }
    }

    /// The same for all topics of a group that ends.
    pub(super) fn keep_all_attempts(&mut self, kept: &KeptAttempts) {
        let topics: Vec<_> = self.topics.keys().cloned().collect();
        for topic in topics {
            if let Some(state) = self.group.state(&topic) {
                self.keep_attempts(kept, &topic, state.epoch);
            }
        }
    }

    fn note_ended(
        &mut self,
        at: Moment,
        record: &mut DeliveryRecord,
        end: AttemptEnd,
        has_ended: impl Fn(Unanswered, MemberId) -> bool,
    ) {
        let unanswered = self.group.unanswered();
        let ended = unanswered.filter(|(_, unanswered, member)| has_ended(*unanswered, *member));
        let ended: Vec<_> = ended.map(|(topic, u, member)| (topic.clone(), u, member)).collect();
        for (topic, unanswered, member) in ended {
            self.failed(at, record, (&topic, unanswered), (member, end, None));
        }
    }
}
