//! Every metric of the server: names, help and handles, resolved once.
//!
//! Names follow Prometheus: `tidings_` in front, base units, `_total` on counters. No label
//! holds a topic or a user, so the number of series is bounded; groups have labels of their own for
//! the hundred with the most waiting.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tidings_core::{CloseCode, PresenceCounts};
use tidings_protocol::ErrorCode;
use tidings_storage::StoreStatus;

use crate::process::Process;

mod groups;
mod process;
mod publish;

pub(crate) use groups::GroupGauges;
use process::ProcessGauges;
pub(crate) use publish::PublishTimes;

macro_rules! metrics {
    (
        counters { $($counter:ident = $counter_name:literal, $counter_help:literal;)* }
        gauges { $($gauge:ident = $gauge_name:literal, $gauge_help:literal;)* }
    ) => {
        /// Handles to every metric.
        #[derive(Debug)]
        pub(crate) struct Metrics {
            registry: Registry,
            $(pub(crate) $counter: Counter,)*
            $(pub(crate) $gauge: Gauge,)*
            errors: Vec<Counter>,
            closes: Vec<Counter>,
            store: StoreGauges,
            presence: PresenceGauges,
            process: ProcessGauges,
            pub(crate) groups: GroupGauges,
            pub(crate) publish_times: PublishTimes,
        }

        impl Metrics {
            pub(crate) fn new() -> Self {
                let mut registry = Registry::with_prefix("tidings");
                register_build(&mut registry);
                $(
                    let $counter = Counter::default();
                    registry.register($counter_name, $counter_help, $counter.clone());
                )*
                $(
                    let $gauge = Gauge::default();
                    registry.register($gauge_name, $gauge_help, $gauge.clone());
                )*
                let errors = errors_by_code(&mut registry);
                let closes = closes_by_code(&mut registry);
                let store = StoreGauges::register(&mut registry);
                let presence = PresenceGauges::register(&mut registry);
                let groups = GroupGauges::register(&mut registry);
                let process = ProcessGauges::register(&mut registry);
                let publish_times = PublishTimes::register(&mut registry);
                Self {
                    registry,
                    $($counter,)*
                    $($gauge,)*
                    errors,
                    closes,
                    store,
                    presence,
                    process,
                    groups,
                    publish_times,
                }
            }
        }
    };
}

// A metric is a row here. Counters get `_total` behind their names.
metrics! {
    counters {
        deliveries = "deliveries", "Messages sent to subscriptions";
        redeliveries = "redeliveries", "Messages sent again";
        catch_up_reads = "catch_up_reads", "Reads of the log for live subscriptions";
        catch_up_deliveries = "catch_up_deliveries", "Messages sent from the log to live ones";
        settled = "settled", "Deliveries settled by acks and nacks";
        nacks = "nacks", "Deliveries that were not taken";
        dead_letters = "dead_letters", "Messages given up and kept as dead letters";
        dead_letters_discarded = "dead_letters_discarded",
            "Dead letters given up by their own subscribers; they stay in their topic";
        scheduled_published = "scheduled_published", "Scheduled messages published when due";
        scheduled_cancelled = "scheduled_cancelled", "Scheduled messages cancelled";
        scheduled_expired = "scheduled_expired",
            "Scheduled messages that expired before the server could publish them";
        scheduled_refused = "scheduled_refused",
            "Scheduled messages refused when due for a reason that lasts, and kept for another try";
        scheduled_lost = "scheduled_lost", "Scheduled messages found damaged in the log";
        dead_letters_replayed = "dead_letters_replayed", "Dead letters published again";
        dead_letters_purged = "dead_letters_purged", "Dead letters removed by an operator";
        resets = "resets", "Subscriptions that lost their place";
        dropped_slow = "dropped_slow", "Messages of memory topics that slow readers missed";
        skipped_slow = "skipped_slow",
            "Messages left out for slow readers, because of their topics' backlog_max";
        given_back = "group_given_back",
            "Messages that members of groups had no room for, so that others got them";
        inbox_overflows = "inbox_overflows", "Times a shard fell behind the log";
        violations = "protocol_violations", "Connections that broke RFC 6455";
        bytes_in = "received_bytes", "Bytes read from WebSocket connections";
        bytes_out = "sent_bytes", "Bytes written to WebSocket connections";
        http_requests = "http_requests", "HTTP requests answered";
        stream_deliveries = "stream_deliveries", "Messages sent to event streams";
        presence_events = "presence_events", "Announcements of who joined and left a topic";
        presence_resets = "presence_resets",
            "Announcements with too many changes to name anybody";
        presence_missed = "presence_missed", "Announcements that slow readers missed";
        trace_spans_exported = "trace_spans_exported", "Spans that a collector has taken";
        trace_spans_dropped = "trace_spans_dropped", "Spans that no collector has taken";
        connections_refused = "connections_refused", "Sockets refused for want of a free seat";
    }
    gauges {
        connections = "connections", "Open sockets";
        sessions = "sessions_connected", "Sessions with a connection";
        streams = "streams", "Event streams that are open";
        waiting_polls = "waiting_polls", "History requests that wait for a message";
        dead_letters_kept = "dead_letters_kept", "Dead letters there are";
        subscriptions = "subscriptions", "Subscriptions of open connections";
        scheduled = "scheduled", "Messages that wait for their time";
    }
}

