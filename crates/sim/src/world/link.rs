//! One direction of a connection: late, but in order.

use std::time::Duration;

use tidings_core::Instant;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    last: Instant,
}

impl Link {
    /// When a frame sent at `now` arrives: after `latency_ms`, and after every earlier one.
    pub(super) fn arrival(&mut self, now: Instant, latency_ms: u64) -> Instant {
        self.last = self.last.max(now + Duration::from_millis(latency_ms));
        self.last
    }
}
