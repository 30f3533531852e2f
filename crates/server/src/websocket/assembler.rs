//! From bytes as they arrive to whole messages.

use std::ops::ControlFlow;

use tidings_core::CloseCode;

use super::deflate::Inflater;
use super::frame::{Header, Opcode, Payload, first_payload, parse_header, unmask};
use super::text::TextCheck;

/// Which of the two kinds of message something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

/// Which kinds of message a connection takes. The other is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Only these.
    Only(MessageKind),
    /// Both.
    Both,
}

impl Kinds {
    fn take(self, kind: MessageKind) -> bool {
        match self {
            Self::Only(only) => only == kind,
            Self::Both => true,
        }
    }
}

/// Something whole from the peer.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A message. Text has been checked to be UTF-8.
    Message(MessageKind, &'a [u8]),
    /// A ping to answer with the same bytes.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The peer closes, with this code and text if it gave them.
    Close {
        /// Why, as a number (RFC 6455 §7.4).
        code: Option<u16>,
        /// Why, in at most 123 bytes. Checked to be UTF-8 and nothing else.
        said: &'a str,
    },
}

/// What a connection takes from its peer.
#[derive(Debug)]
pub struct Terms<'a> {
    /// Which kinds of message.
    pub kinds: Kinds,
    /// A larger message is refused, as soon as it is announced or, compressed, has become larger.
    pub message_bytes_max: usize,
    /// Restores compressed messages, where they were agreed on.
    pub inflater: Option<&'a mut Inflater>,
}

impl Terms<'_> {
    /// Bytes that may come of a message. What cannot be compressed grows a little in blocks.
    const fn wire_bytes_max(&self, payload: Payload) -> usize {
        match payload {
            Payload::Plain => self.message_bytes_max,
            Payload::Deflated => self.message_bytes_max + self.message_bytes_max / 16 + 16,
        }
    }
}

/// The peer broke the protocol: the connection is closed with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation(pub CloseCode);

/// Puts frames together into messages. Holds memory only while something is incomplete.
#[derive(Debug, Default)]
pub struct Assembler {
    incomplete: Option<Box<Incomplete>>,
}

#[derive(Debug, Default)]
struct Incomplete {
    /// The start of a header or of a control frame, whose rest has not come.
    frame: Vec<u8>,
    message: Option<Partial>,
}

/// A message whose end has not come.
#[derive(Debug)]
struct Partial {
    kind: MessageKind,
    payload: Payload,
    /// Unmasked, and if it is plain text checked: what can be no UTF-8 fails as soon as it is there.
    bytes: Vec<u8>,
    text: TextCheck,
    /// The frame whose payload has begun to come.
    open: Option<Open>,
}

/// What is still to come of a frame.
#[derive(Clone, Copy, Debug)]
struct Open {
    payload_bytes: usize,
    mask: [u8; 4],
    fin: bool,
}

