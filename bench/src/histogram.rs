//! A histogram of durations with a bounded relative error, small and cheap to add to.

use std::time::Duration;

/// Each power of two is divided into 2^this buckets, so a value is known to within 1/64.
const SUB_BITS: u32 = 6;
const SUB_BUCKETS: usize = 1 << SUB_BITS;
/// Below `SUB_BUCKETS` nanoseconds each value has its bucket; above, each power of two has
/// `SUB_BUCKETS` of them, up to 2^64.
const BUCKETS: usize = SUB_BUCKETS * (64 - SUB_BITS as usize + 1);

/// Counts of durations by nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: Duration::ZERO }
    }

    pub(crate) fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) const fn max(&self) -> Duration {
        self.max
    }

    /// A value that at least `share` (0 to 1) of all values do not exceed by more than the
    /// histogram's error; zero when nothing was recorded.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper_bound(index)).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < SUB_BUCKETS as u64 {
        return nanos as usize;
    }
    let exponent = nanos.ilog2() - SUB_BITS;
    let within = (nanos >> exponent) as usize - SUB_BUCKETS;
    SUB_BUCKETS * (exponent as usize + 1) + within
}

/// The largest value that falls into this bucket.
fn upper_bound(index: usize) -> u64 {
    if index < SUB_BUCKETS {
        return index as u64;
    }
    let exponent = (index / SUB_BUCKETS - 1) as u32;
    let within = (index % SUB_BUCKETS + SUB_BUCKETS) as u64;
    (within << exponent) + ((1 << exponent) - 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn quantiles_are_within_two_percent_of_the_sorted_values() {
        // A multiplicative generator: spread over six orders of magnitude, the same each time.
        let mut state = 88_172_645_463_325_252_u64;
        let mut values = Vec::new();
        let mut histogram = Histogram::new();
        for _ in 0..100_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = 1_u64 << (state % 30);
            let value = value + state % value;
            values.push(value);
            histogram.record(Duration::from_nanos(value));
        }
        values.sort_unstable();
        for share in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = values[((values.len() as f64 * share).ceil() as usize).max(1) - 1] as f64;
            let told = histogram.quantile(share).as_nanos() as f64;
            assert!(told >= exact && told <= exact * 1.02, "{share}: {exact} told as {told}");
        }
        assert_eq!(histogram.max().as_nanos() as u64, values[values.len() - 1]);
        assert_eq!(histogram.total(), 100_000);
    }

    #[test]
    fn every_bucket_holds_its_own_upper_bound_and_nothing_above() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(upper_bound(index)), index);
            if let Some(next) = upper_bound(index).checked_add(1) {
                assert_eq!(bucket(next), index + 1);
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn an_empty_histogram_says_zero() {
        assert_eq!(Histogram::new().quantile(0.99), Duration::ZERO);
    }
}
