//! WebSocket (RFC 6455) without I/O: bytes in, messages out, and the headers of what is sent.
//!
//! Our own, because a shard wants no buffer per connection while it is idle, no copy of a shared
//! frame, and exact limits; `docs/decisions/0003-own-websocket-framing.md` has the figures.

mod assembler;
mod frame;
mod handshake;

pub(crate) use assembler::{Assembler, Incoming, Violation};
pub(crate) use frame::{Opcode, write_header};
pub(crate) use handshake::{
    HandshakeError, Upgrade, WEBSOCKET_VERSION, bearer_header, check_upgrade,
};
