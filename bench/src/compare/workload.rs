//! The work that servers are compared at.

use std::path::Path;

use anyhow::bail;

use crate::compare::peer::Peer;
use crate::load::{
    self, FanoutOptions, GroupOptions, GrowthOptions, IdleOptions, LaggingOptions, MixedOptions,
    Pace, PairsOptions, PublishOptions, RedisCommand, ServerOptions, Sizes, StormOptions,
};
use crate::report::Report;
use crate::target::Target;

/// One kind of work at one size.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: String,
    /// The bare server that sets the limit, to which ratios are; `None` where the figure is a ratio
    /// itself.
    pub(crate) limit: Option<Peer>,
    /// The figures a table shows, the one that matters most first.
    pub(crate) shown: &'static [&'static str],
    kind: Kind,
    seconds: f64,
    warmup: f64,
    topic: String,
}

#[derive(Clone, Debug)]
enum Kind {
    Fanout { subscribers: u32, pace: Pace },
    Pairs { pairs: u32, rate: f64 },
    Publish { publishers: u32, in_flight: u32 },
    Idle { connections: u32, durable: bool },
    Growth { sizes: Sizes, deliveries: f64 },
    Storm { clients: u32 },
    Overload { subscribers: u32 },
    Mixed { subscribers: u32, turns: u32 },
    Group { members: u32, turns: u32 },
    Lagging { readers: u32, messages: u32, turns: u32 },
}

const FANOUT: &[&str] =
    &["server_cpu_s_per_million", "latency_p50_ms", "latency_p99_ms", "own_cpu_percent"];
const FANOUT_MAX: &[&str] =
    &["deliveries_per_s", "server_cpu_s_per_million", "latency_p99_ms", "own_cpu_percent"];
const PAIRS: &[&str] =
    &["server_cpu_us_per_message", "latency_p50_ms", "latency_p99_ms", "own_cpu_percent"];
const PUBLISH: &[&str] =
    &["acks_per_s", "latency_p50_ms", "latency_p99_ms", "server_cpu_us_per_publish"];
const IDLE: &[&str] =
    &["user_private_dirty_bytes_each", "user_pss_bytes_each", "server_cpu_us_per_open"];
const GROWTH: &[&str] = &[
    "delivery_cpu_growth_ratio",
    "delivery_cpu_us_small",
    "delivery_cpu_us_middle",
    "delivery_cpu_us_large",
    "open_cpu_growth_ratio",
    "open_cpu_us_small",
    "open_cpu_us_middle",
    "open_cpu_us_large",
    "memory_growth_ratio",
    "memory_bytes_each_small",
    "memory_bytes_each_middle",
    "memory_bytes_each_large",
];
const MIXED: &[&str] = &[
    "durable_to_live_cpu_ratio",
    "live_cpu_s_per_million",
    "durable_cpu_s_per_million",
    "live_p99_ms",
    "durable_p99_ms",
];
const GROUP: &[&str] = &[
    "group_to_durable_rate_ratio",
    "group_deliveries_per_s",
    "durable_deliveries_per_s",
    "group_server_cpu_us_per_message",
    "durable_server_cpu_us_per_message",
    "group_p99_ms",
    "durable_p99_ms",
];
const LAGGING: &[&str] = &[
    "live_p99_ratio",
    "live_p99_alone_ms",
    "live_p99_beside_ms",
    "catch_up_deliveries_per_s",
    "own_delay_max_ms_beside",
];
const OVERLOAD: &[&str] = &[
    "delivered_least_ratio",
    "delivered_per_s_closed_loop",
    "delivered_per_s_x2",
    "delivered_per_s_x4",
    "delivered_per_s_x8",
];
const STORM: &[&str] =
    &["server_cpu_us_per_connection", "ready_99_ms", "server_peak_rss_mib", "own_cpu_percent"];

/// Those of all workloads whose name contains one of `only`, or all.
pub(crate) fn chosen(
    quick: bool,
    only: &[String],
    fanout_topic: &str,
) -> anyhow::Result<Vec<Workload>> {
    let all = if quick { quick_ones(fanout_topic) } else { full_ones(fanout_topic) };
    let names: Vec<String> = all.iter().map(|workload| workload.name.clone()).collect();
    let wanted = |workload: &Workload| {
        only.is_empty() || only.iter().any(|part| workload.name.contains(part))
    };
    let chosen: Vec<Workload> = all.into_iter().filter(wanted).collect();
    if chosen.is_empty() {
        bail!("no workload is called like {only:?}, there are {}", names.join(", "));
    }
    Ok(chosen)
}

