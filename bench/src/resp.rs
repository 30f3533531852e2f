//! The part of Redis' protocol (RESP2) that a publisher needs.

use anyhow::bail;

use crate::wire::digits;

/// A reply, and what of it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// `+OK`, `+PONG`.
    Simple,
    /// A bulk string: what `XADD` answers.
    Bulk(&'a [u8]),
    /// An error with its text.
    Error(&'a [u8]),
}

/// The first reply in `bytes` and how many bytes it takes, or `None` while it is incomplete.
pub(crate) fn next_reply(bytes: &[u8]) -> anyhow::Result<Option<(Reply<'_>, usize)>> {
    let Some(line_end) = bytes.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let Some((kind, line)) = bytes[..line_end].split_first() else {
        bail!("redis answered an empty line");
    };
    let after = line_end + 2;
    match kind {
        b'+' => Ok(Some((Reply::Simple, after))),
        b'-' => Ok(Some((Reply::Error(line), after))),
        b'$' => {
            let Some(length) = digits(line).and_then(|length| usize::try_from(length).ok()) else {
                bail!("redis answered an absent value, which no command here asks for");
            };
            let Some(end) = after.checked_add(length) else { return Ok(None) };
            match bytes.get(end..end.saturating_add(2)) {
                Some(b"\r\n") => Ok(Some((Reply::Bulk(&bytes[after..end]), end + 2))),
                Some(_) => bail!("a reply of redis does not end where it says"),
                None => Ok(None),
            }
        }
        other => bail!("redis answered with the unknown kind {:?}", char::from(*other)),
    }
}

/// Appends a command.
pub(crate) fn put_command(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// The place of a stream entry as one rising number: `ms-sequence`.
pub(crate) fn entry_place(id: &[u8]) -> Option<u64> {
    /// More entries in one millisecond than any server takes.
    const PER_MS: u64 = 1_000_000;
    let dash = id.iter().position(|byte| *byte == b'-')?;
    let sequence = digits(&id[dash + 1..]).filter(|sequence| *sequence < PER_MS)?;
    digits(&id[..dash])?.checked_mul(PER_MS)?.checked_add(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_split_and_never_too_early() {
        let bytes = b"+OK\r\n$15\r\n1526919030474-0\r\n-ERR no\r\n";
        let (first, taken) = next_reply(bytes).expect("valid").expect("complete");
        assert_eq!((first, taken), (Reply::Simple, 5));
        for short in 5..27 {
            assert_eq!(next_reply(&bytes[5..short]).expect("incomplete"), None);
        }
        let (second, taken) = next_reply(&bytes[5..]).expect("valid").expect("complete");
        assert_eq!((second, taken), (Reply::Bulk(b"1526919030474-0"), 22));
        let (third, _) = next_reply(&bytes[27..]).expect("valid").expect("complete");
        assert_eq!(third, Reply::Error(b"ERR no"));
    }

    #[test]
    fn malformed_replies_are_errors() {
        for bytes in [&b"$-1\r\n"[..], b":1\r\n", b"$2\r\nabcd", b"\r\n+OK\r\n"] {
            assert!(next_reply(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn entries_have_rising_places() {
        let place = |id: &str| entry_place(id.as_bytes()).expect(id);
        assert!(place("1526919030474-9") < place("1526919030474-10"));
        assert!(place("1526919030474-999") < place("1526919030475-0"));
        assert_eq!(entry_place(b"7"), None);
    }

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let mut out = Vec::new();
        put_command(&mut out, &[b"SET", b"k", b"value"]);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n");
    }
}
