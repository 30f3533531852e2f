//! Requests for subscriptions.

use tidings_core::{Filter, GroupName, SubscriptionName, Topic};
use tidings_protocol::{ErrorBody, StartFrom, SubscribeMode};
use tokio::sync::oneshot;

use crate::limits::LIVE_QUEUE_DEFAULT;
use crate::publish::RequestError;
use crate::state::CloseReason;
use crate::subscription::Subscription;

/// Where the answer to a request for a subscription goes.
pub(crate) type SubscribeAnswer = oneshot::Sender<Result<Subscription, SubscribeError>>;

/// Who acks the deliveries of a durable or shared subscription.
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
    pub(crate) presence: bool,
    /// Whether the server starts it by itself.
    pub(crate) is_inbox: bool,
}

impl SubscribeRequest {
    /// A live subscription to a topic or filter: the client remembers its place. One to a plain
    /// topic goes on where it was after a disconnect; one with wildcards does not, so use durable
    /// subscriptions for what must not be missed.
    pub fn live(filter: &str) -> Result<Self, RequestError> {
        Ok(Self::new(Filter::parse(filter)?, SubscribeMode::Live { from: StartFrom::New }))
    }

    /// A durable subscription to a topic under a name: the server remembers its place, holds
    /// messages while the client is away, and wants each acked.
    pub fn durable(topic: &str, name: &str) -> Result<Self, RequestError> {
        let sub = Filter::from(&Topic::parse(topic)?);
        Ok(Self::durable_of(sub, SubscriptionName::parse(name)?))
    }

    /// A shared subscription to a topic or filter, as a member of a group: the members divide the
    /// messages, each goes to one of them, and to another if that one does not ack it. The server
    /// remembers the place of the group.
    pub fn shared(filter: &str, group: &str) -> Result<Self, RequestError> {
        let sub = Filter::parse(filter)?;
        let group = GroupName::parse(group)?;
        Ok(Self::new(sub, SubscribeMode::Shared { group, window: None, from: StartFrom::First }))
    }

    /// A durable subscription of what is known to be a topic.
    pub(crate) const fn durable_of(sub: Filter, name: SubscriptionName) -> Self {
        Self::new(sub, SubscribeMode::Durable { name, window: None, from: StartFrom::First })
    }

    const fn new(sub: Filter, mode: SubscribeMode) -> Self {
        let (ack, queue) = (AckMode::Auto, LIVE_QUEUE_DEFAULT);
        Self { sub, mode, ack, queue, presence: false, is_inbox: false }
    }

    /// Also tells who joins and leaves the topic, with
    /// [`Event::Presence`](crate::Event::Presence). Not of a filter with wildcards.
    pub fn presence(mut self) -> Result<Self, RequestError> {
        if self.sub.has_wildcards() {
            return Err(RequestError::PresenceOfFilter { filter: self.sub });
        }
        self.presence = true;
        Ok(self)
    }

    /// How many messages may be unacked at once. Only for durable and shared subscriptions; others
    /// have no window and ignore it.
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
    /// durable and shared ones with the first, unless this says otherwise.
    #[must_use]
    pub const fn from(mut self, start: StartFrom) -> Self {
        match &mut self.mode {
            SubscribeMode::Live { from }
            | SubscribeMode::Durable { from, .. }
            | SubscribeMode::Shared { from, .. } => *from = start,
        }
        self
    }

    /// Who acks. Only for durable and shared subscriptions.
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
    /// The server subscribes no device without a name to its inbox.
    #[error("only a client with a name has an inbox: set ClientBuilder::client_id")]
    InboxWithoutName,
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
