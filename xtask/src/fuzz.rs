//! `cargo xtask fuzz`: mutated bytes for the decoders, for longer than a test run takes. With
//! cargo-fuzz installed it is libFuzzer on the targets in `fuzz/`; without it, the seeded tests
//! of the decoders with more iterations.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::step::Step;
use crate::tools::CARGO_FUZZ;

/// Iterations of the first, measuring run of the seeded tests.
const ITERATIONS_FIRST: u64 = 100_000;

/// How long to look.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Length {
    /// About how long to run in all, building aside
    #[arg(long, value_name = "N", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// Runs the fuzzer that is here.
pub(crate) fn run(root: &Path, length: &Length) -> Result<()> {
    let total = Duration::from_secs(length.seconds);
    if CARGO_FUZZ.is_here_or_say("the seeded tests run instead") {
        return run_libfuzzer(&root.join("fuzz"), total);
    }
    seeded(None).run(root)?;
    let started = Instant::now();
    let first = seeded(Some(ITERATIONS_FIRST)).run(root)?;
    let left = total.saturating_sub(started.elapsed());
    if let Some(iterations) = iterations_for(left, first) {
        seeded(Some(iterations)).run(root)?;
    }
    Ok(())
}

/// The tests of the decoders: built only, or run with this many iterations.
fn seeded(iterations: Option<u64>) -> Step {
    let test = "test --package tidings-protocol --release --locked";
    match iterations {
        None => Step::cargo("build", &format!("{test} --no-run")),
        Some(iterations) => Step::cargo("seeded tests", test)
            .with_env("TIDINGS_FUZZ_ITERATIONS", iterations.to_string()),
    }
}

/// How many iterations fill the time that is left, going by the first run; `None` when they
/// would be fewer than it had, so that a second run would show nothing new.
fn iterations_for(left: Duration, first: Duration) -> Option<u64> {
    let per_second = u128::from(ITERATIONS_FIRST) * 1000 / first.as_millis().max(1);
    let iterations = u64::try_from(per_second * left.as_millis() / 1000).unwrap_or(u64::MAX);
    (iterations > ITERATIONS_FIRST).then_some(iterations)
}

fn run_libfuzzer(folder: &Path, total: Duration) -> Result<()> {
    let output = Command::new("cargo")
        .args(["fuzz", "list"])
        .current_dir(folder)
        .output()
        .with_context(|| format!("cannot list the fuzz targets of {}", folder.display()))?;
    if !output.status.success() {
        bail!("`cargo fuzz list` failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let targets: Vec<&str> = listed.split_whitespace().collect();
    if targets.is_empty() {
        bail!("no fuzz targets in {}: add one to its Cargo.toml", folder.display());
    }
    let each = (total.as_secs() / targets.len() as u64).max(1);
    for target in targets {
        let arguments = format!("fuzz run {target} -- -max_total_time={each}");
        Step::cargo("libFuzzer", &arguments).run(folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_fills_the_time_that_is_left() {
        let iterations = iterations_for(Duration::from_secs(50), Duration::from_secs(2));
        assert_eq!(iterations, Some(2_500_000));
    }

    #[test]
    fn no_second_run_when_it_would_be_shorter_than_the_first() {
        assert_eq!(iterations_for(Duration::from_secs(1), Duration::from_secs(2)), None);
        assert_eq!(iterations_for(Duration::ZERO, Duration::ZERO), None);
    }
}
