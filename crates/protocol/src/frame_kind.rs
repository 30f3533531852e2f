//! The word of each frame: its key in JSON, its body's name in the schema, its label in metrics.

use crate::frame::{ClientBody, ServerBody, UnsubscribeReason};

impl ClientBody {
    /// The frame's word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Publish(_) => "publish",
            Self::Ack(_) => "ack",
            Self::Nack(_) => "nack",
            Self::Extend(_) => "extend",
            Self::History(_) => "history",
            Self::Presence { .. } => "presence",
            Self::Refresh { .. } => "refresh",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }

    /// Whether the frame is a request, which needs an id so that it can be answered.
    pub const fn is_request(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Subscribe(_)
            | Self::Unsubscribe { .. }
            | Self::Publish(_)
            | Self::History(_)
            | Self::Presence { .. }
            | Self::Refresh { .. } => true,
            Self::Ack(_) | Self::Nack(_) | Self::Extend(_) | Self::Ping | Self::Pong => false,
        }
    }
}

impl ServerBody {
    /// The frame's word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connected(_) => "connected",
            Self::Subscribed(_) => "subscribed",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Published(_) => "published",
            Self::Scheduled(_) => "scheduled",
            Self::History(_) => "history",
            Self::Refreshed { .. } => "refreshed",
            Self::Settled { .. } => "settled",
            Self::Error(_) => "error",
            Self::Message(_) => "message",
            Self::Present(_) => "present",
            Self::Presence(_) => "presence",
            Self::Reset(_) => "reset",
            Self::Goaway(_) => "goaway",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }
}

impl UnsubscribeReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::TakenOver, Self::Forbidden, Self::TooFarBehind];

    /// The word in frames and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TakenOver => "taken_over",
            Self::Forbidden => "forbidden",
            Self::TooFarBehind => "too_far_behind",
        }
    }
}
