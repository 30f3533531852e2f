//! Places for messages that are kept nowhere (`Durability::Memory`).

use std::collections::HashMap;

use tidings_core::{Epoch, Offset, Position, Topic, TopicState};

/// Topics counted before the counters are forgotten; about 100 bytes each.
const TOPICS_MAX: usize = 1_000_000;

/// Counts the messages of topics without a log. Its epoch is new with each start of the process,
/// so nobody resumes into another life.
#[derive(Debug)]
pub(crate) struct Unlogged {
    epoch: Epoch,
    heads: HashMap<Topic, Offset>,
    topics_max: usize,
    /// The highest offset given in any topic.
    highest: Offset,
    /// Topics without a counter may have had offsets up to here.
    floor: Offset,
}

impl Unlogged {
    /// Counts from 1 in every topic, in this epoch.
    pub(crate) fn new(epoch: Epoch) -> Self {
        let (highest, floor) = (Offset::ORIGIN, Offset::ORIGIN);
        Self { epoch, heads: HashMap::new(), topics_max: TOPICS_MAX, highest, floor }
    }

    /// The place of the next message of `topic`.
    ///
    /// At the bound all counters are forgotten, so memory stays bounded, and go on after the
    /// highest offset that any of them gave: offsets still rise for whoever listens, and who comes
    /// back is told of a gap rather than of none.
    pub(crate) fn place(&mut self, topic: &Topic) -> Position {
        let offset = match self.heads.get_mut(topic) {
            Some(head) => {
                *head = head.next();
                *head
            }
            None => {
                if self.heads.len() >= self.topics_max {
                    self.heads.clear();
                    self.floor = self.highest;
                }
                let first = self.floor.next();
                self.heads.insert(topic.clone(), first);
                first
            }
        };
        self.highest = self.highest.max(offset);
        Position { epoch: self.epoch, offset }
    }

    /// How a topic without a log stands: nothing is kept, so only a subscriber at the head has
    /// missed nothing. `None` if it has no counter.
    pub(crate) fn state(&self, topic: &Topic) -> Option<TopicState> {
        self.heads.get(topic).map(|head| self.at(*head))
    }

    /// How a topic without a counter stands whose next message will be kept nowhere.
    pub(crate) const fn uncounted(&self) -> TopicState {
        self.at(self.floor)
    }

    const fn at(&self, head: Offset) -> TopicState {
        TopicState { epoch: self.epoch, first: head.next(), head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::parse(text).unwrap()
    }

    #[test]
    fn at_the_bound_offsets_still_rise_in_every_topic() {
        let mut unlogged = Unlogged { topics_max: 2, ..Unlogged::new(Epoch::new(5)) };
        for _ in 0..3 {
            unlogged.place(&topic("a"));
        }
        let last_of_b = unlogged.place(&topic("b"));
        let first_of_c = unlogged.place(&topic("c"));
        assert_eq!(first_of_c.offset, Offset::new(4));
        assert_eq!(unlogged.heads.len(), 1);
        // Who was at 3 in `a` hears of the next one, and who comes back to `b` is told of a gap.
        assert!(unlogged.state(&topic("b")).is_none());
        assert!(unlogged.uncounted().first > last_of_b.offset.next());
        let next_of_a = unlogged.place(&topic("a"));
        assert_eq!(next_of_a, Position { epoch: Epoch::new(5), offset: Offset::new(4) });
        assert_eq!(unlogged.place(&topic("a")).offset, Offset::new(5));
        // The next time, the bound is met again above all of these.
        assert_eq!(unlogged.place(&topic("d")).offset, Offset::new(6));
    }
}
