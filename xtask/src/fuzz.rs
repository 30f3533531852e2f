//! `cargo xtask fuzz`: coverage-guided fuzzing of the decoders, with the stable compiler.
//!
//! libFuzzer needs its coverage counters, which are an LLVM pass and no unstable feature of the
//! compiler, so neither a nightly toolchain nor cargo-fuzz is needed; only a C++ compiler, since
//! libFuzzer is built from its sources.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::Step;
use crate::tools::{CXX_COMPILER, require};

/// What tells libFuzzer which code an input reached.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// Longest input tried: the frames that break decoders are small.
const INPUT_BYTES_MAX: u32 = 4096;

/// How long to look.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Length {
    /// How long to run in all, building aside
    #[arg(long, value_name = "N", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// Runs every target of `fuzz/` for its part of the time.
pub(crate) fn run(root: &Path, length: &Length) -> Result<()> {
    require(&[CXX_COMPILER])?;
    let folder = root.join("fuzz");
    let host = host()?;
    let build_folder = build_folder(&folder);
    // Naming the target keeps the counters out of build scripts, which could not link with them.
    Step::cargo("build the fuzzers", &format!("build --release --bins --locked --target {host}"))
        .with_env("RUSTFLAGS", COVERAGE)
        .with_env("CARGO_TARGET_DIR", build_folder.display().to_string())
        .run(&folder)?;
    let targets = targets(&folder)?;
    let each = (length.seconds / targets.len() as u64).max(1);
    let found = tempfile::tempdir().context("cannot make a directory for what is found")?;
    for target in &targets {
        // What is new goes into a folder of its own; the corpus in the repository is only read.
        let new = found.path().join(target);
        std::fs::create_dir(&new)?;
        let program = build_folder.join(&host).join("release").join(target);
        let arguments = format!(
            "-max_total_time={each} -max_len={INPUT_BYTES_MAX} -print_final_stats=1 -print_funcs=0 -verbosity=0 \
             -artifact_prefix={}/ {} {}",
            folder.display(),
            new.display(),
            folder.join("corpus").join(target).display()
        );
        Step::program("fuzz", &program.display().to_string(), &arguments).run(&folder)?;
    }
    Ok(())
}

/// Apart from everybody else's, since these flags would rebuild every dependency.
fn build_folder(folder: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(shared) => Path::new(&shared).join("fuzz"),
        None => folder.join("target"),
    }
}

/// The compiler's own target, such as `x86_64-unknown-linux-gnu`.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run `rustc -vV`")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// The fuzzers, by their files.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let sources = folder.join("fuzz_targets");
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(&sources)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        targets.extend(name.map(str::to_owned));
    }
    targets.sort_unstable();
    if targets.is_empty() {
        bail!("no fuzz targets in {}", sources.display());
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus() {
        let own_folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let fuzz = Path::new(&own_folder).join("../fuzz");
        let targets = targets(&fuzz).unwrap();
        assert!(targets.len() >= 5, "{targets:?}");
        for target in targets {
            let corpus = fuzz.join("corpus").join(&target);
            assert!(corpus.read_dir().unwrap().next().is_some(), "{target}");
        }
    }

    #[test]
    fn the_host_is_a_triple() {
        assert!(host().unwrap().split('-').count() >= 3);
    }
}
