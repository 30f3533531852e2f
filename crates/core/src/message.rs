//! Messages, before and after the log has given them a place.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::id::{DedupKey, MessageId, OrderKey, UserId};
use crate::limits::CONTENT_TYPE_BYTES_MAX;
use crate::position::{Epoch, Offset, Position};
use crate::time::Timestamp;
use crate::topic::Topic;

/// Names and values that travel with a message unchanged. Sorted, so that equal headers encode
/// equally.
pub type Headers = BTreeMap<String, String>;

/// Headers whose names start so say what the server did with a message; publishers cannot give them.
pub const OWN_HEADER_PREFIX: &str = "tidings-";

/// What kind of bytes a message carries. JSON data is spliced into JSON frames as it is, so it
/// is checked where it enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// One JSON value in UTF-8 without line breaks between tokens.
    Json,
    /// Anything else; base64 in JSON frames.
    Binary,
}

/// The payload of a message. Never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Data {
    kind: DataKind,
    bytes: Bytes,
}

impl Data {
    /// Bytes that the caller has checked to be one JSON value in UTF-8 without line breaks.
    pub fn json(bytes: Bytes) -> Self {
        Self { kind: DataKind::Json, bytes }
    }

    /// Any bytes.
    pub fn binary(bytes: Bytes) -> Self {
        Self { kind: DataKind::Binary, bytes }
    }

    /// Whether the bytes are JSON.
    pub const fn kind(&self) -> DataKind {
        self.kind
    }

    /// The bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl std::fmt::Debug for Data {
    /// Kind and length: payloads stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Data({:?}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// The media type a publisher gave, if it gave one (RFC 6838).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(Box<str>);

impl ContentType {
    /// Accepts visible ASCII and spaces, 1 to [`CONTENT_TYPE_BYTES_MAX`] bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=CONTENT_TYPE_BYTES_MAX).contains(&text.len());
        let clean = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        (fits && clean).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message on its way to the log: no offset yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Where it goes.
    pub topic: Topic,
    /// What it carries.
    pub data: Data,
    /// What the publisher calls the data's format.
    pub content_type: Option<ContentType>,
    /// Names and values for the receiver.
    pub headers: Headers,
    /// Who published, as authenticated; `None` for the server itself.
    pub sender: Option<UserId>,
    /// Recognises a repeated publish.
    pub key: Option<DedupKey>,
    /// Messages with the same order key are handled one after the other by a group.
    pub order_key: Option<OrderKey>,
    /// How long after publishing it is worth delivering.
    pub ttl: Option<Duration>,
}

impl NewMessage {
    /// A message with nothing but a topic and data.
    pub fn new(topic: Topic, data: Data) -> Self {
        Self {
            topic,
            data,
            content_type: None,
            headers: Headers::new(),
            sender: None,
            key: None,
            order_key: None,
            ttl: None,
        }
    }
}

/// A message with its place: what the log returns and subscribers receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name.
    pub id: MessageId,
    /// The life of the topic's log it belongs to.
    pub epoch: Epoch,
    /// Its place in the topic.
    pub offset: Offset,
    /// When the log accepted it.
    pub published_at: Timestamp,
    /// What was published.
    pub content: NewMessage,
}

impl Message {
    /// Its topic.
    pub const fn topic(&self) -> &Topic {
        &self.content.topic
    }

    /// Its place as a position.
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset }
    }

    /// Whether its time to live has passed.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.content.ttl.is_some_and(|ttl| self.published_at.plus(ttl) <= now)
    }
}
