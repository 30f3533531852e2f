//! How long publishes take.

use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Upper bounds of the buckets: from a quarter of a millisecond, which a sync of a fast disk takes, by
/// doubling to eight seconds, after which a publisher has given up.
const BUCKETS: (f64, f64, u16) = (0.000_25, 2.0, 16);

/// Times from handing publishes to the store to their outcome. A submission counts once, however
/// many messages it has.
#[derive(Clone, Debug)]
pub(crate) struct PublishTimes(Histogram);

impl PublishTimes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let (start, factor, count) = BUCKETS;
        let times = Histogram::new(exponential_buckets(start, factor, count));
        registry.register(
            "publish_seconds",
            "Time from handing publishes to the store to their outcome, by submission",
            times.clone(),
        );
        Self(times)
    }

    pub(crate) fn observe(&self, taken: Duration) {
        self.0.observe(taken.as_secs_f64());
    }
}
