//! The command line: what can be run, and with what.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::compare::CompareOptions;
use crate::limit::{LogOptions, Writing};
use crate::load::{
    FanoutOptions, GroupOptions, GrowthOptions, IdleOptions, KeptOptions, LaggingOptions,
    MixedOptions, Pace, PairsOptions, PublishOptions, SettleOptions, StormOptions, Subscription,
};
use crate::report::Report;
use crate::stream::{CertificateFiles, ServerTls};
use crate::{chart, compare, fsync, limit, load, machine};

/// Measures Tidings, its peers and bare servers over the same work
#[derive(Debug, Parser)]
#[command(name = "tidings-bench", version)]
pub(crate) struct Cli {
    /// Keep this process on one core
    #[arg(long, global = true, value_name = "CORE")]
    core: Option<usize>,
    /// Write the report to this file too, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a bare server without features: the limit of this machine
    #[command(subcommand)]
    Limit(Limit),
    /// One publisher at a steady rate, many live subscribers
    Fanout {
        #[command(flatten)]
        options: FanoutOptions,
        /// Messages a second
        #[arg(long, default_value_t = 50.0)]
        rate: f64,
    },
    /// One publisher as fast as deliveries allow, many live subscribers
    FanoutMax {
        #[command(flatten)]
        options: FanoutOptions,
        /// Messages that some subscriber has not got yet, at most
        #[arg(long, default_value_t = 16)]
        in_flight: u32,
    },
    /// Publishers with one live subscriber each, at a steady rate
    Pairs(PairsOptions),
    /// Publishers that wait for their acknowledgements (`ws://` or `redis://`)
    Publish(PublishOptions),
    /// Many silent subscribers: memory, and what it costs to connect them
    Idle(IdleOptions),
    /// More and more connections: what each of them, and each delivery, costs then
    Growth(GrowthOptions),
    /// Traffic over many connections, and silence: whether memory is given back
    Settle(SettleOptions),
    /// More and more topics or cursors: what a message, and each of them, costs then
    Kept(KeptOptions),
    /// One publisher that offers 2, 4 and 8 times what the server can deliver
    Overload(FanoutOptions),
    /// Durable subscribers with acks beside live ones, published to in turns
    Mixed(MixedOptions),
    /// Members of a group that divide messages, beside one durable subscriber that gets all
    Group(GroupOptions),
    /// Many readers that are far behind and catch up, while others stay live
    Lagging(LaggingOptions),
    /// Many clients that come back at once, with sessions and positions of before
    Storm(StormOptions),
    /// How long the disk takes to write 4 KiB for good
    Fsync(FsyncArguments),
    /// Start the servers, measure them in turns, and print ratios
    Compare(CompareOptions),
    /// Draw the result of `compare` as a page of bars
    Chart {
        /// The result, as JSON
        result: PathBuf,
        /// Where the page goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum Limit {
    /// Sends each publish to every subscriber, keeps nothing
    Fanout {
        /// Where to listen; port 0 picks a free one, which is printed
        #[arg(long, value_name = "ADDR")]
        listen: SocketAddr,
        /// Send all messages of one turn of the loop in one write per subscriber
        #[arg(long)]
        coalesce: bool,
        #[command(flatten)]
        tls: CertificateFiles,
    },
    /// Sends each publish to the one subscriber of its topic, keeps nothing
    Pairs {
        /// Where to listen; port 0 picks a free one, which is printed
        #[arg(long, value_name = "ADDR")]
        listen: SocketAddr,
    },
    /// Writes and syncs each publish in groups, delivers nothing
    Log {
        /// Where to listen; port 0 picks a free one, which is printed
        #[arg(long, value_name = "ADDR")]
        listen: SocketAddr,
        #[command(flatten)]
        options: LogOptions,
    },
}

/// What `fsync` takes.
#[derive(Debug, Args)]
struct FsyncArguments {
    /// The file to write; it must not exist yet, and is removed afterwards
    #[arg(long)]
    file: PathBuf,
    /// How many writes, on each kind of file
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    writes: u32,
}

/// Runs what the command line says.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    machine::raise_open_files_limit()?;
    if let Some(core) = cli.core {
        machine::pin(&[core])?;
    }
    let report = match cli.command {
        Command::Limit(Limit::Fanout { listen, coalesce, tls }) => {
            let writing = if coalesce { Writing::Coalesced } else { Writing::Direct };
            return limit::fanout(listen, ServerTls::read(&tls)?, writing);
        }
        Command::Limit(Limit::Pairs { listen }) => return limit::pairs(listen),
        Command::Limit(Limit::Log { listen, options }) => return limit::log(listen, &options),
        Command::Compare(options) => return compare::run(&options, cli.json.as_deref()),
        Command::Chart { result, out } => return chart::run(&result, &out),
        Command::Fanout { options, rate } => load::fanout(&options, Pace::rate(rate)?)?,
        Command::FanoutMax { options, in_flight } => {
            load::fanout(&options, Pace::in_flight(in_flight)?)?
        }
        Command::Pairs(options) => load::pairs(&options, Subscription::Live)?,
        Command::Publish(options) => load::publish(&options)?,
        Command::Idle(options) => load::idle(&options)?,
        Command::Growth(options) => load::growth(&options)?,
        Command::Settle(options) => load::settle(&options)?,
        Command::Kept(options) => load::kept(&options)?,
        Command::Overload(options) => load::overload(&options)?,
        Command::Mixed(options) => load::mixed(&options)?,
        Command::Group(options) => load::group(&options)?,
        Command::Lagging(options) => load::lagging(&options)?,
        Command::Storm(options) => load::storm(&options)?,
        Command::Fsync(arguments) => fsync::run(&arguments.file, arguments.writes)?,
    };
    finish(&report, cli.json)
}

/// Shows the report, then fails if it says that a promise was broken.
fn finish(report: &Report, json: Option<PathBuf>) -> anyhow::Result<()> {
    print!("{report}");
    if let Some(path) = json {
        report.write_json(&path)?;
    }
    report.check()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
