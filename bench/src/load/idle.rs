//! Many subscribers that nobody publishes to: what a connection costs by being there.

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use crate::load::crowd::{Crowd, Group, Members, Subscription, Topics};
use crate::load::meter::{Meter, wait_for_calm};
use crate::load::{ServerOptions, seconds};
use crate::procfs::{self, KernelMemory, UserMemory};
use crate::report::Report;
use crate::target::Dialect;

/// What an idle load is made of.
#[derive(Clone, Debug, Args)]
pub(crate) struct IdleOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Connections, each with one subscription
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) connections: u32,
    /// Subscribe durably, each under a name of its own
    #[arg(long)]
    pub(crate) durable: bool,
    /// How long to wait with all connected before memory is read
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Connections that are being made at once
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub(crate) at_once: u32,
    /// The topic
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// Memory at one moment.
#[derive(Clone, Copy, Debug)]
struct Memory {
    /// `None` when the server's process is not known.
    user: Option<UserMemory>,
    kernel: KernelMemory,
}

impl Memory {
    fn now(server_pid: Option<u32>) -> anyhow::Result<Self> {
        Ok(Self {
            user: server_pid.map(procfs::user_memory).transpose()?,
            kernel: procfs::kernel_memory()?,
        })
    }
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &IdleOptions) -> anyhow::Result<Report> {
    let server = &options.server;
    if server.url.dialect != Dialect::Tidings {
        bail!("idle connections are measured over WebSocket only, use a ws:// url");
    }
    let group = Group {
        count: options.connections as usize,
        topics: Topics::One(options.topic.clone()),
        subscription: if options.durable { Subscription::Durable } else { Subscription::Live },
    };
    let token = server.token.clone();
    let members = Members { publishers: 0, groups: vec![group], token, identities: Vec::new() };
    let base_rss = server.server_pid.map(procfs::resident_memory).transpose()?;
    let before = Memory::now(server.server_pid)?;
    let opening = Meter::start(server.server_pid)?;
    let mut crowd = Crowd::open(server, members, options.at_once as usize)?;
    let opened = opening.stop()?;
    wait_for_calm(server.server_pid)?;
    let (waiting, pings) = (Meter::start(server.server_pid)?, crowd.pings());
    crowd.stay(Duration::from_secs_f64(options.seconds))?;
    let waited = waiting.stop()?;
    let pings = crowd.pings() - pings;
    let after = Memory::now(server.server_pid)?;

    let mut report = Report::new("idle");
    report.setting("url", server.url.to_string());
    report.setting("connections", options.connections);
    report.setting("durable", options.durable);
    report.setting("seconds", options.seconds);
    let connections = f64::from(options.connections);
    report_memory(&mut report, connections, before, after);
    report.figure("open_s", opened.elapsed.as_secs_f64());
    opened.report_each(&mut report, "server_cpu_us_per_open", options.connections.into());
    waited.report_shares(&mut report);
    report.figure("pings", pings as f64);
    if let Some(base_rss) = base_rss {
        report.figure("base_rss_mib", base_rss as f64 / f64::from(1 << 20));
    }
    Ok(report)
}

fn report_memory(report: &mut Report, connections: f64, before: Memory, after: Memory) {
    let each = |after: u64, before: u64| (after as f64 - before as f64) / connections;
    if let (Some(before), Some(after)) = (before.user, after.user) {
        let private = each(after.private_dirty, before.private_dirty);
        report.figure("user_private_dirty_bytes_each", private);
        report.figure("user_pss_bytes_each", each(after.pss, before.pss));
        report.figure("user_pss_before_kib", before.pss as f64 / 1024.0);
    }
    let (before, after) = (before.kernel, after.kernel);
    report.figure("kernel_slab_bytes_each", each(after.slab, before.slab));
    report.figure("kernel_tcp_bytes_each", each(after.tcp_buffers, before.tcp_buffers));
    report.notes.push(
        "kernel figures are of the whole machine and of both ends of each connection: rough"
            .to_owned(),
    );
}
