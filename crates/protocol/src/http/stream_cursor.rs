//! The cursor of an event stream: where it stands in each of its topics, in few characters.
//!
//! ```text
//! version   1 byte   1
//! topics    4 bytes  FNV-1a of the topics in their order, big-endian: whose positions these are
//! then for each topic
//!   offset  varint   offset × 2, + 1 if an epoch follows
//!   epoch   8 bytes  big-endian; left out if it is that of the topic before
//! ```
//!
//! in base64url without padding. Opaque to clients, so that a later version may say more.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_core::{Epoch, Offset, Position, Topic};

const VERSION: u8 = 1;

/// Longest varint of 64 bits.
const VARINT_BYTES_MAX: u32 = 10;

/// Why a text is not the cursor of these topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamCursorError {
    /// It is no cursor, or is damaged.
    #[error("it is no cursor of a stream: show the `id` of an event as it came")]
    NotACursor,
    /// It is the cursor of other topics, or of these in another order.
    #[error(
        "it is the cursor of a stream of other topics: name the same ones in the same order, or begin without a cursor"
    )]
    OtherTopics,
}

/// The cursor of a stream of `topics`, each with where it stands.
pub fn encode_stream_cursor<'a>(
    places: impl Iterator<Item = (&'a Topic, Position)> + Clone,
) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&fingerprint(places.clone().map(|(topic, _)| topic)).to_be_bytes());
    let mut epoch_before = None;
    for (_, Position { epoch, offset }) in places {
        let is_new = epoch_before != Some(epoch);
        // Offsets never come near the last bit: see `Offset::next`.
        write_varint(offset.get() << 1 | u64::from(is_new), &mut bytes);
        if is_new {
            bytes.extend_from_slice(&epoch.get().to_be_bytes());
        }
        epoch_before = Some(epoch);
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where a stream of `topics` stood that gave `text` as its cursor.
pub fn decode_stream_cursor(
    text: &str,
    topics: &[Topic],
) -> Result<Vec<Position>, StreamCursorError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| StreamCursorError::NotACursor)?;
    let mut rest = bytes.as_slice();
    if take::<1>(&mut rest)? != [VERSION] {
        return Err(StreamCursorError::NotACursor);
    }
    if u32::from_be_bytes(take(&mut rest)?) != fingerprint(topics.iter()) {
        return Err(StreamCursorError::OtherTopics);
    }
    let mut positions = Vec::with_capacity(topics.len());
    let mut epoch_before = None;
    for _ in topics {
        let number = take_varint(&mut rest)?;
        let epoch = match (number & 1, epoch_before) {
            (0, Some(epoch)) => epoch,
            (0, None) => return Err(StreamCursorError::NotACursor),
            (_, _) => Epoch::new(u64::from_be_bytes(take(&mut rest)?)),
        };
        epoch_before = Some(epoch);
        positions.push(Position { epoch, offset: Offset::new(number >> 1) });
    }
    if rest.is_empty() { Ok(positions) } else { Err(StreamCursorError::NotACursor) }
}

/// Tells lists of topics apart by chance, not against intent: whoever forges a cursor only gets
/// other positions in topics that they may read anyway.
fn fingerprint<'a>(topics: impl Iterator<Item = &'a Topic>) -> u32 {
    let bytes = topics.flat_map(|topic| topic.as_str().bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, StreamCursorError> {
    let mut number = 0u64;
    for at in 0..VARINT_BYTES_MAX {
        let [byte] = take(rest)?;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * at);
        if shifted >> (7 * at) != bits {
            return Err(StreamCursorError::NotACursor);
        }
        number |= shifted;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(StreamCursorError::NotACursor)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StreamCursorError> {
    let (taken, left) = rest.split_first_chunk().ok_or(StreamCursorError::NotACursor)?;
    *rest = left;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Vec<Topic> {
        names.iter().map(|name| Topic::parse(name).unwrap()).collect()
    }

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch::new(epoch), offset: Offset::new(offset) }
    }

    fn encode(topics: &[Topic], positions: &[Position]) -> String {
        encode_stream_cursor(topics.iter().zip(positions.iter().copied()))
    }

    #[test]
    fn a_cursor_reads_back_and_is_short() {
        let names: Vec<String> = (0..16).map(|n| format!("room/{n}")).collect();
        let sixteen = topics(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (topics, positions, chars_max) in [
            (topics(&["a"]), vec![at(7, 0)], 20),
            (topics(&["a", "b"]), vec![at(u64::MAX, u64::MAX >> 1), at(0, 1 << 53)], 56),
            (topics(&["a", "b", "c"]), vec![at(1, 5), at(2, 5), at(2, 5)], 32),
            (sixteen, (0..16).map(|n| at(u64::MAX, 100_000 + n)).collect(), 84),
        ] {
            let text = encode(&topics, &positions);
            assert_eq!(decode_stream_cursor(&text, &topics), Ok(positions));
            assert!(text.len() <= chars_max, "{} characters: {text}", text.len());
        }
    }

    #[test]
    fn the_cursor_of_other_topics_is_refused() {
        let text = encode(&topics(&["a", "b"]), &[at(1, 1), at(1, 2)]);
        for other in [&["a"][..], &["b", "a"], &["a", "b", "c"], &["a", "c"], &["ab"]] {
            let decoded = decode_stream_cursor(&text, &topics(other));
            assert_eq!(decoded, Err(StreamCursorError::OtherTopics), "{other:?}");
        }
    }

    #[test]
    fn what_is_damaged_is_no_cursor() {
        let topics = topics(&["a", "b"]);
        let text = encode(&topics, &[at(1, 300), at(1, 2)]);
        for end in 0..text.len() {
            assert!(decode_stream_cursor(&text[..end], &topics).is_err(), "cut at {end}");
        }
        let rest_bytes = format!("{text}AAAA");
        // The last one has a varint that does not fit 64 bits.
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        let endless = URL_SAFE_NO_PAD.encode([&bytes[..5], &[0xff; 12]].concat());
        for text in ["", "!", "Zr3:22", "é", &rest_bytes, &endless] {
            let decoded = decode_stream_cursor(text, &topics);
            assert_eq!(decoded, Err(StreamCursorError::NotACursor), "{text}");
        }
    }
}
