//! The bench program: measures Tidings, its peers and bare servers over the same work.
//!
//! It speaks to servers over sockets only and shares no code with them. Everything is one event
//! loop on one thread, so that the generator takes little of the machine it measures.

mod chart;
mod cli;
mod compare;
mod fsync;
mod histogram;
mod limit;
mod load;
mod machine;
mod mqtt;
mod nats;
mod procfs;
mod report;
mod resp;
mod stream;
mod target;
mod websocket;
mod wire;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    cli::run(cli::Cli::parse())
}
