//! Text that is known to be JSON: where its parts begin and end is seen without checking it again.

use std::iter::FusedIterator;

use memchr::memchr2;
use serde_json::value::RawValue;

/// The text of one JSON value that a parser has gone through, without white space around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonText<'a>(&'a str);

impl<'a> From<&'a RawValue> for JsonText<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self(value.get())
    }
}

impl<'a> JsonText<'a> {
    pub(crate) const fn get(self) -> &'a str {
        self.0
    }

    /// What stands between the quotes, if this is a string without escapes.
    pub(crate) fn plain_string(self) -> Option<&'a str> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        memchr::memchr(b'\\', inner.as_bytes()).is_none().then_some(inner)
    }

    /// The members, if this is an object.
    pub(crate) fn members(self) -> Option<Members<'a>> {
        self.0.strip_prefix('{').map(Members)
    }
}

/// Members of an object: names, which are strings, and values. Holds what is left of the text,
/// with its closing bracket.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a>(&'a str);

impl<'a> Members<'a> {
    /// Takes the value that comes next, and before it white space and `mark`.
    fn value(&mut self, mark: u8) -> Option<JsonText<'a>> {
        let is_between = |byte: &u8| *byte != mark && !is_space(*byte);
        let begin = self.0.bytes().position(|byte| is_between(&byte))?;
        let text = self.0.get(begin..)?;
        let end = value_end(text.as_bytes())?;
        let (value, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        Some(JsonText(value))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (JsonText<'a>, JsonText<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let Some(name) = self.value(b',') else {
            debug_assert_eq!(self.0.trim_start(), "}", "the object was checked");
            return None;
        };
        Some((name, self.value(b':')?))
    }
}

impl FusedIterator for Members<'_> {}

/// RFC 8259 §2.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where the value ends with which `text` begins; `None` if it begins with none, as at the end of
/// an object.
fn value_end(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => string_end(text, 1),
        b'{' | b'[' => nested_end(text),
        b'}' | b']' => None,
        _ => text.iter().position(|byte| matches!(byte, b',' | b'}' | b']') || is_space(*byte)),
    }
}

/// Where the string ends, behind its quote, of which `text` holds what is inside from `at` on.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr2(b'"', b'\\', text.get(at..)?)?;
        match text.get(found)? {
            b'"' => return Some(found + 1),
            _ => at = found + 2,
        }
    }
}

/// Where the array or object ends with which `text` begins.
fn nested_end(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Option<Vec<(&str, &str)>> {
        let value: &RawValue = serde_json::from_str(text).unwrap();
        let members = JsonText::from(value).members()?;
        Some(members.map(|(name, value)| (name.get(), value.get())).collect())
    }

    #[test]
    fn members_are_what_stands_between_the_marks() {
        for (text, expected) in [
            ("{}", vec![]),
            (" { \n } ", vec![]),
            (r#"{"a":1}"#, vec![(r#""a""#, "1")]),
            (r#"{"a" : -1.5e+3 , "b":null}"#, vec![(r#""a""#, "-1.5e+3"), (r#""b""#, "null")]),
            ("{\r\"a\"\r:\r1\r,\r\"b\":2}", vec![("\"a\"", "1"), ("\"b\"", "2")]),
            ("{\"a\":\t[1, {\"}\":\"]\"}]\r\n}", vec![("\"a\"", "[1, {\"}\":\"]\"}]")]),
            (
                r#"{"\",:}":"\\","":"\\\""}"#,
                vec![(r#""\",:}""#, r#""\\""#), (r#""""#, r#""\\\"""#)],
            ),
            (r#"{"ü":{"ü":"ü"},"b":[[]]}"#, vec![(r#""ü""#, r#"{"ü":"ü"}"#), (r#""b""#, "[[]]")]),
            (r#"{"a":true,"a":false}"#, vec![(r#""a""#, "true"), (r#""a""#, "false")]),
        ] {
            assert_eq!(members(text), Some(expected), "{text}");
        }
        for text in ["[]", "1", "null", "\"{}\""] {
            assert_eq!(members(text), None, "{text}");
        }
    }

    /// Against the parser itself, over objects made at random.
    #[test]
    fn the_parser_finds_the_same() {
        let mut seed = 1_u64;
        let mut below = |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % bound
        };
        for _ in 0..5_000 {
            let mut text = String::from("{");
            for n in 0..below(5) {
                let comma = if n == 0 { "" } else { "," };
                text.push_str(&format!("{comma}{}\"{n}\"{}:", space(below(3)), space(below(3))));
                append_value(&mut text, 4, &mut below);
                text.push_str(space(below(3)));
            }
            text.push('}');
            let parsed: std::collections::BTreeMap<&str, &RawValue> =
                serde_json::from_str(&text).unwrap();
            let found = members(&text).unwrap();
            assert_eq!(found.len(), parsed.len(), "{text}");
            for (name, value) in found {
                assert_eq!(parsed[name.trim_matches('"')].get(), value, "{text}");
            }
        }
    }

    fn space(which: u64) -> &'static str {
        ["", " ", "\n\t"][which as usize]
    }

    fn append_value(text: &mut String, depth: u32, below: &mut impl FnMut(u64) -> u64) {
        match below(if depth == 0 { 4 } else { 6 }) {
            0 => text.push_str(["12", "-0.5e1", "true", "null"][below(4) as usize]),
            which @ 1..4 => {
                let piece = ["a", "\\\"", "\\\\", "}", "[", ",", ":", "\\u00fc", "ü"];
                text.push('"');
                for _ in 0..below(which * 10) {
                    text.push_str(piece[below(9) as usize]);
                }
                text.push('"');
            }
            which => {
                let is_array = which == 4;
                text.push(if is_array { '[' } else { '{' });
                for n in 0..below(4) {
                    text.push_str(if n == 0 { "" } else { ", " });
                    if !is_array {
                        text.push_str(&format!("\"{n}\" :"));
                    }
                    append_value(text, depth - 1, below);
                }
                text.push(if is_array { ']' } else { '}' });
            }
        }
    }
}
