//! What a connection has still to write. Empty, it owns no memory.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::stream::Stream;

/// Slices given to one `writev`.
const SLICES_MAX: usize = 64;

/// Frames of its own up to this size are gathered in one piece of memory.
const GATHER_BYTES: usize = 16 * 1024;

/// Bytes on their way to a socket: shared frames as they are, its own ones gathered.
#[derive(Debug, Default)]
pub(super) struct Output {
    chunks: VecDeque<Bytes>,
    /// Frames of this connection alone, after everything in `chunks`.
    own: Vec<u8>,
    unsent: usize,
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Everything is written.
    All,
    /// The socket takes no more now.
    Blocked,
}

impl Output {
    /// Bytes not written.
    pub(super) const fn unsent(&self) -> usize {
        self.unsent
    }

    /// Adds a frame that others get too.
    pub(super) fn push_shared(&mut self, frame: &Bytes) {
        self.seal();
        self.unsent += frame.len();
        self.chunks.push_back(frame.clone());
    }

    /// Adds frames of this connection's own, written by `write`.
    pub(super) fn push_own(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.own.len();
        write(&mut self.own);
        self.unsent += self.own.len() - before;
        if self.own.len() >= GATHER_BYTES {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.own.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.own).into());
        }
    }

    /// Writes as much as the socket takes.
    pub(super) fn flush(&mut self, stream: &mut Stream) -> io::Result<Flushed> {
        self.seal();
        while !self.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            match stream.write(&slices[..count]) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.chunks = VecDeque::new();
        stream.push()?;
        Ok(if stream.wants_write() { Flushed::Blocked } else { Flushed::All })
    }

    fn advance(&mut self, mut written: usize) {
        self.unsent -= written;
        while let Some(chunk) = self.chunks.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                return;
            }
            written -= chunk.len();
            self.chunks.pop_front();
        }
    }
}
