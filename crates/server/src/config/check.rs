//! How the keys go together. Every check is made, so that one run tells everything.

mod tls;

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use tidings_core::limits::{
    CAPABILITIES_MAX, MESSAGE_BYTES_MAX, SUBSCRIPTIONS_PER_CONNECTION_MAX, WINDOW_MAX,
};

use super::auth::{ApiKey, AuthSection, KeyMaterial, TokenKey};
use super::problem::{ConfigOrigin, ConfigProblem};
use super::quantity::{ByteSize, duration_to_text};
use super::secret::Secret;
use super::{Config, bounds};
use crate::auth::Authenticator;
use crate::spans::{Collector, CollectorError};

/// Everything that is wrong with `config` as a whole.
pub(super) fn problems(config: &Config) -> Vec<ConfigProblem> {
    let mut found = Problems::default();
    check_server(config, &mut found);
    check_storage(config, &mut found);
    check_auth(config, &mut found);
    check_limits(config, &mut found);
    found.range(
        "websocket.compression_min",
        config.websocket.compression_min,
        &bounds::COMPRESSION_MIN,
    );
    check_http(config, &mut found);
    check_trace(config, &mut found);
    check_topics(config, &mut found);
    found.0
}

#[derive(Default)]
struct Problems(Vec<ConfigProblem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, what: impl Into<String>) {
        let (key, what) = (key.into(), what.into());
        self.0.push(ConfigProblem { origin: ConfigOrigin::Unknown, key, value: None, what });
    }

    fn add_value(&mut self, key: impl Into<String>, value: &dyn Display, what: impl Into<String>) {
        self.add(key, what);
        if let Some(problem) = self.0.last_mut() {
            problem.value = Some(value.to_string());
        }
    }

    fn range<T: Quantity>(&mut self, key: &str, value: T, allowed: &RangeInclusive<T>) {
        if !allowed.contains(&value) {
            let (least, most) = (allowed.start().show(), allowed.end().show());
            self.add_value(key, &value.show(), format!("must be from {least} to {most}"));
        }
    }
}

/// What has bounds, and how it is written in the file.
trait Quantity: Copy + PartialOrd {
    fn show(&self) -> String;
}

impl Quantity for Duration {
    fn show(&self) -> String {
        format!("{:?}", duration_to_text(*self))
    }
}

impl Quantity for ByteSize {
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Quantity for usize {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Quantity for u32 {
    fn show(&self) -> String {
        self.to_string()
    }
}

fn check_server(config: &Config, found: &mut Problems) {
    let server = &config.server;
    found.range("server.shards", server.shards, &bounds::SHARDS);
    found.range("server.connections_max", server.connections_max, &bounds::CONNECTIONS);
    found.range("server.drain_timeout", server.drain_timeout, &bounds::DRAIN);
    if server.listen == server.operator && server.listen.port() != 0 {
        let what = "is the address of server.listen as well: give each its own port";
        found.add_value("server.operator", &server.operator, what);
    }
    check_origins("server.allowed_origins", &server.allowed_origins, found);
    if let Some(tls) = &config.tls {
        tls::check(tls, found);
    }
}

fn check_origins(key: &str, origins: &[String], found: &mut Problems) {
    for (index, origin) in origins.iter().enumerate() {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '*', ' ']);
        if !host.is_some_and(is_host) {
            let what = "not an origin: write scheme, host and port as a browser sends them, such as \"https://app.example.org\"; there are no wildcards";
            found.add_value(format!("{key}[{index}]"), &format!("{origin:?}"), what);
        }
    }
}

