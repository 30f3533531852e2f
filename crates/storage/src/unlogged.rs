//! Places for messages that are kept nowhere (`Durability::Memory`).

use std::collections::HashMap;

use tidings_core::{Epoch, Offset, Position, Topic, TopicState};

/// Topics counted before the counters start anew; about 100 bytes each.
const TOPICS_MAX: usize = 1_000_000;

/// Counts the messages of topics without a log. Its epoch is new with each start of the process,
/// so nobody resumes into another life.
#[derive(Debug)]
pub(crate) struct Unlogged {
    epoch: Epoch,
    heads: HashMap<Topic, Offset>,
    topics_max: usize,
}

impl Unlogged {
    /// Counts from 1 in every topic, in this epoch.
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, heads: HashMap::new(), topics_max: TOPICS_MAX }
    }

    /// The place of the next message of `topic`.
    ///
    /// At the bound all counters start anew in another epoch: subscribers who come back are told
    /// that they missed something, and memory stays bounded.
    pub(crate) fn place(&mut self, topic: &Topic) -> Position {
        if let Some(head) = self.heads.get_mut(topic) {
            *head = head.next();
            return Position { epoch: self.epoch, offset: *head };
        }
        if self.heads.len() >= self.topics_max {
            self.heads.clear();
            self.epoch = Epoch::new(self.epoch.get().wrapping_add(1));
        }
        self.heads.insert(topic.clone(), Offset::FIRST);
        Position { epoch: self.epoch, offset: Offset::FIRST }
    }

    /// How a topic without a log stands: nothing is kept, so only a subscriber at the head has
    /// missed nothing. `None` if it had no message.
    pub(crate) fn state(&self, topic: &Topic) -> Option<TopicState> {
        let head = *self.heads.get(topic)?;
        Some(TopicState { epoch: self.epoch, first: head.next(), head })
    }

    /// How a topic stands whose first message will be kept nowhere.
    pub(crate) const fn empty(&self) -> TopicState {
        TopicState::empty(self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::parse(text).unwrap()
    }

    #[test]
    fn at_the_bound_the_epoch_changes() {
        let mut unlogged = Unlogged { topics_max: 2, ..Unlogged::new(Epoch::new(5)) };
        let before = unlogged.place(&topic("a"));
        unlogged.place(&topic("b"));
        unlogged.place(&topic("c"));
        let after = unlogged.place(&topic("a"));
        assert_eq!(after.offset, Offset::FIRST);
        assert_ne!(before.epoch, after.epoch);
        assert_eq!(unlogged.heads.len(), 2);
    }
}
