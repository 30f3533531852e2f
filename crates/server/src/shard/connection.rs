//! One connection of a shard.

use std::sync::Arc;

use tidings_core::{
    Connection as Life, ConnectionSettings, Filter, Instant, Message, Offset, Principal, Priority,
    Session, Timestamp, Topic,
};
use tidings_protocol::{Codec, ServerBody, ServerFrame, encode_server_frame};

use super::output::Output;
use super::stream::{Hidden, Stream};
use super::subscription::{Kind, Lagging, Subscription, Subscriptions};
use crate::commit::{SharedMessage, append_frame, append_member_frame, append_message_frame};
use crate::env::Seat;
use crate::trace_log;
use crate::websocket::{Agreement, Assembler, Deflater};

/// What urgent messages may take beyond the bound of unsent bytes: one part of so many.
const URGENT_RESERVE: usize = 4;

/// A socket with what is known of its peer. Kept small: a server has many, most of them idle.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) generation: u32,
    pub(super) codec: Codec,
    /// How its messages may be compressed, if they may.
    pub(super) agreement: Option<Agreement>,
    /// Something was held back because there was no room to send it.
    pub(super) starved: bool,
    /// The output is in the shard's list of what to flush.
    pub(super) flush_queued: bool,
    /// The socket is in the shard's list of what to read.
    pub(super) read_queued: bool,
    /// When reads of the log that failed are tried again.
    pub(super) retry_reads_at: Option<Instant>,
    /// Input waits in the socket until there is room for its answers.
    pub(super) input_paused: bool,
    pub(super) stream: Stream,
    pub(super) life: Life,
    pub(super) assembler: Assembler,
    pub(super) output: Output,
    pub(super) phase: Phase,
    /// When the timer wheel will look at this connection.
    pub(super) armed: Option<Instant>,
    /// The last message fanned out to it, so that overlapping live subscriptions get it once.
    pub(super) last_fan_out: u64,
    _seat: Seat,
}

/// Where a connection is in its life, with what it has there.
#[derive(Debug)]
pub(super) enum Phase {
    /// Upgraded; the `connect` frame has not come.
    Awaiting { token: Option<Box<Hidden>> },
    /// Authenticated.
    Active(Box<Active>),
    /// A close frame was queued; the socket goes once it is written and answered, or by `due`.
    Closing { due: Instant, finished: bool },
}

/// What an authenticated connection has.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) principal: Arc<Principal>,
    pub(super) session: Arc<Session>,
    /// When it was authenticated.
    pub(super) since: Timestamp,
    pub(super) subscriptions: Subscriptions,
    pub(super) publishes_in_flight: u32,
    pub(super) history_in_flight: u8,
    /// Tokens shown by `refresh` that were refused.
    pub(super) refused_refreshes: u8,
}

impl Active {
    /// The places of this connection's filter subscriptions that lag in `topic`.
    pub(super) fn lagging(&mut self, topic: &Topic) -> impl Iterator<Item = &mut Lagging> {
        self.subscriptions.iter_mut().filter_map(|subscription| match &mut subscription.kind {
            Kind::LiveFilter(lagging) if lagging.topics.contains_key(topic) => Some(&mut **lagging),
            Kind::LiveFilter(_)
            | Kind::Live { .. }
            | Kind::Durable(_)
            | Kind::Waiting(_)
            | Kind::Shared(_) => None,
        })
    }

    /// The place in `topic` of the filter subscription that lags most in it.
    pub(super) fn filters_lag_from(&mut self, topic: &Topic) -> Option<Offset> {
        let places = self.lagging(topic).filter_map(|lagging| lagging.topics.get(topic));
        places.map(|place| place.cursor.next()).min()
    }

    /// `offset` of `topic` is delivered or another's to deliver: filter subscriptions that had
    /// everything before it are back at the tail.
    pub(super) fn filters_reach(&mut self, topic: &Topic, offset: Offset) {
        for lagging in self.lagging(topic) {
            if lagging.topics.get(topic).is_some_and(|place| place.cursor.next() == offset) {
                lagging.topics.remove(topic);
            }
        }
    }

    /// Whether a filter subscription gets the messages of `topic`.
    pub(super) fn has_filter_for(&self, topic: &Topic) -> bool {
        self.subscriptions.iter().any(|subscription| match &subscription.kind {
            Kind::LiveFilter(_) => subscription.sub.matches(topic),
            Kind::Live { .. } | Kind::Durable(_) | Kind::Waiting(_) | Kind::Shared(_) => false,
        })
    }

    pub(super) fn subscription(&mut self, sub: &Filter) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.sub == *sub)
    }
}

impl Connection {
    pub(super) fn new(
        generation: u32,
        stream: Stream,
        codec: Codec,
        token: Option<Hidden>,
        settings: &ConnectionSettings,
        now: Instant,
        seat: Seat,
    ) -> Self {
        Self {
            generation,
            codec,
            agreement: None,
            starved: false,
            flush_queued: false,
            read_queued: false,
            retry_reads_at: None,
            input_paused: false,
            stream,
            life: Life::accepted(settings, now),
            assembler: Assembler::default(),
            output: Output::default(),
            phase: Phase::Awaiting { token: token.map(Box::new) },
            armed: None,
            last_fan_out: 0,
            _seat: seat,
        }
    }

