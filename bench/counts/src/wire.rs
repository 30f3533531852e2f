//! The codecs: a message to be delivered, and a publish that came in.

use std::hint::black_box;

use bytes::Bytes;
use tidings_core::{Data, Epoch, Message, MessageId, NewMessage, Offset, Timestamp, Topic, UserId};
use tidings_protocol::{
    ClientFrame, Codec, decode_client_frame, encode_client_frame, encode_message,
};

pub(crate) const PUBLISH: &[u8] = br#"{"id":7,"publish":{"topic":"room/42","data":{"text":"Shall we meet at the harbour at eight, or is that too late for you all?"},"key":"c1-77","headers":{"lang":"de"},"ttl_ms":60000}}"#;

/// What is published: 128 bytes of JSON.
pub(crate) fn new_message() -> NewMessage {
    let topic = Topic::parse("room/42").expect("the topic is valid");
    let data = Data::json(Bytes::from(format!("\"{}\"", "x".repeat(126))));
    let sender = UserId::parse("alice").expect("the user is valid");
    NewMessage { sender: Some(sender), ..NewMessage::new(topic, data) }
}

fn message() -> Message {
    Message {
        id: MessageId::new(1_795_000_000_000, 1, 77),
        epoch: Epoch::new(3),
        offset: Offset::new(123_456),
        published_at: Timestamp::from_ms(1_795_000_000_000),
        content: new_message(),
    }
}

pub(crate) fn encode_json(rounds: u64) {
    encode(Codec::Json, rounds);
}

pub(crate) fn encode_protobuf(rounds: u64) {
    encode(Codec::Protobuf, rounds);
}

/// Into a buffer of its own each time, as the frame that all subscribers share is made.
fn encode(codec: Codec, rounds: u64) {
    let message = message();
    for _ in 0..rounds {
        let mut out = Vec::new();
        encode_message(codec, black_box(&message), 1, &mut out);
        assert!(black_box(&out).len() > message.content.data.bytes().len(), "a frame has its data");
    }
}

pub(crate) fn decode_json(rounds: u64) {
    decode(Codec::Json, PUBLISH, rounds);
}

pub(crate) fn decode_protobuf(rounds: u64) {
    let frame = decode_client_frame(Codec::Json, &mut &*PUBLISH).and_then(Result::ok);
    let mut bytes = Vec::new();
    encode_client_frame(Codec::Protobuf, &frame.expect("the frame is valid"), &mut bytes);
    decode(Codec::Protobuf, &bytes, rounds);
}

fn decode(codec: Codec, bytes: &[u8], rounds: u64) {
    for _ in 0..rounds {
        let mut input = black_box(bytes);
        let frame = decode_client_frame(codec, &mut input).and_then(Result::ok);
        let frame: ClientFrame = frame.expect("the frame is valid");
        black_box(frame);
    }
}
