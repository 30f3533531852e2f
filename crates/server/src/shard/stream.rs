//! The socket of a connection, with its TLS state if it has one.

use std::io::{self, IoSlice, Read, Write};

use bytes::Bytes;
use mio::net::TcpStream;
use tidings_protocol::Codec;

use crate::env::Seat;
use crate::tls::TlsSession;
use crate::websocket::Agreement;

/// What the door hands over once a connection is upgraded.
#[derive(Debug)]
pub(crate) struct Handoff {
    pub(crate) stream: Stream,
    pub(crate) codec: Codec,
    /// How its messages may be compressed, if they may.
    pub(crate) agreement: Option<Agreement>,
    /// The token that came with the upgrade request.
    pub(crate) token: Option<Hidden>,
    /// What the door has already read past the request.
    pub(crate) input: Bytes,
    pub(crate) seat: Seat,
}

/// A secret on its way: it has no `Debug` that shows it.
pub(crate) struct Hidden(pub(crate) String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A non-blocking socket, plain or with TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// A socket and its TLS state.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: TcpStream,
    session: TlsSession,
}

impl Stream {
    pub(crate) fn tls(socket: TcpStream, session: TlsSession) -> Self {
        Self::Tls(Box::new(Tls { socket, session }))
    }

    /// What the poll watches.
    pub(super) fn source(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &mut tls.socket,
        }
    }

    /// Reads into `buffer`: `Ok(0)` at the end, `WouldBlock` when there is nothing now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.session.read(&mut tls.socket, buffer),
        }
    }

    /// Whether a read that brought `bytes` into a buffer with room for `room` may have left
    /// something. A socket gives what it has (epoll(7), question 9); what it gets later, its end
    /// too, is another event.
    pub(super) fn may_have_more(&self, bytes: usize, room: usize) -> bool {
        match self {
            Self::Plain(_) => bytes == room,
            Self::Tls(tls) => tls.session.may_have_more(),
        }
    }

    /// Writes what fits of `slices`; `WouldBlock` when nothing does.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            // `send`, which has less to look at than `writev`.
            Self::Plain(socket) => match slices {
                [only] => socket.write(only),
                many => socket.write_vectored(many),
            },
            Self::Tls(tls) => tls.session.write(&mut tls.socket, slices),
        }
    }

    /// Whether bytes already accepted by [`write`](Self::write) still wait for the socket.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Passes on what waits, as far as it goes.
    pub(super) fn push(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.session.push(&mut tls.socket),
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.finish();
            // Best effort: the peer may be gone.
            let _ = tls.session.push(&mut tls.socket);
        }
        let _ = self.source().shutdown(std::net::Shutdown::Write);
    }
}
