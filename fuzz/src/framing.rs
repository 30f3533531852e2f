//! What is done with hostile bytes before they are a message: frames put together, and compressed
//! payloads restored. The server's own files, without the server, which takes minutes to build.

use std::ops::ControlFlow;

use websocket::assembler::{Assembler, Incoming, Kinds, Terms};
use websocket::deflate::{Deflater, Inflater};

#[allow(dead_code, reason = "what is for the server alone is not called here")]
#[path = "../../crates/server/src/websocket"]
mod websocket {
    pub(crate) mod assembler;
    pub(crate) mod deflate;
    pub(crate) mod frame;
    mod text;
}

/// Small, so that short inputs go beyond it.
const MESSAGE_BYTES_MAX: usize = 3000;

/// Frames as a client might send them that has agreed on compression: however they are cut, the
/// same is found, and nothing larger than the limit.
pub fn frames(bytes: &[u8]) {
    let whole = assemble(&[bytes]);
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    assert_eq!(assemble(&[head, tail]), whole);
}

/// What was found, and whether it ended in a violation.
fn assemble(pieces: &[&[u8]]) -> (Vec<String>, bool) {
    let (mut assembler, mut inflater) = (Assembler::default(), Inflater::default());
    let mut found = Vec::new();
    for piece in pieces {
        let terms = Terms {
            kinds: Kinds::Both,
            message_bytes_max: MESSAGE_BYTES_MAX,
            inflater: Some(&mut inflater),
        };
        let taken = assembler.take(&mut piece.to_vec(), terms, |incoming| {
            if let Incoming::Message(_, message) = incoming {
                assert!(message.len() <= MESSAGE_BYTES_MAX);
            }
            found.push(format!("{incoming:?}"));
            ControlFlow::Continue(())
        });
        if taken.is_err() {
            return (found, true);
        }
    }
    (found, false)
}

/// A payload that is said to be compressed, and a message to compress.
pub fn deflate(bytes: &[u8]) {
    let mut inflater = Inflater::default();
    for message_bytes_max in [0, 100, 1 << 20] {
        let before = inflater.inflated();
        if let Ok(message) = inflater.inflate(bytes, message_bytes_max) {
            assert!(message.len() <= message_bytes_max);
            // Nothing of what came before is in it.
            let again = Inflater::default().inflate(bytes, message_bytes_max);
            assert_eq!(again.as_ref(), Ok(&message));
        }
        assert!(inflater.inflated() - before <= message_bytes_max as u64 + 1);
    }
    let mut deflater = Deflater::new(0);
    // As it is, with something to refer back to, and for some, as it takes long, beyond the window.
    let long = if bytes.len() % 32 == 31 { 70_000 / bytes.len() } else { 0 };
    for message in [bytes.to_vec(), bytes.repeat(3), bytes.repeat(long)] {
        if let Some(payload) = deflater.deflate(&message) {
            assert!(payload.len() < message.len());
            assert_eq!(inflater.inflate(&payload, message.len()), Ok(message));
        }
    }
}
