//! Turns: which of too many topics a group reads for now.
//!
//! A group reads no more than some topics at once. While others wait in the log, those that were
//! read longest start nothing new, and once nothing of them is in flight they *rest*: their place
//! is free. What waits in them is found again when it is their turn.

use super::shared_topic::Course;
use super::{Group, GroupEffect};
use crate::limits::{GROUP_GIVE_WAY_MAX, GROUP_TURN_MESSAGES};
use crate::time::Instant;
use crate::topic::Topic;

impl Group {
    /// Other topics wait for a place: at most `most` of those that have had their turn start nothing
    /// new, until they rest ([`GroupEffect::Rest`]). To be told every now and then as long as that
    /// is so, and as long as any [gives way](Self::gives_way).
    ///
    /// A topic in which a message waits for its next attempt, perhaps for hours, keeps its place, and
    /// one that is not at rest in time takes it up again: it would be blocked for nothing.
    pub fn give_way(&mut self, now: Instant, most: usize) {
        let mut leaving = 0;
        let mut have_had_their_turn = Vec::new();
        let mut stay = Vec::new();
        for (topic, shared) in &self.topics {
            let backs_off = shared.window.is_backing_off();
            match shared.course {
                Course::Taking { started, turn } => {
                    if started >= GROUP_TURN_MESSAGES && !backs_off {
                        have_had_their_turn.push((turn, topic.clone()));
                    }
                }
                Course::GivingWay { until } | Course::Resting { until } => {
                    if until <= now || backs_off {
                        stay.push(topic.clone());
                    } else {
                        leaving += 1;
                    }
                }
            }
        }
        for topic in stay {
            self.take_turn(&topic);
        }
        have_had_their_turn.sort_unstable();
        let until = now + GROUP_GIVE_WAY_MAX;
        for (_, topic) in have_had_their_turn.into_iter().take(most.saturating_sub(leaving)) {
            if let Some(shared) = self.topics.get_mut(&topic) {
                shared.course = Course::GivingWay { until };
            }
            self.change(&topic, |_| ());
        }
    }

    /// Whether any topic makes room for others.
    pub fn gives_way(&self) -> bool {
        self.topics.values().any(|shared| !shared.course.takes())
    }

    /// Whether a topic starts nothing new for now.
    pub fn topic_gives_way(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some_and(|shared| !shared.course.takes())
    }

    /// A topic is read, from now on.
    pub(super) fn take_turn(&mut self, topic: &Topic) {
        self.turns += 1;
        let turn = self.turns;
        if let Some(shared) = self.topics.get_mut(topic) {
            shared.course = Course::Taking { started: 0, turn };
        }
        self.change(topic, |_| ());
    }

    /// One more message of a topic was started in its turn.
    pub(super) fn count_started(&mut self, topic: &Topic) {
        let Some(shared) = self.topics.get_mut(topic) else { return };
        match &mut shared.course {
            Course::Taking { started, .. } => *started = started.saturating_add(1),
            Course::GivingWay { .. } | Course::Resting { .. } => {}
        }
    }

    /// The next topic that is at rest by now.
    pub(super) fn next_rest(&mut self) -> Option<GroupEffect> {
        while let Some(topic) = self.at_rest.pop_first() {
            let Some(shared) = self.topics.get_mut(&topic) else { continue };
            if let Course::GivingWay { until } = shared.course
                && shared.window.in_flight() == 0
            {
                shared.course = Course::Resting { until };
                return Some(GroupEffect::Rest { topic });
            }
        }
        None
    }
}