/// Counts in a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Held(Gauge);

impl Held {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What the store says of itself, copied when somebody asks.
#[derive(Debug, Default)]
struct StoreGauges {
    writable: Gauge,
    topics: Gauge,
    messages: Gauge,
    disk_bytes: Gauge,
    waiting_bytes: Gauge,
    commits: Gauge,
    syncs: Gauge,
    appended: Gauge,
    duplicates: Gauge,
    trimmed: Gauge,
    keys_evicted_early: Gauge,
    damaged: Gauge,
}

/// Who is on topics, copied when somebody asks.
#[derive(Debug, Default)]
struct PresenceGauges {
    members: Gauge,
    unlisted: Gauge,
    changes: Gauge,
    undone: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

impl Metrics {
    /// The counter of errors with this code.
    pub(crate) fn errors(&self, code: ErrorCode) -> &Counter {
        let at = ErrorCode::ALL.iter().position(|c| *c == code);
        &self.errors[at.expect("ALL lists every code")]
    }

    /// The counter of closes with this code.
    pub(crate) fn closes(&self, code: CloseCode) -> &Counter {
        let at = CloseCode::ALL.iter().position(|c| *c == code);
        &self.closes[at.expect("ALL lists every code")]
    }

    /// Takes over how many are on topics.
    pub(crate) fn set_presence(&self, counts: PresenceCounts) {
        self.presence.set(counts);
    }

    /// Takes over what the process has taken.
    pub(crate) fn set_process(&self, process: &Process) {
        self.process.set(process);
    }

    /// Everything as OpenMetrics text.
    pub(crate) fn encode(
        &self,
        connections: usize,
        scheduled: usize,
        status: &StoreStatus,
    ) -> String {
        self.connections.set(connections as i64);
        self.scheduled.set(scheduled as i64);
        self.store.set(status);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

fn register_build(registry: &mut Registry) {
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version that runs", build);
}

fn errors_by_code(registry: &mut Registry) -> Vec<Counter> {
    let codes = ErrorCode::ALL.iter().map(|code| code.as_str());
    by_code(registry, ("errors", "Errors told to clients, by code"), codes)
}

fn closes_by_code(registry: &mut Registry) -> Vec<Counter> {
    let codes = CloseCode::ALL.iter().map(|code| code.as_str());
    by_code(registry, ("closes", "Connections closed by the server, by reason"), codes)
}

fn by_code(
    registry: &mut Registry,
    (name, help): (&str, &str),
    codes: impl Iterator<Item = &'static str>,
) -> Vec<Counter> {
    let family = Family::<CodeLabel, Counter>::default();
    registry.register(name, help, family.clone());
    codes.map(|code| family.get_or_create_owned(&CodeLabel { code })).collect()
}

impl PresenceGauges {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        for (name, help, gauge) in [
            ("members", "Members of topics, by name", &gauges.members),
            (
                "unlisted",
                "Connections on topics that have no room for more names",
                &gauges.unlisted,
            ),
            ("changes", "Joins and leaves since the start", &gauges.changes),
            (
                "changes_undone",
                "Joins and leaves since the start that cancelled out before they were announced",
                &gauges.undone,
            ),
        ] {
            registry.register(format!("presence_{name}"), help, gauge.clone());
        }
        gauges
    }

    fn set(&self, counts: PresenceCounts) {
        let PresenceCounts { listed, unlisted, changes, undone } = counts;
        self.members.set(i64::try_from(listed).unwrap_or(i64::MAX));
        for (gauge, value) in
            [(&self.unlisted, unlisted), (&self.changes, changes), (&self.undone, undone)]
        {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

impl StoreGauges {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        for (name, help, gauge) in [
            ("writable", "1 while the store takes writes", &gauges.writable),
            ("topics", "Topics that have a log", &gauges.topics),
            ("messages", "Messages kept", &gauges.messages),
            ("disk_bytes", "Bytes of disk used", &gauges.disk_bytes),
            ("waiting_bytes", "Bytes in the write queue", &gauges.waiting_bytes),
            ("commits", "Group commits since the start", &gauges.commits),
            ("syncs", "Syncs to disk since the start", &gauges.syncs),
            ("appended", "Messages appended since the start", &gauges.appended),
            ("duplicates", "Repeated publishes recognised since the start", &gauges.duplicates),
            ("trimmed", "Messages trimmed by retention since the start", &gauges.trimmed),
            (
                "keys_evicted_early",
                "Deduplication keys forgotten before their time",
                &gauges.keys_evicted_early,
            ),
            ("damaged", "Damaged records found, never served", &gauges.damaged),
        ] {
            registry.register(format!("store_{name}"), help, gauge.clone());
        }
        gauges
    }

    fn set(&self, status: &StoreStatus) {
        self.writable.set(i64::from(status.refusing.is_none()));
        for (gauge, value) in [
            (&self.topics, status.topics),
            (&self.messages, status.messages),
            (&self.disk_bytes, status.disk_bytes),
            (&self.waiting_bytes, status.waiting_bytes),
            (&self.commits, status.commits),
            (&self.syncs, status.syncs),
            (&self.appended, status.appended),
            (&self.duplicates, status.duplicates),
            (&self.trimmed, status.trimmed),
            (&self.keys_evicted_early, status.keys_evicted_early),
            (&self.damaged, status.damaged),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
