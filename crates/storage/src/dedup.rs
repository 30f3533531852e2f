//! Remembers which keys were published, for a time and up to a number.
//!
//! Keys age by a clock that nobody sets: a wall clock that jumps must not make a stored message
//! forgotten, for its publisher may be about to try it again. The log only has wall-clock times, so
//! when it is read back the time between two keys counts for no more than a part of the window,
//! and so does the time until the store was opened: keys may then be remembered for longer, as far as
//! their number allows, and hardly for shorter.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;
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

/// What part of the window counts at most as time between two keys in the log.
const LEAP_PARTS: u32 = 24;

/// Time that has passed since the first key, as far as it counts, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Age(u64);

impl Age {
    fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A key with its first publish.
#[derive(Debug)]
struct Entry {
    seen: (KeyHash, First),
    at: Age,
}

/// Keys seen, oldest first.
#[derive(Debug)]
pub(crate) struct Dedup {
    window: Duration,
    keys_max: usize,
    now: Age,
    /// The wall-clock time of the newest key.
    last_at: Option<Timestamp>,
    /// What the clock that nobody sets showed when [`now`](Self::now) was moved on last.
    running: Duration,
    /// Where in `entries` a key's newest entry is, counted from the first entry ever. The key is
    /// the output of a keyed hash, which nobody can choose, so it is not hashed with care again.
    places: FxHashMap<KeyHash, u64>,
    entries: VecDeque<Entry>,
    /// When those entries were made whose id does not tell, because it was given; by their place
    /// as in `places`. Few: replayed and scheduled messages.
    times: FxHashMap<u64, Timestamp>,
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
            now: Age::default(),
            last_at: None,
            running: Duration::ZERO,
            places: FxHashMap::default(),
            entries: VecDeque::new(),
            times: FxHashMap::default(),
            gone: 0,
            evicted_early: 0,
        }
    }

    /// Everything was read back: from now on, `wall` by the wall clock, keys age by the one that
    /// shows `running`.
    pub(crate) fn go_on(&mut self, wall: Timestamp, running: Duration) {
        self.leap_to(wall);
        self.running = running;
    }

    /// The clock that nobody sets shows `running`.
    pub(crate) fn advance_to(&mut self, running: Duration) {
        let passed = running.saturating_sub(self.running);
        // What is less than a millisecond counts the next time.
        let passed = Duration::from_millis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        self.now = self.now.plus(passed);
        self.running += passed;
    }

    /// The first publish with this key, if it was within the window.
    pub(crate) fn first(&self, key: KeyHash) -> Option<First> {
        let place = self.places.get(&key)?;
        let entry = self.entries.get(usize::try_from(place - self.gone).ok()?)?;
        (!self.has_expired(entry)).then_some(entry.seen.1)
    }

    /// Remembers a first publish that was read back from the log, which has it `at`.
    pub(crate) fn read_back(&mut self, key: KeyHash, first: First, at: Timestamp) {
        self.leap_to(at);
        self.remember(key, first, at);
    }

    /// Remembers a first publish of now, `at` by the wall clock, forgetting what has expired and,
    /// at the bound, the oldest.
    pub(crate) fn remember(&mut self, key: KeyHash, first: First, at: Timestamp) {
        while let Some(oldest) = self.entries.front() {
            if self.has_expired(oldest) {
                self.forget_oldest();
            } else if self.entries.len() >= self.keys_max {
                self.forget_oldest();
                self.evicted_early += 1;
            } else {
                break;
            }
        }
        let place = self.gone + self.entries.len() as u64;
        if first.id.time_ms() != at.as_ms() {
            self.times.insert(place, at);
        }
        self.places.insert(key, place);
        self.entries.push_back(Entry { seen: (key, first), at: self.now });
        self.last_at = Some(at);
    }

    /// The next thing that is known of was at `wall`.
    fn leap_to(&mut self, wall: Timestamp) {
        let Some(last_at) = self.last_at else { return };
        let leap = Duration::from_millis(wall.as_ms().saturating_sub(last_at.as_ms()));
        self.now = self.now.plus(leap.min(self.window / LEAP_PARTS));
    }

    /// Keys forgotten before their time.
    pub(crate) const fn evicted_early(&self) -> u64 {
        self.evicted_early
    }

    /// All that is remembered, oldest first.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = &(KeyHash, First)> {
        self.entries.iter().map(|entry| &entry.seen)
    }

    /// When the entries were made whose id does not tell: which of [`entries`](Self::entries),
    /// counted from 0, and when. Sorted, so that equal states are written equally.
    pub(crate) fn times(&self) -> Vec<(u64, Timestamp)> {
        let mut times: Vec<_> = self.times.iter().map(|(n, at)| (n - self.gone, *at)).collect();
        times.sort_unstable();
        times
    }

    fn has_expired(&self, entry: &Entry) -> bool {
        entry.at.plus(self.window) <= self.now
    }

    fn forget_oldest(&mut self) {
        let Some(Entry { seen: (key, _), .. }) = self.entries.pop_front() else { return };
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

    /// So much time has passed since the store was opened.
    fn running(dedup: &mut Dedup, ms: u64) {
        dedup.advance_to(Duration::from_millis(ms));
    }

    #[test]
    fn a_key_is_forgotten_after_the_window() {
        let mut dedup = Dedup::new(WINDOW, 10);
        dedup.remember(key(1), first(50), at(50));
        running(&mut dedup, 99);
        assert_eq!(dedup.first(key(1)), Some(first(50)));
        running(&mut dedup, 100);
        assert_eq!(dedup.first(key(1)), None);
        dedup.remember(key(2), first(150), at(150));
        assert_eq!(dedup.entries().len(), 1);
        assert_eq!(dedup.evicted_early(), 0);
    }

    #[test]
    fn a_wall_clock_that_is_set_forgets_nothing() {
        let mut dedup = Dedup::new(WINDOW, 10);
        for (n, wall) in [(1, 1000), (2, 9_000_000), (3, 1001), (4, 0), (5, 8_000_000)] {
            dedup.remember(key(n), first(wall), at(wall));
            running(&mut dedup, 19 * n);
        }
        assert!((1..=5).all(|n| dedup.first(key(n)).is_some()));
        running(&mut dedup, 100);
        assert_eq!(dedup.first(key(1)), None);
        assert!((2..=5).all(|n| dedup.first(key(n)).is_some()));
    }

    /// As after a restart: all that is known is when the wall clock was.
    #[test]
    fn a_leap_in_the_log_counts_for_a_part_of_the_window() {
        let window = Duration::from_millis(2400);
        let mut dedup = Dedup::new(window, 10);
        dedup.read_back(key(1), first(1000), at(1000));
        dedup.read_back(key(2), first(1040), at(1040));
        dedup.read_back(key(3), first(9_000_000), at(9_000_000));
        dedup.read_back(key(4), first(50), at(50));
        dedup.go_on(at(u64::MAX), Duration::from_millis(7));
        // Counted are 40, 100, nothing, and 100.
        running(&mut dedup, 7 + 2400 - 240 - 1);
        assert!((1..=4).all(|n| dedup.first(key(n)).is_some()));
        running(&mut dedup, 7 + 2400 - 240);
        assert_eq!(dedup.first(key(1)), None);
        running(&mut dedup, 7 + 2400 - 200 - 1);
        assert_eq!(dedup.first(key(2)), Some(first(1040)));
        running(&mut dedup, 7 + 2400 - 200);
        assert_eq!(dedup.first(key(2)), None);
    }

    #[test]
    fn time_that_passes_in_small_steps_adds_up() {
        let mut dedup = Dedup::new(WINDOW, 10);
        dedup.remember(key(1), first(50), at(50));
        (1..=999).for_each(|n| dedup.advance_to(Duration::from_micros(n * 100)));
        assert!(dedup.first(key(1)).is_some());
        dedup.advance_to(Duration::from_micros(100_000));
        assert_eq!(dedup.first(key(1)), None);
    }

    #[test]
    fn the_oldest_goes_at_the_bound() {
        let mut dedup = Dedup::new(WINDOW, 2);
        for n in 1..=3 {
            dedup.remember(key(n), first(n), at(n));
        }
        assert_eq!(dedup.first(key(1)), None);
        assert_eq!(dedup.first(key(2)), Some(first(2)));
        assert_eq!(dedup.first(key(3)), Some(first(3)));
        assert_eq!(dedup.evicted_early(), 1);
    }

    /// A replayed message keeps its old id; its key counts from when it was replayed.
    #[test]
    fn a_given_id_says_nothing_about_the_time_of_a_key() {
        let mut dedup = Dedup::new(WINDOW, 10);
        for (n, id, ms) in [(1, 500, 1000), (2, 9000, 1001), (3, 1002, 1002)] {
            running(&mut dedup, ms - 1000);
            dedup.remember(key(n), first(id), at(ms));
        }
        assert_eq!(dedup.times(), [(0, at(1000)), (1, at(1001))]);
        running(&mut dedup, 99);
        assert_eq!(dedup.first(key(1)), Some(first(500)));
        running(&mut dedup, 100);
        assert_eq!(dedup.first(key(1)), None);
        assert_eq!(dedup.first(key(2)), Some(first(9000)));
        dedup.remember(key(4), first(1100), at(1100));
        assert_eq!(dedup.times(), [(0, at(1001))]);
        running(&mut dedup, 101);
        assert_eq!(dedup.first(key(2)), None);
    }

    #[test]
    fn forgetting_an_old_entry_leaves_a_newer_one_of_the_same_key() {
        let mut dedup = Dedup::new(WINDOW, 2);
        dedup.remember(key(1), first(10), at(10));
        dedup.remember(key(1), first(11), at(11));
        dedup.remember(key(2), first(12), at(12));
        assert_eq!(dedup.first(key(1)), Some(first(11)));
    }
}
