//! Clocks, as a value: stamps and retention read the wall clock, deduplication keys age by one that
//! nobody sets, and tests move both.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidings_core::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall-clock time now.
    fn now(&self) -> Timestamp;

    /// The time that has passed since some moment, the same for as long as the process runs. It
    /// goes on evenly when the wall clock is set.
    fn running(&self) -> Duration;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A clock before 1970 reads as 1970.
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn running(&self) -> Duration {
        static FIRST_ASKED: OnceLock<Instant> = OnceLock::new();
        FIRST_ASKED.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that moves only when told: for tests and simulation.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicU64,
    running_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self { wall_ms: AtomicU64::new(start.as_ms()), running_ms: AtomicU64::new(0) }
    }

    /// Sets the wall clock to `time`, which may lie before: no time passes.
    pub fn set(&self, time: Timestamp) {
        self.wall_ms.store(time.as_ms(), Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.running_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.wall_ms.load(Ordering::SeqCst))
    }

    fn running(&self) -> Duration {
        Duration::from_millis(self.running_ms.load(Ordering::SeqCst))
    }
}
