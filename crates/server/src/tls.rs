//! The TLS state of a connection, which has no buffers while nothing is under way.
//!
//! With rustls' buffered connections each has a read buffer of 4 KiB for good. Here the buffers are
//! those of the thread, and a connection keeps only what could not be dealt with at once: the
//! beginning of a record, what nobody has read yet, what the socket did not take. The door and the
//! shards both use this, each over its own kind of socket that never blocks.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

/// What came and could not be dealt with: one record as it may be at most (RFC 5246 §6.2.3), or a
/// message of the handshake that takes several, which is far smaller.
const INCOMING_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// What is encrypted at a time: a full record. The socket may leave as much untaken.
const SEALED_BYTES_MAX: usize = 16 * 1024;

/// What encryption adds to that, with an alert or a new key that goes first.
const SEALING_BYTES_MAX: usize = 1024;

/// The buffers of a thread: of use within one call only.
struct Desk {
    incoming: Box<[u8]>,
    gathered: Vec<u8>,
    sealed: Box<[u8]>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::new(Desk {
        incoming: vec![0; INCOMING_BYTES_MAX].into_boxed_slice(),
        gathered: Vec::with_capacity(SEALED_BYTES_MAX),
        sealed: vec![0; SEALED_BYTES_MAX + SEALING_BYTES_MAX].into_boxed_slice(),
    });
}

/// The TLS state of one connection, on the server's side.
pub(crate) struct TlsSession {
    connection: UnbufferedServerConnection,
    phase: Phase,
    /// The last read of the socket got as much as there was room for.
    cut_short: bool,
    /// What came and is not whole. rustls may have decrypted a part of it in its place.
    incoming: Vec<u8>,
    /// What was decrypted and has not been asked for.
    decrypted: Vec<u8>,
    /// What was encrypted and has not been written.
    outgoing: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The peer will send no more. It may still be sent something.
    HeardAll,
    /// The peer broke the rules; all that is left is to tell it which.
    Broken,
}

/// How far rustls came.
struct Driven<R> {
    /// Incoming bytes that are done with.
    used: usize,
    /// Decrypted bytes that found a place where they were asked for.
    filled: usize,
    /// What was done once there was nothing else to do; `None` if nothing may be encrypted.
    at_rest: Option<R>,
}

