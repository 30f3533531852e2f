//! `GET /v1/history`.

use super::object;
use crate::frame::{ErrorBody, History};
use crate::json::{self, ObjectWriter, Reading};

/// Answers `GET /v1/history`.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryReply {
    /// A part of the topic's past.
    pub history: History,
    /// What to give as `cursor` to go on; opaque.
    pub cursor: Option<String>,
}

impl HistoryReply {
    /// Appends the reply as JSON.
    pub fn encode(&self, out: &mut Vec<u8>) {
        ObjectWriter::write(out, |body| {
            json::write_history(&self.history, body);
            body.optional_text("cursor", self.cursor.as_deref());
        });
    }

    /// Reads a reply.
    pub fn decode(body: &[u8]) -> Result<Self, ErrorBody> {
        let object = object(body, REPLY_FIELDS, Reading::Tolerant)?;
        Ok(Self {
            history: json::read_history(&object, "messages")?,
            cursor: object.optional_text("cursor")?.map(Into::into),
        })
    }
}

const REPLY_FIELDS: &[&str] =
    &["topic", "epoch", "offset", "first", "recovered", "more", "messages", "cursor"];
