//! The socket of a connection, with its TLS state if it has one.

use std::io::{self, IoSlice, Read, Write};

use bytes::Bytes;
use mio::net::TcpStream;
use rustls::ServerConnection;
use tidings_protocol::Codec;

use crate::env::Seat;
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
    session: ServerConnection,
}

/// Encrypted bytes that rustls may hold for one connection before they are written.
const TLS_BUFFER_BYTES: usize = 64 * 1024;

impl Stream {
    pub(crate) fn tls(socket: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
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
            Self::Tls(tls) => tls.read(buffer),
        }
    }

    /// Whether a read that brought `bytes` into a buffer with room for `room` may have left
    /// something. A socket gives what it has (epoll(7), question 9); what it gets later, its end
    /// too, is another event.
    pub(super) fn may_have_more(&self, bytes: usize, room: usize) -> bool {
        match self {
            Self::Plain(_) => bytes == room,
            Self::Tls(_) => true,
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
            Self::Tls(tls) => tls.write(slices),
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
            Self::Tls(tls) => tls.push(),
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
            // Best effort: the peer may be gone.
            let _ = tls.push();
        }
        let _ = self.source().shutdown(std::net::Shutdown::Write);
    }
}

impl Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A peer that ends without close_notify has ended all the same; the frames
                // carry their own lengths, so nothing can have been cut off unseen.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            let processed = self.session.process_new_packets();
            // Also after an error: rustls has queued an alert for the peer.
            let pushed = self.push();
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            pushed?;
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.push()?;
        let taken = self.session.writer().write_vectored(slices)?;
        self.push()?;
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn push(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
