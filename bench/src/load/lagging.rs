//! Readers that are far behind and catch up, while others stay live: what the one costs the other.

mod backlog;
mod readers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::load::crowd::{Crowd, Group, Members, Subscription, Topics};
use crate::load::fanout::{Audience, Fanout, FanoutOptions};
use crate::load::lagging::backlog::Backlog;
use crate::load::lagging::readers::Readers;
use crate::load::meter::wait_for_calm;
use crate::load::pace::Pace;
use crate::load::{ServerOptions, seconds};
use crate::report::{Report, mean};
use crate::target::Dialect;

/// Connections that are being made at once.
const AT_ONCE: usize = 256;
/// How long catching up may take.
const CATCH_UP_SECONDS_MAX: f64 = 120.0;
/// How long a reader's thread sleeps before it looks whether it is to begin, or to stop.
const GLANCE: Duration = Duration::from_millis(10);
/// The priority of the readers' thread, as nice(1) counts: the lowest.
const LOWEST: i32 = 19;

/// Who lags behind, and who does not.
#[derive(Clone, Debug, Args)]
pub(crate) struct LaggingOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Readers that are behind, each with a connection of its own
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub(crate) readers: u32,
    /// Messages they are behind
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) messages: u32,
    /// Live subscribers to another topic, each with a connection of its own
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub(crate) subscribers: u32,
    /// Messages a second to the live subscribers
    #[arg(long, default_value_t = 100.0)]
    pub(crate) rate: f64,
    /// How often the live ones are measured alone and beside readers that catch up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) turns: u32,
    /// How long the live ones are measured alone in each turn
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long to publish in each turn before anything counts
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    pub(crate) warmup: f64,
    /// The topic; `/live` and `/behind` are added
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &LaggingOptions) -> anyhow::Result<Report> {
    let server = &options.server;
    if server.url.dialect != Dialect::Tidings {
        bail!("lagging readers are measured over WebSocket only, use a ws:// url");
    }
    let pace = Pace::rate(options.rate)?;
    let mut backlog = Backlog::publish(options, &format!("{}/behind", options.topic))?;
    let live = Group {
        count: options.subscribers as usize,
        topics: Topics::One(format!("{}/live", options.topic)),
        subscription: Subscription::Live,
    };
    let mut live = Crowd::open(server, members(options, 1, vec![live]), AT_ONCE)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..options.turns {
        wait_for_calm(server.server_pid)?;
        let fanout = fanout_options(options, options.seconds);
        alone.push(Fanout::run(&mut live, &fanout, pace, Audience::ALL)?);

        let count = options.readers as usize;
        let mut behind = Crowd::open(server, members(options, count, Vec::new()), AT_ONCE)?;
        wait_for_calm(server.server_pid)?;
        let mut readers = Readers::new(&mut backlog, count);
        let mut report = side_by_side(&mut live, &mut behind, options, pace, &mut readers)?;
        readers.report(&mut report);
        beside.push(report);
    }
    Ok(report(options, &alone, &beside))
}

fn members(options: &LaggingOptions, publishers: usize, groups: Vec<Group>) -> Members {
    let token = options.server.token.clone();
    Members { publishers, groups, token, identities: Vec::new() }
}

fn fanout_options(options: &LaggingOptions, seconds: f64) -> FanoutOptions {
    FanoutOptions {
        server: options.server.clone(),
        subscribers: options.subscribers,
        data_bytes: 128,
        seconds,
        warmup: options.warmup,
        topic: format!("{}/live", options.topic),
    }
}

/// Publishes to the live subscribers until the readers, who start when the warm-up is over, have
/// caught up or get nothing more. They are served by a thread of their own, which has the core only when
/// the live ones have nothing to do: what these had to wait for here would count as the server's delay.
fn side_by_side(
    live: &mut Crowd,
    behind: &mut Crowd,
    options: &LaggingOptions,
    pace: Pace,
    readers: &mut Readers<'_>,
) -> anyhow::Result<Report> {
    let fanout_options = fanout_options(options, CATCH_UP_SECONDS_MAX);
    let mut fanout = Fanout::new(&fanout_options, pace, Audience::ALL, live.now())?;
    let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let catching_up = scope.spawn(|| catch_up(behind, readers, &begun, &ended));
        let lived = publish(live, &mut fanout, &begun, || catching_up.is_finished());
        ended.store(true, Ordering::Relaxed);
        catching_up.join().expect("the readers' thread does not panic")?;
        lived
    })?;
    fanout.report(&fanout_options)
}

