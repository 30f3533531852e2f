//! What of a group waits for an answer, and whose: for whoever keeps book of its deliveries.

use super::{Group, MemberId};
use crate::delivery_window::{Standing, Unanswered};
use crate::position::Offset;
use crate::topic::Topic;

impl Group {
    /// The deliveries that were sent and not answered, and who has them.
    pub fn unanswered(&self) -> impl Iterator<Item = (&Topic, Unanswered, MemberId)> {
        self.topics.iter().flat_map(move |(topic, shared)| {
            let unanswered = shared.window.unanswered();
            unanswered.filter_map(move |u| Some((topic, u, self.holder(topic, u.offset)?)))
        })
    }

    /// The delivery of this message that was sent and not answered.
    pub fn unanswered_at(&self, topic: &Topic, offset: Offset) -> Option<Unanswered> {
        self.topics.get(topic)?.window.unanswered_at(offset)
    }

    /// Who has a message in hand.
    pub fn held_by(&self, topic: &Topic, offset: Offset) -> Option<MemberId> {
        self.holder(topic, offset)
    }

    /// How a message stands; `None` if it is settled or was never asked for.
    pub fn message_standing(&self, topic: &Topic, offset: Offset) -> Option<Standing> {
        self.topics.get(topic)?.window.standing(offset)
    }
}
