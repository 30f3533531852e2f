//! How messages look on the way out: for people, as bare payloads, or as JSON for scripts.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use tidings_core::{
    ContentType, Data, DataKind, Epoch, Headers, MessageId, Offset, OrderKey, Timestamp, Topic,
    UserId,
};
use tidings_server::DEAD_LETTERS_TOPIC;

use crate::clock_text::time_of_day;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One line for people.
    Human(Colour),
    /// The payload and a line break. JSON strings lose their quotes, so that text published line
    /// by line comes out as it went in.
    Raw,
    /// One JSON object on a line.
    Json,
}

/// Whether escape sequences for colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// On a terminal.
    Wanted,
    /// Anywhere else, or where `NO_COLOR` is set.
    Unwanted,
}

impl Colour {
    /// Colours for standard output, if it is a terminal.
    pub(crate) fn of_stdout() -> Self {
        let is_terminal = io::IsTerminal::is_terminal(&io::stdout());
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_terminal && !no_colour { Self::Wanted } else { Self::Unwanted }
    }
}

/// A message to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) topic: &'a Topic,
    /// Unknown for messages that came through a filter with wildcards.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) offset: Offset,
    pub(crate) id: MessageId,
    pub(crate) attempt: u32,
    pub(crate) data: &'a Data,
    pub(crate) content_type: Option<&'a ContentType>,
    pub(crate) headers: &'a Headers,
    pub(crate) from: Option<&'a UserId>,
    pub(crate) order_key: Option<&'a OrderKey>,
    pub(crate) at: Timestamp,
}

/// Writes one message and a line break.
pub(crate) fn write(out: &mut Vec<u8>, format: Format, message: Shown<'_>) -> io::Result<()> {
    match format {
        Format::Human(colour) => write_human(out, colour, message)?,
        Format::Raw => match unquoted(message.data) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => out.extend_from_slice(message.data.bytes()),
        },
        Format::Json => serde_json::to_writer(&mut *out, &Object::of(message))?,
    }
    out.push(b'\n');
    Ok(())
}

/// The text of a JSON string.
fn unquoted(data: &Data) -> Option<String> {
    match data.kind() {
        DataKind::Json if data.bytes().starts_with(b"\"") => {
            serde_json::from_slice(data.bytes()).ok()
        }
        DataKind::Json | DataKind::Binary => None,
    }
}

fn write_human(out: &mut Vec<u8>, colour: Colour, message: Shown<'_>) -> io::Result<()> {
    let (bold, dim, plain) = match colour {
        Colour::Wanted => ("\u{1b}[1m", "\u{1b}[2m", "\u{1b}[0m"),
        Colour::Unwanted => ("", "", ""),
    };
    let Shown { topic, offset, attempt, at, .. } = message;
    let from = message.from.map_or("-", |user| user.as_str());
    let time = time_of_day(at);
    write!(out, "{bold}{topic}{plain} {dim}#{offset}{plain}  {from}  {dim}{time}{plain}  ")?;
    out.extend_from_slice(printable(message.data).as_bytes());
    if let Some(fate) = fate(message) {
        write!(out, "  {dim}({fate}){plain}")?;
    }
    if attempt > 1 {
        write!(out, "  {dim}(attempt {attempt}){plain}")?;
    }
    Ok(())
}

/// Where a dead letter came from and why it is one.
fn fate(message: Shown<'_>) -> Option<String> {
    if message.topic.as_str() != DEAD_LETTERS_TOPIC {
        return None;
    }
    let header = |name: &str| message.headers.get(name).map(|text| harmless(text.into()));
    let (topic, offset) = (header("tidings-topic")?, header("tidings-offset")?);
    let (gave_up, attempts) = (header("tidings-gave-up")?, header("tidings-attempts")?);
    let gave_up = gave_up.replace('_', " ");
    let times = if attempts == "1" { "attempt" } else { "attempts" };
    let mut text = format!("from {topic} #{offset}: {gave_up} after {attempts} {times}");
    if let Some(reasons) = header("tidings-reasons").filter(|reasons| !reasons.is_empty()) {
        text.push_str(&format!(": {reasons}"));
    }
    Some(text)
}

/// What a terminal may be sent: a payload must not move the cursor or change the title.
fn printable(data: &Data) -> Cow<'_, str> {
    let text = match data.kind() {
        DataKind::Json => String::from_utf8_lossy(data.bytes()),
        DataKind::Binary => match std::str::from_utf8(data.bytes()) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => return Cow::Owned(format!("{} bytes", data.bytes().len())),
        },
    };
    harmless(text)
}

fn harmless(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        return Cow::Owned(text.replace(char::is_control, "\u{fffd}"));
    }
    text
}

/// The object of `--json`. Its keys are what scripts rely on: add, never rename.
#[derive(Serialize)]
struct Object<'a> {
    topic: &'a str,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    id: String,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: &'a Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_key: Option<&'a str>,
    at: u64,
}

