//! One command of a chore: a heading, the command's own output untouched, the time it took, and
//! how to repeat it when it fails.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A command with a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    title: &'static str,
    program: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Step {
    /// A cargo command; `arguments` are separated by spaces.
    pub(crate) fn cargo(title: &'static str, arguments: &str) -> Self {
        Self::program(title, "cargo", arguments)
    }

    /// A command of any program.
    pub(crate) fn program(title: &'static str, program: &str, arguments: &str) -> Self {
        Self {
            title,
            program: program.to_owned(),
            arguments: arguments.split_whitespace().map(str::to_owned).collect(),
            environment: Vec::new(),
        }
    }

    /// The same step with a variable of the environment set.
    pub(crate) fn with_env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub(crate) const fn title(&self) -> &'static str {
        self.title
    }

    /// Runs the command with this process's own output and error stream.
    pub(crate) fn run(&self, root: &Path) -> Result<Duration> {
        println!("\n=== {}: {self}", self.title);
        std::io::stdout().flush().context("standard output is closed")?;
        let started = Instant::now();
        let status = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .current_dir(root)
            .status()
            .with_context(|| format!("cannot start `{}`: is it installed?", self.program))?;
        let elapsed = started.elapsed();
        if !status.success() {
            bail!(
                "{} failed after {} ({status}); to repeat it: {self}",
                self.title,
                seconds(elapsed)
            );
        }
        println!("=== {}: ok in {}", self.title, seconds(elapsed));
        Ok(elapsed)
    }
}

/// The command as one would type it.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={value} ")?;
        }
        f.write_str(&self.program)?;
        for argument in &self.arguments {
            write!(f, " {argument}")?;
        }
        Ok(())
    }
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_would_type_it() {
        let step = Step::cargo("docs", "doc --no-deps").with_env("RUSTDOCFLAGS", "-Dwarnings");
        assert_eq!(step.to_string(), "RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps");
    }

    /// Where cargo runs the tests: the place they were built in may be gone.
    fn here() -> std::path::PathBuf {
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
    }

    #[test]
    fn a_failure_says_how_to_repeat_it() {
        let step = Step::cargo("odd", "no-such-subcommand-of-cargo");
        let error = step.run(&here()).unwrap_err().to_string();
        assert!(error.contains("odd failed after"), "{error}");
        assert!(error.ends_with("to repeat it: cargo no-such-subcommand-of-cargo"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let step = Step::program("odd", "no-such-program", "");
        let error = step.run(&here()).unwrap_err().to_string();
        assert_eq!(error, "cannot start `no-such-program`: is it installed?");
    }
}