impl std::fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSession").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl TlsSession {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::clone(config))?,
            phase: Phase::Open,
            cut_short: false,
            incoming: Vec::new(),
            decrypted: Vec::new(),
            outgoing: Vec::new(),
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether encrypted bytes wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether a read may bring something, or the end, although the socket announces nothing new.
    pub(crate) fn may_have_more(&self) -> bool {
        self.cut_short || !self.decrypted.is_empty() || self.phase != Phase::Open
    }

    /// Reads into `buffer`: `Ok(0)` at the end, `WouldBlock` when there is nothing now.
    pub(crate) fn read<S: Read + Write>(
        &mut self,
        socket: &mut S,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.decrypted.is_empty() {
                let count = buffer.len().min(self.decrypted.len());
                buffer[..count].copy_from_slice(&self.decrypted[..count]);
                give_back(&mut self.decrypted, count);
                return Ok(count);
            }
            match self.phase {
                Phase::Open => {}
                Phase::HeardAll => return Ok(0),
                Phase::Broken => return Err(ErrorKind::InvalidData.into()),
            }
            let filled = self.receive(socket, buffer);
            // Also after an error: there is an alert for the peer.
            let pushed = self.push(socket);
            match filled? {
                0 => pushed?,
                filled => return Ok(filled),
            }
        }
    }

    /// Goes one step on with the handshake: `WouldBlock` when the peer has to say more first.
    pub(crate) fn shake<S: Read + Write>(&mut self, socket: &mut S) -> io::Result<()> {
        let received = self.receive(socket, &mut []);
        let pushed = self.push(socket);
        received?;
        pushed?;
        match self.phase {
            Phase::Open | Phase::Broken => Ok(()),
            Phase::HeardAll => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Encrypts and writes what fits of `slices`; `WouldBlock` when nothing does.
    pub(crate) fn write<S: Write>(
        &mut self,
        socket: &mut S,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        self.push(socket)?;
        if self.wants_write() {
            return Err(ErrorKind::WouldBlock.into());
        }
        DESK.with_borrow_mut(|desk| {
            let plain = gather(slices, &mut desk.gathered);
            if plain.is_empty() {
                return Ok(0);
            }
            let sealed = &mut desk.sealed;
            let count = self.encrypt(|traffic| traffic.encrypt(plain, sealed))?;
            let mut sealed = &desk.sealed[..count];
            if !self.wants_write() {
                sealed = &sealed[write_some(socket, sealed)?..];
            }
            self.outgoing.extend_from_slice(sealed);
            Ok(plain.len())
        })
    }

    /// Passes on what waits, as far as it goes.
    pub(crate) fn push<S: Write>(&mut self, socket: &mut S) -> io::Result<()> {
        if !self.outgoing.is_empty() {
            let count = write_some(socket, &self.outgoing)?;
            give_back(&mut self.outgoing, count);
        }
        Ok(())
    }

    /// Says that nothing more will be written, once; the word has to be pushed.
    pub(crate) fn finish(&mut self) {
        let mut notice = [0; SEALING_BYTES_MAX];
        // There is nobody to tell if nothing may be encrypted any more.
        if let Ok(count) = self.encrypt(|traffic| traffic.queue_close_notify(&mut notice)) {
            self.outgoing.extend_from_slice(&notice[..count]);
        }
    }

    /// Reads the socket once. Gives how much of it is decrypted in `buffer`.
    fn receive<S: Read>(&mut self, socket: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
        DESK.with_borrow_mut(|desk| {
            let (kept, room) = desk.incoming.split_at_mut(self.incoming.len());
            if room.is_empty() {
                return Err(self.broken("the peer's message does not end"));
            }
            kept.copy_from_slice(&self.incoming);
            let count = socket.read(room)?;
            if count == 0 {
                // A peer that ends without close_notify has ended all the same; the frames carry
                // their own lengths, so nothing can have been cut off unseen.
                self.phase = Phase::HeardAll;
                return Ok(0);
            }
            self.cut_short = count == room.len();
            let end = self.incoming.len() + count;
            self.incoming = Vec::new();
            let driven = self.drive(&mut desk.incoming[..end], buffer, |_| ())?;
            self.incoming = desk.incoming[driven.used..end].to_vec();
            Ok(driven.filled)
        })
    }

    /// Has something encrypted, and gives how many bytes that made.
    fn encrypt(
        &mut self,
        how: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        // Nothing of it is whole, but rustls wants to see it.
        let mut incoming = std::mem::take(&mut self.incoming);
        let driven = self.drive(&mut incoming, &mut [], how)?;
        give_back(&mut incoming, driven.used);
        self.incoming = incoming;
        match driven.at_rest {
            Some(encrypted) => encrypted.map_err(io::Error::other),
            None => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// Lets rustls work until it lacks bytes. What it decrypts goes into `buffer` and what finds no
    /// place there is kept, which is never more than came.
    fn drive<R>(
        &mut self,
        incoming: &mut [u8],
        buffer: &mut [u8],
        at_rest: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> R,
    ) -> io::Result<Driven<R>> {
        if self.phase == Phase::Broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut driven = Driven { used: 0, filled: 0, at_rest: None };
        loop {
            let status = self.connection.process_tls_records(&mut incoming[driven.used..]);
            let UnbufferedStatus { mut discard, state } = status;
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        let room = &mut buffer[driven.filled..];
                        let (now, later) =
                            record.payload.split_at(room.len().min(record.payload.len()));
                        room[..now.len()].copy_from_slice(now);
                        driven.filled += now.len();
                        self.decrypted.extend_from_slice(later);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                // It is written before anything else, from where it was put.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.phase = Phase::HeardAll,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    driven.at_rest = Some(at_rest(&mut traffic));
                    driven.used += discard;
                    return Ok(driven);
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => is_done = true,
                // Early data is not allowed by the configuration; more states there are not.
                Ok(_) => return Err(self.broken("TLS came to a state that is not expected")),
                Err(error) => return Err(self.broken(error)),
            }
            driven.used += discard;
            if is_done {
                return Ok(driven);
            }
        }
    }

    /// The peer broke the rules.
    fn broken<E>(&mut self, error: E) -> io::Error
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.phase = Phase::Broken;
        self.take_alerts();
        io::Error::new(ErrorKind::InvalidData, error)
    }

    /// Gets from rustls what it has to say, without showing it anything: alerts come first.
    fn take_alerts(&mut self) {
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                // What is left unsaid is lost: the connection ends now.
                _ => return,
            }
        }
    }
}

/// Appends a message of the handshake or an alert to `outgoing`.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) {
    let begin = outgoing.len();
    if let Err(EncodeError::InsufficientSize(missing)) = data.encode(&mut []) {
        outgoing.resize(begin + missing.required_size, 0);
        let encoded = data.encode(&mut outgoing[begin..]);
        assert!(encoded.is_ok(), "a message was encoded in as many bytes as it said it takes");
    }
}

/// The first bytes of `slices`, as many as are encrypted at a time.
fn gather<'a>(slices: &'a [IoSlice<'_>], gathered: &'a mut Vec<u8>) -> &'a [u8] {
    if let [first, ..] = slices
        && (slices.len() == 1 || first.len() >= SEALED_BYTES_MAX)
    {
        return &first[..first.len().min(SEALED_BYTES_MAX)];
    }
    gathered.clear();
    for slice in slices {
        let room = SEALED_BYTES_MAX - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    gathered
}

/// Writes until the socket takes no more, and gives how much it took.
fn write_some(socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match socket.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Removes the first `count` bytes, and the memory with the last.
fn give_back(bytes: &mut Vec<u8>, count: usize) {
    if count == bytes.len() {
        *bytes = Vec::new();
    } else {
        bytes.drain(..count);
    }
}
