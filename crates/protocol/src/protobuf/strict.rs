//! What Protobuf decoders skip in silence and a server must not: fields of a client's frame that
//! are not known. Also reads a frame's id when the rest cannot be decoded.

use super::bad_frame;
use super::wire::{Malformed, WireValue, take_field};
use crate::error_code::ErrorCode;
use crate::frame::{ErrorBody, RequestId};

/// The numbers that a message of the schema has, and the shapes of the messages in it.
#[derive(Debug)]
pub(super) struct Shape {
    word: &'static str,
    fields: &'static [(u64, Option<&'static Self>)],
}

/// A number, word or byte string.
const fn leaf(number: u64) -> (u64, Option<&'static Shape>) {
    (number, None)
}

const fn message(number: u64, shape: &'static Shape) -> (u64, Option<&'static Shape>) {
    (number, Some(shape))
}

static POSITION: Shape = Shape { word: "after", fields: &[leaf(1), leaf(2)] };
static HEADER: Shape = Shape { word: "headers", fields: &[leaf(1), leaf(2)] };
static PUBLISH: Shape = Shape {
    word: "publish",
    fields: &[
        leaf(1),
        leaf(2),
        leaf(3),
        leaf(4),
        message(5, &HEADER),
        leaf(6),
        leaf(7),
        leaf(8),
        leaf(9),
    ],
};
static ACK: Shape = Shape { word: "ack", fields: &[leaf(1), leaf(2), leaf(3), leaf(4)] };
static NACK: Shape =
    Shape { word: "nack", fields: &[leaf(1), leaf(2), leaf(3), leaf(4), leaf(5), leaf(6)] };
static EXTEND: Shape = Shape { word: "extend", fields: &[leaf(1), leaf(2), leaf(3), leaf(4)] };
static CONNECT: Shape = Shape { word: "connect", fields: &[leaf(1), leaf(2), leaf(3)] };
static SUBSCRIBE: Shape = Shape {
    word: "subscribe",
    fields: &[leaf(1), leaf(2), leaf(3), leaf(4), leaf(5), message(6, &POSITION), leaf(7), leaf(8)],
};
static UNSUBSCRIBE: Shape = Shape { word: "unsubscribe", fields: &[leaf(1)] };
static HISTORY: Shape =
    Shape { word: "history", fields: &[leaf(1), message(2, &POSITION), leaf(3), leaf(4)] };
static REFRESH: Shape = Shape { word: "refresh", fields: &[leaf(1)] };
static PING: Shape = Shape { word: "ping", fields: &[] };
static PONG: Shape = Shape { word: "pong", fields: &[] };
static PRESENCE: Shape = Shape { word: "presence", fields: &[leaf(1)] };

/// A client's frame.
pub(super) static CLIENT_FRAME: Shape = Shape {
    word: "the frame",
    fields: &[
        leaf(1),
        message(2, &PUBLISH),
        message(3, &ACK),
        message(4, &NACK),
        message(5, &EXTEND),
        message(6, &CONNECT),
        message(7, &SUBSCRIBE),
        message(8, &UNSUBSCRIBE),
        message(9, &HISTORY),
        message(10, &REFRESH),
        message(11, &PING),
        message(12, &PONG),
        message(13, &PRESENCE),
    ],
};

const ID: u64 = 1;

/// The frame's id, if there is one before the bytes stop making sense.
pub(super) fn request_id(mut frame: &[u8]) -> Option<RequestId> {
    while let Ok((number, value)) = take_field(&mut frame) {
        if let (ID, WireValue::Varint(id)) = (number, value) {
            return u32::try_from(id).ok().and_then(RequestId::new);
        }
    }
    None
}

