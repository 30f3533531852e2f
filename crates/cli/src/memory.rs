//! Giving memory back: what a storm of clients or messages needed is not kept for the next one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often to look whether the server is quiet.
const PAUSE: Duration = Duration::from_secs(4);

/// A server is quiet that uses less than one part of one core in so many.
const QUIET_PART: u32 = 10;

/// After less work than this there is little to give back.
const WORTH: Duration = Duration::from_millis(250);

/// Giving back may take one part in so many of the work before it.
const COST_PART: u32 = 20;

/// What the server has worked, as CPU time since the start of the process.
#[derive(Debug, Default)]
struct Work {
    /// By the last look.
    seen: Duration,
    /// When memory was last given back.
    returned: Duration,
    /// What that took.
    cost: Duration,
}

impl Work {
    /// Whether to give memory back now that the process has worked for `total`: after enough work,
    /// and after a pause in which it did next to nothing, or others would wait for it.
    fn is_to_return(&mut self, total: Duration) -> bool {
        let lately = total.saturating_sub(self.seen);
        self.seen = total;
        let quiet = lately < PAUSE / QUIET_PART;
        quiet && total.saturating_sub(self.returned) >= WORTH.max(self.cost * COST_PART)
    }

    /// Memory was given back since it worked for `before`; now it has worked for `total`.
    fn returned(&mut self, before: Duration, total: Duration) {
        self.cost = total.saturating_sub(before);
        (self.seen, self.returned) = (total, total);
    }
}

/// Gives memory back to the system whenever the server has worked and is quiet again. Never ends.
pub(crate) async fn return_when_quiet() {
    let mut work = Work { seen: worked(), ..Work::default() };
    loop {
        tokio::time::sleep(PAUSE).await;
        let before = worked();
        if work.is_to_return(before) {
            // It may take milliseconds, which are not to be another task's.
            let _ = tokio::task::spawn_blocking(tidings_memory::return_free_pages).await;
            work.returned(before, worked());
        }
    }
}

/// The CPU time of this process.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_once_after_work_and_in_quiet() {
        let seconds = Duration::from_secs_f64;
        let mut work = Work { seen: seconds(1.0), returned: seconds(0.9), ..Work::default() };
        assert!(!work.is_to_return(seconds(2.0)), "busy: 1 s of 4");
        assert!(work.is_to_return(seconds(2.1)), "quiet again");
        work.returned(seconds(2.1), seconds(2.11));
        assert!(!work.is_to_return(seconds(2.2)), "nothing was done since");
        assert!(work.is_to_return(seconds(2.4)), "a little now and then adds up");
        work.returned(seconds(2.4), seconds(2.9));
        assert!(!work.is_to_return(seconds(3.2)), "it cost half a second");
        assert!(!work.is_to_return(seconds(12.8)));
        assert!(!work.is_to_return(seconds(12.85)), "not yet twenty times that");
        assert!(work.is_to_return(seconds(12.95)));
    }
}
