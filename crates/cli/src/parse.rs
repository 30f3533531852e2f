//! Words of the command line that become types of their own.

use std::time::Duration;

use tidings_core::{Epoch, Filter, MessageId, Offset, Operation, Position, Timestamp, UserId};
use tidings_server::parse_duration;

use crate::clock_text::parse_moment;

/// A user that somebody can be.
pub(crate) fn user(text: &str) -> Result<UserId, String> {
    let user = UserId::parse(text).map_err(|error| error.to_string())?;
    if user.is_reserved() {
        return Err("users that start with `$` are the server's: name somebody else".to_owned());
    }
    Ok(user)
}

/// `EPOCH:OFFSET`, as `--json` prints them.
pub(crate) fn position(text: &str) -> Result<Position, String> {
    let parts = text.split_once(':');
    let parsed = parts.and_then(|(epoch, offset)| {
        let epoch: Epoch = epoch.parse().ok()?;
        Some(Position { epoch, offset: Offset::new(offset.parse().ok()?) })
    });
    parsed.ok_or_else(|| format!("{text:?} is not a position: write EPOCH:OFFSET, such as Zr3:18"))
}

/// Where a subscription starts when nobody remembers its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// With the next message.
    New,
    /// With the earliest message kept.
    First,
    /// With the last message kept.
    Last,
    /// After this one.
    After(Position),
}

/// `new`, `first`, `last` or a position.
pub(crate) fn from(text: &str) -> Result<From, String> {
    match text {
        "new" => Ok(From::New),
        "first" => Ok(From::First),
        "last" => Ok(From::Last),
        _ => position(text)
            .map(From::After)
            .map_err(|error| format!("{error}, or new, first or last")),
    }
}

/// `25s`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// A duration that is not zero.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("{text:?} is no time at all: write one such as 10s")),
        time => Ok(time),
    }
}

/// A moment: `2026-11-18T11:06:40Z`, so long ago (`10m`), or milliseconds since 1970 as `--json`
/// prints them.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(ms) = text.parse() {
        return Ok(Moment::At(Timestamp::from_ms(ms)));
    }
    let at = parse_moment(text).map(Moment::At);
    let ago = || parse_duration(text).ok().map(Moment::Ago);
    at.or_else(ago).ok_or_else(|| {
        format!(
            "{text:?} is not a moment: write one such as 2026-11-18T11:06:40Z, how long ago it was \
             (10m), or milliseconds since 1970"
        )
    })
}

/// A moment to come, which is not so long ago.
pub(crate) fn moment_to_come(text: &str) -> Result<Timestamp, String> {
    match moment(text) {
        Ok(Moment::At(at)) => Ok(at),
        Ok(Moment::Ago(_)) => {
            Err(format!("{text:?} is how long it is until then: write --delay {text} for that"))
        }
        Err(_) => Err(format!(
            "{text:?} is not a moment: write one such as 2026-11-18T11:06:40Z, or milliseconds \
             since 1970"
        )),
    }
}

/// A moment, not yet compared with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This long before now.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl Moment {
    /// The time, given what time it is now.
    pub(crate) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => now.minus(ago),
            Self::At(at) => at,
        }
    }
}

/// A dead letter, by its offset among them.
pub(crate) fn dead_letter(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        let of_message = match text.parse::<MessageId>() {
            Ok(_) => format!(
                "; `tidings dead-letters list --message {text}` finds those of this message"
            ),
            Err(_) => String::new(),
        };
        format!(
            "a dead letter is named by its offset, a number such as 17 in the first column of \
             `tidings dead-letters list`{of_message}"
        )
    })
}

/// `name=value`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("{text:?} is not a header: write NAME=VALUE")),
    }
}

/// What a token allows somewhere.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Cap {
    /// Where.
    #[serde(rename = "match")]
    pub(crate) filter: String,
    /// What.
    pub(crate) ops: Vec<&'static str>,
}

/// `room/#:pub,sub`. The last colon counts, since topics may have colons.
pub(crate) fn cap(text: &str) -> Result<Cap, String> {
    let usage = || {
        let known = Operation::ALL.map(Operation::as_str).join(", ");
        format!(
            "{text:?} is not a capability: write FILTER:OPS, such as 'room/#:pub,sub', with some of {known}"
        )
    };
    let (filter, words) = text.rsplit_once(':').ok_or_else(usage)?;
    Filter::parse(filter).map_err(|error| format!("{filter:?} is not a filter: {error}"))?;
    let operation = |word: &str| Operation::from_word(word.trim()).map(Operation::as_str);
    let ops: Option<Vec<_>> = words.split(',').map(operation).collect();
    Ok(Cap { filter: filter.to_owned(), ops: ops.ok_or_else(usage)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_places_to_start() {
        let at = Position { epoch: "Zr3".parse().unwrap(), offset: Offset::new(18) };
        assert_eq!(position("Zr3:18"), Ok(at));
        assert_eq!(from("Zr3:18"), Ok(From::After(at)));
        assert_eq!(from("new"), Ok(From::New));
        assert_eq!(from("first"), Ok(From::First));
        assert_eq!(from("last"), Ok(From::Last));
        for text in ["", "18", "Zr3:", ":18", "Zr3:x", "é:1"] {
            assert!(position(text).unwrap_err().contains("write EPOCH:OFFSET"), "{text}");
        }
    }

    #[test]
    fn moments_are_ago_or_absolute() {
        let now = Timestamp::from_ms(1_000_000);
        for (text, ms) in [
            ("10s", 990_000),
            ("5", 5),
            ("1970-01-01T00:00:07Z", 7000),
            ("1970-01-01T02:00:07.5+02:00", 7500),
        ] {
            assert_eq!(moment(text).unwrap().resolve(now), Timestamp::from_ms(ms), "{text}");
        }
        for text in ["yesterday", "", "2026-11-18", "-5"] {
            let error = moment(text).unwrap_err();
            let ways = ["2026-11-18T11:06:40Z", "10m", "milliseconds since 1970"];
            assert!(ways.iter().all(|way| error.contains(way)), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_to_come_was_not_so_long_ago() {
        assert_eq!(moment_to_come("1970-01-01T00:00:07Z"), Ok(Timestamp::from_ms(7000)));
        assert_eq!(moment_to_come("7000"), Ok(Timestamp::from_ms(7000)));
        assert!(moment_to_come("10m").unwrap_err().contains("--delay 10m"));
        assert!(moment_to_come("soon").unwrap_err().contains("2026-11-18T11:06:40Z"));
    }

    #[test]
    fn dead_letters_have_numbers() {
        assert_eq!(dead_letter("17"), Ok(17));
        for text in ["abc", "", "-1", "1.5"] {
            assert!(
                dead_letter(text).unwrap_err().ends_with("`tidings dead-letters list`"),
                "{text}"
            );
        }
        let id = "01JD0M2Q8G00Z0000000000003";
        assert!(dead_letter(id).unwrap_err().contains(&format!("list --message {id}")));
    }

    #[test]
    fn headers_are_pairs() {
        assert_eq!(header("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(header("a").is_err());
        assert!(header("=b").is_err());
    }

    #[test]
    fn capabilities_name_filter_and_operations() {
        let expected = Cap { filter: "room:1/#".to_owned(), ops: vec!["pub", "sub"] };
        assert_eq!(cap("room:1/#:pub, sub"), Ok(expected));
        for text in ["room/#", "room/#:", "room/#:fly", "room/#:pub,", "a/#/b:pub", ":pub"] {
            assert!(cap(text).is_err(), "{text}");
        }
    }
}
