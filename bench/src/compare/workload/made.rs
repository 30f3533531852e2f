//! Each kind of work: what it is called, which figures of it are shown, and which load does it.

use std::path::Path;
use std::rc::Rc;

use crate::compare::workload::{Takers, Workload};
use crate::load::{
    self, FanoutOptions, GroupOptions, GrowthOptions, IdleOptions, Kept, KeptOptions,
    LaggingOptions, MixedOptions, Pace, PairsOptions, PublishOptions, RedisCommand, ServerOptions,
    SettleOptions, Sizes, StormOptions, Subscription,
};
use crate::report::Report;

const FANOUT: &[&str] =
    &["server_cpu_s_per_million", "latency_p50_ms", "latency_p99_ms", "own_cpu_percent"];
const FANOUT_MAX: &[&str] =
    &["deliveries_per_s", "server_cpu_s_per_million", "latency_p99_ms", "own_cpu_percent"];
const PAIRS: &[&str] =
    &["server_cpu_us_per_message", "latency_p50_ms", "latency_p99_ms", "own_cpu_percent"];
const PUBLISH: &[&str] =
    &["acks_per_s", "latency_p50_ms", "latency_p99_ms", "server_cpu_us_per_publish"];
const IDLE: &[&str] = &[
    "user_private_dirty_bytes_each",
    "user_pss_bytes_each",
    "server_cpu_us_per_open",
    "base_rss_mib",
];
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
const KEPT: &[&str] = &[
    "message_cpu_growth_ratio",
    "message_cpu_us_small",
    "message_cpu_us_middle",
    "message_cpu_us_large",
    "make_cpu_growth_ratio",
    "make_cpu_us_small",
    "make_cpu_us_middle",
    "make_cpu_us_large",
    "memory_bytes_each",
    "latency_p99_ms_most",
];
const SETTLE: &[&str] = &[
    "memory_after_traffic_ratio",
    "process_after_traffic_ratio",
    "idle_bytes_each",
    "after_traffic_bytes_each",
    "base_rss_mib",
];
const HEARTBEATS: &[&str] = &["server_cpu_percent", "pings", "own_cpu_percent"];
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
    "own_cpu_percent_beside",
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

/// The topic where nothing else is said.
const TOPIC: &str = "bench";
/// A topic that keeps nothing.
const MEMORY_TOPIC: &str = "memory/bench";

