//! `POST /v1/publish` and `POST /v1/publish/batch`.

use tidings_core::limits::PUBLISH_BATCH_MAX;
use tidings_core::{MessageId, Position, Topic};

use super::object;
use crate::frame::{ErrorBody, Publish, Published, Scheduled};
use crate::json::{self, ObjectWriter, Reading, Value};
use crate::rules;

/// Reads the body of `POST /v1/publish`: the fields of a `publish` frame.
pub fn decode_publish(body: &[u8]) -> Result<Publish, ErrorBody> {
    json::read_publish(&object(body, json::PUBLISH_FIELDS, Reading::Strict)?)
}

/// Writes the body of `POST /v1/publish`.
pub fn encode_publish(publish: &Publish, out: &mut Vec<u8>) {
    ObjectWriter::write(out, |body| json::write_publish(publish, body));
}

/// Reads the body of `POST /v1/publish/batch`: `{"messages":[…]}` with 1 to
/// [`PUBLISH_BATCH_MAX`] entries.
///
/// An entry that is wrong by itself is an error in its place; it takes the others with it no
/// more than a message would that came alone.
pub fn decode_publish_batch(body: &[u8]) -> Result<Vec<Result<Publish, ErrorBody>>, ErrorBody> {
    let object = object(body, &["messages"], Reading::Strict)?;
    let messages = object.required("messages")?;
    let entries = messages.array(PUBLISH_BATCH_MAX)?;
    if entries.is_empty() {
        return Err(messages.at().bad("must have at least one entry"));
    }
    let entry = |(index, raw)| {
        let path = format!("messages[{index}]");
        let value = Value::new(object.at(&path), raw, Reading::Strict);
        json::read_publish(&value.object(&path, json::PUBLISH_FIELDS)?)
    };
    Ok(entries.into_iter().enumerate().map(entry).collect())
}

/// Writes the body of `POST /v1/publish/batch`.
pub fn encode_publish_batch(messages: &[Publish], out: &mut Vec<u8>) {
    ObjectWriter::write(out, |body| {
        body.array("messages", messages.iter(), |out, publish| encode_publish(publish, out));
    });
}

/// Answers `POST /v1/publish`.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishReply {
    /// Where the message went, or will go.
    pub topic: Topic,
    /// What became of it.
    pub outcome: PublishOutcome,
}

/// What became of a message. On the wire, `offset` tells the one from the other: a message that
/// waits for its time has no place yet, and `deliver_at` instead.
#[derive(Clone, Debug, PartialEq)]
pub enum PublishOutcome {
    /// It is in the log.
    Published(Published),
    /// It waits for its time.
    Scheduled(Scheduled),
}

impl PublishOutcome {
    /// The message's name, now and when it is delivered.
    pub const fn id(&self) -> MessageId {
        match self {
            Self::Published(published) => published.id,
            Self::Scheduled(scheduled) => scheduled.id,
        }
    }

    /// Its place; a message that waits for its time has none yet.
    pub const fn position(&self) -> Option<Position> {
        match self {
            Self::Published(published) => Some(published.position),
            Self::Scheduled(_) => None,
        }
    }

    /// Whether the server had it before, under the same key.
    pub const fn is_duplicate(&self) -> bool {
        match self {
            Self::Published(published) => published.duplicate,
            Self::Scheduled(scheduled) => scheduled.duplicate,
        }
    }
}

impl PublishReply {
    /// Appends the reply as JSON.
    pub fn encode(&self, out: &mut Vec<u8>) {
        ObjectWriter::write(out, |body| self.write(body));
    }

    fn write(&self, out: &mut ObjectWriter<'_>) {
        out.text("topic", self.topic.as_str());
        match &self.outcome {
            PublishOutcome::Published(published) => json::write_published(published, out),
            PublishOutcome::Scheduled(scheduled) => json::write_scheduled(scheduled, out),
        }
    }

    /// Reads a reply.
    pub fn decode(body: &[u8]) -> Result<Self, ErrorBody> {
        Self::read(&object(body, REPLY_FIELDS, Reading::Tolerant)?)
    }

    fn read(object: &json::Object<'_>) -> Result<Self, ErrorBody> {
        let outcome = match (object.optional("offset"), object.optional("deliver_at")) {
            (None, Some(_)) => PublishOutcome::Scheduled(json::read_scheduled(object)?),
            (Some(_), _) | (None, None) => PublishOutcome::Published(json::read_published(object)?),
        };
        let topic = rules::topic(object.at("topic"), &object.text("topic")?)?;
        Ok(Self { topic, outcome })
    }
}

const REPLY_FIELDS: &[&str] = &["id", "topic", "offset", "epoch", "deliver_at", "duplicate"];
const RESULT_FIELDS: &[&str] =
    &["id", "topic", "offset", "epoch", "deliver_at", "duplicate", "error"];

/// Answers `POST /v1/publish/batch`: one result for each message, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchReply {
    /// The name and place of each message, or why it has none.
    pub results: Vec<Result<PublishReply, ErrorBody>>,
}

impl BatchReply {
    /// Appends the reply as JSON.
    pub fn encode(&self, out: &mut Vec<u8>) {
        ObjectWriter::write(out, |body| {
            body.array("results", self.results.iter(), |out, result| {
                ObjectWriter::write(out, |entry| match result {
                    Ok(reply) => reply.write(entry),
                    Err(error) => entry.object("error", |out| json::write_error(error, out)),
                });
            });
        });
    }

    /// Reads a reply.
    pub fn decode(body: &[u8]) -> Result<Self, ErrorBody> {
        let object = object(body, &["results"], Reading::Tolerant)?;
        let results = object.required("results")?;
        let result = |raw| {
            let entry = Value::new(results.at(), raw, Reading::Tolerant);
            let entry = entry.object("results", RESULT_FIELDS)?;
            match entry.optional("error") {
                None => PublishReply::read(&entry).map(Ok),
                Some(error) => {
                    let error = error.object("results.error", json::ERROR_FIELDS)?;
                    json::read_error(&error).map(Err)
                }
            }
        };
        let results = results.array(usize::MAX)?.into_iter().map(result);
        Ok(Self { results: results.collect::<Result<_, _>>()? })
    }
}