impl Assembler {
    /// Takes `input` (which it may unmask in place) and gives every whole message to `found`,
    /// until `found` breaks: the rest of the input is then dropped, since the connection is
    /// being closed. A compressed message is restored once it is whole, so that what is incomplete
    /// takes no more memory than it has bytes.
    ///
    /// # Errors
    ///
    /// The peer broke RFC 6455, or sent what this connection does not take. What came before has
    /// been found; the connection is of no more use.
    pub fn take(
        &mut self,
        input: &mut [u8],
        mut terms: Terms<'_>,
        mut found: impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<(), Violation> {
        let terms = &mut terms;
        let Some(mut incomplete) = self.incomplete.take() else {
            let mut message = None;
            let used = take_frames(input, &mut message, terms, &mut found)?;
            if used < input.len() || message.is_some() {
                let frame = input[used..].to_vec();
                self.incomplete = Some(Box::new(Incomplete { frame, message }));
            }
            return Ok(());
        };
        let Incomplete { frame, message } = &mut *incomplete;
        if frame.is_empty() {
            let used = take_frames(input, message, terms, &mut found)?;
            frame.extend_from_slice(&input[used..]);
        } else {
            frame.extend_from_slice(input);
            let used = take_frames(frame, message, terms, &mut found)?;
            frame.drain(..used);
        }
        if !frame.is_empty() || message.is_some() {
            self.incomplete = Some(incomplete);
        }
        Ok(())
    }
}

/// Goes through the frames at the start of `input`; returns how much it used. What it leaves is
/// the start of a header or of a control frame.
fn take_frames(
    input: &mut [u8],
    message: &mut Option<Partial>,
    terms: &mut Terms<'_>,
    found: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
) -> Result<usize, Violation> {
    let mut used = 0;
    loop {
        let rest = &mut input[used..];
        let going = if message.as_ref().is_some_and(|partial| partial.open.is_some()) {
            if rest.is_empty() {
                return Ok(used);
            }
            let (taken, going) = take_open(rest, message, terms, found)?;
            used += taken;
            going
        } else {
            let room = room(rest, message.as_ref(), terms);
            let Some(header) = parse_header(rest, room).map_err(Violation)? else {
                return Ok(used);
            };
            let Some((taken, going)) = take_frame(header, rest, message, terms, found)? else {
                return Ok(used);
            };
            used += taken;
            going
        };
        if going.is_break() {
            return Ok(input.len());
        }
    }
}

/// How many bytes the frame that begins `rest` may announce.
fn room(rest: &[u8], message: Option<&Partial>, terms: &Terms<'_>) -> usize {
    match message {
        Some(partial) => terms.wire_bytes_max(partial.payload).saturating_sub(partial.bytes.len()),
        None => terms.wire_bytes_max(first_payload(rest)),
    }
}

/// Takes what is there of a frame that begins `rest`; `None` if it has to wait for more.
fn take_frame(
    header: Header,
    rest: &mut [u8],
    message: &mut Option<Partial>,
    terms: &mut Terms<'_>,
    found: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
) -> Result<Option<(usize, ControlFlow<()>)>, Violation> {
    let end = header.header_bytes + header.payload_bytes;
    check_payload(header, terms)?;
    let kind = match header.opcode {
        Opcode::Ping | Opcode::Pong | Opcode::Close => {
            let Some(payload) = rest.get_mut(header.header_bytes..end) else { return Ok(None) };
            unmask(payload, header.mask);
            return take_control(header.opcode, payload, found).map(|going| Some((end, going)));
        }
        Opcode::Text => Some(MessageKind::Text),
        Opcode::Binary => Some(MessageKind::Binary),
        Opcode::Continuation => None,
    };
    if kind.is_some() == message.is_some() {
        // A message within a message, or the continuation of none.
        return Err(Violation(CloseCode::ProtocolError));
    }
    if let Some(kind) = kind {
        if !terms.kinds.take(kind) {
            return Err(Violation(CloseCode::UnsupportedData));
        }
        if header.fin
            && let Some(payload) = rest.get_mut(header.header_bytes..end)
        {
            // The usual case: the whole message, where it was read.
            unmask(payload, header.mask);
            let going = match header.payload {
                Payload::Plain => give(kind, payload, found)?,
                Payload::Deflated => give(kind, &inflate(payload, terms)?, found)?,
            };
            return Ok(Some((end, going)));
        }
        let text = TextCheck::default();
        let payload = header.payload;
        *message = Some(Partial { kind, payload, bytes: Vec::new(), text, open: None });
    }
    let Header { fin, mask, payload_bytes, .. } = header;
    if let Some(partial) = message {
        partial.open = Some(Open { payload_bytes, mask, fin });
    }
    let (taken, going) = take_open(&mut rest[header.header_bytes..], message, terms, found)?;
    Ok(Some((header.header_bytes + taken, going)))
}

/// RFC 7692 §6: only where it was agreed, and only on the first frame of a message.
fn check_payload(header: Header, terms: &Terms<'_>) -> Result<(), Violation> {
    let begins_message = match header.opcode {
        Opcode::Text | Opcode::Binary => true,
        Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => false,
    };
    match header.payload {
        Payload::Deflated if !begins_message || terms.inflater.is_none() => {
            Err(Violation(CloseCode::ProtocolError))
        }
        Payload::Plain | Payload::Deflated => Ok(()),
    }
}

fn inflate(payload: &[u8], terms: &mut Terms<'_>) -> Result<Vec<u8>, Violation> {
    let inflater = terms.inflater.as_mut().ok_or(Violation(CloseCode::ProtocolError))?;
    inflater.inflate(payload, terms.message_bytes_max).map_err(Violation)
}

/// Gives a message whose text has not been checked.
fn give(
    kind: MessageKind,
    message: &[u8],
    found: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    if kind == MessageKind::Text && std::str::from_utf8(message).is_err() {
        return Err(Violation(CloseCode::InvalidData));
    }
    Ok(found(Incoming::Message(kind, message)))
}

fn take_control(
    opcode: Opcode,
    payload: &[u8],
    found: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    match opcode {
        Opcode::Ping => Ok(found(Incoming::Ping(payload))),
        Opcode::Pong => Ok(found(Incoming::Pong)),
        Opcode::Close => {
            check_close(payload).map(|(code, said)| found(Incoming::Close { code, said }))
        }
        Opcode::Text | Opcode::Binary | Opcode::Continuation => {
            unreachable!("only control frames come here")
        }
    }
}

/// Takes what has come of the payload that is open; returns how much that was.
fn take_open(
    input: &mut [u8],
    message: &mut Option<Partial>,
    terms: &mut Terms<'_>,
    found: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
) -> Result<(usize, ControlFlow<()>), Violation> {
    let Some(partial) = message else { return Ok((0, ControlFlow::Continue(()))) };
    let Some(open) = partial.open.as_mut() else { return Ok((0, ControlFlow::Continue(()))) };
    let taken = input.len().min(open.payload_bytes);
    let payload = &mut input[..taken];
    unmask(payload, open.mask);
    open.mask.rotate_left(taken % 4);
    open.payload_bytes -= taken;
    partial.bytes.extend_from_slice(payload);
    let is_plain_text = match partial.payload {
        Payload::Plain => partial.kind == MessageKind::Text,
        Payload::Deflated => false,
    };
    if is_plain_text && partial.text.advance(&partial.bytes).is_err() {
        return Err(Violation(CloseCode::InvalidData));
    }
    if open.payload_bytes > 0 {
        return Ok((taken, ControlFlow::Continue(())));
    }
    let fin = open.fin;
    partial.open = None;
    if !fin {
        // An endless row of empty fragments costs the peer more than us: nothing is kept.
        return Ok((taken, ControlFlow::Continue(())));
    }
    if is_plain_text && !partial.text.is_whole(&partial.bytes) {
        return Err(Violation(CloseCode::InvalidData));
    }
    let (kind, payload) = (partial.kind, partial.payload);
    let bytes = std::mem::take(&mut partial.bytes);
    *message = None;
    let going = match payload {
        Payload::Plain => found(Incoming::Message(kind, &bytes)),
        Payload::Deflated => give(kind, &inflate(&bytes, terms)?, found)?,
    };
    Ok((taken, going))
}

/// RFC 6455 §5.5.1 and §7.4: empty, or a code that may be sent and a UTF-8 reason.
fn check_close(payload: &[u8]) -> Result<(Option<u16>, &str), Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok((None, ""))
        } else {
            Err(Violation(CloseCode::ProtocolError))
        };
    };
    let code = u16::from_be_bytes(*code);
    let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !may_be_sent {
        return Err(Violation(CloseCode::ProtocolError));
    }
    let said = std::str::from_utf8(reason).map_err(|_| Violation(CloseCode::InvalidData))?;
    Ok((Some(code), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Kinds = Kinds::Only(MessageKind::Text);
    const BINARY: Kinds = Kinds::Only(MessageKind::Binary);

    fn plain(kinds: Kinds) -> Terms<'static> {
        Terms { kinds, message_bytes_max: 300, inflater: None }
    }

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
        assembler.take(&mut input, plain(TEXT), |incoming| {
            out.push(match incoming {
                Incoming::Message(_, bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                other => format!("{other:?}"),
            });
            ControlFlow::Continue(())
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
            Assembler::default().take(&mut client_frame(true, 1, b"x"), plain(BINARY), |_| {
                ControlFlow::Continue(())
            });
        assert_eq!(text_on_a_binary_codec, Err(Violation(CloseCode::UnsupportedData)));
        let mut interleaved = client_frame(false, 1, b"a");
        interleaved.extend(client_frame(true, 1, b"b"));
        assert!(take(&mut Assembler::default(), interleaved).is_err());
    }

    #[test]
    fn text_that_cannot_become_utf8_fails_before_its_end() {
        // Beyond the last code point: certain at the second byte of the four.
        let wire = client_frame(true, 1, "κόσμε".as_bytes());
        assert!(take(&mut Assembler::default(), wire).is_ok());
        let wire = client_frame(true, 1, b"\xce\xba\xf4\x90\x80\x80edited");
        let mut assembler = Assembler::default();
        let certain = wire.len() - 8;
        for byte in &wire[..certain - 1] {
            assert_eq!(take(&mut assembler, vec![*byte]), Ok(vec![]));
        }
        let expected = Err(Violation(CloseCode::InvalidData));
        assert_eq!(take(&mut assembler, vec![wire[certain - 1]]), expected);
        let mut assembler = Assembler::default();
        assert_eq!(take(&mut assembler, client_frame(false, 1, b"\xce\xba\xf4")), Ok(vec![]));
        assert_eq!(take(&mut assembler, client_frame(false, 0, b"\x90")), expected);
        // The first half of a character is no end of a text.
        let mut assembler = Assembler::default();
        assert_eq!(take(&mut assembler, client_frame(false, 1, b"\xce")), Ok(vec![]));
        assert_eq!(take(&mut assembler, client_frame(true, 0, b"")), expected);
    }

    #[test]
    fn a_connection_may_take_both_kinds() {
        let mut wire = client_frame(true, 1, b"a");
        wire.extend(client_frame(true, 2, b"\xff"));
        let mut kinds = Vec::new();
        let taken = Assembler::default().take(&mut wire, plain(Kinds::Both), |incoming| {
            if let Incoming::Message(kind, _) = incoming {
                kinds.push(kind);
            }
            ControlFlow::Continue(())
        });
        assert_eq!((taken, kinds), (Ok(()), vec![MessageKind::Text, MessageKind::Binary]));
    }
}