impl Workload {
    fn new(
        name: String,
        takers: Takers,
        shown: &'static [&'static str],
        work: impl Fn(ServerOptions, Option<&Path>) -> anyhow::Result<Report> + 'static,
    ) -> Self {
        Self { name, limit: takers.limit(), takers, shown, work: Rc::new(work) }
    }

    pub(super) fn fanout(subscribers: u32, pace: Pace, seconds: f64, topic: &str) -> Self {
        let (name, takers, shown) = match pace {
            Pace::Rate(rate) | Pace::Offered(rate) => {
                (format!("fanout {subscribers} x {rate}/s"), Takers::Fanout, FANOUT)
            }
            Pace::InFlight(_) => {
                (format!("fanout-max {subscribers}"), Takers::FullLoad, FANOUT_MAX)
            }
        };
        let topic = topic.to_owned();
        Self::new(name, takers, shown, move |server, _| {
            let (data_bytes, warmup, topic) = (128, seconds / 5.0, topic.clone());
            let options = FanoutOptions { server, subscribers, data_bytes, seconds, warmup, topic };
            load::fanout(&options, pace)
        })
    }

    /// To topics that keep nothing.
    pub(super) fn pairs(pairs: u32, rate: f64, seconds: f64) -> Self {
        let name = format!("pairs {pairs} at {rate}/s");
        Self::new(name, Takers::Pairs, PAIRS, move |server, _| {
            let options = PairsOptions {
                server,
                pairs,
                rate,
                burst: 1,
                seconds,
                warmup: seconds / 5.0,
                topic: MEMORY_TOPIC.to_owned(),
            };
            load::pairs(&options, Subscription::Live)
        })
    }

    pub(super) fn publish(publishers: u32, in_flight: u32, seconds: f64) -> Self {
        let name = format!("publish {publishers}");
        Self::new(name, Takers::Publish, PUBLISH, move |server, _| {
            load::publish(&PublishOptions {
                server,
                publishers,
                in_flight,
                topics: None,
                seconds,
                warmup: seconds / 5.0,
                topic: TOPIC.to_owned(),
                redis_command: RedisCommand::Xadd,
            })
        })
    }

    pub(super) fn idle(connections: u32, subscription: Subscription, seconds: f64) -> Self {
        let durable = subscription == Subscription::Durable;
        let kind = if durable { "durable" } else { "live" };
        let name = format!("idle {connections} {kind}");
        Self::new(name, Takers::Sockets, IDLE, move |server, _| {
            load::idle(&IdleOptions {
                server,
                connections,
                durable,
                seconds,
                at_once: 256,
                topic: TOPIC.to_owned(),
            })
        })
    }

    /// Silence that is longer than the time between two heartbeats.
    pub(super) fn heartbeats(connections: u32, seconds: f64) -> Self {
        let idle = Self::idle(connections, Subscription::Live, seconds);
        let name = format!("heartbeats {connections}");
        // A bare server has none.
        Self { name, shown: HEARTBEATS, limit: None, takers: Takers::Tidings, ..idle }
    }

    pub(super) fn settle(connections: u32, seconds: f64, silence: f64) -> Self {
        let name = format!("settle {connections}");
        Self::new(name, Takers::Tidings, SETTLE, move |server, _| {
            load::settle(&SettleOptions {
                server,
                connections,
                seconds,
                large_bytes: 16_384,
                own: 3,
                silence,
                topic: TOPIC.to_owned(),
            })
        })
    }

    /// To topics that keep nothing, so that writing fewer messages to more is no saving.
    pub(super) fn growth(sizes: Sizes, deliveries: f64, seconds: f64) -> Self {
        let name = format!("growth {sizes}");
        Self::new(name, Takers::Growth, GROWTH, move |server, _| {
            load::growth(&GrowthOptions {
                server,
                sizes,
                deliveries,
                seconds,
                warmup: seconds / 5.0,
                topic: MEMORY_TOPIC.to_owned(),
            })
        })
    }

    /// Topics on the disk.
    pub(super) fn topics(sizes: Sizes, pairs: u32, rate: f64, seconds: f64) -> Self {
        Self::kept(format!("topics {sizes}"), Kept::Topics, TOPIC, (sizes, pairs, rate, seconds))
    }

    /// Topics that keep nothing.
    pub(super) fn memory_topics(sizes: Sizes, pairs: u32, rate: f64, seconds: f64) -> Self {
        let name = format!("memory topics {sizes}");
        Self::kept(name, Kept::Topics, MEMORY_TOPIC, (sizes, pairs, rate, seconds))
    }

    /// Cursors of durable subscriptions.
    pub(super) fn cursors(sizes: Sizes, pairs: u32, rate: f64, seconds: f64) -> Self {
        Self::kept(format!("cursors {sizes}"), Kept::Cursors, TOPIC, (sizes, pairs, rate, seconds))
    }

    fn kept(
        name: String,
        what: Kept,
        topic: &'static str,
        (sizes, pairs, rate, seconds): (Sizes, u32, f64, f64),
    ) -> Self {
        Self::new(name, Takers::Pairs, KEPT, move |server, secret_file| {
            load::kept(&KeptOptions {
                server,
                what,
                sizes,
                secret_file: secret_file.map(Path::to_owned),
                pairs,
                rate,
                seconds,
                warmup: seconds / 5.0,
                topic: topic.to_owned(),
            })
        })
    }

    pub(super) fn storm(clients: u32) -> Self {
        let name = format!("storm {clients}");
        Self::new(name, Takers::Sockets, STORM, move |server, secret_file| {
            let secret_file = secret_file.map(Path::to_owned);
            load::storm(&StormOptions { server, clients, secret_file, topic: TOPIC.to_owned() })
        })
    }

    pub(super) fn overload(subscribers: u32, seconds: f64) -> Self {
        let name = format!("overload {subscribers}");
        Self::new(name, Takers::Tidings, OVERLOAD, move |server, _| {
            let (data_bytes, warmup, topic) = (128, seconds / 5.0, TOPIC.to_owned());
            load::overload(&FanoutOptions {
                server,
                subscribers,
                data_bytes,
                seconds,
                warmup,
                topic,
            })
        })
    }

    pub(super) fn mixed(subscribers: u32, turns: u32, seconds: f64) -> Self {
        let name = format!("mixed {subscribers} and {subscribers}");
        Self::new(name, Takers::Tidings, MIXED, move |server, _| {
            load::mixed(&MixedOptions {
                server,
                subscribers,
                rate: 50.0,
                turns,
                seconds,
                warmup: seconds / 10.0,
                topic: TOPIC.to_owned(),
            })
        })
    }

    pub(super) fn group(members: u32, turns: u32, seconds: f64) -> Self {
        let name = format!("group {members}");
        Self::new(name, Takers::Tidings, GROUP, move |server, _| {
            load::group(&GroupOptions {
                server,
                members,
                publishers: 4,
                in_flight: 64,
                turns,
                seconds,
                warmup: seconds / 5.0,
                topic: TOPIC.to_owned(),
            })
        })
    }

    pub(super) fn lagging(readers: u32, messages: u32, turns: u32, seconds: f64) -> Self {
        let name = format!("lagging {readers} x {messages}");
        Self::new(name, Takers::Tidings, LAGGING, move |server, _| {
            load::lagging(&LaggingOptions {
                server,
                readers,
                messages,
                subscribers: 100,
                rate: 100.0,
                turns,
                seconds,
                warmup: 0.5,
                topic: TOPIC.to_owned(),
            })
        })
    }
}
