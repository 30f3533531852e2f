//! Message data that says it is JSON: checked once, where it enters.

use bytes::Bytes;
use memchr::{memchr2, memchr2_iter};
use serde_json::value::RawValue;
use tidings_core::Data;

use crate::json::JsonText;

/// How deeply JSON data may nest. Subscribers parse it with parsers that recurse; one message
/// must not be able to stop all of them, so it stays below the common limits (128 and up).
pub const DATA_DEPTH_MAX: usize = 100;

/// Why bytes are no JSON data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonDataError {
    /// The bytes are not exactly one JSON value in UTF-8.
    #[error("is not one JSON value in UTF-8: {reason}")]
    NotJson {
        /// What the parser met, and where.
        reason: String,
    },
    /// Arrays and objects stand in each other more than [`DATA_DEPTH_MAX`] deep.
    #[error("nests deeper than {DATA_DEPTH_MAX} arrays and objects")]
    TooDeep,
}

/// Checks that `bytes` are exactly one JSON value (RFC 8259) in UTF-8, and puts it on one line.
///
/// Nothing else is changed: numbers keep their text, objects the order of their members and
/// members that appear twice, strings their escapes.
pub fn json_data(bytes: &[u8]) -> Result<Data, JsonDataError> {
    let value: &RawValue = serde_json::from_slice(bytes)
        .map_err(|error| JsonDataError::NotJson { reason: error.to_string() })?;
    json_value_data(value.into())
}

/// The same for a value that is known to be JSON in UTF-8.
pub(crate) fn json_value_data(value: JsonText<'_>) -> Result<Data, JsonDataError> {
    let text = value.get().as_bytes();
    if opening_brackets(text) > DATA_DEPTH_MAX && depth(text) > DATA_DEPTH_MAX {
        return Err(JsonDataError::TooDeep);
    }
    Ok(Data::json(on_one_line(text)))
}

/// Takes line breaks out. In valid JSON they stand only between tokens, where white space means
/// nothing: inside strings they are escaped.
fn on_one_line(text: &[u8]) -> Bytes {
    let is_line_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if memchr2(b'\n', b'\r', text).is_some() {
        text.iter().copied().filter(|byte| !is_line_break(byte)).collect()
    } else {
        Bytes::copy_from_slice(text)
    }
}

/// How many brackets could open an array or object, if they are few: no less than the depth, and far
/// quicker to count.
fn opening_brackets(text: &[u8]) -> usize {
    memchr2_iter(b'[', b'{', text).take(DATA_DEPTH_MAX + 1).count()
}

/// How many arrays and objects stand in each other at most.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

/// Goes to the end of a string whose opening quote was taken.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<String, JsonDataError> {
        json_data(bytes).map(|data| String::from_utf8(data.bytes().to_vec()).unwrap())
    }

    #[test]
    fn changes_nothing_but_line_breaks() {
        for (given, expected) in [
            ("1", "1"),
            (" \n null\r\n", "null"),
            ("123456789012345678901234567890.1e+9999", "123456789012345678901234567890.1e+9999"),
            ("-0.0", "-0.0"),
            (r#"{"b":1, "a":2,"b":3}"#, r#"{"b":1, "a":2,"b":3}"#),
            ("{\r\n\t\"a\": [1,\n2]\n}", "{\t\"a\": [1,2]}"),
            (r#""\n\u000a\ud800 ü""#, r#""\n\u000a\ud800 ü""#),
        ] {
            assert_eq!(text(given.as_bytes()).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_json_value() {
        for bytes in [
            &b""[..],
            b"1 2",
            b"{",
            b"nul",
            b"NaN",
            b"01",
            b"\"a\nb\"",
            b"\"\xff\"",
            b"[1,]",
            b"'a'",
        ] {
            let error = json_data(bytes).unwrap_err();
            assert!(matches!(error, JsonDataError::NotJson { .. }), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn refuses_deep_nesting_and_only_that() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(json_data(nested(DATA_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(json_data(nested(DATA_DEPTH_MAX + 1).as_bytes()), Err(JsonDataError::TooDeep));
        assert_eq!(json_data(nested(1_000_000).as_bytes()), Err(JsonDataError::TooDeep));
        let brackets_in_strings = format!("[\"{}\\\"{}\"]", "[".repeat(500), "{".repeat(500));
        assert!(json_data(brackets_in_strings.as_bytes()).is_ok());
        let side_by_side = format!("[{}0]", "[],".repeat(500));
        assert!(json_data(side_by_side.as_bytes()).is_ok());
    }
}
