//! Running many seeds, and saying how to replay the one that failed.

use std::fmt::Write as _;

use crate::run::{Layer, run};
use crate::sometimes::{Coverage, Sometimes};
use crate::trace::Tracing;

/// Which seeds to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// This one, with its trace printed.
    One(u64),
    /// So many, from 0.
    Many(u64),
}

impl Seeds {
    /// `TIDINGS_SIM_SEED` for one, `TIDINGS_SIM_SEEDS` for how many, else `otherwise` many.
    ///
    /// # Panics
    ///
    /// If a variable is set to something that is not a number.
    pub fn from_environment(otherwise: u64) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
        };
        match number("TIDINGS_SIM_SEED") {
            Some(seed) => Self::One(seed),
            None => Self::Many(number("TIDINGS_SIM_SEEDS").unwrap_or(otherwise)),
        }
    }

    /// Runs them all. An error is the first violation with the trace that led to it, or what
    /// no seed has met.
    pub fn run(self, layer: Layer) -> Result<Coverage, String> {
        match self {
            Self::One(seed) => {
                let one = run(layer, seed, None, Tracing::On);
                println!("{}", one.trace.lines().join("\n"));
                match one.verdict {
                    Ok(()) => Ok(one.coverage),
                    Err(violation) => Err(format!("seed {seed}: {violation}")),
                }
            }
            Self::Many(count) => run_many(layer, count),
        }
    }
}

/// Fewer seeds than this are not expected to meet everything.
const SEEDS_MEET_ALL: u64 = 1_000;

fn run_many(layer: Layer, count: u64) -> Result<Coverage, String> {
    let mut coverage = Coverage::default();
    for seed in 0..count {
        let one = run(layer, seed, None, Tracing::Off);
        if one.verdict.is_err() {
            return Err(failure(layer, seed));
        }
        coverage.add(&one.coverage);
    }
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
        "\n{name} layer, seed {seed}: {violation}\n\
         the whole trace: TIDINGS_SIM_SEED={seed} cargo test -p tidings-sim {name} -- --nocapture"
    )
    .expect("writing to a string cannot fail");
    text
}
