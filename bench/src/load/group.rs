//! Members of one group that divide messages, beside one durable subscriber that gets them all:
//! what dividing costs.

mod closed_loop;

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use crate::load::crowd::{Crowd, Group, Identity, Members, Silent, Subscription, Topics, Traffic};
use crate::load::group::closed_loop::{ClosedLoop, Takers};
use crate::load::meter::wait_for_calm;
use crate::load::{ServerOptions, seconds};
use crate::report::{Figure, Report, mean};
use crate::target::Dialect;
use crate::wire::{self, ServerFrame};

/// Connections that are being made at once.
const AT_ONCE: usize = 256;
/// How long those who come last listen for what was not settled. What a connection that is gone has
/// not acked is delivered to them at once.
const LISTEN: Duration = Duration::from_millis(500);

/// What is published, and who divides it.
#[derive(Clone, Debug, Args)]
pub(crate) struct GroupOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Members of the group, each with a connection of its own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) members: u32,
    /// Publishers, each with a connection of its own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) publishers: u32,
    /// Messages for each publisher that nobody has got yet, at most
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) in_flight: u32,
    /// How often the group and the durable subscriber take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) turns: u32,
    /// How long to publish in each turn to each of the two, after the warm-up
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long to publish in each turn before anything counts
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    pub(crate) warmup: f64,
    /// The topic; `/group` and `/durable` are added
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &GroupOptions) -> anyhow::Result<Report> {
    let server = &options.server;
    if server.url.dialect != Dialect::Tidings {
        bail!("a group is measured over WebSocket only, use a ws:// url");
    }
    let publishers = options.publishers as usize;
    let members = members(options, publishers, options.members as usize);
    let mut crowd = Crowd::open(server, members, AT_ONCE)?;
    let durable = Takers {
        first: publishers,
        count: 1,
        topic: format!("{}/durable", options.topic),
        subscription: Subscription::Durable,
    };
    let group = Takers {
        first: publishers + 1,
        count: options.members as usize,
        topic: format!("{}/group", options.topic),
        subscription: Subscription::Shared,
    };
    let (mut of_group, mut of_durable) = (Vec::new(), Vec::new());
    for _ in 0..options.turns {
        of_group.push(ClosedLoop::run(&mut crowd, options, &group)?);
        of_durable.push(ClosedLoop::run(&mut crowd, options, &durable)?);
    }
    // The last acks are on their way, and a connection that is dropped takes them with it.
    wait_for_calm(server.server_pid)?;
    drop(crowd);
    let not_settled = not_settled(options)?;
    Ok(report(options, &of_group, &of_durable, not_settled))
}

/// The durable subscriber is the first of all subscribers, so that its cursor always has the same
/// name; then the members of the group.
fn members(options: &GroupOptions, publishers: usize, count: usize) -> Members {
    let group = |count, name: &str, subscription| Group {
        count,
        topics: Topics::One(format!("{}/{name}", options.topic)),
        subscription,
    };
    Members {
        publishers,
        groups: vec![
            group(1, "durable", Subscription::Durable),
            group(count, "group", Subscription::Shared),
        ],
        token: options.server.token.clone(),
        identities: Vec::new(),
    }
}

/// How many messages come to a new member and to the durable subscriber, when everything was acked.
fn not_settled(options: &GroupOptions) -> anyhow::Result<u64> {
    let mut members = members(options, 0, 1);
    // Each with an identity, so that messages before the answer to `subscribe` are kept as well.
    let identity = Identity { token: options.server.token.clone(), ..Identity::default() };
    members.identities = vec![identity; 2];
    let mut crowd = Crowd::open(&options.server, members, AT_ONCE)?;
    let mut leftovers = Leftovers::default();
    let mut early = 0;
    for line in crowd.greetings().flat_map(|greeting| greeting.split(|byte| *byte == b'\n')) {
        early += u64::from(line.starts_with(b"{\"message\":"));
    }
    let until = crowd.now() + LISTEN;
    while crowd.now() < until {
        crowd.turn(LISTEN / 10, &mut leftovers)?;
    }
    Ok(early + leftovers.messages)
}

/// Counts messages, and leaves them unacked.
#[derive(Debug, Default)]
struct Leftovers {
    messages: u64,
}

impl Traffic for Leftovers {
    fn frame(
        &mut self,
        _: Duration,
        _: usize,
        frame: &[u8],
        _: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        self.messages += u64::from(wire::read_server_frame(frame)? == ServerFrame::Message);
        Ok(())
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        Silent.due(now, out)
    }
}

fn report(
    options: &GroupOptions,
    group: &[Report],
    durable: &[Report],
    not_settled: u64,
) -> Report {
    let mut report = Report::new("group");
    report.setting("url", options.server.url.to_string());
    report.setting("members", options.members);
    report.setting("publishers", options.publishers);
    report.setting("in_flight", options.in_flight);
    report.setting("turns", options.turns);
    report.setting("seconds", options.seconds);
    for (name, of) in [
        ("group_to_durable_rate_ratio", "deliveries_per_s"),
        ("group_to_durable_cpu_ratio", "server_cpu_us_per_message"),
    ] {
        // Zero on a run that is too short for the kernel's clock.
        if let Some(of_durable) = mean(durable, of).filter(|of_durable| *of_durable > 0.0)
            && let Some(of_group) = mean(group, of)
        {
            report.figure(name, of_group / of_durable);
        }
    }
    for (of_group, of_durable, of) in [
        ("group_deliveries_per_s", "durable_deliveries_per_s", "deliveries_per_s"),
        (
            "group_server_cpu_us_per_message",
            "durable_server_cpu_us_per_message",
            "server_cpu_us_per_message",
        ),
        ("group_p50_ms", "durable_p50_ms", "latency_p50_ms"),
        ("group_p99_ms", "durable_p99_ms", "latency_p99_ms"),
        ("group_own_cpu_percent", "durable_own_cpu_percent", "own_cpu_percent"),
    ] {
        report.figures.extend(mean(group, of).map(|value| Figure { name: of_group, value }));
        report.figures.extend(mean(durable, of).map(|value| Figure { name: of_durable, value }));
    }
    report.sums(group.iter().chain(durable));
    report.figure("not_settled", not_settled as f64);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_means_and_what_was_not_settled_fails_the_run() {
        let turn = |per_s| {
            let mut report = Report::new("closed-loop");
            report.figure("deliveries_per_s", per_s);
            report.figure("lost", 0.0);
            report
        };
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        let options = GroupOptions {
            server: ServerOptions { url, token: None, certificate: None, server_pid: None },
            members: 2,
            publishers: 1,
            in_flight: 1,
            turns: 2,
            seconds: 1.0,
            warmup: 0.0,
            topic: "t".to_owned(),
        };
        let (group, durable) = ([turn(10.0), turn(20.0)], [turn(30.0)]);
        let found = report(&options, &group, &durable, 0);
        assert_eq!(found.value("group_to_durable_rate_ratio"), Some(0.5));
        assert!(found.check().is_ok());
        assert!(report(&options, &group, &durable, 1).check().is_err());
        let subscribe = members(&options, 1, 2).subscribe(3).expect("a member subscribes");
        assert_eq!(subscribe, r#"{"id":2,"subscribe":{"topic":"t/group","group":"bench"}}"#);
    }
}
