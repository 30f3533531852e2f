//! Giving memory back: what a storm of clients or messages needed is not kept for the next one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often to look whether the server is quiet.
const PAUSE: Duration = Duration::from_secs(4);

/// A server is quiet that uses less than one part of its cores in so many.
const QUIET_PART: u32 = 10;

/// What there is to give back after less work than this is not worth the call.
const WORTH: Duration = Duration::from_millis(50);

/// What the server has worked, and when it last gave memory back.
#[derive(Debug)]
struct Work {
    seen: Duration,
    returned: Duration,
}

impl Work {
    /// Whether to give memory back now that the process has worked for `total`, of which the last
    /// part lay in a pause of `cores` cores: in a busy one others would wait for it.
    fn is_to_return(&mut self, total: Duration, cores: u32) -> bool {
        let lately = total.saturating_sub(self.seen);
        self.seen = total;
        let quiet = lately < PAUSE * cores / QUIET_PART;
        let worth = total.saturating_sub(self.returned) >= WORTH;
        if quiet && worth {
            self.returned = total;
        }
        quiet && worth
    }
}

/// Gives memory back to the system whenever the server has worked and is quiet again. Never ends.
pub(crate) async fn return_when_quiet() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    let mut work = Work { seen: worked(), returned: Duration::ZERO };
    loop {
        tokio::time::sleep(PAUSE).await;
        if work.is_to_return(worked(), cores) {
            // It may take milliseconds, which are not to be another task's.
            let _ = tokio::task::spawn_blocking(tidings_memory::return_free_pages).await;
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
        let mut work = Work { seen: seconds(1.0), returned: seconds(0.9) };
        assert!(!work.is_to_return(seconds(2.0), 2), "busy: 1 s of 8");
        assert!(work.is_to_return(seconds(2.1), 2), "quiet again");
        assert!(!work.is_to_return(seconds(2.14), 2), "nothing was done since");
        assert!(work.is_to_return(seconds(2.16), 2), "a little now and then adds up");
        assert!(!work.is_to_return(seconds(4.0), 2));
        assert!(work.is_to_return(seconds(5.0), 64), "a larger machine is quiet with more");
    }
}
