//! `GET /v1/presence`.

use super::object;
use crate::frame::{ErrorBody, Present};
use crate::json::{self, ObjectWriter, Reading};

/// Answers `GET /v1/presence`: the body of a `present` frame.
#[derive(Clone, Debug, PartialEq)]
pub struct PresenceReply(pub Present);

impl PresenceReply {
    /// Appends the reply as JSON.
    pub fn encode(&self, out: &mut Vec<u8>) {
        ObjectWriter::write(out, |body| json::write_present(&self.0, body));
    }

    /// Reads a reply.
    pub fn decode(body: &[u8]) -> Result<Self, ErrorBody> {
        let object = object(body, json::PRESENT_FIELDS, Reading::Tolerant)?;
        Ok(Self(json::read_present(&object)?))
    }
}
