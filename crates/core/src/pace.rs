//! How fast what could be done at once is done, so that whoever it reaches is not flooded.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::time::Instant;

/// Turns at a steady rate, in pieces: whoever takes some is told when they are due.
///
/// After a rest nothing was saved up: no more than [`at_once`](Self::at_once) go before the next
/// has to wait, whatever was before.
#[derive(Clone, Debug)]
pub struct Pace {
    per_second: NonZeroU32,
    /// When the next ones may go.
    next: Instant,
    /// What whole milliseconds left over: thousandths of a turn.
    left_over: u64,
}

impl Pace {
    /// At most so many a second.
    pub const fn new(per_second: NonZeroU32) -> Self {
        Self { per_second, next: Instant::ORIGIN, left_over: 0 }
    }

    /// The largest piece that is even enough: a tenth of a second's turns, and at least one.
    pub const fn at_once(&self) -> usize {
        let tenth = self.per_second.get() / 10;
        if tenth == 0 { 1 } else { tenth as usize }
    }

    /// Takes `count` turns and says when they are due. If that is later than `until`, none are
    /// taken, and the moment is the error.
    pub fn take(&mut self, count: usize, now: Instant, until: Instant) -> Result<Instant, Instant> {
        if now > self.next {
            self.left_over = 0;
        }
        let due = self.next.max(now);
        if due > until {
            return Err(due);
        }
        let thousandths = self.left_over.saturating_add((count as u64).saturating_mul(1000));
        let per_second = u64::from(self.per_second.get());
        self.left_over = thousandths % per_second;
        self.next = due + Duration::from_millis(thousandths / per_second);
        Ok(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    const NEVER: Instant = Instant::from_ms(u64::MAX);

    fn pace(per_second: u32) -> Pace {
        Pace::new(NonZeroU32::new(per_second).unwrap())
    }

    /// Also where a turn is no whole number of milliseconds.
    #[test]
    fn a_second_never_has_more_turns_than_its_rate_and_one_piece() {
        for per_second in [1, 3, 7, 10, 300, 999, 1000, 1001, 7000, 100_000] {
            let mut pace = pace(per_second);
            let piece = pace.at_once();
            let mut turns = Vec::new();
            let mut now = at(5);
            while turns.len() < 40 {
                now = pace.take(piece, now, NEVER).unwrap();
                turns.push(now.as_ms());
            }
            for (first, from) in turns.iter().enumerate() {
                let within = turns[first..].iter().filter(|turn| **turn < from + 1000).count();
                let most = per_second as usize + piece;
                assert!(within * piece <= most, "{per_second} a second: {turns:?}");
            }
            // And it is used: the last of them is due no later than it must be.
            let must = 5 + 39 * piece as u64 * 1000 / u64::from(per_second);
            assert!(turns[39] <= must, "{per_second} a second: {turns:?}");
        }
    }

    #[test]
    fn a_rest_saves_nothing_up() {
        let mut pace = pace(100);
        assert_eq!(pace.take(10, at(0), NEVER), Ok(at(0)));
        assert_eq!(pace.take(10, at(60_000), NEVER), Ok(at(60_000)));
        assert_eq!(pace.take(10, at(60_000), NEVER), Ok(at(60_100)));
    }

    #[test]
    fn who_would_wait_too_long_takes_none() {
        let mut pace = pace(10);
        assert_eq!(pace.take(50, at(0), at(0)), Ok(at(0)));
        assert_eq!(pace.take(1, at(1000), at(4999)), Err(at(5000)));
        assert_eq!(pace.take(1, at(1000), at(5000)), Ok(at(5000)));
    }
}
