//! From bytes as they arrive to whole messages.

use tidings_core::CloseCode;

use super::frame::{Header, Opcode, parse_header, unmask};

/// Something whole from the peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// A text or binary message.
    Message(&'a [u8]),
    /// A ping to answer with the same bytes.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The peer closes.
    Close,
}

/// The peer broke the protocol: the connection is closed with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) CloseCode);

/// Puts frames together into messages. Holds memory only while something is incomplete.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    incomplete: Option<Box<Incomplete>>,
}

#[derive(Debug)]
struct Incomplete {
    /// The start of a frame whose rest has not come.
    frame: Vec<u8>,
    /// The kind of the message whose last fragment has not come, and its bytes so far.
    message: Option<(Opcode, Vec<u8>)>,
}

impl Assembler {
    /// Takes `input` (which it may unmask in place) and gives every whole message to `found`,
    /// until `found` says to stop (`false`): the rest of the input is then dropped, since the
    /// connection is being closed.
    ///
    /// `text` says which kind of message this connection's codec uses; the other is refused.
    pub(crate) fn take(
        &mut self,
        input: &mut [u8],
        text: bool,
        message_bytes_max: usize,
        mut found: impl FnMut(Incoming<'_>) -> bool,
    ) -> Result<(), Violation> {
        let limits = Limits { text, message_bytes_max };
        let Some(mut incomplete) = self.incomplete.take() else {
            let mut message = None;
            let used = take_frames(input, &mut message, limits, &mut found)?;
            if used < input.len() || message.is_some() {
                let frame = input[used..].to_vec();
                self.incomplete = Some(Box::new(Incomplete { frame, message }));
            }
            return Ok(());
        };
        incomplete.frame.extend_from_slice(input);
        let Incomplete { frame, message } = &mut *incomplete;
        let used = take_frames(frame, message, limits, &mut found)?;
        frame.drain(..used);
        if !frame.is_empty() || message.is_some() {
            self.incomplete = Some(incomplete);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Limits {
    text: bool,
    message_bytes_max: usize,
}

/// Goes through the whole frames at the start of `input`; returns how much it used.
fn take_frames(
    input: &mut [u8],
    message: &mut Option<(Opcode, Vec<u8>)>,
    limits: Limits,
    found: &mut impl FnMut(Incoming<'_>) -> bool,
) -> Result<usize, Violation> {
    let mut used = 0;
    loop {
        let rest = &mut input[used..];
        let already = message.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let room = limits.message_bytes_max.saturating_sub(already);
        let Some(header) = parse_header(rest, room).map_err(Violation)? else { return Ok(used) };
        let end = header.header_bytes + header.payload_bytes;
        let Some(payload) = rest.get_mut(header.header_bytes..end) else { return Ok(used) };
        used += end;
        unmask(payload, header.mask);
        if !take_payload(header, payload, message, limits, found)? {
            return Ok(input.len());
        }
    }
}

fn take_payload(
    header: Header,
    payload: &[u8],
    message: &mut Option<(Opcode, Vec<u8>)>,
    limits: Limits,
    found: &mut impl FnMut(Incoming<'_>) -> bool,
) -> Result<bool, Violation> {
    match header.opcode {
        Opcode::Ping => Ok(found(Incoming::Ping(payload))),
        Opcode::Pong => Ok(found(Incoming::Pong)),
        Opcode::Close => check_close(payload).map(|()| found(Incoming::Close)),
        Opcode::Text | Opcode::Binary => {
            let is_text = header.opcode == Opcode::Text;
            if message.is_some() {
                return Err(Violation(CloseCode::ProtocolError));
            }
            if is_text != limits.text {
                return Err(Violation(CloseCode::UnsupportedData));
            }
            if header.fin {
                return whole(is_text, payload, found);
            }
            *message = Some((header.opcode, payload.to_vec()));
            Ok(true)
        }
        Opcode::Continuation => {
            let Some((opcode, bytes)) = message else {
                return Err(Violation(CloseCode::ProtocolError));
            };
            if payload.len() > limits.message_bytes_max.saturating_sub(bytes.len()) {
                return Err(Violation(CloseCode::TooBig));
            }
            bytes.extend_from_slice(payload);
            if !header.fin {
                // An endless row of empty fragments costs the peer more than us: nothing is kept.
                return Ok(true);
            }
            let is_text = *opcode == Opcode::Text;
            let bytes = std::mem::take(bytes);
            *message = None;
            whole(is_text, &bytes, found)
        }
    }
}

fn whole(
    is_text: bool,
    payload: &[u8],
    found: &mut impl FnMut(Incoming<'_>) -> bool,
) -> Result<bool, Violation> {
    if is_text && std::str::from_utf8(payload).is_err() {
        return Err(Violation(CloseCode::InvalidData));
    }
    Ok(found(Incoming::Message(payload)))
}

/// RFC 6455 §5.5.1 and §7.4: empty, or a code that may be sent and a UTF-8 reason.
fn check_close(payload: &[u8]) -> Result<(), Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(()) } else { Err(Violation(CloseCode::ProtocolError)) };
    };
    let code = u16::from_be_bytes(*code);
    let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !may_be_sent {
        return Err(Violation(CloseCode::ProtocolError));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation(CloseCode::InvalidData));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![u8::from(fin) << 7 | opcode];
        match payload.len() {
            short @ 0..126 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(long as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend_from_slice(&mask);
        let mut masked = payload.to_vec();
        unmask(&mut masked, mask);
        frame.extend_from_slice(&masked);
        frame
    }

    fn take(assembler: &mut Assembler, mut input: Vec<u8>) -> Result<Vec<String>, Violation> {
        let mut out = Vec::new();
        assembler.take(&mut input, true, 300, |incoming| {
            out.push(match incoming {
                Incoming::Message(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                other => format!("{other:?}"),
            });
            true
        })?;
        Ok(out)
    }

    #[test]
    fn a_message_arrives_whole_however_it_was_cut() {
        let mut wire = client_frame(false, 1, b"Hel");
        wire.extend(client_frame(true, 9, b"p"));
        wire.extend(client_frame(true, 0, b"lo"));
        wire.extend(client_frame(true, 1, &[b'x'; 200]));
        for cut in 0..wire.len() {
            let mut assembler = Assembler::default();
            let mut got = take(&mut assembler, wire[..cut].to_vec()).unwrap();
            got.extend(take(&mut assembler, wire[cut..].to_vec()).unwrap());
            assert_eq!(got, ["Ping([112])".to_owned(), "Hello".to_owned(), "x".repeat(200)]);
            assert!(assembler.incomplete.is_none(), "nothing is kept while idle");
        }
    }

    #[test]
    fn violations_have_their_codes() {
        let over_limit = || {
            let mut wire = client_frame(false, 1, &[b'x'; 200]);
            wire.extend(client_frame(true, 0, &[b'x'; 200]));
            wire
        };
        for (name, wire, code) in [
            ("not UTF-8", client_frame(true, 1, b"\xff"), CloseCode::InvalidData),
            ("binary on a text codec", client_frame(true, 2, b"x"), CloseCode::UnsupportedData),
            ("continuation of nothing", client_frame(true, 0, b"x"), CloseCode::ProtocolError),
            ("one-byte close", client_frame(true, 8, b"x"), CloseCode::ProtocolError),
            ("close with 1005", client_frame(true, 8, &[3, 237]), CloseCode::ProtocolError),
            (
                "close reason not UTF-8",
                client_frame(true, 8, b"\x03\xe8\xff"),
                CloseCode::InvalidData,
            ),
            ("fragments over the limit", over_limit(), CloseCode::TooBig),
        ] {
            assert_eq!(take(&mut Assembler::default(), wire), Err(Violation(code)), "{name}");
        }
        let text_on_a_binary_codec =
            Assembler::default().take(&mut client_frame(true, 1, b"x"), false, 300, |_| true);
        assert_eq!(text_on_a_binary_codec, Err(Violation(CloseCode::UnsupportedData)));
        let mut interleaved = client_frame(false, 1, b"a");
        interleaved.extend(client_frame(true, 1, b"b"));
        assert!(take(&mut Assembler::default(), interleaved).is_err());
    }
}
