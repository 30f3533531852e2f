//! More and more connections to one server: what each of them, and each delivery, costs then.

use anyhow::bail;
use clap::Args;

use crate::load::crowd::{Crowd, Group, Members, Subscription, Topics};
use crate::load::fanout::{Audience, Fanout, FanoutOptions};
use crate::load::meter::{Cost, Meter, wait_for_calm};
use crate::load::pace::Pace;
use crate::load::sizes::{GrowthNames, Sizes};
use crate::load::{ServerOptions, seconds};
use crate::procfs;
use crate::report::Report;
use crate::target::Dialect;

/// Connections that are being made at once.
const AT_ONCE: usize = 256;
/// Subscribers at most: what a fan-out can have.
const SUBSCRIBERS_MAX: u32 = 15_000;

const DELIVERY: GrowthNames = GrowthNames {
    growth: "delivery_cpu_growth_ratio",
    at: ["delivery_cpu_us_small", "delivery_cpu_us_middle", "delivery_cpu_us_large"],
};
const OPEN: GrowthNames = GrowthNames {
    growth: "open_cpu_growth_ratio",
    at: ["open_cpu_us_small", "open_cpu_us_middle", "open_cpu_us_large"],
};
const MEMORY: GrowthNames = GrowthNames {
    growth: "memory_growth_ratio",
    at: ["memory_bytes_each_small", "memory_bytes_each_middle", "memory_bytes_each_large"],
};

/// How a server grows.
#[derive(Clone, Debug, Args)]
pub(crate) struct GrowthOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// How many live subscribers there are, each with a connection of its own, one size after the other
    #[arg(long, value_name = "A,B,C", default_value = "1000,5000,15000")]
    pub(crate) sizes: Sizes,
    /// Deliveries a second, the same at each size: fewer messages to more subscribers
    #[arg(long, default_value_t = 50_000.0)]
    pub(crate) deliveries: f64,
    /// How long to publish at each size, after the warm-up
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long to publish at each size before anything counts
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub(crate) warmup: f64,
    /// The topic
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// What was found at one size.
#[derive(Debug)]
struct Stage {
    /// Of those that came at this size.
    opened: u32,
    opening: Cost,
    /// What the server's memory grew by while they came; `None` when its process is not known.
    memory: Option<f64>,
    fanout: Report,
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &GrowthOptions) -> anyhow::Result<Report> {
    let server = &options.server;
    if server.url.dialect != Dialect::Tidings {
        bail!("growth is measured over WebSocket only, use a ws:// url");
    }
    if options.sizes.largest() > SUBSCRIBERS_MAX {
        bail!("there can be {SUBSCRIBERS_MAX} subscribers at most, use smaller --sizes");
    }
    let members = Members {
        publishers: 1,
        groups: Vec::new(),
        token: server.token.clone(),
        identities: Vec::new(),
    };
    let mut crowd = Crowd::open(server, members, AT_ONCE)?;
    let mut stages = Vec::new();
    let mut connected = 0;
    for size in options.sizes.all() {
        stages.push(stage(&mut crowd, options, connected, size)?);
        connected = size;
    }
    Ok(report(options, crowd.pings(), stages))
}

/// Lets `connected` subscribers become `size`, then publishes to all.
fn stage(
    crowd: &mut Crowd,
    options: &GrowthOptions,
    connected: u32,
    size: u32,
) -> anyhow::Result<Stage> {
    let server = &options.server;
    let opened = size - connected;
    let group = Group {
        count: opened as usize,
        topics: Topics::One(options.topic.clone()),
        subscription: Subscription::Live,
    };
    let memory = || {
        let now = server.server_pid.map(procfs::user_memory).transpose();
        now.map(|memory| memory.map(|memory| memory.private_dirty as f64))
    };
    wait_for_calm(server.server_pid)?;
    let (before, meter) = (memory()?, Meter::start(server.server_pid)?);
    crowd.grow(group, AT_ONCE)?;
    let opening = meter.stop()?;
    wait_for_calm(server.server_pid)?;
    let memory = memory()?.zip(before).map(|(after, before)| after - before);
    let fanout = FanoutOptions {
        server: server.clone(),
        subscribers: size,
        data_bytes: 128,
        seconds: options.seconds,
        warmup: options.warmup,
        topic: options.topic.clone(),
    };
    let pace = Pace::rate(options.deliveries / f64::from(size))?;
    let fanout = Fanout::run(crowd, &fanout, pace, Audience::ALL)?;
    Ok(Stage { opened, opening, memory, fanout })
}

fn report(options: &GrowthOptions, pings: u64, stages: Vec<Stage>) -> Report {
    let mut report = Report::new("growth");
    report.setting("url", options.server.url.to_string());
    report.setting("sizes", options.sizes.to_string());
    report.setting("deliveries", options.deliveries);
    report.setting("seconds", options.seconds);
    let of = |figure: &dyn Fn(&Stage) -> Option<f64>| {
        let mut found = stages.iter().map(figure);
        [(); 3].map(|()| found.next().flatten())
    };
    DELIVERY.report(&mut report, of(&|stage| stage.fanout.value("server_cpu_s_per_million")));
    OPEN.report(&mut report, of(&|stage| stage.opening.each(stage.opened.into())));
    // Of all that are there, so that what the first ones leave free for the next is not missed.
    let mut memory = Some(0.0);
    let mut each = [None; 3];
    for ((stage, size), each) in stages.iter().zip(options.sizes.all()).zip(&mut each) {
        memory = memory.zip(stage.memory).map(|(all, more)| all + more);
        *each = memory.map(|all| all / f64::from(size));
    }
    MEMORY.report(&mut report, each);
    report.figure("pings", pings as f64);
    let fanouts: Vec<Report> = stages.into_iter().map(|stage| stage.fanout).collect();
    let own = fanouts.iter().filter_map(|fanout| fanout.value("own_cpu_percent"));
    report.figure("own_cpu_percent", own.fold(0.0, f64::max));
    report.sums(fanouts.iter());
    report
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn memory_is_of_all_that_are_there_and_opening_of_those_that_came() {
        let stage = |opened, memory, delivery| {
            let mut fanout = Report::new("fanout");
            fanout.figure("server_cpu_s_per_million", delivery);
            fanout.figure("lost", 1.0);
            let cpu = Duration::from_micros(100);
            let opening = Cost { elapsed: cpu, server_cpu: Some(cpu), own_cpu: Duration::ZERO };
            Stage { opened, opening, memory: Some(memory), fanout }
        };
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        let options = GrowthOptions {
            server: ServerOptions { url, token: None, certificate: None, server_pid: None },
            sizes: "10,20,100".parse().expect("three sizes"),
            deliveries: 1.0,
            seconds: 1.0,
            warmup: 0.0,
            topic: "t".to_owned(),
        };
        // The first ones left so much free that the next took nothing.
        let stages = vec![stage(10, 1000.0, 4.0), stage(10, 0.0, 2.0), stage(80, 5000.0, 5.0)];
        let report = report(&options, 7, stages);
        let value = |name| report.value(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(MEMORY.at.map(value), [100.0, 50.0, 60.0]);
        assert_eq!(OPEN.at.map(value), [10.0, 10.0, 1.25]);
        assert_eq!(DELIVERY.at.map(value), [4.0, 2.0, 5.0]);
        assert_eq!(value("delivery_cpu_growth_ratio"), 1.25);
        assert_eq!((value("lost"), value("pings")), (3.0, 7.0));
        assert!(report.check().is_err());
    }
}