fn check_storage(config: &Config, found: &mut Problems) {
    let storage = &config.storage;
    if storage.directory.as_os_str().is_empty() {
        found.add("storage.directory", "is empty: name a directory");
    }
    found.range("storage.segment_bytes", storage.segment_bytes, &bounds::SEGMENT);
    found.range("storage.queue_bytes_max", storage.queue_bytes_max, &bounds::QUEUE);
    let least = ByteSize::from_bytes(storage.segment_bytes.as_u64() * bounds::SEGMENTS_MIN);
    if storage.disk_bytes_max < least {
        let what = format!("must be at least four times storage.segment_bytes, \"{least}\"");
        found.add_value("storage.disk_bytes_max", &storage.disk_bytes_max.show(), what);
    }
    let message = config.limits.message_bytes.as_u64().saturating_mul(bounds::ENVELOPE_FACTOR);
    if storage.segment_bytes.as_u64() < message {
        let what = "must be at least twice limits.message_bytes: a record does not span segments";
        found.add_value("storage.segment_bytes", &storage.segment_bytes.show(), what);
    }
    if storage.queue_bytes_max.as_u64() < message {
        let what = "must be at least twice limits.message_bytes: the queue must hold a message";
        found.add_value("storage.queue_bytes_max", &storage.queue_bytes_max.show(), what);
    }
    found.range("storage.dedup_window", storage.dedup_window, &bounds::DEDUP_WINDOW);
    found.range("storage.dedup_keys_max", storage.dedup_keys_max, &bounds::DEDUP_KEYS);
    let interval = storage.async_sync_interval;
    found.range("storage.async_sync_interval", interval, &bounds::ASYNC_SYNC);
    found.range("storage.cursor_expiry", storage.cursor_expiry, &bounds::CURSOR_EXPIRY);
    if storage.cursor_expiry < config.limits.session_expiry {
        let what = "is shorter than limits.session_expiry: clients would come back to a session that has lost its place";
        found.add_value("storage.cursor_expiry", &storage.cursor_expiry.show(), what);
    }
}

fn check_auth(config: &Config, found: &mut Problems) {
    let auth = &config.auth;
    if auth.open {
        check_loopback("server.listen", config.server.listen, found);
        check_loopback("server.operator", config.server.operator, found);
    } else if auth.keys.is_empty() && auth.api_keys.is_empty() {
        found.add(
            "auth",
            "nobody could connect: add an [[auth.keys]] to verify tokens with or an [[auth.api_keys]] for a service, or try things out with `tidings dev`",
        );
    }
    found.range("auth.leeway", auth.leeway, &bounds::LEEWAY);
    match auth.operator_secret() {
        Ok(Some(secret)) => check_secret("auth.operator_key", &secret, found),
        Ok(None) => {}
        Err(what) => found.add("auth.operator_key", what),
    }
    for (index, key) in auth.keys.iter().enumerate() {
        check_token_key(&format!("auth.keys[{index}]"), key, found);
        let same = |other: &&TokenKey| other.kid == key.kid && other.algorithm == key.algorithm;
        if key.kid.is_some() && auth.keys[..index].iter().any(|other| same(&other)) {
            let what = "an earlier key has the same `kid` and algorithm: give each its own";
            found.add(format!("auth.keys[{index}].kid"), what);
        }
    }
    for (index, key) in auth.api_keys.iter().enumerate() {
        check_api_key(&format!("auth.api_keys[{index}]"), key, found);
        if auth.api_keys[..index].iter().any(|other| other.name == key.name) {
            let what = "an earlier key has the same name: give each its own";
            found.add_value(format!("auth.api_keys[{index}].name"), &key.name, what);
        }
    }
}

fn check_loopback(key: &str, address: SocketAddr, found: &mut Problems) {
    if !address.ip().is_loopback() {
        let what = "auth.open lets everybody in, so it is refused on an address that others can reach: listen on 127.0.0.1, or set auth.open = false and add an [[auth.keys]]";
        found.add_value(key, &address, what);
    }
}

