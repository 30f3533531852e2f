//! Running many seeds, and saying how to replay the one that failed.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::run::{Layer, run};
use crate::sometimes::{Coverage, Sometimes};
use crate::trace::{Trace, Tracing};

/// Which seeds to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// This one, with its trace printed.
    One(u64),
    /// So many, from a first one on.
    Many {
        /// The first.
        first: u64,
        /// How many.
        count: u64,
    },
}

impl Seeds {
    /// `TIDINGS_SIM_SEED` for the first, `TIDINGS_SIM_SEEDS` for how many. The first alone means
    /// that one alone; without both, `otherwise` many from 0.
    ///
    /// # Panics
    ///
    /// If a variable is set to something that is not a number.
    pub fn from_environment(otherwise: u64) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
        };
        match (number("TIDINGS_SIM_SEED"), number("TIDINGS_SIM_SEEDS")) {
            (Some(seed), None | Some(1)) => Self::One(seed),
            (first, count) => {
                Self::Many { first: first.unwrap_or(0), count: count.unwrap_or(otherwise) }
            }
        }
    }

    /// Runs them all. An error is the first violation with the trace that led to it, or what
    /// no seed has met.
    pub fn run(self, layer: Layer) -> Result<Coverage, String> {
        match self {
            Self::One(seed) => run_one(layer, seed),
            Self::Many { first, count } => run_many(layer, first..first.saturating_add(count)),
        }
    }
}

/// Runs one seed twice, prints what happened with its hash, and compares the two.
fn run_one(layer: Layer, seed: u64) -> Result<Coverage, String> {
    let one = run(layer, seed, None, Tracing::On);
    println!("{}", one.trace.lines().join("\n"));
    println!("{}", told_of(layer, seed, &one.trace));
    let again = run(layer, seed, None, Tracing::Hashed);
    if again.trace.hash() != one.trace.hash() {
        let again = told_of(layer, seed, &again.trace);
        return Err(format!("seed {seed} did not replay. The second time: {again}"));
    }
    match one.verdict {
        Ok(()) => Ok(one.coverage),
        Err(violation) => Err(format!("seed {seed}: {violation}")),
    }
}

/// The line by which two runs of a seed are compared.
fn told_of(layer: Layer, seed: u64, trace: &Trace) -> String {
    let hash = trace.hash().map(|hash| hash.to_string()).unwrap_or_default();
    format!("{} layer, seed {seed}: {} events, hash {hash}", layer.as_str(), trace.count())
}

/// Fewer seeds than this are not expected to meet everything.
const SEEDS_MEET_ALL: u64 = 1_000;

/// Seeds that one thread takes at a time.
const SEEDS_AT_ONCE: u64 = 64;

/// After how many seeds a long run says how far it is.
const SEEDS_TOLD: u64 = 10_000;

/// What threads that share the seeds have found.
#[derive(Debug, Default)]
struct Found {
    coverage: Coverage,
    /// The first seed that breaks a promise, of those that were run.
    broken: Option<u64>,
}

fn run_many(layer: Layer, seeds: Range<u64>) -> Result<Coverage, String> {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(Found::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| run_some(layer, &seeds, &next, &found));
        }
    });
    let Found { coverage, broken } = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(seed) = broken {
        return Err(failure(layer, seed));
    }
    let count = seeds.end - seeds.start;
    let unmet: Vec<_> = Sometimes::of(layer)
        .filter(|kind| coverage.count(*kind) == 0)
        .map(|k| k.as_str())
        .collect();
    if unmet.is_empty() || count < SEEDS_MEET_ALL {
        Ok(coverage)
    } else {
        Err(format!("{count} seeds of the {} layer never met: {unmet:?}", layer.as_str()))
    }
}

/// Runs seeds that nobody else has taken, until there are none or one is broken.
fn run_some(layer: Layer, seeds: &Range<u64>, next: &AtomicU64, found: &Mutex<Found>) {
    loop {
        let first = next.fetch_add(SEEDS_AT_ONCE, Ordering::Relaxed);
        tell_progress(layer, seeds, first);
        let mut coverage = Coverage::default();
        let mut broken = None;
        for seed in first..seeds.end.min(first.saturating_add(SEEDS_AT_ONCE)) {
            let one = run(layer, seed, None, Tracing::Off);
            coverage.add(&one.coverage);
            if one.verdict.is_err() {
                broken = Some(seed);
                break;
            }
        }
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.coverage.add(&coverage);
        found.broken = found.broken.into_iter().chain(broken).min();
        if first >= seeds.end || found.broken.is_some() {
            return;
        }
    }
}

/// Says how far a long run is, when `first` is about to be run.
fn tell_progress(layer: Layer, seeds: &Range<u64>, first: u64) {
    let (done, count) = (first.saturating_sub(seeds.start), seeds.end - seeds.start);
    let is_next = done % SEEDS_TOLD < SEEDS_AT_ONCE;
    if done >= SEEDS_TOLD && done < count && is_next {
        println!("{} layer: {} of {count} seeds", layer.as_str(), done - done % SEEDS_TOLD);
    }
}

/// The last lines before a violation, and how to see the rest.
fn failure(layer: Layer, seed: u64) -> String {
    const LINES_SHOWN: usize = 60;
    let again = run(layer, seed, None, Tracing::On);
    let lines = again.trace.lines();
    let mut text = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    let name = layer.as_str();
    let violation = match again.verdict {
        Ok(()) => "the second run of the same seed kept every promise".to_owned(),
        Err(violation) => violation.to_string(),
    };
    write!(
        text,
        "\n{}\n{violation}\n\
         the whole trace: TIDINGS_SIM_SEED={seed} cargo test -p tidings-sim {name} -- --nocapture",
        told_of(layer, seed, &again.trace)
    )
    .expect("writing to a string cannot fail");
    text
}