fn full_ones(topic: &str) -> Vec<Workload> {
    vec![
        // 50 000 deliveries a second in both, in a thousand sends or ten thousand.
        Workload::fanout(1000, Pace::Rate(50.0), 10.0, topic),
        Workload::fanout(10_000, Pace::Rate(5.0), 10.0, topic),
        Workload::fanout(1000, Pace::InFlight(16), 10.0, topic),
        Workload::pairs(1000, 10_000.0, 10.0),
        Workload::publish(1, 1, 5.0),
        Workload::publish(64, 1, 10.0),
        Workload::publish(256, 1, 10.0),
        Workload::idle(10_000, false, 5.0),
        Workload::idle(10_000, true, 5.0),
        Workload::growth(Sizes::CONNECTIONS, 50_000.0, 5.0),
        Workload::storm(5000),
        Workload::overload(1000, 5.0),
        Workload::mixed(500, 3, 5.0),
        Workload::group(1, 3, 3.0),
        Workload::group(4, 3, 3.0),
        Workload::group(16, 3, 3.0),
        Workload::lagging(1000, 2000, 3, 3.0),
    ]
}

fn quick_ones(topic: &str) -> Vec<Workload> {
    vec![
        Workload::fanout(100, Pace::Rate(50.0), 1.0, topic),
        Workload::fanout(100, Pace::InFlight(16), 1.0, topic),
        Workload::pairs(50, 1000.0, 1.0),
        Workload::publish(16, 1, 1.0),
        Workload::idle(2000, false, 0.5),
        Workload::idle(2000, true, 0.5),
        Workload::growth(Sizes::FEW, 2000.0, 0.5),
        Workload::storm(500),
        Workload::overload(100, 1.0),
        Workload::mixed(50, 1, 1.0),
        Workload::group(4, 1, 0.5),
        Workload::lagging(100, 500, 1, 0.5),
    ]
}

impl Workload {
    fn fanout(subscribers: u32, pace: Pace, seconds: f64, topic: &str) -> Self {
        let (name, shown) = match pace {
            Pace::Rate(rate) | Pace::Offered(rate) => {
                (format!("fanout {subscribers} x {rate}/s"), FANOUT)
            }
            Pace::InFlight(_) => (format!("fanout-max {subscribers}"), FANOUT_MAX),
        };
        Self {
            name,
            limit: Some(Peer::LimitCoalesced),
            shown,
            kind: Kind::Fanout { subscribers, pace },
            seconds,
            warmup: seconds / 5.0,
            topic: topic.to_owned(),
        }
    }

    fn pairs(pairs: u32, rate: f64, seconds: f64) -> Self {
        Self {
            name: format!("pairs {pairs} at {rate}/s"),
            limit: Some(Peer::LimitPairs),
            shown: PAIRS,
            kind: Kind::Pairs { pairs, rate },
            seconds,
            warmup: seconds / 5.0,
            topic: "memory/bench".to_owned(),
        }
    }

    fn publish(publishers: u32, in_flight: u32, seconds: f64) -> Self {
        Self {
            name: format!("publish {publishers}"),
            limit: Some(Peer::LimitLog),
            shown: PUBLISH,
            kind: Kind::Publish { publishers, in_flight },
            seconds,
            warmup: seconds / 5.0,
            topic: "bench".to_owned(),
        }
    }

    fn idle(connections: u32, durable: bool, seconds: f64) -> Self {
        let kind_name = if durable { "durable" } else { "live" };
        Self {
            name: format!("idle {connections} {kind_name}"),
            limit: Some(Peer::LimitCoalesced),
            shown: IDLE,
            kind: Kind::Idle { connections, durable },
            seconds,
            warmup: 0.0,
            topic: "bench".to_owned(),
        }
    }

    /// To topics that keep nothing, so that writing fewer messages to more is no saving.
    fn growth(sizes: Sizes, deliveries: f64, seconds: f64) -> Self {
        Self {
            name: format!("growth {sizes}"),
            limit: Some(Peer::LimitCoalesced),
            shown: GROWTH,
            kind: Kind::Growth { sizes, deliveries },
            seconds,
            warmup: seconds / 5.0,
            topic: "memory/bench".to_owned(),
        }
    }

    fn storm(clients: u32) -> Self {
        Self {
            name: format!("storm {clients}"),
            limit: Some(Peer::LimitCoalesced),
            shown: STORM,
            kind: Kind::Storm { clients },
            seconds: 0.0,
            warmup: 0.0,
            topic: "bench".to_owned(),
        }
    }

    fn overload(subscribers: u32, seconds: f64) -> Self {
        Self {
            name: format!("overload {subscribers}"),
            limit: None,
            shown: OVERLOAD,
            kind: Kind::Overload { subscribers },
            seconds,
            warmup: seconds / 5.0,
            topic: "bench".to_owned(),
        }
    }