fn check_token_key(at: &str, key: &TokenKey, found: &mut Problems) {
    match key.material() {
        Ok(KeyMaterial::Shared(secret)) => check_secret(at, &secret, found),
        Ok(KeyMaterial::PublicPem(pem)) if !pem.contains("-----BEGIN ") => {
            found.add(
                format!("{at}.public_key_file"),
                "holds no PEM (`-----BEGIN PUBLIC KEY-----`)",
            );
        }
        Ok(KeyMaterial::PublicPem(pem)) if pem.contains("PRIVATE KEY-----") => {
            let what = "holds a private key: give the server the public one only";
            found.add(format!("{at}.public_key_file"), what);
        }
        Ok(KeyMaterial::PublicPem(_)) => {
            // Alone, so that each key that cannot be used is told and not only the first.
            let alone = AuthSection { keys: vec![key.clone()], ..AuthSection::default() };
            if let Err(error) = Authenticator::new(&alone) {
                found.add(format!("{at}.public_key_file"), error.problem);
            }
        }
        Err(what) => found.add(at, what),
    }
}

fn check_api_key(at: &str, key: &ApiKey, found: &mut Problems) {
    match key.secret() {
        Ok(secret) => check_secret(at, &secret, found),
        Err(what) => found.add(at, what),
    }
    if key.name.is_reserved() {
        let what = "users that start with `$` are the server's: name somebody else";
        found.add_value(format!("{at}.name"), &key.name, what);
    }
    if key.caps.is_empty() {
        let what =
            "it could do nothing: add what it may, such as { match = \"jobs/#\", ops = [\"pub\"] }";
        found.add(format!("{at}.caps"), what);
    }
    if key.caps.len() > CAPABILITIES_MAX {
        found.add(format!("{at}.caps"), format!("at most {CAPABILITIES_MAX} entries"));
    }
    for (index, entry) in key.caps.iter().enumerate() {
        if entry.ops.is_empty() {
            let what = "it allows nothing: name some of \"pub\", \"sub\", \"hist\", \"pres\"";
            found.add(format!("{at}.caps[{index}].ops"), what);
        }
    }
}

fn check_secret(at: &str, secret: &Secret, found: &mut Problems) {
    let (bytes, least) = (secret.expose().len(), bounds::SECRET_BYTES_MIN);
    if bytes < least {
        let what = format!(
            "the secret has {bytes} bytes and could be guessed: use at least {least} random ones (`openssl rand -base64 32`)"
        );
        found.add(at, what);
    }
}

fn check_limits(config: &Config, found: &mut Problems) {
    let limits = &config.limits;
    let largest = ByteSize::from_bytes(MESSAGE_BYTES_MAX as u64);
    let message = ByteSize::from_bytes(1)..=largest;
    found.range("limits.message_bytes", limits.message_bytes, &message);
    check_envelope("limits.frame_bytes", limits.frame_bytes, config, found);
    let subscriptions = 1..=SUBSCRIPTIONS_PER_CONNECTION_MAX as u32;
    let asked = limits.subscriptions_per_connection;
    found.range("limits.subscriptions_per_connection", asked, &subscriptions);
    found.range("limits.cursors_per_user", limits.cursors_per_user, &bounds::CURSORS_PER_USER);
    found.range("limits.scheduled_per_user", limits.scheduled_per_user, &bounds::SCHEDULED);
    found.range("limits.scheduled_max", limits.scheduled_max, &bounds::SCHEDULED);
    found.range("limits.replays_per_second", limits.replays_per_second, &bounds::REPLAYS);
    let publishes = limits.publishes_in_flight;
    found.range("limits.publishes_in_flight", publishes, &bounds::PUBLISHES_IN_FLIGHT);
    found.range("limits.outbound_bytes", limits.outbound_bytes, &bounds::OUTBOUND);
    found.range("limits.handshake_timeout", limits.handshake_timeout, &bounds::HANDSHAKE);
    found.range("limits.ping_interval", limits.ping_interval, &bounds::PING);
    found.range("limits.pong_timeout", limits.pong_timeout, &bounds::PONG);
    if limits.pong_timeout > limits.ping_interval {
        let what = "is longer than limits.ping_interval: a dead peer would be pinged again before it counts as dead";
        found.add_value("limits.pong_timeout", &limits.pong_timeout.show(), what);
    }
    found.range("limits.session_expiry", limits.session_expiry, &bounds::SESSION_EXPIRY);
    found.range("limits.window_max", limits.window_max, &(1..=WINDOW_MAX));
    found.range("limits.window_default", limits.window_default, &(1..=limits.window_max.max(1)));
    found.range("limits.presence_grace", limits.presence_grace, &bounds::PRESENCE_GRACE);
    for (key, members) in [
        ("limits.presence_members", limits.presence_members),
        ("limits.presence_members_per_topic", limits.presence_members_per_topic),
    ] {
        found.range(key, members, &bounds::PRESENCE_MEMBERS);
    }
}

