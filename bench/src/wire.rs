//! The few frames of the native protocol that a measurement needs, made and read by hand.
//!
//! What comes often (messages, answers to publishes) is read by its position and its first
//! words; anything that looks different goes through a JSON parser, so a server may write its
//! frames in another order and only costs the generator time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Size of the data of each message, where nothing else is said: a JSON string with its quotes.
pub(crate) const DATA_BYTES: usize = 128;

/// What a message carries so that its receiver can judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The number of the message in its run, from 0.
    pub(crate) sequence: u32,
    /// When it should have been sent, on the clock of the run.
    pub(crate) sent: Duration,
}

/// Makes and finds the stamps of one run.
#[derive(Debug)]
pub(crate) struct Stamps {
    /// The quote at the start of the data, and a word that only this run uses.
    marker: Vec<u8>,
    /// Where the last stamp was found: the next is most likely there too.
    hint: usize,
    data_bytes: usize,
}

const SEQUENCE_DIGITS: usize = 8;
const SENT_DIGITS: usize = 16;

impl Stamps {
    /// Stamps with a word that nobody else uses now.
    pub(crate) fn of_this_run() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::new(std::process::id().rotate_left(16) ^ now.as_micros() as u32)
    }

    /// `run` tells the messages of this run from those of another on the same topic.
    fn new(run: u32) -> Self {
        Self { marker: format!("\"b{run:08x}:").into_bytes(), hint: 0, data_bytes: DATA_BYTES }
    }

    /// Makes messages with data of this size, which must have room for a stamp.
    pub(crate) fn with_data_bytes(self, data_bytes: usize) -> Self {
        assert!(data_bytes >= DATA_BYTES, "a stamp needs room");
        Self { data_bytes, ..self }
    }

    /// Appends the data of a message: a JSON string, of [`DATA_BYTES`] bytes unless told otherwise.
    pub(crate) fn put_data(&self, out: &mut Vec<u8>, stamp: Stamp) {
        let end = out.len() + self.data_bytes;
        out.extend_from_slice(&self.marker);
        put_hex(out, u64::from(stamp.sequence), SEQUENCE_DIGITS);
        put_hex(out, u64::try_from(stamp.sent.as_nanos()).unwrap_or(u64::MAX), SENT_DIGITS);
        out.resize(end - 1, b'x');
        out.push(b'"');
    }

    /// The stamp in a frame with a message, or `None` when it is no message of this run.
    pub(crate) fn find(&mut self, frame: &[u8]) -> Option<Stamp> {
        if !frame.get(self.hint..)?.starts_with(&self.marker) {
            self.hint = position(frame, &self.marker)?;
        }
        let digits = frame.get(self.hint + self.marker.len()..)?;
        let (sequence, rest) = digits.split_at_checked(SEQUENCE_DIGITS)?;
        let sent = rest.get(..SENT_DIGITS)?;
        Some(Stamp {
            sequence: u32::try_from(hex(sequence)?).ok()?,
            sent: Duration::from_nanos(hex(sent)?),
        })
    }
}

/// The unchanging part of a `publish` frame to one topic.
#[derive(Clone, Debug)]
pub(crate) struct PublishForm {
    middle: String,
}

impl PublishForm {
    pub(crate) fn new(topic: &str) -> Self {
        Self { middle: format!(",\"publish\":{{\"topic\":{},\"data\":", Value::from(topic)) }
    }

    /// Appends a `publish` frame.
    pub(crate) fn put(&self, out: &mut Vec<u8>, id: u32, stamps: &Stamps, stamp: Stamp) {
        out.extend_from_slice(b"{\"id\":");
        put_number(out, u64::from(id));
        out.extend_from_slice(self.middle.as_bytes());
        stamps.put_data(out, stamp);
        out.extend_from_slice(b"}}");
    }
}

/// The `connect` frame, always request 1.
pub(crate) fn connect(client: &str, token: Option<&str>, session: Option<&str>) -> String {
    let optional = |name, value: Option<&str>| {
        value.map_or(String::new(), |value| format!(",\"{name}\":{}", Value::from(value)))
    };
    format!(
        "{{\"id\":1,\"connect\":{{\"client\":{}{}{}}}}}",
        Value::from(client),
        optional("token", token),
        optional("session", session)
    )
}

