//! Decides when a client comes back.

use std::time::Duration;

use tidings_core::{Backoff, Jitter};

use crate::limits::STABLE_AFTER;

/// What the server, or the way the connection ended, says about coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// With backoff.
    Backoff,
    /// At once, if the connection had lasted.
    AtOnce,
    /// After this time.
    After(Duration),
}

/// Counts attempts and spaces them: full jitter over an exponential backoff, which starts over
/// only after a connection that lasted, so that a server that accepts and closes is not hammered.
#[derive(Debug)]
pub(crate) struct Reconnect {
    backoff: Backoff,
    attempt: u32,
    jitter: Jitter,
}

impl Reconnect {
    pub(crate) const fn new(backoff: Backoff, seed: u64) -> Self {
        Self { backoff, attempt: 0, jitter: Jitter::new(seed) }
    }

    /// The number of the next attempt, from 1.
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt + 1
    }

    /// An attempt failed, or a connection ended after `lasted`: how long to wait.
    pub(crate) fn ended(&mut self, lasted: Option<Duration>, advice: Advice) -> Duration {
        let was_stable = lasted.is_some_and(|lasted| lasted >= STABLE_AFTER);
        if was_stable {
            self.attempt = 0;
        }
        self.attempt = self.attempt.saturating_add(1);
        match advice {
            Advice::After(delay) => delay,
            Advice::AtOnce if self.attempt == 1 => Duration::ZERO,
            Advice::AtOnce | Advice::Backoff => self.delay(),
        }
    }

    /// A random part of `min(cap, base · 2^(attempt - 1))`, at least a tenth of the base so that
    /// no draw makes a hot loop.
    fn delay(&mut self) -> Duration {
        let doublings = self.attempt.saturating_sub(1).min(31);
        let full = self.backoff.base.saturating_mul(1u32 << doublings).min(self.backoff.cap);
        full.mul_f64(self.jitter.fraction()).max(self.backoff.base / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn reconnect(seed: u64) -> Reconnect {
        Reconnect::new(Backoff { base: SECOND / 2, cap: 20 * SECOND }, seed)
    }

    #[test]
    fn waits_a_random_part_of_a_doubling_time() {
        for (attempt, full_ms) in [(1, 500), (2, 1000), (3, 2000), (6, 16_000), (7, 20_000)] {
            let draws: Vec<_> = (0..200)
                .map(|seed| {
                    let mut reconnect = reconnect(seed);
                    (1..attempt).for_each(|_| {
                        reconnect.ended(None, Advice::Backoff);
                    });
                    reconnect.ended(None, Advice::Backoff)
                })
                .collect();
            let full = Duration::from_millis(full_ms);
            assert!(draws.iter().all(|d| (SECOND / 20..=full).contains(d)), "{attempt}");
            // The whole range is used: full jitter.
            assert!(draws.iter().any(|d| *d < full / 4) && draws.iter().any(|d| *d > full * 3 / 4));
        }
    }

    #[test]
    fn comes_back_at_once_only_if_the_connection_had_lasted() {
        let mut reconnect = reconnect(1);
        assert_eq!(reconnect.ended(Some(60 * SECOND), Advice::AtOnce), Duration::ZERO);
        assert!(reconnect.ended(Some(SECOND / 100), Advice::AtOnce) > Duration::ZERO);
        assert_eq!(reconnect.attempt(), 3);
        assert_eq!(reconnect.ended(Some(60 * SECOND), Advice::AtOnce), Duration::ZERO);
    }

    #[test]
    fn does_what_the_server_asks() {
        let mut reconnect = reconnect(1);
        let asked = Duration::from_millis(1234);
        assert_eq!(reconnect.ended(None, Advice::After(asked)), asked);
    }
}
