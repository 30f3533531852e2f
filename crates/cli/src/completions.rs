//! `tidings completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};

use crate::arguments::Arguments;

/// Prints completions for a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints them.
    pub(crate) fn run(self) {
        let mut command = Arguments::command();
        clap_complete::generate(self.shell, &mut command, "tidings", &mut std::io::stdout());
    }
}
