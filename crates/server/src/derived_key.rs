//! Keys that the server makes of names that are longer than a key may be.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use tidings_core::DedupKey;

/// What a key of the server's own begins with: kinds do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyOf {
    /// A message that was given up.
    DeadLetter,
    /// A message for later.
    ScheduledMessage,
}

/// The same key for the same name and no other. Keys lie in logs: a name that was given one must
/// give it again after an update, so what is made here does not change.
pub(crate) fn derived_key(kind: KeyOf, name: &str) -> DedupKey {
    let mut text = String::from(match kind {
        KeyOf::DeadLetter => "dead-",
        KeyOf::ScheduledMessage => "",
    });
    for byte in digest(&SHA256, name.as_bytes()).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    DedupKey::parse(&text).expect("at most 69 characters of ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of "abc" as FIPS 180-4 has it: keys in logs of older versions are met again.
    #[test]
    fn a_key_stays_what_it_was() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(derived_key(KeyOf::ScheduledMessage, "abc").as_str(), digest);
        assert_eq!(derived_key(KeyOf::DeadLetter, "abc").as_str(), format!("dead-{digest}"));
    }
}
