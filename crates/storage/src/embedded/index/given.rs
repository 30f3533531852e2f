//! Where the messages lie that were given their id: the time in it does not tell.

use std::collections::HashMap;

use tidings_core::{MessageId, Offset, Timestamp, Topic};

use super::{Index, Slot};

/// Ids noted before those of messages that are gone are looked for.
const NOTED_MIN: usize = 1024;

/// Ids that were given. About 60 bytes each; those of messages that are gone go when there are
/// twice as many as were left the last time.
#[derive(Debug, Default)]
pub(super) struct Given {
    places: HashMap<MessageId, (Slot, Offset)>,
    /// How many there may be before those of messages that are gone are looked for.
    cleaned_at: usize,
}

impl Index {
    /// Notes a message of `published_at` if its id does not tell that time. A later one with the
    /// same id takes its place.
    pub(crate) fn note_given(
        &mut self,
        slot: Slot,
        offset: Offset,
        id: MessageId,
        published_at: Timestamp,
    ) {
        if id.time_ms() == published_at.as_ms() {
            return;
        }
        self.given.places.insert(id, (slot, offset));
        if self.given.places.len() > self.given.cleaned_at.max(NOTED_MIN) {
            let mut places = std::mem::take(&mut self.given.places);
            // Those after the head are about to be shown: messages of a batch are noted first.
            places.retain(|_, (slot, offset)| {
                *offset > self.log(*slot).head || self.holds(*slot, *offset)
            });
            self.given = Given { cleaned_at: 2 * places.len(), places };
        }
    }

    /// The place of the last message that was given this id.
    pub(crate) fn given(&self, id: MessageId) -> Option<(Topic, Offset)> {
        let (slot, offset) = *self.given.places.get(&id)?;
        self.holds(slot, offset).then(|| (self.log(slot).topic.clone(), offset))
    }

    /// All that were given, by id; without those of messages that are gone.
    pub(crate) fn all_given(&self) -> Vec<(MessageId, Slot, Offset)> {
        let places = self.given.places.iter();
        let kept = places.filter(|(_, (slot, offset))| self.holds(*slot, *offset));
        let mut given: Vec<_> = kept.map(|(id, (slot, offset))| (*id, *slot, *offset)).collect();
        given.sort_unstable_by_key(|(id, _, _)| *id);
        given
    }

    /// Restores an id from a checkpoint: the message's topic is the `topic`-th.
    pub(crate) fn restore_given(&mut self, id: MessageId, topic: u32, offset: Offset) {
        if (topic as usize) < self.logs.len() {
            self.given.places.insert(id, (Slot(topic), offset));
        }
    }
}

impl Slot {
    /// Which topic it is, counted from 0 in the order of a checkpoint.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::batch::SegmentId;
    use crate::embedded::index::Run;
    use crate::embedded::record::Waited;

    #[test]
    fn ids_of_messages_that_are_gone_are_forgotten() {
        let mut index = Index::default();
        let slot = index.slot_or_insert(&Topic::parse("a").unwrap());
        let time = Timestamp::from_ms(1000);
        let id = |n: u64| MessageId::new(5, 0, n);
        for n in 1..=20 * NOTED_MIN as u64 {
            index.note_given(slot, Offset::new(n), id(n), time);
            let run = Run::of_one(Offset::new(n), time, SegmentId(n), 4096, 4196);
            index.append(slot, run, Waited::ForSync);
            index.trim(slot, Offset::new(n.saturating_sub(10)));
        }
        assert!(index.given.places.len() <= NOTED_MIN + 1, "{}", index.given.places.len());
        let head = index.log(slot).head;
        assert_eq!(index.given(id(head.get())).map(|(_, offset)| offset), Some(head));
        assert_eq!(index.given(id(1)), None);
        assert_eq!(index.all_given().len(), 11);
        // The store's own ids are found by their time.
        index.note_given(slot, head, MessageId::new(1000, 0, 1), time);
        assert_eq!(index.all_given().len(), 11);
    }
    #[test]
    fn ids_that_are_given_together_are_all_kept() {
        let mut index = Index::default();
        let slot = index.slot_or_insert(&Topic::parse("a").unwrap());
        let time = Timestamp::from_ms(1000);
        let id = |n: u64| MessageId::new(5, 0, n);
        let mut next = 1;
        for group in [800, 512] {
            for n in next..next + group {
                index.note_given(slot, Offset::new(n), id(n), time);
            }
            for n in next..next + group {
                let run = Run::of_one(Offset::new(n), time, SegmentId(n), 4096, 4196);
                index.append(slot, run, Waited::ForSync);
            }
            next += group;
        }
        let lost = (1..next).filter(|n| index.given(id(*n)).is_none()).count();
        assert_eq!(lost, 0);
    }
}