    pub(super) fn active(&mut self) -> Option<&mut Active> {
        match &mut self.phase {
            Phase::Active(active) => Some(active),
            Phase::Awaiting { .. } | Phase::Closing { .. } => None,
        }
    }

    pub(super) const fn as_active(&self) -> Option<&Active> {
        match &self.phase {
            Phase::Active(active) => Some(active),
            Phase::Awaiting { .. } | Phase::Closing { .. } => None,
        }
    }

    /// Whether the live subscription to `topic` wanted only what comes after `offset`.
    pub(super) fn begins_after(&mut self, topic: &Topic, offset: Offset) -> bool {
        let subscriptions = self.active().into_iter().flat_map(|active| &active.subscriptions);
        subscriptions.into_iter().any(|subscription| match &subscription.kind {
            Kind::Live { begins, .. } => subscription.sub.is(topic) && *begins > offset,
            Kind::LiveFilter(_) | Kind::Durable(_) | Kind::Waiting(_) | Kind::Shared(_) => false,
        })
    }

    /// Whether more may be queued, or must be fetched later from the log.
    pub(super) fn has_room(&self, outbound_bytes: usize) -> bool {
        self.output.unsent() < outbound_bytes
    }

    /// The same for a message: an urgent one finds room where others find none.
    pub(super) fn has_room_for(&self, priority: Priority, outbound_bytes: usize) -> bool {
        match priority {
            Priority::Urgent => self.has_room(outbound_bytes + outbound_bytes / URGENT_RESERVE),
            Priority::Normal | Priority::Bulk => self.has_room(outbound_bytes),
        }
    }

    /// Whether there is room for a message, after writing what waits if there was none: a large
    /// commit fills the output of a fast reader too. Returns also the bytes written.
    pub(super) fn room_for(&mut self, priority: Priority, outbound_bytes: usize) -> (bool, u64) {
        if self.has_room_for(priority, outbound_bytes) {
            return (true, 0);
        }
        if self.output.is_blocked() {
            return (false, 0);
        }
        let before = self.output.unsent();
        // A failure shows again at the flush that ends the turn.
        let _ = self.output.flush(&mut self.stream);
        let written = before - self.output.unsent();
        (self.has_room_for(priority, outbound_bytes), written as u64)
    }

    /// Queues the first delivery of a message that others get too, and that is therefore worth to be
    /// compressed. What is for this connection alone is not: that would cost time for each.
    pub(super) fn push_shared(
        &mut self,
        shared: &SharedMessage,
        priority: Priority,
        deflater: &mut Deflater,
    ) {
        if let Phase::Active(active) = &self.phase {
            trace_log::delivered(&shared.message, 1, &active.principal.user);
        }
        let frame = match self.agreement {
            None => shared.frame(self.codec),
            Some(agreement) => shared.deflated_frame(self.codec, agreement, deflater),
        };
        match priority {
            Priority::Urgent => self.output.push_urgent(frame.clone()),
            Priority::Normal | Priority::Bulk => self.output.push_shared(frame),
        }
    }

    /// Queues a delivery of a message for this connection alone.
    pub(super) fn push_message(&mut self, message: &Message, attempt: u32, priority: Priority) {
        if let Phase::Active(active) = &self.phase {
            trace_log::delivered(message, attempt, &active.principal.user);
        }
        let codec = self.codec;
        self.push_with(priority, |out| append_message_frame(codec, message, attempt, out));
    }

    /// Queues a delivery to this connection as a member of the group of `sub`.
    pub(super) fn push_to_member(
        &mut self,
        message: &Message,
        attempt: u32,
        sub: &Filter,
        priority: Priority,
    ) {
        let codec = self.codec;
        self.push_with(priority, |out| append_member_frame(codec, message, attempt, sub, out));
    }

    fn push_with(&mut self, priority: Priority, append: impl FnOnce(&mut Vec<u8>)) {
        match priority {
            Priority::Urgent => {
                let mut frame = Vec::new();
                append(&mut frame);
                self.output.push_urgent(frame.into());
            }
            Priority::Normal | Priority::Bulk => self.output.push_own(append),
        }
    }

    /// Queues a frame of this connection's own.
    pub(super) fn send(&mut self, frame: &ServerFrame) {
        if speaks_of_a_place(&frame.body) {
            self.output.let_nothing_overtake();
        }
        let codec = self.codec;
        self.output.push_own(|out| {
            append_frame(codec, out, |out| encode_server_frame(codec, frame, out));
        });
    }

    /// Has the rest of the input read in the next turn.
    pub(super) fn queue_read(&mut self, slot: u32, unread: &mut Vec<u32>) {
        if !std::mem::replace(&mut self.read_queued, true) {
            unread.push(slot);
        }
    }

    /// Has the output written at the end of the turn.
    pub(super) fn queue_flush(&mut self, slot: u32, unflushed: &mut Vec<u32>) {
        if !std::mem::replace(&mut self.flush_queued, true) {
            unflushed.push(slot);
        }
    }
}

/// Whether a frame says where a subscription stands: messages that were sent later come later.
const fn speaks_of_a_place(body: &ServerBody) -> bool {
    matches!(
        body,
        ServerBody::Subscribed(_) | ServerBody::Unsubscribed { .. } | ServerBody::Reset(_)
    )
}
