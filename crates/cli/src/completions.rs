//! `tidings completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};

use crate::arguments::Arguments;
use crate::standard_output;

/// Prints completions for a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints them.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut command = Arguments::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "tidings", &mut script);
        standard_output::write(&script)
    }
}