/// The live subscribers' side of it.
fn publish(
    live: &mut Crowd,
    fanout: &mut Fanout,
    begun: &AtomicBool,
    caught_up: impl Fn() -> bool,
) -> anyhow::Result<()> {
    while !fanout.is_done(live.now()) {
        live.turn(fanout.wait(live.now()), fanout)?;
        if fanout.is_measured(live.now()) {
            begun.store(true, Ordering::Relaxed);
            if caught_up() {
                fanout.end(live.now());
            }
        }
    }
    Ok(())
}

/// The readers' side of it.
fn catch_up(
    behind: &mut Crowd,
    readers: &mut Readers<'_>,
    begun: &AtomicBool,
    ended: &AtomicBool,
) -> anyhow::Result<()> {
    // Of this thread alone, on Linux.
    rustix::process::setpriority_process(None, LOWEST).context("cannot lower a priority")?;
    while !ended.load(Ordering::Relaxed) {
        if !begun.load(Ordering::Relaxed) {
            std::thread::sleep(GLANCE);
        } else if readers.are_done(behind.now()) {
            break;
        } else {
            behind.turn(GLANCE, readers)?;
        }
    }
    Ok(())
}

fn report(options: &LaggingOptions, alone: &[Report], beside: &[Report]) -> Report {
    let mut report = Report::new("lagging");
    report.setting("url", options.server.url.to_string());
    report.setting("readers", options.readers);
    report.setting("messages", options.messages);
    report.setting("subscribers", options.subscribers);
    report.setting("rate", options.rate);
    report.setting("turns", options.turns);
    report.setting("seconds", options.seconds);
    if let Some(of_alone) = mean(alone, "latency_p99_ms").filter(|of_alone| *of_alone > 0.0)
        && let Some(of_beside) = mean(beside, "latency_p99_ms")
    {
        report.figure("live_p99_ratio", of_beside / of_alone);
    }
    for (reports, name, of) in [
        (alone, "live_p50_alone_ms", "latency_p50_ms"),
        (beside, "live_p50_beside_ms", "latency_p50_ms"),
        (alone, "live_p99_alone_ms", "latency_p99_ms"),
        (beside, "live_p99_beside_ms", "latency_p99_ms"),
        (beside, "catch_up_deliveries_per_s", "catch_up_deliveries_per_s"),
        (beside, "catch_up_s", "catch_up_s"),
        (beside, "server_cpu_percent_beside", "server_cpu_percent"),
        (beside, "own_cpu_percent_beside", "own_cpu_percent"),
    ] {
        if let Some(mean) = mean(reports, of) {
            report.figure(name, mean);
        }
    }
    let sum = |name| {
        let of_one = |report: &Report| {
            report
                .figures
                .iter()
                .filter(|figure| figure.name == name)
                .map(|it| it.value)
                .sum::<f64>()
        };
        alone.iter().chain(beside).map(of_one).sum::<f64>()
    };
    for name in ["published", "deliveries", "lost", "duplicates", "order_errors", "refused"] {
        report.figure(name, sum(name));
    }
    report.figure("not_recovered", sum("not_recovered"));
    report.notes.extend(alone.iter().chain(beside).flat_map(|report| report.notes.clone()));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_means_and_faults_of_readers_and_live_ones_add_up() {
        let turn = |p99, lost: &[f64]| {
            let mut report = Report::new("fanout");
            report.figure("latency_p99_ms", p99);
            lost.iter().for_each(|lost| report.figure("lost", *lost));
            report
        };
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        let options = LaggingOptions {
            server: ServerOptions { url, token: None, certificate: None, server_pid: None },
            readers: 1,
            messages: 1,
            subscribers: 1,
            rate: 1.0,
            turns: 2,
            seconds: 1.0,
            warmup: 0.0,
            topic: "t".to_owned(),
        };
        let beside = [turn(2.0, &[1.0, 4.0]), turn(4.0, &[0.0, 0.0])];
        let report = report(&options, &[turn(1.0, &[0.0]), turn(3.0, &[2.0])], &beside);
        assert_eq!(report.value("live_p99_ratio"), Some(1.5));
        assert_eq!(report.value("lost"), Some(7.0));
        assert!(report.check().is_err());
    }
}
