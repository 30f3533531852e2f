//! What is done with hostile bytes, the same in every kind of test: decode all of them, and hold
//! whatever decodes to a round trip through both codecs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_core::{Epoch, Offset, Position, Topic};
use tidings_protocol::http::{
    BatchReply, HistoryReply, Problem, PublishReply, decode_broadcast, decode_publish,
    decode_publish_batch, decode_stream_cursor, encode_publish, encode_stream_cursor,
};
use tidings_protocol::{
    Codec, ErrorBody, decode_client_frame, decode_server_frame, encode_client_frame,
    encode_server_frame, json_data,
};

/// Bytes as a client might send them.
pub fn client(codec: Codec, bytes: &[u8]) {
    let mut input = bytes;
    loop {
        let before = input.len();
        let Some(decoded) = decode_client_frame(codec, &mut input) else { break };
        assert!(input.len() < before, "a frame of no bytes would be read for ever");
        match decoded {
            Err(error) => check_error(&error.body),
            Ok(frame) => {
                for codec in Codec::ALL {
                    let mut again = Vec::new();
                    encode_client_frame(codec, &frame, &mut again);
                    let mut again = &again[..];
                    assert_eq!(decode_client_frame(codec, &mut again), Some(Ok(frame.clone())));
                    assert!(again.is_empty());
                }
            }
        }
    }
    assert!(input.is_empty(), "all bytes are read");
}

/// Bytes as a server might send them.
pub fn server(codec: Codec, bytes: &[u8]) {
    let mut input = bytes;
    loop {
        let before = input.len();
        let Some(decoded) = decode_server_frame(codec, &mut input) else { break };
        assert!(input.len() < before, "a frame of no bytes would be read for ever");
        match decoded {
            Err(error) => check_error(&error.body),
            Ok(frame) => {
                for codec in Codec::ALL {
                    let mut again = Vec::new();
                    encode_server_frame(codec, &frame, &mut again);
                    let mut again = &again[..];
                    assert_eq!(decode_server_frame(codec, &mut again), Some(Ok(frame.clone())));
                    assert!(again.is_empty());
                }
            }
        }
    }
    assert!(input.is_empty(), "all bytes are read");
}

/// Bytes as any HTTP body.
pub fn http(bytes: &[u8]) {
    let entries = decode_publish_batch(bytes).unwrap_or_else(|error| vec![Err(error)]);
    let broadcast = decode_broadcast(bytes).unwrap_or_else(|error| vec![Err(error)]);
    for publish in entries.into_iter().chain(broadcast).chain([decode_publish(bytes)]) {
        round_trip(publish, encode_publish, decode_publish);
    }
    round_trip(PublishReply::decode(bytes), PublishReply::encode, PublishReply::decode);
    round_trip(BatchReply::decode(bytes), BatchReply::encode, BatchReply::decode);
    round_trip(HistoryReply::decode(bytes), HistoryReply::encode, HistoryReply::decode);
    round_trip(Problem::decode(bytes), Problem::encode, Problem::decode);
    stream_cursor(bytes);
    if let Ok(data) = json_data(bytes) {
        assert!(!data.bytes().iter().any(|byte| matches!(byte, b'\n' | b'\r')));
        assert_eq!(json_data(data.bytes()), Ok(data.clone()));
    }
}

/// The bytes as positions under a fingerprint that fits, so that not all of them are refused for
/// that alone.
fn stream_cursor(bytes: &[u8]) {
    let topics = [Topic::parse("a").expect("a topic"), Topic::parse("b").expect("a topic")];
    let zero = Position { epoch: Epoch::new(0), offset: Offset::ORIGIN };
    let fitting = encode_stream_cursor(topics.iter().map(|topic| (topic, zero)));
    let head = URL_SAFE_NO_PAD.decode(fitting).expect("base64");
    for text in [
        String::from_utf8_lossy(bytes).into_owned(),
        URL_SAFE_NO_PAD.encode([&head[..5], bytes].concat()),
    ] {
        if let Ok(positions) = decode_stream_cursor(&text, &topics) {
            let again = encode_stream_cursor(topics.iter().zip(positions.iter().copied()));
            assert_eq!(decode_stream_cursor(&again, &topics), Ok(positions));
        }
    }
}

fn round_trip<T: PartialEq + std::fmt::Debug>(
    decoded: Result<T, ErrorBody>,
    encode: impl FnOnce(&T, &mut Vec<u8>),
    decode: impl FnOnce(&[u8]) -> Result<T, ErrorBody>,
) {
    match decoded {
        Err(error) => check_error(&error),
        Ok(value) => {
            let mut again = Vec::new();
            encode(&value, &mut again);
            assert_eq!(decode(&again), Ok(value));
        }
    }
}

/// An error says something, and does not send back what came in.
fn check_error(error: &ErrorBody) {
    assert!(!error.message.is_empty());
    assert!(error.message.len() < 1024, "{}", error.message);
}
