//! TLS at the door: the handshake, and what HTTP reads and writes. Its state goes on to a shard.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::TlsSession;

/// A socket whose TLS handshake is over.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    socket: TcpStream,
    session: TlsSession,
    finished: bool,
}

/// A socket of tokio for the time of one poll: where it would block, the task will be woken.
struct Polled<'a, 'b> {
    socket: Pin<&'a mut TcpStream>,
    context: &'a mut Context<'b>,
}

impl Read for Polled<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        at_once(self.socket.as_mut().poll_read(self.context, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        at_once(self.socket.as_mut().poll_write(self.context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn at_once<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn in_time<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        other => Poll::Ready(other),
    }
}

impl TlsSocket {
    /// Agrees on TLS with the peer of `socket`. The caller bounds how long that may take.
    pub(super) async fn accept(config: &Arc<ServerConfig>, socket: TcpStream) -> io::Result<Self> {
        let session = TlsSession::new(config).map_err(io::Error::other)?;
        let mut accepted = Self { socket, session, finished: false };
        poll_fn(|context| {
            let (session, mut socket) = accepted.split(context);
            while session.is_handshaking() {
                ready!(in_time(session.shake(&mut socket)))?;
            }
            accepted.poll_push(context)
        })
        .await?;
        Ok(accepted)
    }

    pub(super) fn into_parts(self) -> (TcpStream, TlsSession) {
        (self.socket, self.session)
    }

    fn split<'a, 'b>(
        &'a mut self,
        context: &'a mut Context<'b>,
    ) -> (&'a mut TlsSession, Polled<'a, 'b>) {
        (&mut self.session, Polled { socket: Pin::new(&mut self.socket), context })
    }

    /// Waits until the socket has taken all that is encrypted.
    fn poll_push(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (session, mut socket) = self.split(context);
        session.push(&mut socket)?;
        if session.wants_write() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncRead for TlsSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (session, mut socket) = self.split(context);
        let count = ready!(in_time(session.read(&mut socket, buffer.initialize_unfilled())))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (session, mut socket) = self.split(context);
        in_time(session.write(&mut socket, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_push(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.finished, true) {
            self.session.finish();
        }
        ready!(self.poll_push(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
