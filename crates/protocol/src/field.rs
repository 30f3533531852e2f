//! Names of fields in errors, and the known name nearest to an unknown one.

use std::fmt;

use crate::error_code::ErrorCode;
use crate::frame::ErrorBody;

/// A field by its place: `publish.topic`, or `topic` at the top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    object: &'a str,
    name: &'a str,
}

impl<'a> Field<'a> {
    /// The field `name` of `object`; the object at the top is "".
    pub(crate) const fn new(object: &'a str, name: &'a str) -> Self {
        Self { object, name }
    }

    /// An error of this field. `rule` goes on after the name: "must be a string".
    pub(crate) fn error(self, code: ErrorCode, rule: impl fmt::Display) -> ErrorBody {
        ErrorBody::new(code, format!("{self} {rule}"))
    }

    /// The field has a value that is not allowed.
    pub(crate) fn bad(self, rule: impl fmt::Display) -> ErrorBody {
        self.error(ErrorCode::BadField, rule)
    }

    /// The field breaks a rule that is a sentence of its own.
    pub(crate) fn breaks(self, code: ErrorCode, rule: impl fmt::Display) -> ErrorBody {
        ErrorBody::new(code, format!("{self}: {rule}"))
    }

    /// The field has to be there and is not.
    pub(crate) fn missing(self) -> ErrorBody {
        self.bad("is missing")
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.object {
            "" => write!(f, "`{}`", self.name),
            object => write!(f, "`{object}.{}`", self.name),
        }
    }
}

/// How much of a name that came from outside is shown in an error.
const SHOWN_CHARS_MAX: usize = 40;

/// `name` as it can be shown: short, and without control characters.
pub(crate) fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if name.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// What to say after an unknown name: the nearest of `known`, or all of them.
pub(crate) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let distance_max = (name.len() / 3).clamp(1, 3);
    let nearest = known
        .clone()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= distance_max)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min();
    if let Some((_, candidate)) = nearest {
        return format!("did you mean `{candidate}`?");
    }
    let all: Vec<_> = known.map(|candidate| format!("`{candidate}`")).collect();
    if all.is_empty() {
        "it takes none".to_owned()
    } else {
        format!("known are {}", all.join(", "))
    }
}

/// Levenshtein distance in bytes. Callers keep both short by comparing lengths first.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_has_to_be_changed() {
        for (left, right, expected) in [
            ("", "", 0),
            ("topic", "topic", 0),
            ("topci", "topic", 2),
            ("", "ab", 2),
            ("ttl", "ttl_ms", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn suggests_the_nearest_or_lists_all() {
        let known = ["topic", "data", "key"];
        assert_eq!(suggestion("topics", known.into_iter()), "did you mean `topic`?");
        assert_eq!(suggestion("colour", known.into_iter()), "known are `topic`, `data`, `key`");
        assert_eq!(suggestion("x", [].into_iter()), "it takes none");
    }

    #[test]
    fn a_long_or_hostile_name_is_shown_short_and_clean() {
        assert_eq!(shown("a\n\u{1b}b"), "a\\n\\u{1b}b");
        assert_eq!(shown(&"x".repeat(100_000)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
