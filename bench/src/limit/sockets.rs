//! The sockets of a bare server: one epoll loop that accepts, upgrades, reads and writes.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::net::SocketAddr;

use anyhow::Context as _;
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use crate::stream::{ServerTls, Stream};
use crate::websocket::{self, Opcode};

/// The most a storm of connections may wait for `accept`; the kernel's own default maximum.
const BACKLOG: i32 = 4096;
/// Sockets looked at in one turn of the loop.
const EVENTS_MAX: usize = 1024;
/// Shared by all connections, and so the longest frame there can be.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// What all connections together may leave unread. A bare server cannot make its publishers
/// wait, so beyond this it cuts the connection that is behind, and says so.
const UNSENT_BYTES_MAX: usize = 256 * 1024 * 1024;

const LISTENER: Token = Token(usize::MAX);

/// What a bare server does between reading and writing.
pub(crate) trait Work {
    /// A text frame came from connection `from`.
    fn frame(&mut self, sockets: &mut Sockets, from: usize, text: &[u8]) -> anyhow::Result<()>;
    /// Everything that was readable has been read.
    fn turn_ends(&mut self, sockets: &mut Sockets) -> anyhow::Result<()>;
    /// Connection `key` is gone; the key may be used again.
    fn closed(&mut self, key: usize);
}

/// One client. It owns no memory while nothing is partial or unsent.
#[derive(Debug)]
struct Connection {
    stream: Stream,
    upgraded: bool,
    partial: Vec<u8>,
    unsent: Vec<u8>,
}

/// All connections of a bare server.
#[derive(Debug)]
pub(crate) struct Sockets {
    poll: Poll,
    listener: TcpListener,
    tls: Option<ServerTls>,
    connections: Slab<Connection>,
    broken: Vec<usize>,
    unsent_bytes: usize,
}

/// Runs a bare server until the process ends or `work` fails.
pub(crate) fn serve(
    listen: SocketAddr,
    tls: Option<ServerTls>,
    work: &mut impl Work,
) -> anyhow::Result<()> {
    let mut sockets =
        Sockets::bind(listen, tls).with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on {}", sockets.listener.local_addr()?);
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        match sockets.poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.context("cannot wait for sockets")?,
        }
        for event in &events {
            if event.token() == LISTENER {
                sockets.accept_all()?;
            } else {
                sockets.look_at(event, &mut buffer, work)?;
            }
        }
        work.turn_ends(&mut sockets)?;
        sockets.drop_broken(work);
    }
}

