//! Publishing: requests, tickets, and what can go wrong.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tidings_core::{
    ContentType, Data, DedupKey, Filter, Headers, IdError, OrderKey, Timestamp, Topic, TopicError,
};
use tidings_protocol::http::PublishOutcome;
use tidings_protocol::{ErrorBody, JsonDataError, Publish, json_data};
use tokio::sync::{oneshot, watch};

use crate::limits::OUTBOX_OVERHEAD_BYTES;
use crate::state::{CloseReason, State};

/// Written out: the message of the error has the whole text of its cause already.
impl From<JsonDataError> for RequestError {
    fn from(error: JsonDataError) -> Self {
        Self::Json(error)
    }
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    pub(crate) publish: Publish,
}

/// Why a request cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The topic breaks a rule.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The filter breaks a rule.
    #[error(transparent)]
    Filter(#[from] tidings_core::FilterError),
    /// A name or key breaks a rule.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The value cannot be written as JSON.
    #[error("the value cannot be written as JSON")]
    Value(#[from] serde_json::Error),
    /// The text is not JSON, or not one the server takes.
    #[error("the data {0}")]
    Json(JsonDataError),
    /// The text is not a content type.
    #[error("`{text}` is not a content type; write it like `text/plain; charset=utf-8`")]
    ContentType {
        /// The text.
        text: String,
    },
    /// Presence is wanted of many topics at once.
    #[error("who joins and leaves is told of one topic: `{filter}` has wildcards, so name a topic")]
    PresenceOfFilter {
        /// The filter.
        filter: Filter,
    },
}

impl PublishRequest {
    /// A message of `data` to `topic`.
    pub fn new(topic: Topic, data: Data) -> Self {
        let publish = Publish {
            topic,
            data,
            content_type: None,
            headers: Headers::new(),
            key: None,
            order_key: None,
            ttl: None,
            deliver_at: None,
        };
        Self { publish }
    }

    /// A message that carries `value` as JSON.
    pub fn json(topic: &str, value: &(impl Serialize + ?Sized)) -> Result<Self, RequestError> {
        let bytes = serde_json::to_vec(value)?;
        // A value may serialize to raw text of its own, so the result is checked as any other.
        Ok(Self::new(Topic::parse(topic)?, json_data(&bytes)?))
    }

    /// A message that carries JSON text as it is: numbers and the order of members are kept.
    pub fn json_text(topic: &str, text: &[u8]) -> Result<Self, RequestError> {
        Ok(Self::new(Topic::parse(topic)?, json_data(text)?))
    }

    /// A message that carries `text` as a JSON string.
    pub fn text(topic: &str, text: &str) -> Result<Self, RequestError> {
        let bytes = serde_json::to_vec(text)?;
        Ok(Self::new(Topic::parse(topic)?, Data::json(bytes.into())))
    }

    /// A message that carries any bytes.
    pub fn bytes(topic: &str, bytes: impl Into<Bytes>) -> Result<Self, RequestError> {
        Ok(Self::new(Topic::parse(topic)?, Data::binary(bytes.into())))
    }

    /// What makes a repeat recognisable beyond this client's life. Without one the client makes
    /// up a key, so that its own retries are never duplicates.
    #[must_use]
    pub fn key(mut self, key: DedupKey) -> Self {
        self.publish.key = Some(key);
        self
    }

    /// What the message has in common with others that a group must take one after the other, such
    /// as an account.
    #[must_use]
    pub fn order_key(mut self, key: OrderKey) -> Self {
        self.publish.order_key = Some(key);
        self
    }

    /// When to publish it: the server keeps it until then. If that time has come when the server
    /// gets it, it is published at once.
    #[must_use]
    pub fn deliver_at(mut self, at: Timestamp) -> Self {
        self.publish.deliver_at = Some(at);
        self
    }

    /// How long the message is worth delivering, from the time it is published.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.publish.ttl = Some(ttl);
        self
    }

    /// A name and value for the receiver.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.publish.headers.insert(name.into(), value.into());
        self
    }

    /// What the data is, if JSON or binary does not say enough.
    pub fn content_type(mut self, text: &str) -> Result<Self, RequestError> {
        let content_type = ContentType::parse(text)
            .ok_or_else(|| RequestError::ContentType { text: text.to_owned() })?;
        self.publish.content_type = Some(content_type);
        Ok(self)
    }

    /// What the message counts for in the outbox, bytes.
    pub(crate) fn weight(&self) -> usize {
        let headers = self.publish.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        let topic = self.publish.topic.as_str().len();
        let order_key = self.publish.order_key.as_ref().map_or(0, |key| key.as_str().len());
        OUTBOX_OVERHEAD_BYTES + topic + headers + order_key + self.publish.data.bytes().len()
    }
}

/// Why a message was not published. Temporary errors are not among them: the client retries
/// those by itself.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The server refused it, and would again.
    #[error("the server refused the message: {} ({})", error.message, error.code.as_str())]
    Refused {
        /// What it said.
        error: ErrorBody,
    },
    /// The message is larger than the server takes.
    #[error(
        "the message has {bytes} bytes and the server takes {bytes_max}: send less, or store the \
         data elsewhere and publish a link"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// The message would not fit the empty outbox.
    #[error(
        "the message has {bytes} bytes and the outbox holds {bytes_max}: raise \
         ClientBuilder::outbox"
    )]
    OutboxTooSmall {
        /// What it counts for.
        bytes: usize,
        /// What the outbox holds.
        bytes_max: usize,
    },
    /// The client ended before an answer came: the message may or may not have been stored.
    /// Publishing it again with the same key is safe.
    #[error("the client ended before the server answered: {reason}")]
    Closed {
        /// Why it ended.
        reason: CloseReason,
    },
}

/// Who waits for a publish: where its answer goes.
pub(crate) type Ticket = oneshot::Sender<Result<PublishOutcome, PublishError>>;

/// A publish on its way: a future of its result. Dropping it does not take the message back.
#[derive(Debug)]
pub struct PublishTicket {
    pub(crate) answer: oneshot::Receiver<Result<PublishOutcome, PublishError>>,
    pub(crate) state: watch::Receiver<State>,
}

impl Future for PublishTicket {
    type Output = Result<PublishOutcome, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(
            answer.unwrap_or_else(|_| {
                Err(PublishError::Closed { reason: close_reason(&self.state) })
            }),
        )
    }
}

/// Why the client ended, for those who find out by a queue that has gone.
pub(crate) fn close_reason(state: &watch::Receiver<State>) -> CloseReason {
    match &*state.borrow() {
        State::Closed { reason } => reason.clone(),
        // The task is gone without a word: its runtime was shut down.
        State::Disconnected
        | State::Connecting { .. }
        | State::Authenticating
        | State::Ready(_)
        | State::Reconnecting { .. } => CloseReason::Asked,
    }
}
