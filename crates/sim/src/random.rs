//! Chance that is a function of a seed.

use tidings_core::Jitter;

/// A seeded source of choices.
#[derive(Clone, Debug)]
pub(crate) struct Random(Jitter);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Seeds 0, 1, 2 … would otherwise share most of their choices with their neighbours.
        let mut spread = Jitter::new(seed);
        Self(Jitter::new(spread.next_u64()))
    }

    /// From 0 up to but not including `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// From `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// An index of something with `len` elements.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A seed for another source.
    pub(crate) const fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }
}
