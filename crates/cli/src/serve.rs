//! `tidings serve`: a server with a configuration that was checked.

use std::path::PathBuf;

use clap::Args;
use tidings_server::Server;

use crate::configuration::{ServerFlags, load};
use crate::{logging, open_files, running};

/// Starts a server.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration file; without it the environment and the flags are all there is
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: ServerFlags,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT, then drains.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = load(self.config.as_deref(), self.flags.keys())?;
        logging::start(&config.log);
        open_files::raise(config.server.connections_max);
        // The server's own log says where it listens.
        running::as_server(Server::builder(config), |_server| {})
    }
}
