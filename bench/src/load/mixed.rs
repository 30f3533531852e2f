//! Durable subscribers with acks beside live ones: what a delivery costs to each kind.

use anyhow::bail;
use clap::Args;

use crate::load::crowd::{Crowd, Group, Members, Subscription, Topics};
use crate::load::fanout::{Audience, Fanout, FanoutOptions};
use crate::load::pace::Pace;
use crate::load::{ServerOptions, seconds};
use crate::report::{Report, mean};
use crate::target::Dialect;

/// Connections that are being made at once.
const AT_ONCE: usize = 256;

/// What a mixed load is made of.
#[derive(Clone, Debug, Args)]
pub(crate) struct MixedOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Subscribers of each kind, each with a connection of its own
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=7_500))]
    pub(crate) subscribers: u32,
    /// Messages a second
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// How often the two kinds take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) turns: u32,
    /// How long to publish in each turn to each kind, after the warm-up
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long to publish in each turn before anything counts
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    pub(crate) warmup: f64,
    /// The topic; `/live` and `/durable` are added
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &MixedOptions) -> anyhow::Result<Report> {
    let server = &options.server;
    if server.url.dialect != Dialect::Tidings {
        bail!("mixed subscribers are measured over WebSocket only, use a ws:// url");
    }
    let pace = Pace::rate(options.rate)?;
    let count = options.subscribers as usize;
    let kinds = [("live", Subscription::Live), ("durable", Subscription::Durable)];
    let topic = |name| format!("{}/{name}", options.topic);
    let group =
        |(name, subscription)| Group { count, topics: Topics::One(topic(name)), subscription };
    let members = Members {
        publishers: 1,
        groups: kinds.map(group).to_vec(),
        token: server.token.clone(),
        identities: Vec::new(),
    };
    let mut crowd = Crowd::open(server, members, AT_ONCE)?;
    let mut reports = [Vec::new(), Vec::new()];
    for _ in 0..options.turns {
        for (kind, (name, subscription)) in kinds.into_iter().enumerate() {
            let fanout = FanoutOptions {
                server: server.clone(),
                subscribers: options.subscribers,
                data_bytes: 128,
                seconds: options.seconds,
                warmup: options.warmup,
                topic: topic(name),
            };
            let audience = Audience { first: 1 + kind * count, subscription };
            reports[kind].push(Fanout::run(&mut crowd, &fanout, pace, audience)?);
        }
    }
    let [live, durable] = reports;
    Ok(report(options, &live, &durable))
}

fn report(options: &MixedOptions, live: &[Report], durable: &[Report]) -> Report {
    let mut report = Report::new("mixed");
    report.setting("url", options.server.url.to_string());
    report.setting("subscribers_of_each_kind", options.subscribers);
    report.setting("rate", options.rate);
    report.setting("turns", options.turns);
    report.setting("seconds", options.seconds);
    let cpu = |reports| mean(reports, "server_cpu_s_per_million");
    if let (Some(of_live), Some(of_durable)) = (cpu(live), cpu(durable)) {
        // Both are zero on a run that is too short for the kernel's clock.
        if of_live > 0.0 {
            report.figure("durable_to_live_cpu_ratio", of_durable / of_live);
        }
        report.figure("live_cpu_s_per_million", of_live);
        report.figure("durable_cpu_s_per_million", of_durable);
    }
    for (reports, figures) in [
        (live, [("live_p50_ms", "latency_p50_ms"), ("live_p99_ms", "latency_p99_ms")]),
        (durable, [("durable_p50_ms", "latency_p50_ms"), ("durable_p99_ms", "latency_p99_ms")]),
    ] {
        for (name, of) in figures {
            if let Some(mean) = mean(reports, of) {
                report.figure(name, mean);
            }
        }
    }
    report.sums(live.iter().chain(durable));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_means_and_faults_of_all_turns_add_up() {
        let turn = |cpu, lost| {
            let mut report = Report::new("fanout");
            report.figure("server_cpu_s_per_million", cpu);
            report.figure("lost", lost);
            report
        };
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        let options = MixedOptions {
            server: ServerOptions { url, token: None, certificate: None, server_pid: None },
            subscribers: 1,
            rate: 1.0,
            turns: 2,
            seconds: 1.0,
            warmup: 0.0,
            topic: "t".to_owned(),
        };
        let live = [turn(2.0, 0.0), turn(4.0, 1.0)];
        let report = report(&options, &live, &[turn(5.0, 2.0), turn(7.0, 0.0)]);
        assert_eq!(report.value("durable_to_live_cpu_ratio"), Some(2.0));
        assert_eq!(report.value("lost"), Some(3.0));
        assert!(report.check().is_err());
    }
}