    fn mixed(subscribers: u32, turns: u32, seconds: f64) -> Self {
        Self {
            name: format!("mixed {subscribers} and {subscribers}"),
            limit: None,
            shown: MIXED,
            kind: Kind::Mixed { subscribers, turns },
            seconds,
            warmup: seconds / 10.0,
            topic: "bench".to_owned(),
        }
    }

    fn group(members: u32, turns: u32, seconds: f64) -> Self {
        Self {
            name: format!("group {members}"),
            limit: None,
            shown: GROUP,
            kind: Kind::Group { members, turns },
            seconds,
            warmup: seconds / 5.0,
            topic: "bench".to_owned(),
        }
    }

    fn lagging(readers: u32, messages: u32, turns: u32, seconds: f64) -> Self {
        Self {
            name: format!("lagging {readers} x {messages}"),
            limit: None,
            shown: LAGGING,
            kind: Kind::Lagging { readers, messages, turns },
            seconds,
            warmup: 0.5,
            topic: "bench".to_owned(),
        }
    }

    /// Whether this is work for `peer`.
    pub(crate) const fn takes(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Tidings { .. } => true,
            Peer::LimitDirect
            | Peer::NatsCore { .. }
            | Peer::Mosquitto { .. }
            | Peer::Ws { .. } => matches!(self.kind, Kind::Fanout { .. }),
            Peer::LimitCoalesced => {
                matches!(
                    self.kind,
                    Kind::Fanout { .. }
                        | Kind::Idle { .. }
                        | Kind::Growth { .. }
                        | Kind::Storm { .. }
                )
            }
            Peer::LimitPairs => matches!(self.kind, Kind::Pairs { .. }),
            Peer::LimitLog | Peer::Redis | Peer::JetStream { .. } => {
                matches!(self.kind, Kind::Publish { .. })
            }
        }
    }

    /// Does the work on the server at `url`, whose process is `pid` and which verifies tokens with
    /// the secret in `secret_file`.
    pub(crate) fn run(
        &self,
        url: &Target,
        pid: u32,
        secret_file: Option<&Path>,
    ) -> anyhow::Result<Report> {
        let server = ServerOptions { url: url.clone(), token: None, server_pid: Some(pid) };
        let topic = self.topic.clone();
        let (seconds, warmup) = (self.seconds, self.warmup);
        match self.kind {
            Kind::Fanout { subscribers, pace } => {
                load::fanout(&FanoutOptions { server, subscribers, seconds, warmup, topic }, pace)
            }
            Kind::Pairs { pairs, rate } => {
                load::pairs(&PairsOptions { server, pairs, rate, seconds, warmup, topic })
            }
            Kind::Publish { publishers, in_flight } => load::publish(&PublishOptions {
                server,
                publishers,
                in_flight,
                topics: None,
                seconds,
                warmup,
                topic,
                redis_command: RedisCommand::Xadd,
            }),
            Kind::Overload { subscribers } => {
                load::overload(&FanoutOptions { server, subscribers, seconds, warmup, topic })
            }
            Kind::Mixed { subscribers, turns } => load::mixed(&MixedOptions {
                server,
                subscribers,
                rate: 50.0,
                turns,
                seconds,
                warmup,
                topic,
            }),
            Kind::Group { members, turns } => load::group(&GroupOptions {
                server,
                members,
                publishers: 4,
                in_flight: 64,
                turns,
                seconds,
                warmup,
                topic,
            }),
            Kind::Lagging { readers, messages, turns } => load::lagging(&LaggingOptions {
                server,
                readers,
                messages,
                subscribers: 100,
                rate: 100.0,
                turns,
                seconds,
                warmup,
                topic,
            }),
            Kind::Growth { sizes, deliveries } => {
                load::growth(&GrowthOptions { server, sizes, deliveries, seconds, warmup, topic })
            }
            Kind::Storm { clients } => {
                let secret_file = secret_file.map(Path::to_owned);
                load::storm(&StormOptions { server, clients, secret_file, topic })
            }
            Kind::Idle { connections, durable } => load::idle(&IdleOptions {
                server,
                connections,
                durable,
                seconds,
                at_once: 256,
                topic,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_its_limit_among_the_servers_that_take_it() {
        for workload in full_ones("bench").iter().chain(&quick_ones("bench")) {
            let taken = workload.limit.as_ref().is_none_or(|limit| workload.takes(limit));
            assert!(taken, "{}", workload.name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = chosen(true, &["nonsense".to_owned()], "bench").expect_err("no such workload");
        assert!(error.to_string().contains("publish 16"), "{error}");
        let some = chosen(true, &["idle".to_owned()], "bench").expect("two of them");
        assert_eq!(some.len(), 2);
    }
}
