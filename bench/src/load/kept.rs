//! More and more that a server keeps: what a message costs beside it, and what each of it costs.

mod filling;

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::load::crowd::Subscription;
use crate::load::kept::filling::fill;
use crate::load::meter::wait_for_calm;
use crate::load::pairs::{self, PairsOptions};
use crate::load::sizes::{GrowthNames, Sizes};
use crate::load::{ServerOptions, seconds};
use crate::procfs;
use crate::report::Report;
use crate::target::Dialect;

/// How much there can be. With more there would be too many users, with a connection each.
const KEPT_MAX: u32 = 3_000_000;

/// Messages of the pairs that are due at once. A message that has a commit of its own costs a multiple
/// of one among many, and which it is would change with the disk from second to second.
const BURST: u32 = 500;

/// Made before anything counts.
const WARMUP: u32 = 1000;

const MESSAGE: GrowthNames = GrowthNames {
    growth: "message_cpu_growth_ratio",
    at: ["message_cpu_us_small", "message_cpu_us_middle", "message_cpu_us_large"],
};
const MAKE: GrowthNames = GrowthNames {
    growth: "make_cpu_growth_ratio",
    at: ["make_cpu_us_small", "make_cpu_us_middle", "make_cpu_us_large"],
};

/// What a server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kept {
    /// Topics, each with a message
    Topics,
    /// Cursors of durable subscriptions whose clients are away, each to a topic of its own
    Cursors,
}

impl Kept {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::Cursors => "cursors",
        }
    }

    /// How the pairs subscribe: so that what is kept is in their way.
    const fn subscription(self) -> Subscription {
        match self {
            Self::Topics => Subscription::Live,
            Self::Cursors => Subscription::Durable,
        }
    }
}

/// What a server keeps, and who is measured beside it.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeptOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// What there is much of
    #[arg(value_enum)]
    pub(crate) what: Kept,
    /// How many of it there are, one size after the other
    #[arg(long, value_name = "A,B,C", default_value = "1000,100000,1000000")]
    pub(crate) sizes: Sizes,
    /// A file with the server's HS256 secret: each 250 cursors belong to another user
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Pairs of a publisher and a subscriber that are measured at each size
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=7_500))]
    pub(crate) pairs: u32,
    /// Messages a second of all pairs together
    #[arg(long, default_value_t = 10_000.0, value_parser = pairs::rate)]
    pub(crate) rate: f64,
    /// How long to publish at each size, after the warm-up
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long to publish at each size before anything counts
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub(crate) warmup: f64,
    /// The topic; `/` and a number, or `/kept/` and a number, are added
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// What was found at one size.
#[derive(Debug)]
struct Stage {
    /// What one that was added took of the server's CPU, microseconds.
    make_cpu: Option<f64>,
    pairs: Report,
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &KeptOptions) -> anyhow::Result<Report> {
    let server = &options.server;
    if server.url.dialect != Dialect::Tidings {
        bail!("what is kept is measured over WebSocket only, use a ws:// url");
    }
    if options.sizes.largest() > KEPT_MAX {
        bail!("{KEPT_MAX} can be kept at most, use smaller --sizes");
    }
    // What a server does once, such as preparing its files, is not what the first ones cost.
    fill(options, KEPT_MAX, KEPT_MAX + WARMUP)?;
    let memory = || server.server_pid.map(procfs::user_memory).transpose();
    let before = memory()?;
    let (mut stages, mut kept) = (Vec::new(), 0);
    for size in options.sizes.all() {
        let make_cpu = fill(options, kept, size)?.each((size - kept).into());
        kept = size;
        let pairs = pairs::run(&pairs_options(options), options.what.subscription())?;
        stages.push(Stage { make_cpu, pairs });
    }
    wait_for_calm(server.server_pid)?;
    let mut report = report(options, stages);
    if let (Some(before), Some(after)) = (before, memory()?) {
        let grown = after.private_dirty as f64 - before.private_dirty as f64;
        report.figure("memory_bytes_each", grown / f64::from(kept));
    }
    Ok(report)
}

fn pairs_options(options: &KeptOptions) -> PairsOptions {
    PairsOptions {
        server: options.server.clone(),
        pairs: options.pairs,
        rate: options.rate,
        burst: BURST,
        seconds: options.seconds,
        warmup: options.warmup,
        topic: options.topic.clone(),
    }
}

fn report(options: &KeptOptions, stages: Vec<Stage>) -> Report {
    let mut report = Report::new("kept");
    report.setting("url", options.server.url.to_string());
    report.setting("what", options.what.name());
    report.setting("sizes", options.sizes.to_string());
    report.setting("pairs", options.pairs);
    report.setting("rate", options.rate);
    report.setting("seconds", options.seconds);
    let of = |figure: &dyn Fn(&Stage) -> Option<f64>| {
        let mut found = stages.iter().map(figure);
        [(); 3].map(|()| found.next().flatten())
    };
    MESSAGE.report(&mut report, of(&|stage| stage.pairs.value("server_cpu_us_per_message")));
    MAKE.report(&mut report, of(&|stage| stage.make_cpu));
    let pairs: Vec<Report> = stages.into_iter().map(|stage| stage.pairs).collect();
    let most = |name| pairs.iter().filter_map(|pairs| pairs.value(name)).fold(0.0, f64::max);
    report.figure("latency_p99_ms_most", most("latency_p99_ms"));
    report.figure("own_cpu_percent", most("own_cpu_percent"));
    report.sums(pairs.iter());
    report
}