impl Sockets {
    fn bind(listen: SocketAddr, tls: Option<ServerTls>) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(listen), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&listen.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (connections, broken) = (Slab::new(), Vec::new());
        Ok(Self { poll, listener, tls, connections, broken, unsent_bytes: 0 })
    }

    fn accept_all(&mut self) -> anyhow::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("cannot accept connections"),
            };
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            let stream = match &self.tls {
                None => Stream::Plain(stream),
                Some(tls) => tls.accept(stream)?,
            };
            entry.insert(Connection {
                stream,
                upgraded: false,
                partial: Vec::new(),
                unsent: Vec::new(),
            });
        }
    }

    fn look_at(
        &mut self,
        event: &Event,
        buffer: &mut [u8],
        work: &mut impl Work,
    ) -> anyhow::Result<()> {
        let key = event.token().0;
        if event.is_writable() {
            self.flush(key);
        }
        if event.is_readable() {
            let peer_closed = event.is_read_closed() || event.is_error();
            return self.read(key, peer_closed, buffer, work);
        }
        Ok(())
    }

    /// Reads until the socket is empty. The poll is edge-triggered: a short read means empty,
    /// unless the peer's end is in there too.
    fn read(
        &mut self,
        key: usize,
        peer_closed: bool,
        buffer: &mut [u8],
        work: &mut impl Work,
    ) -> anyhow::Result<()> {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
            let held = connection.partial.len();
            let read = match connection.stream.read(&mut buffer[held..]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            buffer[..held].copy_from_slice(&mem::take(&mut connection.partial));
            let filled = held + read;
            let Some(used) = self.digest(key, &mut buffer[..filled], work)? else { break };
            if used == 0 && filled == buffer.len() {
                eprintln!("a frame has more than {READ_BUFFER_BYTES} bytes, its sender is cut off");
                break;
            }
            let connection = &mut self.connections[key];
            connection.partial.extend_from_slice(&buffer[used..filled]);
            let is_last = filled < buffer.len() && connection.stream.short_reads_are_last();
            if is_last && !peer_closed {
                return Ok(());
            }
        }
        self.broken.push(key);
        Ok(())
    }

    /// Takes all complete frames out of `bytes`; says how many bytes they were, or `None` when
    /// the connection is to end.
    fn digest(
        &mut self,
        key: usize,
        bytes: &mut [u8],
        work: &mut impl Work,
    ) -> anyhow::Result<Option<usize>> {
        let mut used = 0;
        if !self.connections[key].upgraded {
            let Ok(end) = websocket::head_end(bytes) else { return Ok(None) };
            let Some(end) = end else { return Ok(Some(0)) };
            let Ok(answer) = websocket::response(&bytes[..end]) else { return Ok(None) };
            self.send(key, answer.as_bytes());
            self.connections[key].upgraded = true;
            used = end;
        }
        loop {
            let Ok(frame) = websocket::next_frame(&bytes[used..]) else { return Ok(None) };
            let Some(frame) = frame else { return Ok(Some(used)) };
            let payload = &mut bytes[used..][frame.payload.clone()];
            if let Some(mask) = frame.mask {
                websocket::apply_mask(payload, mask);
            }
            match frame.opcode {
                Opcode::Text => work.frame(self, key, payload)?,
                Opcode::Ping => {
                    let mut pong = Vec::new();
                    websocket::put_frame(&mut pong, Opcode::Pong, payload);
                    self.send(key, &pong);
                }
                Opcode::Pong => {}
                Opcode::Close => return Ok(None),
            }
            used += frame.payload.end;
        }
    }

    /// Sends `bytes` now as far as the kernel takes them, and the rest when it takes more.
    pub(crate) fn send(&mut self, key: usize, bytes: &[u8]) {
        let connection = &mut self.connections[key];
        let mut sent = 0;
        if connection.unsent.is_empty() {
            match write(&mut connection.stream, bytes) {
                Ok(taken) => sent = taken,
                Err(_) => return self.broken.push(key),
            }
        }
        let rest = &bytes[sent..];
        if rest.is_empty() {
            return;
        }
        if self.unsent_bytes + rest.len() > UNSENT_BYTES_MAX {
            eprintln!("more than {UNSENT_BYTES_MAX} bytes wait for readers, one is cut off");
            return self.broken.push(key);
        }
        connection.unsent.extend_from_slice(rest);
        self.unsent_bytes += rest.len();
    }

    fn flush(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.stream.push().is_err() {
            return self.broken.push(key);
        }
        if connection.unsent.is_empty() {
            return;
        }
        let Ok(sent) = write(&mut connection.stream, &connection.unsent) else {
            return self.broken.push(key);
        };
        self.unsent_bytes -= sent;
        if sent == connection.unsent.len() {
            connection.unsent = Vec::new();
        } else {
            connection.unsent.drain(..sent);
        }
    }

    /// Connections end here only, so a key stays valid during a turn.
    fn drop_broken(&mut self, work: &mut impl Work) {
        for key in mem::take(&mut self.broken) {
            if let Some(connection) = self.connections.try_remove(key) {
                self.unsent_bytes -= connection.unsent.len();
                work.closed(key);
            }
        }
    }
}

/// Writes as much as the kernel takes; 0 when it takes nothing now.
fn write(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
