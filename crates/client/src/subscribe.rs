//! Requests for subscriptions.

use tidings_core::{Filter, SubscriptionName, Topic};
use tidings_protocol::{ErrorBody, StartFrom, SubscribeMode};

use crate::limits::LIVE_QUEUE_DEFAULT;
use crate::publish::RequestError;
use crate::state::CloseReason;

/// Who acks the deliveries of a durable subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckMode {
    /// [`Subscription::next`](crate::Subscription::next) acks a delivery when the one after it is
    /// asked for. A loop that ends early, by an error or a panic, leaves the last one unacked,
    /// and it comes again.
    #[default]
    Auto,
    /// The application, with [`Delivery::ack`](crate::Delivery::ack). A delivery that is dropped
    /// without an answer comes again after the server's ack timeout.
    Manual,
}

/// A request for a subscription.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    pub(crate) sub: Filter,
    pub(crate) mode: SubscribeMode,
    pub(crate) ack: AckMode,
    pub(crate) queue: usize,
}

impl SubscribeRequest {
    /// A live subscription to a topic or filter: the client remembers its place. One to a plain
    /// topic goes on where it was after a disconnect; one with wildcards does not, so use durable
    /// subscriptions for what must not be missed.
    pub fn live(filter: &str) -> Result<Self, RequestError> {
        let mode = SubscribeMode::Live { from: StartFrom::New };
        let sub = Filter::parse(filter)?;
        Ok(Self { sub, mode, ack: AckMode::Auto, queue: LIVE_QUEUE_DEFAULT })
    }

    /// A durable subscription to a topic under a name: the server remembers its place, holds
    /// messages while the client is away, and wants each acked.
    pub fn durable(topic: &str, name: &str) -> Result<Self, RequestError> {
        let sub = Filter::from(&Topic::parse(topic)?);
        let name = SubscriptionName::parse(name)?;
        let mode = SubscribeMode::Durable { name, window: None, from: StartFrom::First };
        Ok(Self { sub, mode, ack: AckMode::Auto, queue: LIVE_QUEUE_DEFAULT })
    }

    /// How many messages may be unacked at once. Only for durable subscriptions; others have no
    /// window and ignore it.
    #[must_use]
    pub const fn window(mut self, messages: u32) -> Self {
        if let SubscribeMode::Durable { window, .. } | SubscribeMode::Shared { window, .. } =
            &mut self.mode
        {
            *window = Some(messages);
        }
        self
    }

    /// Where to start when there is no place to go on from: live ones start with new messages,
    /// durable ones with the first, unless this says otherwise.
    #[must_use]
    pub const fn from(mut self, start: StartFrom) -> Self {
        match &mut self.mode {
            SubscribeMode::Live { from }
            | SubscribeMode::Durable { from, .. }
            | SubscribeMode::Shared { from, .. } => *from = start,
        }
        self
    }

    /// Who acks. Only for durable subscriptions.
    #[must_use]
    pub const fn ack(mut self, mode: AckMode) -> Self {
        self.ack = mode;
        self
    }

    /// How many messages of a live subscription may wait for the application. At the limit the
    /// client stops reading, and the server's log is the queue.
    #[must_use]
    pub fn queue(mut self, messages: usize) -> Self {
        self.queue = messages.max(1);
        self
    }
}

/// Why there is no subscription.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The server refused it.
    #[error("the server refused the subscription: {} ({})", error.message, error.code.as_str())]
    Refused {
        /// What it said; `code.is_temporary()` tells whether trying again can help.
        error: ErrorBody,
    },
    /// This client has a subscription to the same topic or filter.
    #[error(
        "this client is subscribed to `{sub}` already: use that subscription, or drop it first"
    )]
    AlreadySubscribed {
        /// To what.
        sub: Filter,
    },
    /// A live and a durable subscription would bring the same messages, and nothing in a message
    /// says which of them it is for.
    #[error(
        "`{sub}` overlaps with this client's subscription to `{other}`, and one of them is \
         durable: use a second client for one of them"
    )]
    Overlaps {
        /// The one asked for.
        sub: Filter,
        /// The one that is there.
        other: Filter,
    },
    /// This client has as many subscriptions as it may.
    #[error(
        "this client has {count} subscriptions, the most there can be: use a filter, or a second client"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The client ended.
    #[error("the client ended before the server answered: {reason}")]
    Closed {
        /// Why.
        reason: CloseReason,
    },
}
