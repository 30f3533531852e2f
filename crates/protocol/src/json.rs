//! JSON: one object a frame, one frame a line.

mod client;
mod delivery;
mod object;
mod presence;
mod server;
mod text;
mod writer;

pub(crate) use self::client::{
    BROADCAST_FIELDS, PUBLISH_FIELDS, encode_client, read_publish, read_publish_to, write_publish,
};
pub(crate) use self::delivery::{encode_delivery, write_delivery};
pub(crate) use self::object::{Object, Reading, Value};
pub(crate) use self::presence::{PRESENT_FIELDS, read_present, write_present};
pub(crate) use self::server::{
    ERROR_FIELDS, encode_server, read_error, read_history, read_published, read_scheduled,
    read_told_error, write_error, write_history, write_published, write_reset, write_scheduled,
};
pub(crate) use self::text::JsonText;
pub(crate) use self::writer::ObjectWriter;

use self::object::Fields;
use crate::codec::DecodeError;
use crate::error_code::ErrorCode;
use crate::field::{Field, shown, suggestion};
use crate::frame::{ClientFrame, ErrorBody, RequestId, ServerFrame};

/// A kind of frame: its word, and what reads its body.
#[derive(Debug)]
struct Kind<B> {
    word: &'static str,
    read: fn(Value<'_>) -> Result<B, ErrorBody>,
}

/// Takes the first line that is not blank.
pub(crate) fn next_line<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    while !input.is_empty() {
        let end = memchr::memchr(b'\n', input).unwrap_or(input.len());
        let (line, rest) = input.split_at(end);
        *input = rest.get(1..).unwrap_or_default();
        let line = line.trim_ascii();
        if !line.is_empty() {
            return Some(line);
        }
    }
    None
}

pub(crate) fn decode_client(line: &[u8]) -> Result<ClientFrame, DecodeError> {
    let (id, body) = decode(line, client::KINDS, Reading::Strict)?;
    Ok(ClientFrame { id, body })
}

pub(crate) fn decode_server(line: &[u8]) -> Result<ServerFrame, DecodeError> {
    let (id, body) = decode(line, server::KINDS, Reading::Tolerant)?;
    Ok(ServerFrame { id, body })
}

fn decode<B>(
    line: &[u8],
    kinds: &'static [Kind<B>],
    reading: Reading,
) -> Result<(Option<RequestId>, B), DecodeError> {
    let without_id = |body| DecodeError { id: None, body };
    let text =
        std::str::from_utf8(line).map_err(|_| without_id(bad_frame("the frame is not UTF-8")))?;
    let words = || kinds.iter().map(|kind| kind.word);
    let mut fields = Fields::default();
    let syntax = fields.read(text, |key| {
        words().find(|word| *word == key).or_else(|| (key == "id").then_some("id"))
    });
    let id = fields.take("id").map_or(Ok(None), |raw| request_id(raw, reading));
    if let Err(error) = syntax {
        return Err(DecodeError {
            id: id.ok().flatten(),
            body: object::not_an_object("the frame", &error),
        });
    }
    let id = id.map_err(without_id)?;
    let body = the_body(&mut fields, kinds, reading)
        .and_then(|(kind, raw)| (kind.read)(Value::new(Field::new("", kind.word), raw, reading)));
    body.map(|body| (id, body)).map_err(|body| DecodeError { id, body })
}

/// The one body of a frame.
fn the_body<'a, B>(
    fields: &mut Fields<'a>,
    kinds: &'static [Kind<B>],
    reading: Reading,
) -> Result<(&'static Kind<B>, JsonText<'a>), ErrorBody> {
    let words = kinds.iter().map(|kind| kind.word);
    if let Some(name) = fields.duplicate() {
        return Err(bad_frame(format!("the frame has `{name}` twice")));
    }
    let mut bodies = kinds.iter().filter_map(|kind| Some((kind, fields.take(kind.word)?)));
    let body = bodies.next();
    if let (Some((first, _)), Some((second, _))) = (&body, bodies.next()) {
        let (first, second) = (first.word, second.word);
        return Err(bad_frame(format!(
            "the frame has two bodies, `{first}` and `{second}`: send two frames"
        )));
    }
    match (body, fields.unknown(), reading) {
        (Some(_), Some(name), Reading::Strict) => Err(ErrorBody::new(
            ErrorCode::UnknownField,
            format!(
                "unknown field `{}` beside the body of the frame; there is only `id`",
                shown(name)
            ),
        )),
        (Some(body), _, Reading::Strict | Reading::Tolerant) => Ok(body),
        (None, Some(name), Reading::Strict | Reading::Tolerant) => Err(ErrorBody::new(
            ErrorCode::UnknownFrame,
            format!("unknown frame `{}`; {}", shown(name), suggestion(name, words)),
        )),
        (None, None, Reading::Strict | Reading::Tolerant) => {
            Err(bad_frame("the frame has no body"))
        }
    }
}

fn request_id(text: JsonText<'_>, reading: Reading) -> Result<Option<RequestId>, ErrorBody> {
    if reading == Reading::Tolerant && text.get() == "null" {
        return Ok(None);
    }
    let id = text.get().parse().ok().and_then(RequestId::new);
    let range = 1..=u64::from(u32::MAX);
    id.map(Some).ok_or_else(|| crate::rules::not_in(Field::new("", "id"), &range))
}

fn bad_frame(message: impl Into<String>) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadFrame, message)
}
