//! Where a live subscription stands: the client remembers, so that the server need not.

use std::collections::BTreeMap;

use tidings_core::{Epoch, Offset, Position, Topic};
use tidings_protocol::{StartFrom, SubscribedPlace};

use crate::limits::WILDCARD_TOPICS_MAX;

/// The place of a live subscription.
#[derive(Debug)]
pub(crate) enum LivePlace {
    /// Of a plain topic: enough to go on after a disconnect.
    Topic {
        /// Where it started.
        from: StartFrom,
        /// The last position received, once the server has said where the topic stands.
        last: Option<Position>,
    },
    /// Of a filter with wildcards: enough to recognise what another subscription of the same
    /// connection brings again, and no more. Offsets of an earlier connection say nothing, since
    /// the frames do not show the log's epoch.
    Wildcard {
        /// The last offsets received on this connection, of a bounded number of topics.
        seen: BTreeMap<Topic, Offset>,
    },
}

impl LivePlace {
    pub(crate) const fn of_topic(from: StartFrom) -> Self {
        Self::Topic { from, last: None }
    }

    pub(crate) const fn of_wildcard() -> Self {
        Self::Wildcard { seen: BTreeMap::new() }
    }

    /// Where the next subscribe starts.
    pub(crate) fn start(&self) -> StartFrom {
        match self {
            Self::Topic { from, last } => last.map_or(*from, StartFrom::After),
            Self::Wildcard { .. } => StartFrom::New,
        }
    }

    /// The life of the log, if it is known.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Topic { last, .. } => last.map(|position| position.epoch),
            Self::Wildcard { .. } => None,
        }
    }

    /// The server has told where the topic stands.
    pub(crate) fn subscribed(&mut self, place: &SubscribedPlace) {
        let Self::Topic { from, last } = self else { return };
        let asked = last.map_or(*from, StartFrom::After);
        let offset = match asked {
            StartFrom::New => place.offset,
            StartFrom::After(position) if place.recovered => position.offset,
            StartFrom::Last => place.offset.max(place.first).previous(),
            StartFrom::First | StartFrom::After(_) => place.first.previous(),
        };
        *last = Some(Position { epoch: place.epoch, offset });
    }

    /// The subscription goes on from `first` in a log that may be another.
    pub(crate) fn reset(&mut self, topic: &Topic, epoch: Epoch, first: Offset) {
        match self {
            Self::Topic { last, .. } => {
                *last = Some(Position { epoch, offset: first.previous() });
            }
            Self::Wildcard { seen } => {
                seen.remove(topic);
            }
        }
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        match self {
            Self::Topic { .. } => {}
            Self::Wildcard { seen } => seen.clear(),
        }
    }

    /// A message came in: whether it is a new one. Messages without a place in a log are always
    /// new.
    pub(crate) fn received(&mut self, topic: &Topic, offset: Offset) -> bool {
        if offset == Offset::ORIGIN {
            return true;
        }
        match self {
            Self::Topic { last: Some(last), .. } => {
                let is_new = offset > last.offset;
                last.offset = last.offset.max(offset);
                is_new
            }
            Self::Topic { last: None, .. } => true,
            Self::Wildcard { seen } => {
                if let Some(last) = seen.get_mut(topic) {
                    let is_new = offset > *last;
                    *last = (*last).max(offset);
                    return is_new;
                }
                if seen.len() >= WILDCARD_TOPICS_MAX {
                    // Whichever goes: the worst is a repeat.
                    seen.pop_first();
                }
                seen.insert(topic.clone(), offset);
                true
            }
        }
    }

    /// The message at `offset` was new but could not be kept.
    pub(crate) fn not_kept(&mut self, offset: Offset) {
        if let Self::Topic { last: Some(last), .. } = self {
            last.offset = last.offset.min(offset.previous());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch::new(7);

    fn topic() -> Topic {
        Topic::parse("t").unwrap()
    }

    fn after(offset: u64) -> StartFrom {
        StartFrom::After(Position { epoch: EPOCH, offset: Offset::new(offset) })
    }

    fn told(first: u64, head: u64, recovered: bool) -> SubscribedPlace {
        let [offset, first] = [head, first].map(Offset::new);
        SubscribedPlace { epoch: EPOCH, offset, first, recovered, reason: None, pending: 0 }
    }

    fn receive(place: &mut LivePlace, offset: u64) -> bool {
        place.received(&topic(), Offset::new(offset))
    }

    #[test]
    fn goes_on_from_the_head_even_before_the_first_message() {
        let mut place = LivePlace::of_topic(StartFrom::New);
        assert_eq!(place.start(), StartFrom::New);
        place.subscribed(&told(3, 21, true));
        assert_eq!(place.start(), after(21));
        let mut empty = LivePlace::of_topic(StartFrom::New);
        empty.subscribed(&told(1, 0, true));
        assert_eq!(empty.start(), after(0));
    }

    #[test]
    fn goes_on_after_the_last_message_and_drops_repeats() {
        let mut place = LivePlace::of_topic(StartFrom::First);
        place.subscribed(&told(3, 21, true));
        assert_eq!(
            [3, 4, 4, 3, 5].map(|o| receive(&mut place, o)),
            [true, true, false, false, true]
        );
        place.disconnected();
        assert_eq!(place.start(), after(5));
        place.subscribed(&told(3, 30, true));
        assert!(!receive(&mut place, 5) && receive(&mut place, 6));
        place.not_kept(Offset::new(6));
        assert_eq!(place.start(), after(5));
    }

    #[test]
    fn a_place_that_is_gone_goes_on_from_what_is_left() {
        let mut place = LivePlace::of_topic(after(2));
        place.subscribed(&told(10, 30, false));
        assert!(receive(&mut place, 10));
        place.reset(&topic(), Epoch::new(8), Offset::FIRST);
        assert_eq!(place.epoch(), Some(Epoch::new(8)));
        assert!(receive(&mut place, 1), "offsets of another epoch are not repeats");
    }

    #[test]
    fn a_wildcard_recognises_repeats_on_one_connection_with_bounded_memory() {
        let mut place = LivePlace::of_wildcard();
        assert!(receive(&mut place, 5) && !receive(&mut place, 5) && receive(&mut place, 6));
        place.disconnected();
        assert!(receive(&mut place, 1));
        for n in 0..2 * WILDCARD_TOPICS_MAX {
            assert!(place.received(&Topic::parse(&n.to_string()).unwrap(), Offset::FIRST));
        }
        let LivePlace::Wildcard { seen } = place else { panic!("still one with wildcards") };
        assert_eq!(seen.len(), WILDCARD_TOPICS_MAX);
    }

    #[test]
    fn messages_that_are_kept_nowhere_are_never_repeats() {
        let mut place = LivePlace::of_topic(StartFrom::New);
        place.subscribed(&told(1, 0, true));
        assert!(receive(&mut place, 0) && receive(&mut place, 0));
    }
}
