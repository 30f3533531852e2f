//! The one place that reads clocks. Everything else is told the time.

use tidings_core::{Instant, Timestamp};

/// The monotonic clock of this process and the wall clock of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// Time since the start; never goes back.
    pub(crate) fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }

    /// The wall clock; may jump.
    pub(crate) fn wall() -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = since_epoch.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        Timestamp::from_ms(ms)
    }
}

/// When something began, on both clocks, to the nanosecond: for spans of traces, which last for
/// less than the millisecond that decisions are made to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    wall_ns: u64,
    monotonic: std::time::Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self { wall_ns: since_epoch.map_or(0, nanoseconds), monotonic: std::time::Instant::now() }
    }

    /// Time since the start.
    pub(crate) fn elapsed(self) -> std::time::Duration {
        self.monotonic.elapsed()
    }

    /// When it was started: nanoseconds since the Unix epoch.
    pub(crate) const fn started_ns(self) -> u64 {
        self.wall_ns
    }

    /// Now, as if the wall clock had not been set since the start.
    pub(crate) fn now_ns(self) -> u64 {
        self.wall_ns.saturating_add(nanoseconds(self.monotonic.elapsed()))
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