/// Where a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    /// With the next message.
    New,
    /// Where the cursor of this name is.
    Durable(&'a str),
    /// Behind this offset of this epoch.
    After(&'a str, u64),
    /// Where the cursor of the group of this name is.
    Shared(&'a str),
}

/// A `subscribe` frame.
pub(crate) fn subscribe(id: u32, topic: &str, start: Start<'_>) -> String {
    let start = match start {
        Start::New => String::new(),
        Start::Durable(name) => format!(",\"durable\":{}", Value::from(name)),
        Start::Shared(name) => format!(",\"group\":{}", Value::from(name)),
        Start::After(epoch, offset) => {
            format!(",\"after\":{{\"epoch\":{},\"offset\":{offset}}}", Value::from(epoch))
        }
    };
    format!("{{\"id\":{id},\"subscribe\":{{\"topic\":{}{start}}}}}", Value::from(topic))
}

/// The frame that ends the subscription to `topic`.
pub(crate) fn unsubscribe(id: u32, topic: &str) -> String {
    format!("{{\"id\":{id},\"unsubscribe\":{{\"sub\":{}}}}}", Value::from(topic))
}

/// The `ack` frame for everything up to `offset`.
pub(crate) fn ack(topic: &str, offset: u64) -> String {
    format!("{{\"ack\":{{\"sub\":{},\"offset\":{offset}}}}}", Value::from(topic))
}

/// The `ack` frame for the message at `offset` alone, as members of a group send it.
pub(crate) fn ack_one(topic: &str, offset: u64) -> String {
    format!("{{\"ack\":{{\"sub\":{},\"offsets\":[{offset}]}}}}", Value::from(topic))
}

/// The offset in a `message` frame.
pub(crate) fn message_offset(frame: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"offset\":";
    let (offset, _) = split_number(&frame[position(frame, NAME)? + NAME.len()..])?;
    Some(offset)
}

/// The answer to a server's `ping` frame.
pub(crate) const PONG: &[u8] = b"{\"pong\":{}}";

/// A frame of the server, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerFrame {
    Message,
    Connected,
    Subscribed,
    Published {
        id: u32,
        offset: u64,
    },
    /// An `error` frame.
    Refused {
        id: Option<u32>,
        message: String,
    },
    Ping,
    /// `goaway`, `reset` and whatever else ends or changes what was agreed.
    Other(String),
}

/// Reads one frame of the server.
pub(crate) fn read_server_frame(frame: &[u8]) -> anyhow::Result<ServerFrame> {
    if frame.starts_with(b"{\"message\":") {
        return Ok(ServerFrame::Message);
    }
    if let Some(published) = read_published(frame) {
        return Ok(published);
    }
    read_by_parser(frame)
        .with_context(|| format!("cannot read the frame {}", String::from_utf8_lossy(frame)))
}

/// `{"id":3,"published":{…"offset":22…`.
fn read_published(frame: &[u8]) -> Option<ServerFrame> {
    let (id, rest) = split_number(frame.strip_prefix(b"{\"id\":")?)?;
    let body = rest.strip_prefix(b",\"published\":{")?;
    const OFFSET: &[u8] = b"\"offset\":";
    let (offset, _) = split_number(&body[position(body, OFFSET)? + OFFSET.len()..])?;
    Some(ServerFrame::Published { id: u32::try_from(id).ok()?, offset })
}

fn read_by_parser(frame: &[u8]) -> anyhow::Result<ServerFrame> {
    let value: Value = serde_json::from_slice(frame).context("it is not JSON")?;
    let id = value["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    if let Some(published) = value.get("published") {
        let (Some(id), Some(offset)) = (id, published["offset"].as_u64()) else {
            bail!("`published` has no id or no offset");
        };
        return Ok(ServerFrame::Published { id, offset });
    }
    if let Some(error) = value.get("error") {
        return Ok(ServerFrame::Refused { id, message: error.to_string() });
    }
    let plain = [
        ("message", ServerFrame::Message),
        ("connected", ServerFrame::Connected),
        ("subscribed", ServerFrame::Subscribed),
        ("ping", ServerFrame::Ping),
    ];
    let found = plain.into_iter().find(|(name, _)| value.get(name).is_some());
    Ok(found.map_or_else(|| ServerFrame::Other(value.to_string()), |(_, frame)| frame))
}

/// Where `needle` first is in `haystack`.
pub(crate) fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The number that `text` is, if it is all digits.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    split_number(text).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

/// The number at the start of `text`, and what follows.
pub(crate) fn split_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    Some((number, rest))
}

