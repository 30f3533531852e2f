//! Topics: names of ordered streams, with MQTT's rules.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::{TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX};

/// The name of an ordered, durable stream of messages: `/`-separated levels, valid by
/// construction.
///
/// Rules (MQTT 5 §4.7): UTF-8, at least one character, at most [`TOPIC_BYTES_MAX`] bytes, no
/// control characters, no `+` or `#`. Levels may be empty. A `$` in front is reserved for the
/// server. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// Why a text is not a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The text has no character.
    #[error("a topic has at least one character")]
    Empty,
    /// The text is longer than [`TOPIC_BYTES_MAX`].
    #[error("a topic has at most {TOPIC_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The text has more than [`TOPIC_LEVELS_MAX`] levels.
    #[error("a topic has at most {TOPIC_LEVELS_MAX} levels")]
    TooDeep,
    /// The text has a wildcard: it is a filter.
    #[error("a topic has no `+` or `#`; those belong in a filter")]
    Wildcard,
    /// The text has a control character (U+0000 to U+001F, U+007F to U+009F).
    #[error("a topic has no control characters")]
    ControlCharacter,
}

impl Topic {
    /// Checks `text` against the rules.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check_name(text)?;
        if text.contains(['+', '#']) {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(text.into()))
    }

    /// A topic of a text that is one.
    pub(crate) const fn of_checked(text: Arc<str>) -> Self {
        Self(text)
    }

    pub(crate) fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels, first to last.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether the name starts with `$`: clients may not publish there.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

/// What a topic and a filter have in common.
pub(crate) fn check_name(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong { bytes: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(TopicError::ControlCharacter);
    }
    if text.split('/').count() > TOPIC_LEVELS_MAX {
        return Err(TopicError::TooDeep);
    }
    Ok(())
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::parse(text)
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_mqtt_accepts() {
        for text in ["a", "room/42", "/finance", "a//b", "Zürich/Halle 3", "$dead-letters"] {
            assert_eq!(Topic::parse(text).map(|t| t.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        assert_eq!(Topic::parse(""), Err(TopicError::Empty));
        assert_eq!(Topic::parse("a/+"), Err(TopicError::Wildcard));
        assert_eq!(Topic::parse("a\0b"), Err(TopicError::ControlCharacter));
        assert_eq!(Topic::parse("a\u{85}b"), Err(TopicError::ControlCharacter));
        assert_eq!(Topic::parse(&"x".repeat(256)), Err(TopicError::TooLong { bytes: 256 }));
        assert_eq!(Topic::parse(&"/".repeat(64)), Err(TopicError::TooDeep));
    }
}
