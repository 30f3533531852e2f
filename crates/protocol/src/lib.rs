//! Bytes to vocabulary and back: the native protocol's frames in JSON and Protobuf, and the
//! bodies of the HTTP interface.
//!
//! This crate knows how things look on the wire and nothing else: no sessions, no sockets, no
//! clock. Whatever bytes it is given, it answers with a value or with an error that names the
//! field; it never panics and never recurses deeper than the protocol nests (`fuzz/` and
//! `tests/` try). `docs/protocol.md` describes the same from a client's side.
//!
//! - [`ClientFrame`] and [`ServerFrame`] are the frames as values.
//! - [`decode_client_frame`] and [`encode_server_frame`] are a server's side of a [`Codec`],
//!   [`encode_client_frame`] and [`decode_server_frame`] a client's.
//! - [`encode_message`] is the hot path: from the log's message to bytes without a copy between.
//! - [`http`] has the bodies of requests and replies.
//!
//! A server reads strictly: an unknown field is an error that names the nearest known one. A
//! client reads tolerantly: it skips what a newer server adds.

mod codec;
mod data;
mod delivery_view;
mod error_code;
mod field;
mod frame;
mod frame_kind;
pub mod http;
mod json;
mod protobuf;
mod rules;

pub use codec::{
    BEARER_SUBPROTOCOL_PREFIX, Codec, DecodeError, decode_client_frame, decode_server_frame,
    encode_client_frame, encode_message, encode_server_frame, encode_shared_message,
};
pub use data::{DATA_DEPTH_MAX, JsonDataError, json_data};
pub use error_code::ErrorCode;
pub use frame::*;
