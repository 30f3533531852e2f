//! The chores of the project. `cargo xtask check` is the one command to run before a review; the
//! others are parts of it, or longer runs of them. Everything here starts other programs and
//! shows their output as it is: no rule of the product lives in this crate.

mod bans;
mod check;
mod counts;
mod fuzz;
mod sim;
mod soak;
mod step;
mod tools;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::step::Step;

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", about = "The chores of the project")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run everything a change must pass, stop at the first failure
    Check,
    /// Check the house rules only: sizes, names, arrows between crates, links
    Tidy,
    /// Look for banned crates in the dependency tree (the list is in deny.toml)
    Bans,
    /// Count the instructions of the hot functions, and compare (bench/counts.toml)
    Counts,
    /// Simulate the promises of delivery over many seeds, or replay one
    Sim(sim::Seeds),
    /// Kill a real server under load every few seconds, and judge what its clients saw
    Soak(soak::Length),
    /// Feed the decoders with mutated bytes for a while
    Fuzz(fuzz::Length),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Printed here, because a backtrace would push what the failed step said off the
            // screen.
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore) -> Result<()> {
    // Asked at run time: a build folder may be shared by several checkouts, and `env!` would name
    // the one that compiled this program.
    let own_folder = std::env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set: start this with `cargo xtask`")?;
    let root =
        Path::new(&own_folder).parent().context("xtask must lie in a folder of the workspace")?;
    match chore {
        Chore::Check => check::run(root),
        Chore::Tidy => {
            Step::cargo("house rules", "test --package xtask --test tidy --locked").run(root)?;
            Ok(())
        }
        Chore::Bans => bans::run(root),
        Chore::Counts => counts::run(root),
        Chore::Sim(seeds) => sim::run(root, seeds),
        Chore::Soak(length) => soak::run(root, length),
        Chore::Fuzz(length) => fuzz::run(root, length),
    }
}
