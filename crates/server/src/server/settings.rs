//! The configuration as shards and the door use it.

use std::num::NonZeroU32;
use std::time::Duration;

use tidings_core::{ConnectionSettings, PresenceSettings, limits};
use tidings_protocol::ConnectionLimits;

use crate::config::Config;
use crate::env::Settings;
use crate::schedule::ScheduleLimits;

/// Rounds a size down to what the protocol can name.
fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

pub(super) fn presence_settings(config: &Config) -> PresenceSettings {
    PresenceSettings {
        grace: config.limits.presence_grace,
        members_per_topic_max: config.limits.presence_members_per_topic,
        members_max: config.limits.presence_members,
    }
}

pub(super) fn settings(config: &Config) -> Settings {
    let section = &config.limits;
    Settings {
        node: config.server.node.clone(),
        connection: ConnectionSettings {
            handshake_timeout: section.handshake_timeout,
            ping_interval: section.ping_interval,
            pong_timeout: section.pong_timeout,
        },
        limits: ConnectionLimits {
            message_bytes: as_u32(section.message_bytes.as_usize()),
            frame_bytes: as_u32(section.frame_bytes.as_usize()),
            subscriptions: section.subscriptions_per_connection,
            window: section.window_max.min(limits::WINDOW_MAX),
            publishes_in_flight: section.publishes_in_flight,
        },
        outbound_bytes: section.outbound_bytes.as_usize(),
        deflate_bytes_min: config.websocket.deflate_bytes_min(),
        session_expiry: section.session_expiry,
        window_default: section.window_default,
        subscribe_inbox: config.inbox.subscribe_on_connect,
        cursors_per_user: section.cursors_per_user as usize,
        schedule: ScheduleLimits {
            all: section.scheduled_max,
            per_user: section.scheduled_per_user,
        },
        replays_per_second: NonZeroU32::new(section.replays_per_second).unwrap_or(NonZeroU32::MIN),
        drain_timeout: config.server.drain_timeout.max(Duration::from_millis(100)),
        http_body_bytes: config.http.body_bytes.as_usize(),
        record_events: config.trace.events,
        token_in_query: config.auth.token_in_query,
        request_timeout: config.http.request_timeout,
    }
}