impl<'a> Object<'a> {
    fn of(message: Shown<'a>) -> Self {
        let bytes = message.data.bytes();
        let json: Option<&RawValue> = match message.data.kind() {
            DataKind::Json => serde_json::from_slice(bytes).ok(),
            DataKind::Binary => None,
        };
        Self {
            topic: message.topic.as_str(),
            offset: message.offset.get(),
            epoch: message.epoch.map(|epoch| epoch.to_string()),
            id: message.id.to_string(),
            attempt: message.attempt,
            data: json,
            data_base64: json.is_none().then(|| STANDARD.encode(bytes)),
            content_type: message.content_type.map(ContentType::as_str),
            headers: message.headers,
            from: message.from.map(UserId::as_str),
            order_key: message.order_key.map(OrderKey::as_str),
            at: message.at.as_ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, data: &Data, attempt: u32) -> String {
        let topic = Topic::parse("room/42").unwrap();
        let bob = UserId::parse("bob").unwrap();
        let order_key = (attempt == 2).then(|| OrderKey::parse("account-9").unwrap());
        let headers = Headers::from([("trace".to_owned(), "t1".to_owned())]);
        let message = Shown {
            topic: &topic,
            epoch: Some("Zr3".parse().unwrap()),
            offset: Offset::new(18),
            id: MessageId::from_bits(7),
            attempt,
            data,
            content_type: None,
            headers: &headers,
            from: Some(&bob),
            order_key: order_key.as_ref(),
            at: Timestamp::from_ms(1_795_000_000_000),
        };
        let mut out = Vec::new();
        write(&mut out, format, message).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn json(text: &'static str) -> Data {
        Data::json(text.as_bytes().into())
    }

    fn binary(bytes: &'static [u8]) -> Data {
        Data::binary(bytes.into())
    }

    const PLAIN: Format = Format::Human(Colour::Unwanted);

    #[test]
    fn people_get_a_line() {
        let line = check(PLAIN, &json(r#"{"hello":"world"}"#), 1);
        assert_eq!(line, "room/42 #18  bob  11:06:40Z  {\"hello\":\"world\"}\n");
        let line = check(PLAIN, &json("1"), 3);
        assert_eq!(line, "room/42 #18  bob  11:06:40Z  1  (attempt 3)\n");
        assert!(check(PLAIN, &binary(&[0xff, 0]), 1).ends_with("  2 bytes\n"));
        assert!(check(Format::Human(Colour::Wanted), &json("1"), 1).contains("\u{1b}[1mroom/42"));
    }

    #[test]
    fn a_dead_letter_tells_its_fate() {
        let topic = Topic::parse(DEAD_LETTERS_TOPIC).unwrap();
        let headers = [
            ("tidings-topic", "jobs/1"),
            ("tidings-offset", "2"),
            ("tidings-gave-up", "nacked"),
            ("tidings-attempts", "2"),
            ("tidings-reasons", "no\u{1b}stock"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let message = Shown {
            topic: &topic,
            epoch: None,
            offset: Offset::new(1),
            id: MessageId::from_bits(7),
            attempt: 1,
            data: &json("1"),
            content_type: None,
            headers: &headers,
            from: None,
            order_key: None,
            at: Timestamp::from_ms(1_795_000_000_000),
        };
        let mut out = Vec::new();
        write(&mut out, PLAIN, message).unwrap();
        let line = String::from_utf8(out).unwrap();
        let fate = "  1  (from jobs/1 #2: nacked after 2 attempts: no\u{fffd}stock)\n";
        assert!(line.ends_with(fate), "{line}");
    }

    #[test]
    fn a_payload_cannot_steer_the_terminal() {
        for data in [binary(b"\x1b]0;title\x07"), json("\"\u{9b}2J\"")] {
            let line = check(PLAIN, &data, 1);
            assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn raw_is_the_payload() {
        assert_eq!(check(Format::Raw, &json(r#""a \"b\" é\tc""#), 1), "a \"b\" é\tc\n");
        assert_eq!(check(Format::Raw, &json("\"\""), 1), "\n");
        assert_eq!(check(Format::Raw, &json(r#"{"a":1}"#), 1), "{\"a\":1}\n");
        assert_eq!(check(Format::Raw, &binary(b"plain"), 1), "plain\n");
    }

    #[test]
    fn scripts_get_an_object() {
        let id = MessageId::from_bits(7).to_string();
        let expected = format!(
            r#"{{"topic":"room/42","offset":18,"epoch":"Zr3","id":"{id}","attempt":2,"data":{{"a":1}},"headers":{{"trace":"t1"}},"from":"bob","order_key":"account-9","at":1795000000000}}"#
        );
        assert_eq!(check(Format::Json, &json(r#"{"a":1}"#), 2), format!("{expected}\n"));
        let object: serde_json::Value =
            serde_json::from_str(&check(Format::Json, &binary(&[0xff, 0]), 1)).unwrap();
        assert_eq!(object["data_base64"], "/wA=");
        assert_eq!(object.get("data"), None);
    }
}
