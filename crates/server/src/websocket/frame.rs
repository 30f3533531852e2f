//! One frame: its header parsed, checked and written (RFC 6455 §5.2).

use tidings_core::CloseCode;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of a fragmented message.
    Continuation,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// The end.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    const fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

/// How the data of a message is carried (RFC 7692 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// As it is.
    Plain,
    /// Compressed: the first frame of the message has the reserved bit that was agreed for it.
    Deflated,
}

/// The reserved bit of a compressed message (`RSV1`).
const DEFLATED: u8 = 0x40;

/// The header of a client's frame. Client frames are always masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) payload: Payload,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    /// Bytes of the header itself.
    pub(super) header_bytes: usize,
    /// Bytes of the payload; at most the limit that was asked for.
    pub(super) payload_bytes: usize,
}

/// What the first byte of a frame says of its payload; for its limit, before its header is whole.
pub(super) fn first_payload(input: &[u8]) -> Payload {
    match input.first() {
        Some(first) if first & DEFLATED != 0 => Payload::Deflated,
        Some(_) | None => Payload::Plain,
    }
}

/// Reads a header from the start of `input`; `Ok(None)` if there is not enough yet.
///
/// A payload announced larger than `payload_bytes_max` is refused here, before any of it is
/// waited for, so nothing is ever allocated by an announced length. Whether a compressed payload may
/// stand here is for the caller, who knows what was agreed.
pub(super) fn parse_header(
    input: &[u8],
    payload_bytes_max: usize,
) -> Result<Option<Header>, CloseCode> {
    let &[first, second, ref rest @ ..] = input else { return Ok(None) };
    let opcode = Opcode::from_bits(first & 0x0F).ok_or(CloseCode::ProtocolError)?;
    let fin = first & 0x80 != 0;
    let payload = first_payload(input);
    let reserved_bits = first & 0x30 != 0;
    let masked = second & 0x80 != 0;
    if reserved_bits || !masked || (opcode.is_control() && !fin) {
        return Err(CloseCode::ProtocolError);
    }
    let (announced, length_bytes) = match second & 0x7F {
        126 => {
            let Some((bytes, _)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            let length = u64::from(u16::from_be_bytes(*bytes));
            (length, 2)
        }
        127 => {
            let Some((bytes, _)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), 8)
        }
        short => (u64::from(short), 0),
    };
    let shortest = match length_bytes {
        0 => 0,
        2 => 126,
        _ => 65_536,
    };
    let too_wide = announced < shortest || announced >> 63 != 0;
    if too_wide || (opcode.is_control() && announced > 125) {
        return Err(CloseCode::ProtocolError);
    }
    let payload_bytes = usize::try_from(announced).map_err(|_| CloseCode::TooBig)?;
    if payload_bytes > payload_bytes_max.max(125) {
        return Err(CloseCode::TooBig);
    }
    let Some((mask, _)) = rest.get(length_bytes..).and_then(|r| r.split_first_chunk::<4>()) else {
        return Ok(None);
    };
    let header_bytes = 2 + length_bytes + 4;
    Ok(Some(Header { fin, payload, opcode, mask: *mask, header_bytes, payload_bytes }))
}

/// Removes the mask (RFC 6455 §5.3), eight bytes at a time.
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends the header of an unmasked server frame with a payload of `payload_bytes`.
pub fn write_header(opcode: Opcode, payload_bytes: usize, out: &mut Vec<u8>) {
    write_first(0x80 | opcode.bits(), payload_bytes, out);
}

/// The same for a message that was compressed to `payload_bytes`.
pub fn write_deflated_header(opcode: Opcode, payload_bytes: usize, out: &mut Vec<u8>) {
    write_first(0x80 | DEFLATED | opcode.bits(), payload_bytes, out);
}

fn write_first(first: u8, payload_bytes: usize, out: &mut Vec<u8>) {
    out.push(first);
    if payload_bytes < 126 {
        out.push(payload_bytes as u8);
    } else if let Ok(short) = u16::try_from(payload_bytes) {
        out.push(126);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
    }
}

/// The payload of a whole server frame.
pub(crate) fn server_payload(frame: &[u8]) -> &[u8] {
    let header_bytes = match frame.get(1) {
        Some(127) => 10,
        Some(126) => 4,
        Some(_) | None => 2,
    };
    frame.get(header_bytes..).unwrap_or_default()
}

/// Appends the close frame that ends a connection for this reason.
pub fn write_close(code: CloseCode, out: &mut Vec<u8>) {
    let reason = code.as_str().as_bytes();
    write_header(Opcode::Close, 2 + reason.len(), out);
    out.extend_from_slice(&code.code().to_be_bytes());
    out.extend_from_slice(reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masked "Hello" of RFC 6455 §5.7.
    const HELLO: [u8; 11] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

    #[test]
    fn reads_the_example_of_the_rfc() {
        let header = parse_header(&HELLO, 1024).unwrap().unwrap();
        assert_eq!((header.fin, header.opcode, header.payload_bytes), (true, Opcode::Text, 5));
        let mut payload = HELLO[header.header_bytes..].to_vec();
        unmask(&mut payload, header.mask);
        assert_eq!(payload, b"Hello");
        for short in 0..header.header_bytes {
            assert_eq!(parse_header(&HELLO[..short], 1024), Ok(None));
        }
    }

    #[test]
    fn refuses_what_the_rfc_forbids() {
        let cases: [(&str, &[u8], CloseCode); 10] = [
            ("unmasked", &[0x81, 0x05], CloseCode::ProtocolError),
            ("second reserved bit", &[0xA1, 0x85], CloseCode::ProtocolError),
            ("third reserved bit", &[0x91, 0x85], CloseCode::ProtocolError),
            ("unknown opcode", &[0x83, 0x85], CloseCode::ProtocolError),
            ("fragmented ping", &[0x09, 0x85], CloseCode::ProtocolError),
            ("long ping", &[0x89, 0xFE, 0, 200], CloseCode::ProtocolError),
            ("not the shortest length", &[0x81, 0xFE, 0, 5], CloseCode::ProtocolError),
            (
                "length with the top bit",
                &[0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0],
                CloseCode::ProtocolError,
            ),
            ("2^62 bytes", &[0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0], CloseCode::TooBig),
            ("over the limit", &[0x82, 0xFE, 0x04, 0x01], CloseCode::TooBig),
        ];
        for (name, input, expected) in cases {
            assert_eq!(parse_header(input, 1024), Err(expected), "{name}");
        }
    }

    #[test]
    fn a_written_header_says_the_length() {
        for (length, expected) in [(5usize, 2usize), (125, 2), (126, 4), (65_535, 4), (65_536, 10)]
        {
            let mut out = Vec::new();
            write_header(Opcode::Binary, length, &mut out);
            assert_eq!(out.len(), expected);
            let frame = [out.clone(), vec![7; length]].concat();
            assert_eq!(server_payload(&frame), vec![7; length]);
            // Turned into a client's by the mask bit, it reads back.
            out[1] |= 0x80;
            out.extend_from_slice(&[0; 4]);
            assert_eq!(parse_header(&out, 1 << 20).unwrap().unwrap().payload_bytes, length);
        }
    }
}
