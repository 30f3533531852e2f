//! From a socket to frames.

use std::io;
use std::ops::ControlFlow;

use tidings_core::CloseCode;
use tidings_protocol::{Codec, decode_client_frame};

use super::Shard;
use super::connection::Phase;
use super::output::Flushed;
use crate::disconnects::Loss;
use crate::websocket::{
    Assembler, Incoming, Kinds, MessageKind, Opcode, Terms, Violation, write_header,
};

/// Reads from one socket in one turn, so that a flood from one does not hold up the rest.
const READS_PER_TURN: usize = 8;

/// Largest WebSocket message before `connect` was accepted: a token and some frames. Sockets that
/// have shown nothing must not hold much.
const STRANGER_FRAME_BYTES: usize = 32 * 1024;

/// Bytes read in one go where messages may be compressed: what they hold can be a thousand times as
/// much, and the rest of the shard waits for all of it.
const DEFLATED_READ_BYTES: usize = 8 * 1024;

/// Bytes restored for one connection in one turn, after which the others come first.
const INFLATED_PER_TURN: u64 = 1024 * 1024;

/// How many times `outbound_bytes` one WebSocket message may bring about in answers.
const ANSWERS_MAX: usize = 8;

/// A message or control frame, copied out of the read buffer so that the shard can act on it.
enum Step<'a> {
    Frames,
    Pong,
    Close(Option<u16>, &'a str),
}

/// When a socket has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadUntil {
    /// It gave less than there was room for. Enough for one that can still say when it has more.
    Short,
    /// It says that it has nothing, or has ended: what it said before may not have been heeded.
    Empty,
}

impl Shard {
    /// Reads what has come for a connection, up to a turn's budget.
    pub(super) fn read_input(&mut self, slot: u32, until: ReadUntil) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let inflated_before = self.inflater.inflated();
        for turn in 0.. {
            let Some(connection) = self.connections.get_mut(slot as usize) else { break };
            if !connection.has_room(self.env.settings.outbound_bytes) {
                // Requests are not read faster than their answers are taken.
                connection.input_paused = true;
                connection.starved = true;
                break;
            }
            if connection.read_queued {
                break;
            }
            let inflated = self.inflater.inflated() - inflated_before;
            if turn == READS_PER_TURN || inflated > INFLATED_PER_TURN {
                connection.queue_read(slot, &mut self.unread);
                break;
            }
            let room = match connection.agreement {
                None => buffer.len(),
                Some(_) => DEFLATED_READ_BYTES,
            };
            match connection.stream.read(&mut buffer[..room]) {
                Ok(0) => {
                    self.remove(slot, Loss::PeerEnded);
                    break;
                }
                Ok(bytes) => {
                    self.env.metrics.bytes_in.inc_by(bytes as u64);
                    let is_short = !connection.stream.may_have_more(bytes, room);
                    self.take_input(slot, &mut buffer[..bytes]);
                    if is_short && until == ReadUntil::Short {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(%error, "reading from a socket failed");
                    self.remove(slot, Loss::ReadFailed);
                    break;
                }
            }
        }
        self.read_buffer = buffer;
    }

