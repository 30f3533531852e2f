//! Exponential backoff with full jitter, from injected randomness.

use std::time::Duration;

/// How long to wait before attempt after attempt: `min(cap, base · 2^(attempt - 1))`, of which a
/// random half to whole is taken so that many waiters do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first attempt, before jitter.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after `attempt` (from 1) failed: between half of the full wait and all of it.
    /// Never zero for a base of at least 2 ms, so a failing subscriber cannot cause a hot loop.
    pub fn delay(self, attempt: u32, jitter: &mut Jitter) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.base.saturating_mul(1u32 << doublings).min(self.cap);
        let half = full / 2;
        half + half.mul_f64(jitter.fraction())
    }
}

/// A small seeded generator (SplitMix64). Deterministic for a seed; not for secrets.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// The generator that starts from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        // Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but not including 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from 0 up to but not including `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.fraction() * bound as f64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_keeps_at_least_half() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(10) };
        let mut jitter = Jitter::new(1);
        for (attempt, full) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (60, 10)] {
            for _ in 0..100 {
                let delay = backoff.delay(attempt, &mut jitter);
                assert!(delay >= Duration::from_secs(full) / 2, "{attempt}: {delay:?}");
                assert!(delay <= Duration::from_secs(full), "{attempt}: {delay:?}");
            }
        }
    }
}
