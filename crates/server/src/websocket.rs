//! WebSocket (RFC 6455) without I/O: bytes in, messages out, and the headers of what is sent.
//!
//! Our own, because a shard wants no buffer per connection while it is idle, no copy of a shared
//! frame, and exact limits; `docs/decisions/0003-own-websocket-framing.md` has the figures. It is
//! public so that another program can speak through the same layer: `examples/echo` does, and is
//! what a conformance suite is run against. The order of a connection is [`accept`] for the upgrade
//! request, [`Assembler::take`] for every read, [`write_header`] before every payload, and
//! [`write_close`] at the end, after a [`Violation`] with its code.
//!
//! Messages may be compressed (RFC 7692) where [`agree`] found an offer to: [`Terms::inflater`] for
//! what comes in, [`Deflater`] and [`write_deflated_header`] for what goes out.

mod assembler;
#[cfg(test)]
mod compressed_tests;
mod deflate;
mod extension;
mod frame;
mod handshake;
mod text;

pub use assembler::{Assembler, Incoming, Kinds, MessageKind, Terms, Violation};
pub use deflate::{Deflater, Inflater};
pub use extension::{Agreement, agree};
pub(crate) use frame::server_payload;
pub use frame::{Opcode, write_close, write_deflated_header, write_header};
pub use handshake::{HandshakeError, WEBSOCKET_VERSION, accept};
pub(crate) use handshake::{Upgrade, bearer_header, check_upgrade};
/// Why a connection is closed: the type of [`write_close`] and [`Violation`].
pub use tidings_core::CloseCode;
