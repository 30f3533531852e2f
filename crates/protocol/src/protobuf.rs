//! Protobuf: `proto/tidings/v1/tidings.proto`, each frame with its length in front.

mod client;
mod delivery;
mod presence;
mod schema;
mod server;
mod strict;
mod wire;

pub(crate) use self::client::{decode_client, encode_client};
pub(crate) use self::delivery::encode_delivery;
pub(crate) use self::server::{decode_server, encode_server};

use crate::codec::DecodeError;
use crate::error_code::ErrorCode;
use crate::frame::ErrorBody;

/// Takes the bytes of the next frame. When the length makes no sense, nothing after it does.
pub(crate) fn next_frame<'a>(input: &mut &'a [u8]) -> Option<Result<&'a [u8], DecodeError>> {
    if input.is_empty() {
        return None;
    }
    let mut rest = *input;
    let frame = wire::take_bytes(&mut rest);
    *input = if frame.is_ok() { rest } else { &[] };
    Some(frame.map_err(|_| DecodeError {
        id: None,
        body: bad_frame("a frame's length goes past the end of the WebSocket message"),
    }))
}

/// Appends `frame` with its length.
fn encode(frame: &impl prost::Message, out: &mut Vec<u8>) {
    frame.encode_length_delimited(out).expect("a Vec has room for any frame");
}

fn bad_frame(message: impl Into<String>) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadFrame, message)
}
