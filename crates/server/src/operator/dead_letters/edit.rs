//! The body of a replay: what to change, and whom to send it to.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidings_protocol::http::decode_publish;
use tidings_protocol::{ErrorBody, ErrorCode, Publish};

use super::recipients;
use crate::dead_letters::DeadLetter;
use crate::dead_letters::replay::{Edit, Recipients};
use crate::problem::{reserved, unreserved};

/// What an operator may give a message on its second way; the rest it keeps.
const FIELDS: [&str; 5] = ["topic", "data", "data_base64", "content_type", "headers"];

/// Reads the body; an empty one changes nothing. What is given follows the rules of a publish.
pub(super) fn read(
    body: &[u8],
    letter: &DeadLetter,
    message_bytes: u32,
) -> Result<(Edit, Recipients), ErrorBody> {
    if body.is_empty() {
        return Ok((Edit::default(), Recipients::Subscription));
    }
    let mut fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(body).map_err(|error| {
            bad(ErrorCode::BadFrame, format!("the body is no JSON object: {error}"))
        })?;
    let to = fields.remove("to").map(|to| serde_json::from_str::<String>(to.get()));
    let to = to.transpose().map_err(|_| bad(ErrorCode::BadField, "`to` must be a text"))?;
    if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let message = format!("`{name}` is not a field of a replay: {} and `to` are", list());
        return Err(bad(ErrorCode::UnknownField, message));
    }
    let given = |name: &str| fields.contains_key(name);
    let (topic, headers) = (given("topic"), given("headers"));
    let data = given("data") || given("data_base64");
    let publish = publish(fields, letter)?;
    if publish.topic.is_reserved() {
        return Err(reserved(&publish.topic));
    }
    unreserved(&publish.headers)?;
    let bytes = publish.data.bytes().len();
    if data && bytes > message_bytes as usize {
        let message = format!("the data has {bytes} bytes, {message_bytes} are allowed");
        return Err(bad(ErrorCode::TooLarge, message));
    }
    let to = match to {
        Some(to) => recipients(&to)?,
        // Elsewhere the subscription does not read.
        None if publish.topic != letter.topic => Recipients::Everybody,
        None => Recipients::Subscription,
    };
    let edit = Edit {
        topic: topic.then_some(publish.topic),
        data: data.then_some(publish.data),
        content_type: publish.content_type,
        headers: headers.then_some(publish.headers),
    };
    Ok((edit, to))
}

/// Has the fields read as those of a publish, with what it cannot do without.
fn publish(
    mut fields: BTreeMap<String, Box<RawValue>>,
    letter: &DeadLetter,
) -> Result<Publish, ErrorBody> {
    let text = serde_json::value::to_raw_value(letter.topic.as_str()).expect("a text is JSON");
    fields.entry("topic".to_owned()).or_insert(text);
    if !fields.contains_key("data") && !fields.contains_key("data_base64") {
        fields.insert("data".to_owned(), RawValue::NULL.to_owned());
    }
    decode_publish(&serde_json::to_vec(&fields).expect("values that were read are JSON"))
}

fn list() -> String {
    FIELDS.map(|name| format!("`{name}`")).join(", ")
}

fn bad(code: ErrorCode, message: impl Into<String>) -> ErrorBody {
    ErrorBody::new(code, message)
}
