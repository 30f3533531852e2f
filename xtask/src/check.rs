//! `cargo xtask check`: everything a change must pass, in the order in which failures are cheap.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::step::{Step, seconds};
use crate::tools::{
    self, C_COMPILER, CHROMIUM, CLIPPY, CXX_COMPILER, DENY, NEXTEST, NODE, PYTHON, RUSTFMT,
    VALGRIND,
};

/// Runs every step, stops at the first that fails.
pub(crate) fn run(root: &Path) -> Result<()> {
    let started = Instant::now();
    tools::require(&[RUSTFMT, CLIPPY, C_COMPILER])?;
    let nextest = NEXTEST.is_here_or_say("tests run with `cargo test`");
    let deny = DENY.is_here_or_say("licences and sources are NOT checked");
    let fuzzer = CXX_COMPILER.is_here_or_say("decoders are fuzzed by their seeded tests alone");
    let node =
        NODE.is_here_or_say("the SDK for TypeScript, the console and the chat are NOT checked");
    let browser = CHROMIUM.is_here_or_say("nothing is tried in a browser");
    let python = PYTHON.is_here_or_say("the SDKs are NOT held against the conformance suite");
    let valgrind = VALGRIND.is_here_or_say("instructions of hot functions are NOT counted");

    let mut done = Vec::new();
    for step in steps(Optional { nextest, deny, fuzzer, node, browser, python, valgrind }) {
        let elapsed = step.run(root)?;
        done.push((step.title(), elapsed));
    }

    println!();
    for (title, elapsed) in &done {
        println!("ok {:>10}  {title}", seconds(*elapsed));
    }
    println!("check passed: {} steps in {}", done.len(), seconds(started.elapsed()));
    Ok(())
}

/// Tools that change which steps there are.
#[derive(Clone, Copy, Debug)]
struct Optional {
    nextest: bool,
    deny: bool,
    fuzzer: bool,
    node: bool,
    browser: bool,
    python: bool,
    valgrind: bool,
}

fn steps(optional: Optional) -> Vec<Step> {
    let mut steps = vec![
        Step::cargo("format", "fmt --all --check"),
        Step::cargo("banned crates", "xtask bans"),
        Step::cargo("lints", "clippy --workspace --all-targets --locked -- -D warnings"),
        // Its one condition on a feature is in no other build.
        Step::cargo(
            "lints of the fault points",
            "clippy --package tidings-storage --features fault-points --locked -- -D warnings",
        ),
        // End-to-end tests start the binary `tidings`, so it is built before any test runs.
        // Building the tests along with it keeps one set of dependency features: `--bin tidings`
        // alone would compile the dependencies a second time.
        Step::cargo("build", "build --workspace --bins --tests --locked"),
        Step::cargo(
            "tests",
            if optional.nextest {
                "nextest run --workspace --locked"
            } else {
                "test --workspace --tests --locked"
            },
        ),
        Step::cargo("doc tests", "test --workspace --doc --locked"),
        Step::cargo("documentation", "doc --workspace --no-deps --locked")
            .with_env("RUSTDOCFLAGS", "-Dwarnings"),
    ];
    if optional.valgrind {
        steps.push(Step::cargo("instruction counts", "xtask counts"));
    }
    steps.extend(for_people(optional));
    if optional.fuzzer {
        steps.push(Step::cargo("fuzzing", "xtask fuzz --seconds 20"));
    }
    if optional.deny {
        steps.push(Step::cargo("licences and sources", "deny check licenses bans sources"));
    }
    steps
}

/// What people touch: SDKs, pages, and the suite that both SDKs have to pass.
fn for_people(optional: Optional) -> Vec<Step> {
    let Optional { node, browser, python, .. } = optional;
    let mut steps = Vec::new();
    if node {
        steps.push(Step::program("web", "node", "scripts/web/check.mjs"));
    }
    if python {
        let (run, tests) = ("sdk/conformance/run", "-m unittest discover sdk/conformance/tests");
        steps.push(Step::program("the conformance suite itself", "python3", tests));
        steps.push(Step::program("conformance of the Rust SDK", run, "rust"));
        steps.push(Step::program("a conformance suite that notices", run, "--prove rust"));
        if node {
            steps.push(Step::program("conformance of the TypeScript SDK", run, "typescript"));
        }
    }
    if browser && python {
        steps.push(Step::program("event streams in a browser", "scripts/browser/run", ""));
    }
    if browser && node {
        steps.push(Step::program("chat and console in a browser", "npm", "run browser"));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(optional: Optional) -> Vec<&'static str> {
        steps(optional).iter().map(Step::title).collect()
    }

    #[test]
    fn the_binary_is_built_before_the_tests() {
        let titles = titles(Optional {
            nextest: true,
            deny: true,
            fuzzer: true,
            node: true,
            browser: true,
            python: true,
            valgrind: true,
        });
        let place = |wanted| titles.iter().position(|title| *title == wanted).unwrap();
        assert!(place("build") < place("tests"), "{titles:?}");
    }

    #[test]
    fn tests_run_with_or_without_nextest() {
        for nextest in [true, false] {
            let steps = steps(Optional {
                nextest,
                deny: false,
                fuzzer: true,
                node: true,
                browser: true,
                python: true,
                valgrind: true,
            });
            let tests = steps.iter().find(|step| step.title() == "tests").unwrap();
            assert_eq!(tests.to_string().contains("nextest"), nextest);
        }
    }

    #[test]
    fn every_cargo_step_that_resolves_is_locked() {
        for step in steps(Optional {
            nextest: false,
            deny: false,
            fuzzer: true,
            node: true,
            browser: true,
            python: true,
            valgrind: true,
        }) {
            let command = step.to_string();
            let resolves = command.contains("cargo ")
                && !command.contains(" fmt ")
                && !command.contains(" xtask ");
            assert_eq!(command.contains("--locked"), resolves, "{command}");
        }
    }
}
