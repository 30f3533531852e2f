//! The two codecs side by side: what a subprotocol's name stands for.

use tidings_core::{Filter, Message};

use crate::delivery_view::DeliveryView;
use crate::frame::{ClientFrame, ErrorBody, RequestId, ServerFrame};
use crate::{json, protobuf, rules};

/// How frames look as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// JSON text, one frame a line.
    Json,
    /// Protobuf, each frame with its length in front.
    Protobuf,
}

/// What a subprotocol starts with that carries a token: browsers cannot set headers on a
/// WebSocket. The token follows, base64url without padding. It is never the subprotocol chosen.
pub const BEARER_SUBPROTOCOL_PREFIX: &str = "tidings.bearer.";

impl Codec {
    /// Every codec, by [`Codec::index`].
    pub const ALL: [Self; 2] = [Self::Json, Self::Protobuf];

    /// The WebSocket subprotocol that asks for it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "tidings.v1.json",
            Self::Protobuf => "tidings.v1.proto",
        }
    }

    /// The codec that this WebSocket subprotocol asks for.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.subprotocol() == name)
    }

    /// Whether its WebSocket messages are text; the others are binary.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Json => true,
            Self::Protobuf => false,
        }
    }

    /// A small number for arrays with a place per codec.
    pub const fn index(self) -> usize {
        match self {
            Self::Json => 0,
            Self::Protobuf => 1,
        }
    }
}

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {}", body.code.as_str(), body.message)]
pub struct DecodeError {
    /// The frame's id if it could be read, so that the request can be answered.
    pub id: Option<RequestId>,
    /// What is wrong, with the name of the field.
    pub body: ErrorBody,
}

/// Decodes the first frame of a client's WebSocket message and advances `input` past it; `None`
/// at the end. Strict: what this server does not know is an error.
///
/// After an error the next call goes on with the next frame, or ends if the bytes do not show
/// where that starts.
pub fn decode_client_frame(
    codec: Codec,
    input: &mut &[u8],
) -> Option<Result<ClientFrame, DecodeError>> {
    let frame = match codec {
        Codec::Json => json::decode_client(json::next_line(input)?),
        Codec::Protobuf => protobuf::next_frame(input)?.and_then(protobuf::decode_client),
    };
    Some(frame.and_then(rules::request_has_id))
}

/// Decodes the first frame of a server's WebSocket message and advances `input` past it; `None`
/// at the end.
///
/// Tolerant, so that an old client understands a newer server: unknown fields are skipped, and
/// an unknown frame is an error with [`ErrorCode::UnknownFrame`](crate::ErrorCode::UnknownFrame)
/// which the caller may skip too. Of an unknown error code only `temporary` is kept: it reads as
/// `internal` or `unsupported`, with the word in the message. An unknown reason of a `reset`
/// reads as `epoch_changed`, the one after which nothing old is relied on.
pub fn decode_server_frame(
    codec: Codec,
    input: &mut &[u8],
) -> Option<Result<ServerFrame, DecodeError>> {
    match codec {
        Codec::Json => Some(json::decode_server(json::next_line(input)?)),
        Codec::Protobuf => Some(protobuf::next_frame(input)?.and_then(protobuf::decode_server)),
    }
}

/// Appends one frame to `out`: JSON with a line end after it, Protobuf with its length before
/// it. Frames appended one after the other make one WebSocket message.
pub fn encode_client_frame(codec: Codec, frame: &ClientFrame, out: &mut Vec<u8>) {
    match codec {
        Codec::Json => json::encode_client(frame, out),
        Codec::Protobuf => protobuf::encode_client(frame, out),
    }
}

/// Appends one frame to `out`, as [`encode_client_frame`] does.
pub fn encode_server_frame(codec: Codec, frame: &ServerFrame, out: &mut Vec<u8>) {
    match codec {
        Codec::Json => json::encode_server(frame, out),
        Codec::Protobuf => protobuf::encode_server(frame, out),
    }
}

/// Appends `message` as a `message` frame in its delivery number `attempt`, straight from the
/// log's message. An attempt of 1 is not written: the bytes of a first delivery are the same for
/// every subscriber and can be shared.
pub fn encode_message(codec: Codec, message: &Message, attempt: u32, out: &mut Vec<u8>) {
    encode_view(codec, &DeliveryView::of_message(message, attempt, None), out);
}

/// The same for one member of a group: the frame says which shared subscription `sub` it is for,
/// so its bytes are that member's alone.
pub fn encode_shared_message(
    codec: Codec,
    message: &Message,
    attempt: u32,
    sub: &Filter,
    out: &mut Vec<u8>,
) {
    encode_view(codec, &DeliveryView::of_message(message, attempt, Some(sub)), out);
}

fn encode_view(codec: Codec, view: &DeliveryView<'_>, out: &mut Vec<u8>) {
    match codec {
        Codec::Json => json::encode_delivery(view, out),
        Codec::Protobuf => protobuf::encode_delivery(view, out),
    }
}
