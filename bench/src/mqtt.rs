//! The part of MQTT 3.1.1 that a subscriber and a publisher with QoS 0 need.

use anyhow::bail;

/// What a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// The answer to `CONNECT`, with its return code; 0 is yes.
    Connected(u8),
    /// The answer to `SUBSCRIBE`, with its return code; up to 2 is yes.
    Subscribed(u8),
    /// A message, which is all of its bytes.
    Message,
}

/// The first packet in `bytes` and how many bytes it takes, or `None` while it is incomplete.
pub(crate) fn next(bytes: &[u8]) -> anyhow::Result<Option<(Packet, usize)>> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, digits)) = length(rest)? else { return Ok(None) };
    let Some(body) = rest.get(digits..digits + length) else { return Ok(None) };
    let packet = match (kind >> 4, body) {
        (2, [_, code]) => Packet::Connected(*code),
        (9, [_, _, code]) => Packet::Subscribed(*code),
        (3, _) => Packet::Message,
        (other, _) => bail!("the server sent an mqtt packet of kind {other}, {length} bytes long"),
    };
    Ok(Some((packet, 1 + digits + length)))
}

/// A length in groups of seven bits, and how many bytes it takes.
fn length(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let mut length = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((length, index + 1)));
        }
    }
    if bytes.len() >= 4 {
        bail!("an mqtt packet has a length of more than four bytes");
    }
    Ok(None)
}

fn put_packet(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    out.push(kind);
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// The length of a text in two bytes, as it stands in front of it.
fn text_length(text: &str) -> [u8; 2] {
    u16::try_from(text.len()).expect("names here are short").to_be_bytes()
}

/// Appends `CONNECT`: a clean session without keep-alive.
pub(crate) fn put_connect(out: &mut Vec<u8>, client: &str) {
    const HEAD: &[u8] = b"\0\x04MQTT\x04\x02\0\0";
    put_packet(out, 0x10, &[HEAD, &text_length(client), client.as_bytes()]);
}

/// Appends `SUBSCRIBE` with QoS 0.
pub(crate) fn put_subscribe(out: &mut Vec<u8>, topic: &str) {
    put_packet(out, 0x82, &[&[0, 1], &text_length(topic), topic.as_bytes(), &[0]]);
}

/// Appends `PUBLISH` with QoS 0.
pub(crate) fn put_publish(out: &mut Vec<u8>, topic: &str, data: &[u8]) {
    put_packet(out, 0x30, &[&text_length(topic), topic.as_bytes(), data]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_whole() {
        let mut all = vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 0x80];
        put_publish(&mut all, "a/b", &[b'x'; 200]);
        let expected = [(Packet::Connected(0), 4), (Packet::Subscribed(0x80), 5)];
        let mut rest = &all[..];
        for (packet, length) in expected.into_iter().chain([(Packet::Message, 208)]) {
            assert_eq!(next(rest).expect("known"), Some((packet, length)));
            for cut in 0..length {
                assert_eq!(next(&rest[..cut]).expect("known"), None, "{cut} bytes of {packet:?}");
            }
            rest = &rest[length..];
        }
        assert!(next(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(next(&[0xd0, 0]).is_err(), "no ping was sent");
    }

    #[test]
    fn requests_are_those_of_the_standard() {
        let mut out = Vec::new();
        put_connect(&mut out, "c1");
        assert_eq!(out, b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\x02c1");
        out.clear();
        put_subscribe(&mut out, "a/b");
        assert_eq!(out, b"\x82\x08\0\x01\0\x03a/b\0");
        out.clear();
        put_publish(&mut out, "a/b", b"hi");
        assert_eq!(out, b"\x30\x07\0\x03a/bhi");
    }
}
