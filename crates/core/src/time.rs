//! Two kinds of time that the compiler keeps apart: a monotonic one for decisions, a wall-clock
//! one for data. No deadline is ever computed from the wall clock, so a clock jump changes stamps
//! and nothing else.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// A moment on a monotonic clock, in milliseconds since an origin the caller chose. A moment that
/// may be missing takes no more space than one: connections have several, and there are many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The origin of the clock.
    pub const ORIGIN: Self = Self(NonZeroU64::MIN);

    /// The moment `ms` milliseconds after the origin. The last millisecond of all, half a billion
    /// years later, is the one before it.
    pub const fn from_ms(ms: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(ms))
    }

    /// Milliseconds since the origin.
    pub const fn as_ms(self) -> u64 {
        self.0.get() - 1
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ORIGIN
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.as_ms()).finish()
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(duration_ms(rhs)))
    }
}

/// A wall-clock time, in milliseconds since the Unix epoch. Data, never a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time `ms` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The time `by` later, at most the largest that can be represented.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(duration_ms(by)))
    }

    /// The time `by` earlier, at least the Unix epoch.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(duration_ms(by)))
    }
}

fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
