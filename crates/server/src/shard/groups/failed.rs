//! Book of a group's deliveries that failed, kept while their messages are unsettled.

use tidings_core::{Attempt, AttemptEnd, ClientId, MemberId, Topic, Unanswered};

use super::OwnedGroup;
use crate::shard::failed::Moment;

impl OwnedGroup {
    /// A delivery ended without settling its message.
    pub(super) fn failed(
        &mut self,
        at: Moment,
        topic: &Topic,
        unanswered: Unanswered,
        (client, end, reason): (ClientId, AttemptEnd, Option<String>),
    ) {
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
    pub(super) fn note_timeouts(&mut self, at: Moment) {
        self.note_ended(at, AttemptEnd::TimedOut, |unanswered, _| unanswered.due <= at.now);
    }

    /// A member leaves. To be asked before the group is told.
    pub(super) fn note_left(&mut self, at: Moment, member: MemberId) {
        self.note_ended(at, AttemptEnd::ConnectionEnded, |_, holder| holder == member);
    }

    fn note_ended(
        &mut self,
        at: Moment,
        end: AttemptEnd,
        has_ended: impl Fn(Unanswered, MemberId) -> bool,
    ) {
        let unanswered = self.group.unanswered();
        let ended = unanswered.filter(|(_, unanswered, member)| has_ended(*unanswered, *member));
        let ended: Vec<_> = ended.map(|(topic, u, member)| (topic.clone(), u, member)).collect();
        for (topic, unanswered, member) in ended {
            let Some(joining) = self.members.get(&member) else { continue };
            let client = joining.client.clone();
            self.failed(at, &topic, unanswered, (client, end, None));
        }
    }
}
