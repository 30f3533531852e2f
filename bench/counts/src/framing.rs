//! The server's WebSocket framing, from its own sources: the server as a dependency would bring the
//! crypto library and the HTTP stack along, which take minutes to build.

#[path = "../../../crates/server/src/websocket/assembler.rs"]
#[allow(dead_code, unreachable_pub, reason = "public in the crate it belongs to, partly used here")]
mod assembler;
#[path = "../../../crates/server/src/websocket/deflate.rs"]
#[allow(dead_code, unreachable_pub, reason = "public in the crate it belongs to, partly used here")]
mod deflate;
#[path = "../../../crates/server/src/websocket/frame.rs"]
#[allow(dead_code, unreachable_pub, reason = "public in the crate it belongs to, partly used here")]
mod frame;
#[path = "../../../crates/server/src/websocket/text.rs"]
mod text;

use std::hint::black_box;
use std::ops::ControlFlow;

use assembler::{Assembler, Incoming, Kinds, MessageKind, Terms};

use crate::wire::PUBLISH;

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A client's text frame with a payload of 126 to 65 535 bytes.
fn masked() -> Vec<u8> {
    let length = u16::try_from(PUBLISH.len()).expect("the frame is short");
    assert!(length > 125, "shorter payloads have another header");
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend(MASK);
    frame.extend(PUBLISH.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Header parsed, payload unmasked and checked to be text. The frame is copied first, as it is
/// unmasked in place: that is counted too.
pub(crate) fn unmask(rounds: u64) {
    let masked = masked();
    let mut input = masked.clone();
    let mut assembler = Assembler::default();
    let mut found = 0;
    for _ in 0..rounds {
        input.copy_from_slice(black_box(&masked));
        let kinds = Kinds::Only(MessageKind::Text);
        let terms = Terms { kinds, message_bytes_max: 65_536, inflater: None };
        let taken = assembler.take(&mut input, terms, |incoming| {
            if let Incoming::Message(MessageKind::Text, bytes) = black_box(incoming) {
                found += u64::from(bytes.len() == PUBLISH.len());
            }
            ControlFlow::Continue(())
        });
        assert!(taken.is_ok(), "the frame is valid");
    }
    assert_eq!(found, rounds, "every frame holds one message");
}