    /// Acts on bytes from a connection.
    pub(super) fn take_input(&mut self, slot: u32, input: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let frame_bytes = self.env.settings.limits.frame_bytes as usize;
        let frame_bytes = match connection.phase {
            // What comes after our close frame only matters as the end of the stream.
            Phase::Closing { .. } => return,
            Phase::Awaiting { .. } => frame_bytes.min(STRANGER_FRAME_BYTES),
            Phase::Active(_) => frame_bytes,
        };
        connection.life.heard(self.now);
        let mut assembler = std::mem::take(&mut connection.assembler);
        let kinds = Kinds::Only(match connection.codec {
            Codec::Json => MessageKind::Text,
            Codec::Protobuf => MessageKind::Binary,
        });
        let agreement = connection.agreement;
        // The frames are acted on while it lends itself, and need the rest of the shard.
        let mut inflater = std::mem::take(&mut self.inflater);
        let terms = Terms {
            kinds,
            message_bytes_max: frame_bytes,
            inflater: agreement.map(|_| &mut inflater),
        };
        let taken = self.assemble(slot, &mut assembler, input, terms);
        self.inflater = inflater;
        if let Err(Violation(code)) = taken {
            self.env.metrics.violations.inc();
            return self.close(slot, code);
        }
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.assembler = assembler;
        }
    }

    fn assemble(
        &mut self,
        slot: u32,
        assembler: &mut Assembler,
        input: &mut [u8],
        terms: Terms<'_>,
    ) -> Result<(), Violation> {
        assembler.take(input, terms, |incoming| {
            let step = match incoming {
                Incoming::Message(_, message) => {
                    self.take_frames(slot, message);
                    Step::Frames
                }
                Incoming::Ping(payload) => {
                    self.answer_ping(slot, payload);
                    Step::Pong
                }
                Incoming::Pong => Step::Pong,
                Incoming::Close { code, said } => Step::Close(code, said),
            };
            match step {
                Step::Frames | Step::Pong if self.is_open(slot) => ControlFlow::Continue(()),
                Step::Frames | Step::Pong => ControlFlow::Break(()),
                Step::Close(code, said) => {
                    self.closed_by_peer(slot, code, said);
                    ControlFlow::Break(())
                }
            }
        })
    }

    fn is_open(&self, slot: u32) -> bool {
        self.connections.get(slot as usize).is_some_and(|connection| match connection.phase {
            Phase::Awaiting { .. } | Phase::Active(_) => true,
            Phase::Closing { .. } => false,
        })
    }

    /// Acts on every frame of a WebSocket message, in order.
    fn take_frames(&mut self, slot: u32, mut message: &[u8]) {
        let Some(connection) = self.connections.get(slot as usize) else { return };
        let codec = connection.codec;
        while let Some(frame) = decode_client_frame(codec, &mut message) {
            match frame {
                Ok(frame) => self.request(slot, frame),
                Err(error) => {
                    self.send_error(slot, error.id, error.body);
                    self.close_stranger(slot);
                }
            }
            if !self.is_open(slot) {
                return;
            }
            if self.is_flooded(slot) {
                return self.close(slot, CloseCode::Overloaded);
            }
        }
    }

    /// Whether the answers to one message are out of proportion.
    fn is_flooded(&self, slot: u32) -> bool {
        let bytes_max = self.env.settings.outbound_bytes.saturating_mul(ANSWERS_MAX);
        self.connections.get(slot as usize).is_some_and(|c| c.output.unsent() > bytes_max)
    }

    /// Answers a native ping (RFC 6455 §5.5.2), which debugging tools and proxies send.
    fn answer_ping(&mut self, slot: u32, payload: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        connection.output.push_own(|out| {
            write_header(Opcode::Pong, payload.len(), out);
            out.extend_from_slice(payload);
        });
        connection.queue_flush(slot, &mut self.unflushed);
    }

    /// Writes what a connection has queued; when there is room again, goes on with what was held
    /// back.
    pub(super) fn flush(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        connection.flush_queued = false;
        let before = connection.output.unsent();
        let flushed = connection.output.flush(&mut connection.stream);
        let written = before - connection.output.unsent();
        self.env.metrics.bytes_out.inc_by(written as u64);
        if written > 0 && connection.input_paused {
            // It takes bytes, so it lives: its pongs wait behind the input that is not read.
            connection.life.heard(self.now);
        }
        match flushed {
            Ok(flushed) => {
                if flushed == Flushed::All {
                    self.finish_if_closing(slot);
                }
                self.resume_if_room(slot);
            }
            Err(error) => {
                tracing::debug!(%error, "writing to a socket failed");
                self.remove(slot, Loss::WriteFailed);
            }
        }
    }

    /// Goes on writing where the socket took no more. What was queued since is for the turn's end.
    pub(super) fn flush_if_blocked(&mut self, slot: u32) {
        let Some(connection) = self.connections.get(slot as usize) else { return };
        // Any event says that a socket can be written to, which it nearly always can.
        if connection.output.is_blocked() || connection.stream.wants_write() {
            self.flush(slot);
        }
    }

    fn resume_if_room(&mut self, slot: u32) {
        let outbound_bytes = self.env.settings.outbound_bytes;
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if !connection.starved || !connection.has_room(outbound_bytes / 2) {
            return;
        }
        connection.starved = false;
        let paused = std::mem::take(&mut connection.input_paused);
        self.resume_subscriptions(slot);
        self.tell_what_was_missed(slot);
        if paused && let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.queue_read(slot, &mut self.unread);
        }
    }
}