/// Appends `number` in decimal, without an allocation.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn put_hex(out: &mut Vec<u8>, number: u64, digits: usize) {
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place)) as usize & 15;
        out.push(b"0123456789abcdef"[digit]);
    }
}

fn hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |number, digit| {
        Some(number << 4 | u64::from(char::from(*digit).to_digit(16)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(sequence: u32) -> Stamp {
        Stamp { sequence, sent: Duration::from_nanos(987_654_321_012) }
    }

    #[test]
    fn data_is_json_of_the_promised_size_and_its_stamp_is_found_wherever_it_lies() {
        let mut stamps = Stamps::new(7);
        let mut data = Vec::new();
        stamps.put_data(&mut data, stamp(41));
        assert_eq!(data.len(), DATA_BYTES);
        let text: String = serde_json::from_slice(&data).expect("data is a JSON string");
        for before in ["{\"message\":{", "{\"message\":{\"topic\":\"bench\",", "{"] {
            let frame = format!("{before}\"data\":\"{text}\"}}}}");
            assert_eq!(stamps.find(frame.as_bytes()), Some(stamp(41)));
            assert_eq!(stamps.find(&frame.as_bytes()[..before.len() + 30]), None, "cut off");
        }
    }

    #[test]
    fn data_can_be_longer() {
        let mut stamps = Stamps::new(7).with_data_bytes(5000);
        let mut data = Vec::new();
        stamps.put_data(&mut data, stamp(3));
        assert_eq!(data.len(), 5000);
        assert_eq!(stamps.find(&data), Some(stamp(3)));
    }

    #[test]
    fn messages_of_another_run_have_no_stamp() {
        let mut data = b"\"data\":".to_vec();
        Stamps::new(7).put_data(&mut data, stamp(1));
        assert_eq!(Stamps::new(8).find(&data), None);
    }

    #[test]
    fn client_frames_are_json() {
        let mut out = Vec::new();
        PublishForm::new("a \"b\"").put(&mut out, 9, &Stamps::new(1), stamp(0));
        let publish: Value = serde_json::from_slice(&out).expect("publish is JSON");
        assert_eq!((&publish["id"], &publish["publish"]["topic"]), (&9.into(), &"a \"b\"".into()));
        for text in [
            connect("c\"", Some("t\\"), Some("s\"")),
            connect("c", None, None),
            subscribe(2, "x", Start::New),
            subscribe(2, "x", Start::Durable("d\"")),
            subscribe(2, "x", Start::After("e\"", 7)),
            unsubscribe(3, "x\""),
        ] {
            serde_json::from_str::<Value>(&text).expect("frames are JSON");
        }
    }

    #[test]
    fn server_frames_are_read_in_any_order_of_fields() {
        let published = ServerFrame::Published { id: 3, offset: 22 };
        for (frame, expected) in [
            (r#"{"id":3,"published":{"id":"x","offset":22,"epoch":"Z"}}"#, published.clone()),
            (r#"{ "published": {"offset": 22}, "id": 3 }"#, published),
            (r#"{"id":1,"connected":{"session":"s"}}"#, ServerFrame::Connected),
            (r#"{"subscribed":{"sub":"s"},"id":2}"#, ServerFrame::Subscribed),
            (r#"{"ping":{}}"#, ServerFrame::Ping),
            (r#"{"message":{"topic":"t"}}"#, ServerFrame::Message),
            (r#"{"goaway":{}}"#, ServerFrame::Other(r#"{"goaway":{}}"#.to_owned())),
        ] {
            assert_eq!(read_server_frame(frame.as_bytes()).expect(frame), expected, "{frame}");
        }
        let refused = read_server_frame(br#"{"id":4,"error":{"code":"overloaded"}}"#);
        let message = r#"{"code":"overloaded"}"#.to_owned();
        assert_eq!(refused.expect("valid"), ServerFrame::Refused { id: Some(4), message });
        assert!(read_server_frame(b"nonsense").is_err());
    }

    #[test]
    fn numbers_are_written_and_read() {
        for number in [0, 7, 10, 12_345, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
            assert_eq!(digits(&out), Some(number));
        }
        assert_eq!(digits(b"99999999999999999999"), None);
        assert_eq!(digits(b"12a"), None);
        assert_eq!(digits(b""), None);
    }
}
