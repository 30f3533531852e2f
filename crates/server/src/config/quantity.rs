//! Durations and sizes as people write them: `"25s"`, `"64KiB"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, written with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Why a text is not a duration or a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text is not a duration.
    #[error(
        "not a duration: write whole numbers with a unit of ms, s, m, h or d, such as \"25s\", \"150ms\" or \"1h30m\""
    )]
    NotADuration,
    /// The text is not a size.
    #[error(
        "not a size: write a whole number with a unit of B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as \"64KiB\""
    )]
    NotASize,
    /// The number does not fit.
    #[error("too large a number")]
    TooLarge,
}

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl ByteSize {
    /// This many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many times 1024 × 1024 bytes.
    pub const fn from_mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes, at most what can be addressed.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    /// In the largest power-of-two unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(&str, u64)| {
            *scale == 1 || (scale.is_power_of_two() && self.0 > 0 && self.0.is_multiple_of(*scale))
        };
        let (unit, scale) =
            SIZE_UNITS.iter().rev().find(fits).expect("every number is a multiple of 1");
        write!(f, "{}{unit}", self.0 / scale)
    }
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        match leading_quantity(text.trim(), &SIZE_UNITS, QuantityError::NotASize)? {
            (bytes, "") => Ok(Self(bytes)),
            (_, _more) => Err(QuantityError::NotASize),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Reads a duration: whole numbers with units, added up (`"1h30m"`).
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(QuantityError::NotADuration);
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (ms, more) = leading_quantity(rest, &DURATION_UNITS, QuantityError::NotADuration)?;
        total = total.checked_add(ms).ok_or(QuantityError::TooLarge)?;
        rest = more;
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration in the largest unit that divides it. What is below a millisecond is lost.
pub fn duration_to_text(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let divides = |(_, scale): &&(&str, u64)| ms.is_multiple_of(*scale);
    // A day is written as 24h, since policies think in hours.
    let (unit, scale) =
        DURATION_UNITS[..4].iter().rev().find(divides).expect("1 divides every number");
    format!("{}{unit}", ms / scale)
}

/// The quantity at the start of `text`, and what follows it.
fn leading_quantity<'a>(
    text: &'a str,
    units: &[(&str, u64)],
    malformed: QuantityError,
) -> Result<(u64, &'a str), QuantityError> {
    let end_of = |text: &str, stop: fn(&char) -> bool| {
        text.char_indices().find(|(_, c)| stop(c)).map_or(text.len(), |(at, _)| at)
    };
    let (digits, rest) = text.split_at(end_of(text, |c| !c.is_ascii_digit()));
    let (unit, rest) = rest.split_at(end_of(rest, char::is_ascii_digit));
    let scale = units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, scale)| *scale);
    let (Some(scale), false) = (scale, digits.is_empty()) else { return Err(malformed) };
    let number: u64 = digits.parse().map_err(|_| QuantityError::TooLarge)?;
    Ok((number.checked_mul(scale).ok_or(QuantityError::TooLarge)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, ms) in [
            ("150ms", 150),
            ("25s", 25_000),
            ("1m", 60_000),
            ("24h", 86_400_000),
            ("2d", 172_800_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
            (" 5 s ", 5000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "25", "s", "1.5s", "-1s", "25 secs", "1h30", "ten s", "25S"] {
            assert_eq!(parse_duration(text), Err(QuantityError::NotADuration), "{text}");
        }
        assert_eq!(parse_duration("99999999999999999999s"), Err(QuantityError::TooLarge));
        assert_eq!(parse_duration("18446744073709551615d"), Err(QuantityError::TooLarge));
        assert_eq!(parse_duration("18446744073709551615ms1ms"), Err(QuantityError::TooLarge));
    }

    #[test]
    fn sizes_are_numbers_with_units() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 65_536),
            ("2MB", 2_000_000),
            ("1 GiB", 1 << 30),
            ("3TB", 3_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::from_bytes(bytes)), "{text}");
        }
        for text in ["", "64", "KiB", "1.5MiB", "-1B", "64kib", "1MiB2KiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(QuantityError::NotASize), "{text}");
        }
        assert_eq!("99999999TiB".parse::<ByteSize>(), Err(QuantityError::TooLarge));
    }

    #[test]
    fn both_read_back_from_their_text() {
        for ms in [0, 1, 999, 1000, 61_000, 3_600_000, 86_400_000, u64::MAX] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&duration_to_text(duration)), Ok(duration));
        }
        for bytes in [0, 1, 1000, 1024, 65_536, 3 << 30, u64::MAX] {
            let size = ByteSize::from_bytes(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!(ByteSize::from_mib(64).to_string(), "64MiB");
        assert_eq!(duration_to_text(Duration::from_secs(86_400)), "24h");
    }
}
