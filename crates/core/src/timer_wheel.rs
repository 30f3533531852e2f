//! A timer wheel: many coarse deadlines at a few bytes each.

use std::time::Duration;

use crate::time::Instant;

/// Slots of one turn. With 50 ms each a turn takes 25.6 s, so a heartbeat is filed once.
const SLOTS: usize = 512;

/// Remembers which keys want to be looked at when, to the granularity of a slot.
///
/// It does not cancel: a key whose deadline moved is reported at the old one, and its owner, who
/// knows the deadline, files it again. So an entry is a key and a turn of the wheel and nothing
/// else.
#[derive(Clone, Debug)]
pub struct TimerWheel<K> {
    granularity_ms: u64,
    /// Everything before this tick has been reported.
    tick: u64,
    /// For each slot the keys, and in which turn of the wheel they are due.
    slots: Vec<Vec<(u32, K)>>,
    len: usize,
}

impl<K: Copy> TimerWheel<K> {
    /// A wheel that starts at `now` with slots of `granularity` (at least 1 ms).
    pub fn new(now: Instant, granularity: Duration) -> Self {
        let granularity_ms = u64::try_from(granularity.as_millis()).unwrap_or(u64::MAX).max(1);
        Self {
            granularity_ms,
            tick: now.as_ms() / granularity_ms,
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            len: 0,
        }
    }

    /// Reports `key` at `at` or up to a slot later; at the next [`advance`](Self::advance) if
    /// that is past.
    pub fn insert(&mut self, at: Instant, key: K) {
        let tick = at.as_ms().div_ceil(self.granularity_ms).max(self.tick);
        self.slots[tick as usize % SLOTS].push((turn_of(tick), key));
        self.len += 1;
    }

    /// Appends to `due` every key whose time has come.
    pub fn advance(&mut self, now: Instant, due: &mut Vec<K>) {
        let last = now.as_ms() / self.granularity_ms;
        if last < self.tick {
            return;
        }
        let turns = (last - self.tick + 1).min(SLOTS as u64);
        for tick in self.tick..self.tick + turns {
            let slot = &mut self.slots[tick as usize % SLOTS];
            let before = slot.len();
            // The slot's own tick is the latest of its ticks that is not after `last`.
            let turn = turn_of(last - (last - tick) % SLOTS as u64);
            slot.retain(|(at, key)| {
                if *at <= turn {
                    due.push(*key);
                }
                *at > turn
            });
            self.len -= before - slot.len();
            if slot.is_empty() {
                *slot = Vec::new();
            }
        }
        self.tick = last + 1;
    }

    /// A moment at which something may be due, never later than the first deadline; `None` when
    /// the wheel is empty.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let tick = (self.tick..self.tick + SLOTS as u64)
            .find(|tick| !self.slots[*tick as usize % SLOTS].is_empty())?;
        Some(Instant::from_ms(tick.saturating_mul(self.granularity_ms)))
    }
}

/// Which turn of the wheel `tick` is in. The last one is in 69 years with slots of a millisecond, in 3 000
/// with those of 50.
fn turn_of(tick: u64) -> u32 {
    u32::try_from(tick / SLOTS as u64).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::Jitter;

    #[test]
    fn reports_every_key_once_and_within_a_slot() {
        for seed in 0..100 {
            let mut random = Jitter::new(seed);
            let slot = 1 + random.below(100);
            let mut now = random.below(1_000_000);
            let mut wheel = TimerWheel::new(Instant::from_ms(now), Duration::from_millis(slot));
            let mut waiting = std::collections::BTreeMap::new();
            for key in 0..300u32 {
                let at = now + random.below(200_000);
                wheel.insert(Instant::from_ms(at), key);
                waiting.insert(key, at);
            }
            while !waiting.is_empty() {
                let next = wheel.next_deadline().unwrap().as_ms();
                now = now.max(next) + random.below(2 * slot);
                let mut due = Vec::new();
                wheel.advance(Instant::from_ms(now), &mut due);
                for key in due {
                    let at = waiting.remove(&key).expect("reported twice");
                    assert!(at <= now, "seed {seed}: {key} is {} early", at - now);
                }
                for (key, at) in &waiting {
                    assert!(at + slot > now, "seed {seed}: {key} is late");
                }
            }
            assert_eq!(wheel.next_deadline(), None);
        }
    }
}
