//! Filters: topics with `+` (one level) and `#` (the rest).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::topic::{Topic, TopicError, check_name};

/// Which topics a subscription or a capability covers (MQTT 5 §4.7.1).
///
/// `+` stands for exactly one level, `#` for the level before it and everything below and must
/// come last. A filter whose first level is a wildcard does not match topics that start with `$`
/// (MQTT 5 §4.7.2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Arc<str>);

/// Why a text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It breaks a rule that holds for topics as well.
    #[error(transparent)]
    Name(#[from] TopicError),
    /// `+` or `#` shares its level with other characters.
    #[error("`+` and `#` stand alone in their level")]
    WildcardInLevel,
    /// Something follows `#`.
    #[error("`#` is the last level")]
    HashNotLast,
}

impl Filter {
    /// Checks `text` against the rules.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        check_name(text)?;
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.len() > 1 && level.contains(['+', '#']) {
                return Err(FilterError::WildcardInLevel);
            }
            if level == "#" && levels.peek().is_some() {
                return Err(FilterError::HashNotLast);
            }
        }
        Ok(Self(text.into()))
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels, first to last.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether it stands for more than the one topic that it is.
    pub fn has_wildcards(&self) -> bool {
        self.0.contains(['+', '#'])
    }

    /// The topic this filter is, if it has no wildcard. Both share the text.
    pub fn as_topic(&self) -> Option<Topic> {
        (!self.has_wildcards()).then(|| Topic::of_checked(Arc::clone(&self.0)))
    }

    /// Whether this filter is `topic` and stands for nothing else.
    pub fn is(&self, topic: &Topic) -> bool {
        *self.0 == *topic.as_str()
    }

    /// Whether `topic` is one this filter stands for.
    pub fn matches(&self, topic: &Topic) -> bool {
        // Most filters and topics differ in their first byte already, and a message is held against
        // every rule of a configuration.
        let (wide, narrow) = (self.0.as_bytes().first(), topic.as_str().as_bytes().first());
        let may_match = wide == narrow || matches!(wide, Some(b'+' | b'#'));
        may_match && covers_levels(self.levels(), topic.levels(), topic.is_reserved())
    }

    /// Whether every topic that `other` can match is one this filter matches: what decides
    /// whether a capability allows a filter subscription.
    pub fn covers(&self, other: &Self) -> bool {
        covers_levels(self.levels(), other.levels(), other.as_str().starts_with('$'))
    }
}

/// Walks both level by level. With a topic on the right this is matching; with a filter it is
/// inclusion, where a wildcard on the right is only covered by one at least as wide on the left.
fn covers_levels<'a>(
    left: impl Iterator<Item = &'a str>,
    mut right: impl Iterator<Item = &'a str>,
    right_is_reserved: bool,
) -> bool {
    for (depth, wide) in left.enumerate() {
        let at_reserved = depth == 0 && right_is_reserved;
        if wide == "#" {
            // Also for `a/#` and `a`: nothing need be left on the right.
            return !at_reserved;
        }
        let Some(narrow) = right.next() else { return false };
        let fits = match wide {
            "+" => !at_reserved && narrow != "#",
            literal => literal == narrow,
        };
        if !fits {
            return false;
        }
    }
    right.next().is_none()
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl From<&Topic> for Filter {
    /// The filter that matches this topic alone. Both share the text.
    fn from(topic: &Topic) -> Self {
        Self(topic.shared_text())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, topic: &str) -> bool {
        Filter::parse(filter).unwrap().matches(&Topic::parse(topic).unwrap())
    }

    #[test]
    fn matches_as_the_mqtt_specification_says() {
        // MQTT 5 §4.7.1.2 and §4.7.1.3.
        for topic in ["sport/tennis/player1", "sport/tennis/player1/ranking"] {
            assert!(matches("sport/tennis/player1/#", topic), "{topic}");
        }
        assert!(matches("sport/#", "sport"));
        assert!(matches("#", "a/b/c"));
        assert!(matches("sport/tennis/+", "sport/tennis/player1"));
        assert!(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
        assert!(!matches("sport/+", "sport"));
        assert!(matches("sport/+", "sport/"));
        assert!(matches("+/+", "/finance"));
        assert!(matches("/+", "/finance"));
        assert!(!matches("+", "/finance"));
    }

    #[test]
    fn a_wildcard_in_front_does_not_match_reserved_topics() {
        // MQTT 5 §4.7.2.
        assert!(!matches("#", "$dead-letters"));
        assert!(!matches("+/x", "$sys/x"));
        assert!(matches("$sys/#", "$sys/x"));
    }

    #[test]
    fn refuses_misplaced_wildcards() {
        assert_eq!(Filter::parse("a/b#"), Err(FilterError::WildcardInLevel));
        assert_eq!(Filter::parse("a+/b"), Err(FilterError::WildcardInLevel));
        assert_eq!(Filter::parse("#/b"), Err(FilterError::HashNotLast));
    }

    #[test]
    fn covering_implies_matching() {
        let names = ["a", "b", "+", "#", "$a"];
        let mut filters = Vec::new();
        let mut topics = Vec::new();
        for x in names {
            filters.extend(Filter::parse(x));
            topics.extend(Topic::parse(x));
            for y in names {
                filters.extend(Filter::parse(&format!("{x}/{y}")));
                topics.extend(Topic::parse(&format!("{x}/{y}")));
                for z in names {
                    filters.extend(Filter::parse(&format!("{x}/{y}/{z}")));
                    topics.extend(Topic::parse(&format!("{x}/{y}/{z}")));
                }
            }
        }
        for wide in &filters {
            for narrow in &filters {
                let included = topics.iter().all(|t| !narrow.matches(t) || wide.matches(t));
                if wide.covers(narrow) {
                    assert!(included, "{wide} covers {narrow}");
                }
            }
        }
        assert!(Filter::parse("a/#").unwrap().covers(&Filter::parse("a/+/b").unwrap()));
        assert!(!Filter::parse("a/+").unwrap().covers(&Filter::parse("a/#").unwrap()));
    }
}
