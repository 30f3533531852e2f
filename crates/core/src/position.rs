//! Where a message stands: offset, epoch, and the pair of both.

use std::fmt;
use std::str::FromStr;

/// A place in a topic. The first message has offset 1; offsets rise strictly and may have gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// Before the first message: the head of an empty topic.
    pub const ORIGIN: Self = Self(0);
    /// The offset of a topic's first message.
    pub const FIRST: Self = Self(1);
    /// After every message there can be.
    pub const LAST: Self = Self(u64::MAX);

    /// The offset with this number; 0 is [`Offset::ORIGIN`].
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number: 0 for the origin, 1 for the first message.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The offset after this one. A log that appends a million messages a second needs 580 000
    /// years to reach the end of the range, so the end is not handled.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The offset before this one; the origin's is the origin.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The offset `by` places later.
    #[must_use]
    pub const fn plus(self, by: u64) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// How many places this offset is past `earlier`; 0 if it is not.
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The life of a topic's log. A log that was lost, rebuilt or restored has another epoch, so that a
/// client that comes back with a position of the old one is told instead of served other content.
///
/// As text it is base 62, at most eleven characters (`Zr3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Epoch {
    /// The epoch with this number; callers draw it at random.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number drawn when the log was made.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Epoch {
    /// The text, written into `digits`.
    pub fn encode(self, digits: &mut [u8; 11]) -> &str {
        let mut at = digits.len();
        let mut rest = self.0;
        loop {
            at -= 1;
            digits[at] = BASE62[(rest % 62) as usize];
            rest /= 62;
            if rest == 0 {
                break;
            }
        }
        std::str::from_utf8(&digits[at..]).expect("base 62 digits are ASCII")
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; 11]))
    }
}

/// Why a text is not an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an epoch is 1 to 11 characters of 0-9, A-Z, a-z")]
pub struct EpochError;

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, EpochError> {
        if text.is_empty() || text.len() > 11 {
            return Err(EpochError);
        }
        let mut number = 0u64;
        for byte in text.bytes() {
            let digit = BASE62.iter().position(|b| *b == byte).ok_or(EpochError)? as u64;
            number = number.checked_mul(62).and_then(|n| n.checked_add(digit)).ok_or(EpochError)?;
        }
        Ok(Self(number))
    }
}

/// A place in one life of a topic's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which life of the log.
    pub epoch: Epoch,
    /// Which place in it.
    pub offset: Offset,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_reads_back_from_its_text() {
        for number in [0, 1, 61, 62, 3_843, u64::from(u32::MAX), u64::MAX] {
            let epoch = Epoch::new(number);
            assert_eq!(epoch.to_string().parse(), Ok(epoch));
        }
    }

    #[test]
    fn a_text_that_is_no_epoch_is_refused() {
        for text in ["", "a b", "zzzzzzzzzzz", "000000000000", "é"] {
            assert_eq!(text.parse::<Epoch>(), Err(EpochError), "{text:?}");
        }
    }
}