/// Checks that a client's frame has one body that is known, and in it only fields that are.
pub(super) fn check_client(frame: &[u8]) -> Result<(), ErrorBody> {
    let mut rest = frame;
    let mut body: Option<(&Shape, &[u8])> = None;
    while !rest.is_empty() {
        let (number, value) = take_field(&mut rest).map_err(malformed)?;
        let known = CLIENT_FRAME.fields.iter().find(|(known, _)| *known == number);
        match (known, value) {
            (Some((_, None)), WireValue::Varint(_)) => check_id(value)?,
            (Some((_, Some(shape))), WireValue::Bytes(bytes)) => {
                match body.replace((*shape, bytes)) {
                    None => {}
                    Some((earlier, _)) => return Err(two_bodies(earlier, shape)),
                }
            }
            (Some(_), WireValue::Varint(_) | WireValue::Bytes(_) | WireValue::Fixed) => {
                return Err(malformed(Malformed));
            }
            (None, WireValue::Varint(_) | WireValue::Bytes(_) | WireValue::Fixed) => {
                return Err(ErrorBody::new(
                    ErrorCode::UnknownFrame,
                    format!(
                        "unknown frame: ClientFrame has no field {number} in this server's schema"
                    ),
                ));
            }
        }
    }
    let (shape, bytes) = body.ok_or_else(|| bad_frame("the frame has no body"))?;
    check_fields(shape, bytes)
}

fn check_id(id: WireValue<'_>) -> Result<(), ErrorBody> {
    match id {
        WireValue::Varint(id) if u32::try_from(id).is_ok() => Ok(()),
        WireValue::Varint(_) | WireValue::Bytes(_) | WireValue::Fixed => {
            let range = 1..=u64::from(u32::MAX);
            Err(crate::rules::not_in(crate::field::Field::new("", "id"), &range))
        }
    }
}

/// Goes as deep as the shapes do, which is two.
fn check_fields(shape: &Shape, mut bytes: &[u8]) -> Result<(), ErrorBody> {
    while !bytes.is_empty() {
        let (number, value) = take_field(&mut bytes).map_err(malformed)?;
        let Some((_, inner)) = shape.fields.iter().find(|(known, _)| *known == number) else {
            return Err(ErrorBody::new(
                ErrorCode::UnknownField,
                format!(
                    "unknown field {number} in `{}`: this server's schema has none",
                    shape.word
                ),
            ));
        };
        if let (Some(inner), WireValue::Bytes(bytes)) = (inner, value) {
            check_fields(inner, bytes)?;
        }
    }
    Ok(())
}

fn two_bodies(first: &Shape, second: &Shape) -> ErrorBody {
    let (first, second) = (first.word, second.word);
    bad_frame(format!("the frame has two bodies, `{first}` and `{second}`: send two frames"))
}

fn malformed(_: Malformed) -> ErrorBody {
    bad_frame("the frame is not of the Protobuf schema: it is cut off, or a field has another type")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The numbers of each message of the schema, and the messages that its fields hold.
    fn schema() -> BTreeMap<String, Vec<(u64, String)>> {
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../../proto";
        let set = protox::compile(["tidings/v1/tidings.proto"], [root]).unwrap();
        let mut schema = BTreeMap::new();
        for message in set.file.iter().flat_map(|file| &file.message_type) {
            let prefix = format!(".tidings.v1.{}", message.name());
            let nested =
                message.nested_type.iter().map(|it| (format!("{prefix}.{}", it.name()), it));
            for (name, message) in nested.chain([(prefix.clone(), message)]) {
                let fields = message.field.iter();
                let fields = fields.map(|it| (it.number() as u64, it.type_name().to_owned()));
                schema.insert(name, fields.collect());
            }
        }
        schema
    }

    fn compare(schema: &BTreeMap<String, Vec<(u64, String)>>, name: &str, shape: &Shape) {
        let expected: Vec<_> = schema[name].iter().map(|(number, _)| *number).collect();
        let known: Vec<_> = shape.fields.iter().map(|(number, _)| *number).collect();
        assert_eq!(known, expected, "{name}");
        for ((_, type_name), (number, inner)) in schema[name].iter().zip(shape.fields) {
            assert_eq!(type_name.is_empty(), inner.is_none(), "field {number} of {name}");
            if let Some(inner) = inner {
                compare(schema, type_name, inner);
            }
        }
    }

    #[test]
    fn the_shapes_are_those_of_the_schema() {
        compare(&schema(), ".tidings.v1.ClientFrame", &CLIENT_FRAME);
    }
}
