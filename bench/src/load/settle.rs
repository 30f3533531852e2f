//! Idle connections, traffic over all of them, and silence: whether the server gives back what the
//! traffic took.

mod everybody;

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use crate::load::crowd::{Crowd, Group, Members, Subscription, Topics};
use crate::load::fanout::{Audience, Fanout, FanoutOptions};
use crate::load::meter::wait_for_calm;
use crate::load::pace::Pace;
use crate::load::settle::everybody::Everybody;
use crate::load::{ServerOptions, seconds};
use crate::procfs;
use crate::report::Report;
use crate::target::Dialect;
use crate::wire::DATA_BYTES;

/// Connections that are being made at once.
const AT_ONCE: usize = 256;
/// Small messages that some subscriber has not got yet.
const SMALL_IN_FLIGHT: usize = 16;
/// Large messages that some subscriber has not got yet. They wait in the kernel, once for each connection.
const LARGE_IN_FLIGHT: usize = 4;

/// What the memory of idle connections is measured after.
#[derive(Clone, Debug, Args)]
pub(crate) struct SettleOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Live subscribers to one topic, each with a connection of its own
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub(crate) connections: u32,
    /// How long small messages go to all, and then large ones, as fast as all get them
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// The data of a large message
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(128..=65_536))]
    pub(crate) large_bytes: u32,
    /// Messages that each connection publishes, one after the other
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) own: u32,
    /// How long to be silent before memory is read, before the traffic and after it
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(crate) silence: f64,
    /// The topic; each connection publishes to `/own` below it
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// The server's memory at three moments, bytes.
#[derive(Clone, Copy, Debug)]
struct Settled {
    /// Before anybody connected.
    base: u64,
    idle: u64,
    after: u64,
}

impl Settled {
    fn report(self, report: &mut Report, connections: f64) {
        let [idle, after] = [self.idle, self.after].map(|memory| memory as f64 - self.base as f64);
        if idle > 0.0 {
            report.figure("memory_after_traffic_ratio", after / idle);
        }
        report.figure("process_after_traffic_ratio", self.after as f64 / self.idle as f64);
        report.figure("idle_bytes_each", idle / connections);
        report.figure("after_traffic_bytes_each", after / connections);
    }
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &SettleOptions) -> anyhow::Result<Report> {
    let server = &options.server;
    if server.url.dialect != Dialect::Tidings {
        bail!("memory after traffic is measured over WebSocket only, use a ws:// url");
    }
    let group = Group {
        count: options.connections as usize,
        topics: Topics::One(options.topic.clone()),
        subscription: Subscription::Live,
    };
    let token = server.token.clone();
    let members = Members { publishers: 1, groups: vec![group], token, identities: Vec::new() };
    let silence = Duration::from_secs_f64(options.silence);
    let memory = || {
        let now = server.server_pid.map(procfs::user_memory).transpose();
        now.map(|memory| memory.map(|memory| memory.private_dirty))
    };
    let base_rss = server.server_pid.map(procfs::resident_memory).transpose()?;
    let base = memory()?;
    let mut crowd = Crowd::open(server, members, AT_ONCE)?;
    wait_for_calm(server.server_pid)?;
    crowd.stay(silence)?;
    let idle = memory()?;
    let small = fanout(&mut crowd, options, DATA_BYTES, SMALL_IN_FLIGHT)?;
    let large = fanout(&mut crowd, options, options.large_bytes as usize, LARGE_IN_FLIGHT)?;
    let own = Everybody::publish(&mut crowd, options)?;
    crowd.stay(silence)?;
    let after = memory()?;

    let mut report = Report::new("settle");
    report.setting("url", server.url.to_string());
    report.setting("connections", options.connections);
    report.setting("seconds", options.seconds);
    report.setting("large_bytes", options.large_bytes);
    report.setting("own", options.own);
    report.setting("silence", options.silence);
    if let (Some(base), Some(idle), Some(after)) = (base, idle, after) {
        let settled = Settled { base, idle, after };
        settled.report(&mut report, f64::from(options.connections));
    }
    if let Some(base_rss) = base_rss {
        report.figure("base_rss_mib", base_rss as f64 / f64::from(1 << 20));
    }
    for (name, of) in [("small_deliveries", &small), ("large_deliveries", &large)] {
        report.figure(name, of.value("deliveries").unwrap_or_default());
    }
    report.figure("own_publishes", f64::from(own));
    report.sums([&small, &large].into_iter());
    Ok(report)
}

/// Sends messages of this size to all, as fast as all get them.
fn fanout(
    crowd: &mut Crowd,
    options: &SettleOptions,
    data_bytes: usize,
    in_flight: usize,
) -> anyhow::Result<Report> {
    let fanout = FanoutOptions {
        server: options.server.clone(),
        subscribers: options.connections,
        data_bytes: u32::try_from(data_bytes).expect("large messages have 64 KiB at most"),
        seconds: options.seconds,
        warmup: 0.0,
        topic: options.topic.clone(),
    };
    Fanout::run(crowd, &fanout, Pace::InFlight(in_flight), Audience::ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_what_connections_added() {
        let mut report = Report::new("settle");
        Settled { base: 1000, idle: 3000, after: 4000 }.report(&mut report, 10.0);
        assert_eq!(report.value("memory_after_traffic_ratio"), Some(1.5));
        assert_eq!(report.value("process_after_traffic_ratio"), Some(4.0 / 3.0));
        assert_eq!(report.value("idle_bytes_each"), Some(200.0));
        assert_eq!(report.value("after_traffic_bytes_each"), Some(300.0));

        // A bare server may have given back more than connections took.
        let mut report = Report::new("settle");
        Settled { base: 1000, idle: 1000, after: 900 }.report(&mut report, 10.0);
        assert_eq!(report.value("memory_after_traffic_ratio"), None);
        assert_eq!(report.value("after_traffic_bytes_each"), Some(-10.0));
    }
}
