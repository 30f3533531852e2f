//! Compressed messages among frames: where they may stand, however they are cut, how far they grow.

use std::ops::ControlFlow;

use tidings_core::CloseCode;

use super::frame::unmask;
use super::{Assembler, Deflater, Incoming, Inflater, Kinds, MessageKind, Terms, Violation};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const LIMIT: usize = 300;

/// "Hello" as in RFC 7692 §7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    let mask = [9, 8, 7, 6];
    frame.extend_from_slice(&mask);
    let mut masked = payload.to_vec();
    unmask(&mut masked, mask);
    frame.extend_from_slice(&masked);
    frame
}

/// A peer's view: what it sent, in the pieces it arrived in, and what was found.
fn take(pieces: &[&[u8]], kinds: Kinds) -> Result<Vec<String>, Violation> {
    let (mut assembler, mut inflater) = (Assembler::default(), Inflater::default());
    let mut out = Vec::new();
    for piece in pieces {
        let terms = Terms { kinds, message_bytes_max: LIMIT, inflater: Some(&mut inflater) };
        assembler.take(&mut piece.to_vec(), terms, |incoming| {
            out.push(match incoming {
                Incoming::Message(_, bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => format!("{other:?}"),
            });
            ControlFlow::Continue(())
        })?;
    }
    Ok(out)
}

fn violation(wire: &[u8]) -> Option<CloseCode> {
    take(&[wire], Kinds::Both).err().map(|Violation(code)| code)
}

#[test]
fn compressed_fragments_arrive_whole_however_they_were_cut() {
    let mut wire = frame(RSV1 | 1, &HELLO[..3]);
    wire.extend(frame(FIN | 9, b"p"));
    wire.extend(frame(0, b""));
    wire.extend(frame(FIN, &HELLO[3..]));
    wire.extend(frame(FIN | RSV1 | 1, &HELLO));
    wire.extend(frame(FIN | 1, b"plain"));
    wire.extend(frame(FIN | RSV1 | 2, &HELLO));
    let expected = ["Ping([112])", "Hello", "Hello", "plain", "Hello"];
    for cut in 0..=wire.len() {
        let got = take(&[&wire[..cut], &wire[cut..]], Kinds::Both).unwrap();
        assert_eq!(got, expected, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(take(&bytes, Kinds::Both).unwrap(), expected);
}

#[test]
fn the_reserved_bit_stands_only_where_it_was_agreed() {
    let not_agreed = Terms { kinds: Kinds::Both, message_bytes_max: LIMIT, inflater: None };
    let taken =
        Assembler::default().take(&mut frame(FIN | RSV1 | 1, &HELLO), not_agreed, |incoming| {
            panic!("{incoming:?} was taken")
        });
    assert_eq!(taken, Err(Violation(CloseCode::ProtocolError)));
    for (name, wire) in [
        ("on a ping", frame(FIN | RSV1 | 9, b"")),
        ("on a pong", frame(FIN | RSV1 | 10, b"")),
        ("on a close", frame(FIN | RSV1 | 8, b"")),
        (
            "on a later fragment",
            [frame(RSV1 | 1, &HELLO[..3]), frame(FIN | RSV1, &HELLO[3..])].concat(),
        ),
        ("on a later fragment alone", [frame(1, b"plain"), frame(FIN | RSV1, &HELLO)].concat()),
        ("with another reserved bit", frame(FIN | RSV1 | 0x20 | 1, &HELLO)),
    ] {
        assert_eq!(violation(&wire), Some(CloseCode::ProtocolError), "{name}");
    }
}

#[test]
fn what_a_message_becomes_is_held_to_the_same_rules() {
    let mut deflater = Deflater::new(0);
    let mut deflated = |message: &[u8]| deflater.deflate(message).unwrap();
    let fits = deflated(&[b'x'; LIMIT]);
    let over = deflated(&[b'x'; LIMIT + 1]);
    let bomb = deflated(&vec![b'x'; 10 << 20]);
    let no_text = deflated(&[0xff; 100]);
    assert_eq!(take(&[&frame(FIN | RSV1 | 1, &fits)], Kinds::Both).unwrap(), ["x".repeat(LIMIT)]);
    assert_eq!(violation(&frame(FIN | RSV1 | 1, &over)), Some(CloseCode::TooBig));
    assert_eq!(violation(&frame(FIN | RSV1 | 1, &bomb[..200])), Some(CloseCode::TooBig));
    assert_eq!(violation(&frame(FIN | RSV1 | 1, &[0; 400])), Some(CloseCode::TooBig));
    assert_eq!(violation(&frame(FIN | RSV1 | 1, &no_text)), Some(CloseCode::InvalidData));
    let in_two = [frame(RSV1 | 1, &no_text[..2]), frame(FIN, &no_text[2..])].concat();
    assert_eq!(violation(&in_two), Some(CloseCode::InvalidData));
    assert_eq!(violation(&frame(FIN | RSV1 | 1, b"no deflate")), Some(CloseCode::InvalidData));
    assert_eq!(violation(&frame(FIN | RSV1 | 1, b"")), Some(CloseCode::InvalidData));
    let text_only = Kinds::Only(MessageKind::Text);
    let refused = take(&[&frame(FIN | RSV1 | 2, &HELLO)], text_only);
    assert_eq!(refused, Err(Violation(CloseCode::UnsupportedData)));
    let fragments = [frame(RSV1 | 1, &[0; 200]), frame(0, &[0; 200])].concat();
    assert_eq!(violation(&fragments), Some(CloseCode::TooBig), "announced in pieces");
}

/// Every byte of a wire with compressed fragments changed in turn: found messages stay within the
/// limit, and nothing panics.
#[test]
fn mutated_frames_end_in_a_violation_or_within_the_limit() {
    let mut wire = frame(RSV1 | 1, &HELLO[..3]);
    wire.extend(frame(FIN, &HELLO[3..]));
    wire.extend(frame(FIN | RSV1 | 2, &HELLO));
    let mut refused = 0;
    for at in 0..wire.len() {
        for value in 0..=u8::MAX {
            let mut mutated = wire.clone();
            mutated[at] = value;
            match take(&[&mutated[..at], &mutated[at..]], Kinds::Both) {
                Ok(found) => {
                    assert!(found.iter().all(|message| message.len() <= 3 * LIMIT), "{found:?}");
                }
                Err(Violation(_)) => refused += 1,
            }
        }
    }
    assert!(refused > wire.len() * 64, "{refused}");
}
