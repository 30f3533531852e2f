//! Every metric of the server: names, help and handles, resolved once.
//!
//! Names follow Prometheus: `tidings_` in front, base units, `_total` on counters. No label
//! holds a topic or a user, so the number of series is bounded.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tidings_core::CloseCode;
use tidings_protocol::ErrorCode;
use tidings_storage::StoreStatus;

/// Handles to every metric.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) sessions: Gauge,
    pub(crate) subscriptions: Gauge,
    pub(crate) deliveries: Counter,
    pub(crate) redeliveries: Counter,
    pub(crate) catch_up_reads: Counter,
    pub(crate) catch_up_deliveries: Counter,
    pub(crate) settled: Counter,
    pub(crate) nacks: Counter,
    pub(crate) dead_letters: Counter,
    pub(crate) dead_letters_discarded: Counter,
    pub(crate) resets: Counter,
    pub(crate) dropped_slow: Counter,
    pub(crate) inbox_overflows: Counter,
    pub(crate) violations: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) http_requests: Counter,
    errors: Vec<Counter>,
    closes: Vec<Counter>,
    store: StoreGauges,
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tidings");
        register_build(&mut registry);
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let deliveries = counter("deliveries", "Messages sent to subscriptions");
        let redeliveries = counter("redeliveries", "Messages sent again");
        let catch_up_reads = counter("catch_up_reads", "Reads of the log for live subscriptions");
        let catch_up_deliveries =
            counter("catch_up_deliveries", "Messages sent from the log to live subscriptions");
        let settled = counter("settled", "Deliveries settled by acks and nacks");
        let nacks = counter("nacks", "Deliveries that were not taken");
        let dead_letters = counter("dead_letters", "Messages given up and kept as dead letters");
        let dead_letters_discarded = counter(
            "dead_letters_discarded",
            "Dead letters given up by their own subscribers; they stay in their topic",
        );
        let resets = counter("resets", "Subscriptions that lost their place");
        let dropped_slow =
            counter("dropped_slow", "Messages of memory topics that slow readers missed");
        let inbox_overflows = counter("inbox_overflows", "Times a shard fell behind the log");
        let violations = counter("protocol_violations", "Connections that broke RFC 6455");
        let bytes_in = counter("received_bytes", "Bytes read from WebSocket connections");
        let bytes_out = counter("sent_bytes", "Bytes written to WebSocket connections");
        let http_requests = counter("http_requests", "HTTP requests answered");
        let connections_refused =
            counter("connections_refused", "Sockets refused for want of a free seat");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let connections = gauge("connections", "Open sockets");
        let sessions = gauge("sessions_connected", "Sessions with a connection");
        let subscriptions = gauge("subscriptions", "Subscriptions of open connections");
        let store = StoreGauges::register(&mut registry);
        let errors = by_code(
            &mut registry,
            ("errors", "Errors told to clients, by code"),
            ErrorCode::ALL.iter().map(|code| code.as_str()),
        );
        let closes = by_code(
            &mut registry,
            ("closes", "Connections closed by the server, by reason"),
            CloseCode::ALL.iter().map(|code| code.as_str()),
        );
        Self {
            registry,
            connections,
            connections_refused,
            sessions,
            subscriptions,
            deliveries,
            redeliveries,
            catch_up_reads,
            catch_up_deliveries,
            settled,
            nacks,
            dead_letters,
            dead_letters_discarded,
            resets,
            dropped_slow,
            inbox_overflows,
            violations,
            bytes_in,
            bytes_out,
            http_requests,
            errors,
            closes,
            store,
        }
    }

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

    /// Everything as OpenMetrics text.
    pub(crate) fn encode(&self, connections: usize, status: &StoreStatus) -> String {
        self.connections.set(connections as i64);
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

fn by_code(
    registry: &mut Registry,
    (name, help): (&str, &str),
    codes: impl Iterator<Item = &'static str>,
) -> Vec<Counter> {
    let family = Family::<CodeLabel, Counter>::default();
    registry.register(name, help, family.clone());
    codes.map(|code| family.get_or_create_owned(&CodeLabel { code })).collect()
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
