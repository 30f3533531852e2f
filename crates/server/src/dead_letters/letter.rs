//! A dead letter as it is read back and told.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use tidings_core::{
    CursorKey, DataKind, DurableKey, GroupKey, Headers, Message, MessageId, Offset, Position,
    Timestamp, Topic,
};

use super::history::{ToldAttempt, from_text};
use super::{header, published_headers};

/// A message of `$dead-letters`, with what its headers say.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    /// As it stands in `$dead-letters`.
    pub(crate) message: Arc<Message>,
    /// Where it was published at first.
    pub(crate) topic: Topic,
    /// Its place there.
    pub(crate) place: Position,
    /// Its name.
    pub(crate) id: MessageId,
    pub(crate) published_at: Option<Timestamp>,
    pub(crate) ttl: Option<Duration>,
    /// Who gave it up.
    pub(crate) by: CursorKey,
    pub(crate) attempts: u32,
}

/// What was published at first.
#[derive(Serialize)]
struct ToldOriginal {
    id: String,
    offset: u64,
    epoch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

/// A dead letter in a list.
#[derive(Serialize)]
pub(crate) struct ToldLetter<'a> {
    offset: u64,
    id: String,
    at: u64,
    topic: &'a str,
    message: ToldOriginal,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    attempts: u32,
    gave_up: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasons: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    bytes: usize,
}

/// A dead letter by itself.
#[derive(Serialize)]
pub(crate) struct ToldInFull<'a> {
    #[serde(flatten)]
    letter: ToldLetter<'a>,
    history: Vec<ToldAttempt>,
    /// Those of its publisher.
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl DeadLetter {
    /// Reads what the headers say. `None` for a message that the server did not bury.
    pub(crate) fn of(message: &Arc<Message>) -> Option<Self> {
        let headers = &message.content.headers;
        let said = |name: &str| headers.get(name).map(String::as_str);
        let number = |name: &str| said(name)?.parse::<u64>().ok();
        let topic = Topic::parse(said(header::TOPIC)?).ok()?;
        Some(Self {
            place: Position {
                epoch: said(header::EPOCH)?.parse().ok()?,
                offset: Offset::new(number(header::OFFSET)?),
            },
            id: said(header::ID)?.parse().ok()?,
            published_at: number(header::AT).map(Timestamp::from_ms),
            ttl: number(header::TTL_MS).map(Duration::from_millis),
            by: reader(headers, &topic)?,
            attempts: said(header::ATTEMPTS)?.parse().ok()?,
            topic,
            message: Arc::clone(message),
        })
    }

    fn said(&self, name: &str) -> &str {
        self.message.content.headers.get(name).map_or("", String::as_str)
    }

    /// Why it was given up: one word.
    pub(crate) fn gave_up(&self) -> &str {
        self.said(header::GAVE_UP)
    }

    /// What subscribers said of it.
    pub(crate) fn reasons(&self) -> &str {
        self.said(header::REASONS)
    }

    /// How its attempts ended, as far as that is known.
    pub(crate) fn history(&self) -> Vec<ToldAttempt> {
        from_text(self.said(header::HISTORY))
    }

    /// The headers of its publisher.
    pub(crate) fn published_headers(&self) -> Headers {
        published_headers(&self.message)
    }

    /// Everything but the data.
    pub(crate) fn told(&self) -> ToldLetter<'_> {
        let content = &self.message.content;
        let (durable, group) = match &self.by {
            CursorKey::Durable(key) => (Some(key), None),
            CursorKey::Group { group, .. } => (None, Some(group)),
        };
        ToldLetter {
            offset: self.message.offset.get(),
            id: self.message.id.to_string(),
            at: self.message.published_at.as_ms(),
            topic: self.topic.as_str(),
            message: ToldOriginal {
                id: self.id.to_string(),
                offset: self.place.offset.get(),
                epoch: self.place.epoch.to_string(),
                at: self.published_at.map(Timestamp::as_ms),
                ttl_ms: self.ttl.map(|ttl| ttl.as_millis() as u64),
            },
            from: content.sender.as_ref().map(|sender| sender.as_str()),
            user: durable.map(|key| key.user.as_str()),
            durable: durable.map(|key| key.name.as_str()),
            group: group.map(|key| key.group.as_str()),
            filter: group.map(|key| key.filter.as_str()),
            attempts: self.attempts,
            gave_up: self.gave_up(),
            reasons: self.reasons(),
            content_type: content.content_type.as_ref().map(|kind| kind.as_str()),
            bytes: content.data.bytes().len(),
        }
    }

    /// Everything but the data and headers, as JSON.
    pub(crate) fn told_with_history(&self) -> serde_json::Value {
        let mut told = serde_json::json!(self.told());
        told["history"] = serde_json::json!(self.history());
        told
    }

    /// Everything.
    pub(crate) fn told_in_full(&self) -> ToldInFull<'_> {
        let content = &self.message.content;
        let bytes = content.data.bytes();
        let (data, data_base64) = match content.data.kind() {
            DataKind::Json => (serde_json::from_slice(bytes).ok(), None),
            DataKind::Binary => (None, Some(STANDARD.encode(bytes))),
        };
        ToldInFull {
            letter: self.told(),
            history: self.history(),
            headers: self.published_headers(),
            order_key: content.order_key.as_ref().map(|key| key.as_str()),
            data,
            data_base64,
        }
    }
}

/// Which subscription headers name.
fn reader(headers: &Headers, topic: &Topic) -> Option<CursorKey> {
    let said = |name: &str| headers.get(name).map(String::as_str);
    if let Some(name) = said(header::DURABLE) {
        let user = said(header::USER)?.parse().ok()?;
        return Some(DurableKey { user, name: name.parse().ok()?, topic: topic.clone() }.into());
    }
    let group = GroupKey {
        group: said(header::GROUP)?.parse().ok()?,
        filter: said(header::FILTER)?.parse().ok()?,
    };
    Some(CursorKey::Group { group, topic: topic.clone() })
}
