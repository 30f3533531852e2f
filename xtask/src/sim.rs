//! `cargo xtask sim`: the seeded simulation, over more seeds than a test run takes, or over the
//! one that failed.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;

use crate::step::Step;

/// Which seeds to run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Seeds {
    /// The first seed; a failing run prints its own
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many seeds, counted from the first
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// As many seeds as a night should take, other ones each day: 100000 of each layer, optimised
    #[arg(long, conflicts_with_all = ["seed", "seeds", "release"])]
    nightly: bool,
    /// Build optimised: worth it from some thousands of seeds on
    #[arg(long)]
    release: bool,
}

/// Runs the tests of the simulation over these seeds.
pub(crate) fn run(root: &Path, seeds: &Seeds) -> Result<()> {
    step(seeds).run(root)?;
    Ok(())
}

/// How many seeds a night takes.
const NIGHTLY_SEEDS: u64 = 100_000;

/// The first seed of a night: no two nights have seeds in common.
fn tonight() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / (24 * 60 * 60) * NIGHTLY_SEEDS
}

fn step(seeds: &Seeds) -> Step {
    let arguments = if seeds.release || seeds.nightly {
        "test --package tidings-sim --release --locked -- --nocapture"
    } else {
        "test --package tidings-sim --locked -- --nocapture"
    };
    let mut step = Step::cargo("simulation", arguments);
    if seeds.nightly {
        return step
            .with_env("TIDINGS_SIM_SEED", tonight().to_string())
            .with_env("TIDINGS_SIM_SEEDS", NIGHTLY_SEEDS.to_string());
    }
    if let Some(seed) = seeds.seed {
        step = step.with_env("TIDINGS_SIM_SEED", seed.to_string());
    }
    // A seed alone means that seed alone: somebody is replaying a failure.
    if let Some(count) = seeds.seeds.or(seeds.seed.map(|_| 1)) {
        step = step.with_env("TIDINGS_SIM_SEEDS", count.to_string());
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_alone_is_replayed_alone() {
        let step = step(&Seeds { seed: Some(77), seeds: None, nightly: false, release: false });
        assert_eq!(
            step.to_string(),
            "TIDINGS_SIM_SEED=77 TIDINGS_SIM_SEEDS=1 \
             cargo test --package tidings-sim --locked -- --nocapture"
        );
    }

    #[test]
    fn without_flags_the_tests_choose() {
        let step = step(&Seeds { seed: None, seeds: None, nightly: false, release: true });
        assert_eq!(
            step.to_string(),
            "cargo test --package tidings-sim --release --locked -- --nocapture"
        );
    }

    #[test]
    fn a_night_takes_many_seeds_of_its_own() {
        let step = step(&Seeds { seed: None, seeds: None, nightly: true, release: false });
        let line = step.to_string();
        assert!(line.contains(&format!("TIDINGS_SIM_SEED={} ", tonight())), "{line}");
        assert!(line.contains("TIDINGS_SIM_SEEDS=100000 ") && line.contains("--release"), "{line}");
    }
}
