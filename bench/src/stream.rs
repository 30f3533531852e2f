//! A socket of the event loop, plain or with TLS: both are read and written the same way.

mod tls;

use std::io::{self, Read, Write};

use mio::net::TcpStream;

pub(crate) use tls::{CertificateFiles, ClientTls, ServerTls};

use crate::stream::tls::Tls;

/// One connection. It is non-blocking, and polled by edges.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

impl Stream {
    pub(crate) const fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.socket(),
        }
    }

    /// Whether a read that did not fill its buffer has left nothing to read. With TLS it ends with a
    /// record, and there may be more.
    pub(crate) const fn short_reads_are_last(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(_) => false,
        }
    }

    /// Sends what was written before and the kernel did not take: to be called when it takes more.
    pub(crate) fn push(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.push(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}
