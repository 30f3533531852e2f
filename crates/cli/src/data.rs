//! `tidings data`: what only its operator knows about a data directory.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidings_server::{Arrival, Origin, adopt};

/// Say how a data directory came where it is, before a server starts on it.
///
/// A server that finds a copy of a data directory cannot know what was written to the original since,
/// so it begins a new epoch, and all subscribers start over with the earliest message kept.
#[derive(Debug, Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// It was copied after its server had stopped, and the original is not used again: subscribers
    /// go on where they were
    Moved {
        /// The data directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// It is as it was some time ago, and the server cannot see that: a snapshot of a volume or of a
    /// virtual machine was put back. Subscribers start over
    Restored {
        /// The data directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

impl Data {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (directory, told) = match self.what {
            What::Moved { directory } => {
                let told = match adopt(&directory, Arrival::Moved)? {
                    Origin::Here => "is no copy: nothing was to be done",
                    Origin::Copied => {
                        "goes on in its epoch: never start a server on the original again"
                    }
                    Origin::Unknown => {
                        "goes on in its epoch: whether it is a copy cannot be told here"
                    }
                };
                (directory, told)
            }
            What::Restored { directory } => {
                adopt(&directory, Arrival::Restored)?;
                (directory, "begins a new epoch at the next start")
            }
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{} {told}", directory.display())?;
        Ok(out.flush()?)
    }
}
