//! `cargo xtask soak`: the soak of the end-to-end tests, longer and against an optimised server.

use std::path::Path;

use anyhow::Result;

use crate::step::Step;

/// How long to make trouble.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Length {
    /// How long the server is killed again and again; what is owed then takes some seconds more
    #[arg(long, value_name = "N", default_value_t = 120)]
    #[arg(value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Repeat the choices of a run; threads still take turns as they like
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs the soak and shows its progress.
pub(crate) fn run(root: &Path, length: &Length) -> Result<()> {
    step(length).run(root)?;
    Ok(())
}

fn step(length: &Length) -> Step {
    let arguments = "test --package tidings --test it --release --locked -- soak:: --nocapture";
    let step =
        Step::cargo("soak", arguments).with_env("TIDINGS_SOAK_SECONDS", length.seconds.to_string());
    match length.seed {
        Some(seed) => step.with_env("TIDINGS_E2E_SEED", seed.to_string()),
        None => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_repeated_by_its_seed() {
        assert_eq!(
            step(&Length { seconds: 120, seed: Some(7) }).to_string(),
            "TIDINGS_SOAK_SECONDS=120 TIDINGS_E2E_SEED=7 cargo test --package tidings --test it \
             --release --locked -- soak:: --nocapture"
        );
    }
}
