//! `[limits]`: what one connection, and one user, may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings_core::limits;

use super::quantity::ByteSize;
use super::text;

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Largest message data.
    pub message_bytes: ByteSize,
    /// Largest WebSocket message from a client.
    pub frame_bytes: ByteSize,
    /// Most subscriptions of one connection.
    pub subscriptions_per_connection: u32,
    /// Most durable subscriptions of one user that the server keeps a cursor for.
    pub cursors_per_user: u32,
    /// Most messages of one user that wait for their time.
    pub scheduled_per_user: u32,
    /// Most messages of all users that wait for their time.
    pub scheduled_max: u32,
    /// Dead letters published again in a second, where many are.
    pub replays_per_second: u32,
    /// Most publishes of one connection without an answer.
    pub publishes_in_flight: u32,
    /// Most unsent bytes of one connection before it falls back to reading the log.
    pub outbound_bytes: ByteSize,
    /// Longest time from accepting a socket to its `connect` frame.
    #[serde(with = "text::duration")]
    pub handshake_timeout: Duration,
    /// How often the server pings.
    #[serde(with = "text::duration")]
    pub ping_interval: Duration,
    /// How long a peer may stay silent after a ping.
    #[serde(with = "text::duration")]
    pub pong_timeout: Duration,
    /// How long a session waits for its client.
    #[serde(with = "text::duration")]
    pub session_expiry: Duration,
    /// Unacked messages of a durable subscription that asks for no number.
    pub window_default: u32,
    /// Most unacked messages that a durable subscription may ask for.
    pub window_max: u32,
    /// How long a member of a topic whose connection broke is still taken for present.
    #[serde(with = "text::duration")]
    pub presence_grace: Duration,
    /// Members of one topic that are known by name.
    pub presence_members_per_topic: usize,
    /// Members of all topics that are known by name.
    pub presence_members: usize,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            message_bytes: ByteSize::from_bytes(limits::MESSAGE_BYTES_DEFAULT as u64),
            frame_bytes: ByteSize::from_mib(1),
            subscriptions_per_connection: limits::SUBSCRIPTIONS_PER_CONNECTION_MAX as u32,
            cursors_per_user: 1000,
            scheduled_per_user: 100_000,
            scheduled_max: 1_000_000,
            replays_per_second: limits::REPLAYS_PER_SECOND_DEFAULT,
            publishes_in_flight: 1024,
            outbound_bytes: ByteSize::from_bytes(256 * 1024),
            handshake_timeout: limits::HANDSHAKE_TIMEOUT_DEFAULT,
            ping_interval: limits::PING_INTERVAL_DEFAULT,
            pong_timeout: limits::PONG_TIMEOUT_DEFAULT,
            session_expiry: Duration::from_secs(24 * 60 * 60),
            window_default: limits::WINDOW_DEFAULT,
            window_max: limits::WINDOW_MAX,
            presence_grace: limits::PRESENCE_GRACE_DEFAULT,
            presence_members_per_topic: limits::PRESENCE_MEMBERS_PER_TOPIC_DEFAULT,
            presence_members: limits::PRESENCE_MEMBERS_DEFAULT,
        }
    }
}
