//! Remembers which keys were published, for a time and up to a number.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tidings_core::{MessageId, Position, Timestamp};

use crate::hash::KeyHash;

/// The first publish with a key: what a repeated one is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    /// Its name; holds its time, unless it was given.
    pub(crate) id: MessageId,
    /// Its place.
    pub(crate) position: Position,
}

/// Keys seen, oldest first.
#[derive(Debug)]
pub(crate) struct Dedup {
    window: Duration,
    keys_max: usize,
    /// Where in `entries` a key's newest entry is, counted from the first entry ever.
    places: HashMap<KeyHash, u64>,
    entries: VecDeque<(KeyHash, First)>,
    /// When those entries were made whose id does not tell, because it was given; by their place
    /// as in `places`. Few: replayed and scheduled messages.
    times: HashMap<u64, Timestamp>,
    /// How many entries have left `entries`.
    gone: u64,
    evicted_early: u64,
}

impl Dedup {
    /// Remembers at most `keys_max` keys for at most `window`.
    pub(crate) fn new(window: Duration, keys_max: usize) -> Self {
        Self {
            window,
            keys_max: keys_max.max(1),
            places: HashMap::new(),
            entries: VecDeque::new(),
            times: HashMap::new(),
            gone: 0,
            evicted_early: 0,
        }
    }

    /// The first publish with this key, if it was within the window before `now`.
    pub(crate) fn first(&self, key: KeyHash, now: Timestamp) -> Option<First> {
        let place = self.places.get(&key)?;
        let index = usize::try_from(place - self.gone).ok()?;
        let (_, first) = self.entries.get(index)?;
        (!self.has_expired(*place, *first, now)).then_some(*first)
    }

    /// Remembers a first publish of `now`, forgetting what has expired and, at the bound, the
    /// oldest.
    pub(crate) fn remember(&mut self, key: KeyHash, first: First, now: Timestamp) {
        while let Some((_, oldest)) = self.entries.front() {
            if self.has_expired(self.gone, *oldest, now) {
                self.forget_oldest();
            } else if self.entries.len() >= self.keys_max {
                self.forget_oldest();
                self.evicted_early += 1;
            } else {
                break;
            }
        }
        let place = self.gone + self.entries.len() as u64;
        if first.id.time_ms() != now.as_ms() {
            self.times.insert(place, now);
        }
        self.places.insert(key, place);
        self.entries.push_back((key, first));
    }

    /// Keys forgotten before their time.
    pub(crate) const fn evicted_early(&self) -> u64 {
        self.evicted_early
    }

    /// All that is remembered, oldest first.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = &(KeyHash, First)> {
        self.entries.iter()
    }

    /// When the entries were made whose id does not tell: which of [`entries`](Self::entries),
    /// counted from 0, and when. Sorted, so that equal states are written equally.
    pub(crate) fn times(&self) -> Vec<(u64, Timestamp)> {
        let mut times: Vec<_> = self.times.iter().map(|(n, at)| (n - self.gone, *at)).collect();
        times.sort_unstable();
        times
    }

    fn has_expired(&self, place: u64, first: First, now: Timestamp) -> bool {
        let at = self.times.get(&place).copied();
        at.unwrap_or(Timestamp::from_ms(first.id.time_ms())).plus(self.window) <= now
    }

    fn forget_oldest(&mut self) {
        let Some((key, _)) = self.entries.pop_front() else { return };
        // A key that was seen again after its time has a newer entry, which stays.
        if self.places.get(&key) == Some(&self.gone) {
            self.places.remove(&key);
        }
        self.times.remove(&self.gone);
        self.gone += 1;
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{Epoch, Offset};

    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn key(n: u64) -> KeyHash {
        KeyHash([n, 0])
    }

    fn first(ms: u64) -> First {
        let position = Position { epoch: Epoch::new(1), offset: Offset::new(ms) };
        First { id: MessageId::new(ms, 0, 0), position }
    }

    #[test]
    fn a_key_is_forgotten_after_the_window() {
        let mut dedup = Dedup::new(WINDOW, 10);
        dedup.remember(key(1), first(50), at(50));
        assert_eq!(dedup.first(key(1), at(149)), Some(first(50)));
        assert_eq!(dedup.first(key(1), at(150)), None);
        dedup.remember(key(2), first(150), at(150));
        assert_eq!(dedup.entries().len(), 1);
        assert_eq!(dedup.evicted_early(), 0);
    }

    #[test]
    fn the_oldest_goes_at_the_bound() {
        let mut dedup = Dedup::new(WINDOW, 2);
        for n in 1..=3 {
            dedup.remember(key(n), first(n), at(n));
        }
        assert_eq!(dedup.first(key(1), at(4)), None);
        assert_eq!(dedup.first(key(2), at(4)), Some(first(2)));
        assert_eq!(dedup.first(key(3), at(4)), Some(first(3)));
        assert_eq!(dedup.evicted_early(), 1);
    }

    /// A replayed message keeps its old id; its key counts from when it was replayed.
    #[test]
    fn a_given_id_says_nothing_about_the_time_of_a_key() {
        let mut dedup = Dedup::new(WINDOW, 10);
        dedup.remember(key(1), first(500), at(1000));
        dedup.remember(key(2), first(9000), at(1001));
        dedup.remember(key(3), first(1002), at(1002));
        assert_eq!(dedup.times(), [(0, at(1000)), (1, at(1001))]);
        assert_eq!(dedup.first(key(1), at(1099)), Some(first(500)));
        assert_eq!(dedup.first(key(1), at(1100)), None);
        assert_eq!(dedup.first(key(2), at(1101)), None);
        dedup.remember(key(4), first(1100), at(1100));
        assert_eq!(dedup.times(), [(0, at(1001))]);
        assert_eq!(dedup.first(key(2), at(1100)), Some(first(9000)));
    }

    #[test]
    fn forgetting_an_old_entry_leaves_a_newer_one_of_the_same_key() {
        let mut dedup = Dedup::new(WINDOW, 2);
        // The clock had been ahead, so the first entry expires late.
        dedup.remember(key(1), first(10), at(10));
        dedup.remember(key(1), first(11), at(11));
        dedup.remember(key(2), first(12), at(12));
        assert_eq!(dedup.first(key(1), at(12)), Some(first(11)));
    }
}
