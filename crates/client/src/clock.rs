//! The one place that asks what time it is; everything that decides is given the time.

use tidings_core::{Instant, Timestamp};

/// A monotonic clock that counts from the client's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        let elapsed = self.origin.elapsed().as_millis();
        Instant::from_ms(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// Waits until `at`; for ever without one.
    pub(crate) async fn wait_until(self, at: Option<Instant>) {
        match at {
            Some(at) => {
                let since_origin = std::time::Duration::from_millis(at.as_ms());
                tokio::time::sleep_until(self.origin + since_origin).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// The wall clock, for the end of tokens and nothing else.
pub(crate) fn wall_now() -> Timestamp {
    let since_epoch =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
