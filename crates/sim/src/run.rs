//! One seed of one layer.

use crate::mutation::Mutation;
use crate::sometimes::Coverage;
use crate::trace::{Trace, Tracing};
use crate::violation::Violation;
use crate::{group, window, world};

/// Which simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// One delivery window against a model.
    Window,
    /// One group and its members against a model.
    Group,
    /// Publishers, store, server and subscribers against a checked history.
    World,
    /// The same over the real embedded store on a simulated disk.
    Disk,
}

impl Layer {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Window, Self::Group, Self::World, Self::Disk];

    /// The word in messages and in the names of tests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Group => "group",
            Self::World => "world",
            Self::Disk => "disk",
        }
    }
}

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whether every promise was kept.
    pub verdict: Result<(), Violation>,
    /// What the run met.
    pub coverage: Coverage,
    /// What happened, if it was to be written down.
    pub trace: Trace,
}

/// Runs one seed, with one promise broken on purpose if a mutation is given.
pub fn run(layer: Layer, seed: u64, mutation: Option<Mutation>, tracing: Tracing) -> Run {
    // A broken invariant panics in the middle: say which seed it was.
    let _said = SaidOnPanic { layer, seed };
    match layer {
        Layer::Window => window::run(seed, mutation, tracing),
        Layer::Group => group::run(seed, mutation, tracing),
        Layer::World | Layer::Disk => world::run(layer, seed, mutation, tracing),
    }
}

struct SaidOnPanic {
    layer: Layer,
    seed: u64,
}

impl Drop for SaidOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was seed {} of the {} layer", self.seed, self.layer.as_str());
        }
    }
}
