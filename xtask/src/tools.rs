//! Which outside programs are here. What is needed and missing stops a check before it starts;
//! what is optional and missing is named, so that nobody believes it ran.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// A program a chore starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The command that shows whether it is here.
    probe: &'static [&'static str],
    /// What it is for.
    purpose: &'static str,
    /// How to get it.
    install: &'static str,
}

pub(crate) const RUSTFMT: Tool = Tool {
    probe: &["cargo", "fmt", "--version"],
    purpose: "formatting",
    install: "rustup component add rustfmt",
};
pub(crate) const CLIPPY: Tool = Tool {
    probe: &["cargo", "clippy", "--version"],
    purpose: "lints",
    install: "rustup component add clippy",
};
pub(crate) const C_COMPILER: Tool = Tool {
    probe: &["cc", "--version"],
    purpose: "linking, and building the crypto library",
    install: "install gcc or clang, for example `apt-get install build-essential`",
};
pub(crate) const NEXTEST: Tool = Tool {
    probe: &["cargo", "nextest", "--version"],
    purpose: "a parallel test run",
    install: "cargo install --locked cargo-nextest",
};
pub(crate) const DENY: Tool = Tool {
    probe: &["cargo", "deny", "--version"],
    purpose: "licences and sources of dependencies",
    install: "cargo install --locked cargo-deny",
};
pub(crate) const VALGRIND: Tool = Tool {
    probe: &["valgrind", "--version"],
    purpose: "counting the instructions of the hot functions",
    install: "install valgrind, for example `apt-get install valgrind`",
};
pub(crate) const CHROMIUM: Tool = Tool {
    probe: &["chromium", "--version"],
    purpose: "the chat, the console and event streams in a real browser",
    install: "scripts/browser/run --install, or `apt-get install chromium`",
};
pub(crate) const PYTHON: Tool = Tool {
    probe: &["python3", "--version"],
    purpose: "the conformance suite of SDKs, and event streams in a browser",
    install: "install Python 3.11 or later, for example `apt-get install python3`",
};
pub(crate) const NODE: Tool = Tool {
    probe: &["npm", "--version"],
    purpose: "the TypeScript SDK, the console and the chat",
    install: "install Node 20 or later with npm, for example from https://nodejs.org",
};
pub(crate) const CXX_COMPILER: Tool = Tool {
    probe: &["c++", "--version"],
    purpose: "coverage-guided fuzzing (libFuzzer is C++)",
    install: "install g++ or clang, for example `apt-get install build-essential`",
};

impl Tool {
    /// Whether its probe runs and succeeds.
    pub(crate) fn is_here(&self) -> bool {
        let Some((program, arguments)) = self.probe.split_first() else { return false };
        Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Whether it is here; if not, prints what happens instead.
    pub(crate) fn is_here_or_say(&self, instead: &str) -> bool {
        let here = self.is_here();
        if !here {
            let name = self.probe[..self.probe.len() - 1].join(" ");
            println!("note: `{name}` is not installed: {instead} (to get it: {})", self.install);
        }
        here
    }
}

/// Fails with everything that is missing, not only the first.
pub(crate) fn require(tools: &[Tool]) -> Result<()> {
    let missing: Vec<String> = tools
        .iter()
        .filter(|tool| !tool.is_here())
        .map(|tool| {
            let probe = tool.probe.join(" ");
            format!("`{probe}` does not run, needed for {}: {}", tool.purpose, tool.install)
        })
        .collect();
    if !missing.is_empty() {
        bail!("{}", missing.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Tool = Tool {
        probe: &["no-such-program", "--version"],
        purpose: "this test",
        install: "write it",
    };

    #[test]
    fn a_missing_tool_is_named_with_the_way_to_get_it() {
        let error = require(&[ABSENT]).unwrap_err().to_string();
        assert_eq!(
            error,
            "`no-such-program --version` does not run, needed for this test: write it"
        );
    }

    #[test]
    fn cargo_is_here() {
        let cargo = Tool { probe: &["cargo", "--version"], ..ABSENT };
        assert!(cargo.is_here());
        assert!(require(&[cargo]).is_ok());
    }
}
