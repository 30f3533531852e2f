//! The part of RFC 6455 that both sides of a measurement need: the upgrade and the framing.

use std::ops::Range;

use anyhow::bail;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest head of an upgrade request or answer: bounds what a silent peer can make us keep.
pub(crate) const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The key each upgrade request shows and the mask of each frame. The RFC wants them random
/// against hostile pages in browsers; here both ends are known, so they cost nothing.
const KEY: &str = "dGlkaW5ncyBiZW5jaCE3Nw==";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What the server must append to the key (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text,
    Close,
    Ping,
    Pong,
}

/// Where a complete frame lies in the bytes it was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: Opcode,
    pub(crate) payload: Range<usize>,
    pub(crate) mask: Option<[u8; 4]>,
}

/// The first frame in `bytes`, or `None` while it is incomplete.
pub(crate) fn next_frame(bytes: &[u8]) -> anyhow::Result<Option<Frame>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = match first {
        0x81 => Opcode::Text,
        0x88 => Opcode::Close,
        0x89 => Opcode::Ping,
        0x8a => Opcode::Pong,
        other => bail!(
            "a WebSocket frame starts with {other:#04x}: fragments, binary frames and extensions \
             are not part of what is measured"
        ),
    };
    let (payload_bytes, extended) = match second & 0x7f {
        126 => match rest {
            [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    let mut start = 2 + extended;
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(found) = rest.get(extended..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Ok(None);
        };
        mask = Some(*found);
        start += 4;
    }
    let end = usize::try_from(payload_bytes).ok().and_then(|bytes| start.checked_add(bytes));
    Ok(match end {
        Some(end) if end <= bytes.len() => Some(Frame { opcode, payload: start..end, mask }),
        Some(_) | None => None,
    })
}

/// Takes the mask off, or puts it on.
pub(crate) fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask, mask].concat().try_into().expect("4 and 4 are 8"));
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let word: [u8; 8] = (&*chunk).try_into().expect("chunks have 8 bytes");
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends a frame as a server sends it.
pub(crate) fn put_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    put_header(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Appends a frame as a client sends it.
pub(crate) fn put_masked_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    put_header(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], MASK);
}

fn put_header(out: &mut Vec<u8>, opcode: Opcode, payload_bytes: usize, masked: u8) {
    out.push(match opcode {
        Opcode::Text => 0x81,
        Opcode::Close => 0x88,
        Opcode::Ping => 0x89,
        Opcode::Pong => 0x8a,
    });
    if let Ok(short) = u8::try_from(payload_bytes)
        && short < 126
    {
        out.push(masked | short);
    } else if let Ok(medium) = u16::try_from(payload_bytes) {
        out.push(masked | 126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(masked | 127);
        out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
    }
}

/// The upgrade request.
pub(crate) fn request(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Protocol: tidings.v1.json\r\n\r\n"
    )
}

/// What a bare server answers to the upgrade request `head`.
pub(crate) fn response(head: &[u8]) -> anyhow::Result<String> {
    let Some(key) = header(head, "sec-websocket-key") else {
        bail!("the request has no Sec-WebSocket-Key");
    };
    let protocol = header(head, "sec-websocket-protocol")
        .map_or(String::new(), |name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{protocol}\r\n",
        accept_of(key)
    ))
}

/// Whether `head` accepts the request; if not, the error shows what it says.
pub(crate) fn check_response(head: &[u8]) -> anyhow::Result<()> {
    if !head.starts_with(b"HTTP/1.1 101") {
        bail!("the server refused the upgrade: {}", String::from_utf8_lossy(head).trim());
    }
    if header(head, "sec-websocket-accept") != Some(accept_of(KEY).as_str()) {
        bail!("the server's answer to the upgrade has the wrong Sec-WebSocket-Accept");
    }
    Ok(())
}

/// Where the head in `bytes` ends, or `None` while it is incomplete.
pub(crate) fn head_end(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    if end.unwrap_or(bytes.len()) > HEAD_BYTES_MAX {
        bail!("the head of the upgrade has more than {HEAD_BYTES_MAX} bytes");
    }
    Ok(end)
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(head).ok()?;
    text.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn accept_of(key: &str) -> String {
    let text = format!("{key}{GUID}");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_the_example_of_the_rfc() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn request_and_response_fit() {
        let answer = response(request("127.0.0.1:1", "/").as_bytes()).expect("a whole request");
        assert_eq!(head_end(answer.as_bytes()).expect("short"), Some(answer.len()));
        check_response(answer.as_bytes()).expect("the answer to our own request");
        assert!(check_response(answer.replace("Accept: ", "Accept: x").as_bytes()).is_err());
        assert!(check_response(b"HTTP/1.1 503 Busy\r\n\r\n").is_err());
    }

    #[test]
    fn frames_of_every_length_are_found_again_and_never_too_early() {
        for length in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let (mut plain, mut masked) = (Vec::new(), Vec::new());
            put_frame(&mut plain, Opcode::Text, &payload);
            put_masked_frame(&mut masked, Opcode::Ping, &payload);
            for (mut bytes, opcode) in [(plain, Opcode::Text), (masked, Opcode::Ping)] {
                assert_eq!(next_frame(&bytes[..bytes.len() - 1]).expect("incomplete"), None);
                let whole = bytes.len();
                bytes.extend_from_slice(b"next");
                let frame = next_frame(&bytes).expect("valid").expect("complete");
                assert_eq!((frame.opcode, frame.payload.end), (opcode, whole));
                let found = &mut bytes[frame.payload];
                if let Some(mask) = frame.mask {
                    apply_mask(found, mask);
                }
                assert_eq!(found, payload);
            }
        }
    }

    #[test]
    fn a_frame_with_an_absurd_length_is_incomplete_rather_than_a_panic() {
        let bytes = [0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0];
        assert_eq!(next_frame(&bytes).expect("the length alone is no error"), None);
        assert!(next_frame(&[0x01, 0x00]).is_err(), "a fragment");
    }
}
