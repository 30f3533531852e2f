//! Bodies of the HTTP interface: requests and replies as values, and how they look as JSON.
//!
//! Requests are read as strictly as frames, and replies as tolerantly. Messages look the same
//! here and in frames.

mod broadcast;
mod history;
mod presence;
mod problem;
mod publish;
mod stream;
mod stream_cursor;

pub use broadcast::decode_broadcast;
pub use history::HistoryReply;
pub use presence::PresenceReply;
pub use problem::{PROBLEM_CONTENT_TYPE, Problem};
pub use publish::{
    BatchReply, PublishOutcome, PublishReply, decode_publish, decode_publish_batch, encode_publish,
    encode_publish_batch,
};
pub use stream::{Ready, ReadyTopic, StreamBody, StreamEvent, append_comment, append_retry};
pub use stream_cursor::{StreamCursorError, decode_stream_cursor, encode_stream_cursor};

use crate::error_code::ErrorCode;
use crate::frame::ErrorBody;
use crate::json::{Object, Reading};

/// The JSON object that a body is.
fn object<'a>(
    body: &'a [u8],
    known: &'static [&'static str],
    reading: Reading,
) -> Result<Object<'a>, ErrorBody> {
    let text = std::str::from_utf8(body)
        .map_err(|_| ErrorBody::new(ErrorCode::BadFrame, "the body is not UTF-8"))?;
    Object::parse("the body", text, known, reading)
}
