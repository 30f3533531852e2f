//! Names and ids: each a type of its own, valid by construction, cheap to clone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::limits::{DEDUP_KEY_BYTES_MAX, ID_BYTES_MAX, ORDER_KEY_BYTES_MAX};

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("a {what} has at least one character")]
    Empty {
        /// Which kind of id.
        what: &'static str,
    },
    /// The text is too long.
    #[error("a {what} has at most {bytes_max} bytes, this one has {bytes}")]
    TooLong {
        /// Which kind of id.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
    /// The text has a control character.
    #[error("a {what} has no control characters")]
    ControlCharacter {
        /// Which kind of id.
        what: &'static str,
    },
    /// The text is not the 26 characters of a message id.
    #[error("a message id is 26 characters of 0-9 and A-Z without I, L, O and U")]
    NotAMessageId,
}

fn check(what: &'static str, text: &str, bytes_max: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > bytes_max {
        return Err(IdError::TooLong { what, bytes: text.len(), bytes_max });
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::ControlCharacter { what });
    }
    Ok(())
}

/// Text that many share: each holder has a pointer to it and its length.
type Shared = Arc<str>;

/// Text that is short and nearly each holder's own: up to 23 bytes need no memory beside it, longer
/// ones are shared.
type Short = SmolStr;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $bytes_max:expr, $text:ty) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($text);

        impl $name {
            /// Checks `text`: 1 to the limit of bytes, no control characters.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check($what, text, $bytes_max)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
    };
}

/// For ids that may stand in logs and error messages.
macro_rules! shown {
    ($($name:ident),*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        })*
    };
}

text_id!(
    /// Who is at the other end: a token's `sub`.
    UserId, "user", ID_BYTES_MAX, Shared
);
text_id!(
    /// The stable name of one device or process of a user.
    ClientId, "client", ID_BYTES_MAX, Short
);
text_id!(
    /// What a client shows to take its session up again. A secret: whoever knows it and the
    /// user's token takes the session over. So it is no text to be shown: only
    /// [`as_str`](Self::as_str) tells it.
    SessionId, "session", ID_BYTES_MAX, Short
);
text_id!(
    /// The name of a user's durable subscription (`durable` in a subscribe frame).
    SubscriptionName, "durable name", ID_BYTES_MAX, Short
);
text_id!(
    /// The name of a running server.
    NodeId, "node", ID_BYTES_MAX, Shared
);
text_id!(
    /// What makes a repeated publish recognisable: unique per message, chosen by the publisher.
    DedupKey, "key", DEDUP_KEY_BYTES_MAX, Shared
);
text_id!(
    /// What messages have in common that must be handled one after the other (an account, a room):
    /// a group delivers messages of one order key in order and to one member at a time.
    OrderKey, "order key", ORDER_KEY_BYTES_MAX, Shared
);
text_id!(
    /// The name of a group whose members divide the messages of a shared subscription.
    GroupName, "group", ID_BYTES_MAX, Shared
);

impl UserId {
    /// Whether the name starts with `$`: those are the server's own, such as `$operator`, and nobody
    /// who comes to it has one.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

shown!(UserId, ClientId, SubscriptionName, NodeId, DedupKey, OrderKey, GroupName);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// The name of one message, unique across topics, servers and time.
///
/// 128 bits: milliseconds (48), node (16), a counter (64), so ids of one log rise with time and a
/// message can be found by its id through the log's time index. As text it is 26 characters of
/// Crockford's base 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u128);

const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_LEN: usize = 26;

impl MessageId {
    /// The id with these 128 bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// An id of its three parts; only the low 48 bits of `time_ms` are kept.
    pub const fn new(time_ms: u64, node: u16, counter: u64) -> Self {
        let time = (time_ms & 0xFFFF_FFFF_FFFF) as u128;
        Self(time << 80 | (node as u128) << 64 | counter as u128)
    }

    /// All 128 bits.
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// When the id was made, milliseconds since the Unix epoch.
    pub const fn time_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The 26 characters, without an allocation.
    pub fn encode(self, out: &mut [u8; TEXT_LEN]) -> &str {
        let mut rest = self.0;
        for slot in out.iter_mut().rev() {
            *slot = BASE32[(rest & 31) as usize];
            rest >>= 5;
        }
        std::str::from_utf8(out).expect("base 32 digits are ASCII")
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; TEXT_LEN]))
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != TEXT_LEN {
            return Err(IdError::NotAMessageId);
        }
        let mut bits = 0u128;
        for byte in text.bytes() {
            let digit = BASE32.iter().position(|b| *b == byte).ok_or(IdError::NotAMessageId)?;
            if bits >> 123 != 0 {
                return Err(IdError::NotAMessageId);
            }
            bits = bits << 5 | digit as u128;
        }
        Ok(Self(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_reads_back_and_sorts_by_time() {
        let early = MessageId::new(1_795_000_000_000, 7, 1);
        let late = MessageId::new(1_795_000_000_001, 3, 0);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        for id in [early, late, MessageId::from_bits(0), MessageId::from_bits(u128::MAX)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(early.time_ms(), 1_795_000_000_000);
    }

    #[test]
    fn a_session_does_not_tell_its_id() {
        let session = SessionId::parse("s3cret").unwrap();
        assert_eq!(format!("{session:?}"), "SessionId(…)");
        assert_eq!(session.as_str(), "s3cret");
    }

    #[test]
    fn ids_have_limits() {
        assert!(UserId::parse("alice@example.org").is_ok());
        assert_eq!(UserId::parse(""), Err(IdError::Empty { what: "user" }));
        assert!(matches!(ClientId::parse(&"x".repeat(129)), Err(IdError::TooLong { .. })));
        assert!(matches!(DedupKey::parse("a\nb"), Err(IdError::ControlCharacter { .. })));
        assert!("ZZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<MessageId>().is_err());
    }
}