/// What carries a message must have room for it.
fn check_envelope(key: &str, value: ByteSize, config: &Config, found: &mut Problems) {
    found.range(key, value, &bounds::FRAME);
    let message = config.limits.message_bytes;
    let least = message.as_u64().saturating_mul(bounds::ENVELOPE_FACTOR);
    if value.as_u64() < least {
        let what = format!(
            "must be at least twice limits.message_bytes (\"{message}\"): base64 and headers come on top"
        );
        found.add_value(key, &value.show(), what);
    }
}

fn check_http(config: &Config, found: &mut Problems) {
    check_origins("http.cors_origins", &config.http.cors_origins, found);
    check_envelope("http.body_bytes", config.http.body_bytes, config, found);
    found.range("http.request_timeout", config.http.request_timeout, &bounds::REQUEST);
    found.range("http.streams_max", config.http.streams_max, &bounds::CONNECTIONS);
}

fn check_trace(config: &Config, found: &mut Problems) {
    found.range("trace.events", config.trace.events, &bounds::TRACE_EVENTS);
    // The value is not shown: a URL may hold a password.
    if let Err(CollectorError { key, what }) = Collector::of(&config.trace) {
        found.add(key, what);
    }
    if config.trace.otlp_url.is_none() && config.trace.otlp_headers_file.is_some() {
        let what = "has no use without trace.otlp_url: say where spans go, or leave it out";
        found.add("trace.otlp_headers_file", what);
    }
}

fn check_topics(config: &Config, found: &mut Problems) {
    for (index, topic) in config.topic.iter().enumerate() {
        let at = |key: &str| format!("topic[{index}].{key}");
        found.range(&at("retention_age"), topic.retention_age, &bounds::RETENTION);
        found.range(&at("ack_timeout"), topic.ack_timeout, &bounds::ACK_TIMEOUT);
        found.range(&at("attempts_max"), topic.attempts_max, &bounds::ATTEMPTS);
        found.range(&at("backoff_base"), topic.backoff_base, &bounds::BACKOFF);
        found.range(&at("backoff_cap"), topic.backoff_cap, &bounds::BACKOFF);
        if let Some(backlog) = topic.backlog_max {
            found.range(&at("backlog_max"), backlog, &bounds::BACKLOG);
        }
        if topic.backoff_base > topic.backoff_cap {
            let what = "is longer than backoff_cap: the wait could not begin with it";
            found.add_value(at("backoff_base"), &topic.backoff_base.show(), what);
        }
        for (key, bound) in [
            ("retention_messages", topic.retention_messages),
            ("retention_bytes", topic.retention_bytes.map(ByteSize::as_u64)),
        ] {
            if bound == Some(0) {
                let what = "nothing would be kept: use durability = \"memory\" for that";
                found.add_value(at(key), &0, what);
            }
        }
        let message = config.limits.message_bytes;
        if let Some(most) = topic.retention_bytes.filter(|b| b.as_u64() > 0 && *b < message) {
            let what = format!(
                "is less than limits.message_bytes (\"{message}\"): a single message could not be kept"
            );
            found.add_value(at("retention_bytes"), &most.show(), what);
        }
        let earlier = config.topic[..index].iter().position(|e| e.filter.covers(&topic.filter));
        if let Some(earlier) = earlier {
            let what = format!(
                "never applies: topic[{earlier}] matches the same topics and the first match decides; move this section before it"
            );
            found.add_value(at("match"), &format!("\"{}\"", topic.filter), what);
        }
    }
}

#[cfg(test)]
mod tests;
