//! Live subscriptions: the client remembers its position, the server holds a [`LiveCursor`] and
//! no queue. A socket takes few frames at a time; who is behind reads the log.

use std::time::Duration;

use tidings_core::{
    Epoch, LiveCursor, LiveStep, Offset, Position, Recovery, ResetReason, TopicState, recover,
};

use super::World;
use super::event::{Batch, ConnectionId, Event, Frame, Process};
use super::link::Link;
use crate::history::{Name, Record, Subscriber};
use crate::mutation::Mutation;
use crate::sometimes::Sometimes;

/// Frames on their way to a client before its socket counts as full.
const SOCKET_FRAMES_MAX: usize = 3;

#[derive(Debug, Default)]
pub(super) struct LiveClient {
    pub(super) connection: Option<ConnectionId>,
    position: Option<Position>,
}

/// The server's side of a connection.
#[derive(Debug)]
pub(super) struct LiveConnection {
    connection: ConnectionId,
    epoch: Epoch,
    cursor: LiveCursor,
    reading: bool,
    reads: u32,
    on_wire: usize,
    link: Link,
}

impl World {
    pub(super) fn live_connects(&mut self, client: usize) {
        if self.live[client].connection.is_some() {
            return;
        }
        if !self.server.up {
            return self.comes_back(Event::LiveConnects { client });
        }
        let (connection, process) = (self.new_connection(), self.server.process);
        self.live[client].connection = Some(connection);
        let latency = self.latency();
        self.after(latency, Event::LiveSubscribes { client, connection, process });
    }

    /// The server hears the subscription.
    pub(super) fn live_subscribes(
        &mut self,
        client: usize,
        connection: ConnectionId,
        process: Process,
    ) {
        if self.server.process != process || !self.server.up {
            return;
        }
        if !self.enters(Subscriber::Live(client), connection) {
            return;
        }
        let state = self.store.told().state;
        let after = self.live[client].position;
        let recovery = match after {
            Some(after) => self.recover_as_mutated(after, state),
            None => Recovery::Recovered { next: state.head.next() },
        };
        let (epoch, next) = (state.epoch, recovery.next());
        let at_tail = self.is(Mutation::JoinsTailAtOnce);
        let cursor = LiveCursor::new(if at_tail { state.head.next() } else { next });
        let link = Link::default();
        let opened = LiveConnection {
            connection,
            epoch,
            cursor,
            reading: false,
            reads: 0,
            on_wire: 0,
            link,
        };
        let older = self.server.live.insert(client, opened);
        if let Some(older) = older {
            self.coverage.met(Sometimes::TakenOver);
            self.leaves_session(older.connection);
            // Frames of two connections have no order: the one that is closed may be the newer.
            if self.live[client].connection == Some(older.connection) {
                self.live_drops(client);
            }
        }
        let subscriber = Subscriber::Live(client);
        let recovered = matches!(recovery, Recovery::Recovered { .. });
        self.record(Record::Subscribed { subscriber, after, recovered, epoch, next });
        self.live_sends(
            client,
            match recovery {
                Recovery::Recovered { next } => Frame::Subscribed { epoch, next },
                Recovery::Reset { reason, next } => {
                    Frame::Reset { epoch, next, reason: self.reason_as_mutated(reason) }
                }
            },
        );
        self.live_reads_if_behind(client);
    }

    /// What a client that shows a position is told.
    pub(super) fn recover_as_mutated(&mut self, after: Position, state: TopicState) -> Recovery {
        let same_epoch = self.is(Mutation::ResumeIgnoresEpoch);
        let epoch = if same_epoch { state.epoch } else { after.epoch };
        let recovery = recover(Position { epoch, ..after }, state);
        self.coverage.met(match recovery {
            Recovery::Recovered { .. } => Sometimes::Recovered,
            Recovery::Reset { reason: ResetReason::Trimmed, .. } => Sometimes::ResetByTrim,
            Recovery::Reset {
                reason:
                    ResetReason::EpochChanged
                    | ResetReason::AheadOfHead
                    | ResetReason::Skipped
                    | ResetReason::Damaged,
                ..
            } => Sometimes::ResetByEpoch,
        });
        let trimmed = ResetReason::Trimmed;
        match recovery {
            Recovery::Recovered { next } if self.is(Mutation::ResumeAlwaysResets) => {
                Recovery::Reset { reason: trimmed, next }
            }
            Recovery::Reset { reason, next }
                if self.is(Mutation::ResumeIgnoresTrim) && reason == trimmed =>
            {
                Recovery::Recovered { next }
            }
            Recovery::Recovered { .. } | Recovery::Reset { .. } => recovery,
        }
    }

    /// Everybody hears of a message, appended to a log whose head was `head_before`.
    pub(super) fn fan_out(&mut self, head_before: Offset, offset: Offset, name: Name) {
        let clients: Vec<_> = self.server.live.keys().copied().collect();
        for client in clients {
            self.live_hears(client, head_before, offset, name);
        }
    }

    fn live_hears(&mut self, client: usize, head_before: Offset, offset: Offset, name: Name) {
        let drops = self.is(Mutation::DropsWhenSocketFull);
        let leaps = self.is(Mutation::DeliversWhileBehind);
        let Some(live) = self.server.live.get_mut(&client) else { return };
        if live.on_wire >= SOCKET_FRAMES_MAX {
            // The cursor stays: the message is read from the log once the socket has room.
            self.coverage.met(Sometimes::SocketFull);
            if drops {
                live.cursor.advance_to(offset.next());
            }
            return;
        }
        let frame =
            Frame::Message { position: Position { epoch: live.epoch, offset }, name, attempt: 1 };
        match live.cursor.appended(head_before, offset) {
            LiveStep::Deliver => {
                self.coverage.met(Sometimes::DeliveredAtTail);
                self.live_sends(client, frame);
            }
            LiveStep::Skip => self.coverage.met(Sometimes::Skipped),
            LiveStep::Behind => {
                self.coverage.met(Sometimes::FoundBehind);
                if leaps {
                    live.cursor.advance_to(offset.next());
                    self.live_sends(client, frame);
                }
                self.live_reads_if_behind(client);
            }
        }
    }

    fn live_sends(&mut self, client: usize, frame: Frame) {
        let Some(live) = self.server.live.get_mut(&client) else { return };
        live.on_wire += 1;
        let connection = live.connection;
        let at = live.link.arrival(self.now, self.random.between(1, self.plan.latency_max));
        self.queue.add(at, Event::LiveFrame { client, connection, frame });
    }

    /// A frame reaches the client, if it still has that connection.
    pub(super) fn live_frame(&mut self, client: usize, connection: ConnectionId, frame: Frame) {
        if self.live[client].connection != Some(connection) {
            return;
        }
        let subscriber = Subscriber::Live(client);
        let (position, record) = match frame {
            Frame::Subscribed { epoch, next } => {
                (before(epoch, next), Record::Joined { subscriber, epoch, next })
            }
            Frame::Reset { epoch, next, reason } => {
                if let Some(held) = self.live[client].position {
                    self.record(Record::ToldWhy { subscriber, held, epoch, reason });
                }
                (before(epoch, next), Record::ToldOfGap { subscriber, epoch, next })
            }
            Frame::Message { position, name, attempt } => {
                (position, Record::Delivered { subscriber, position, name, attempt })
            }
            Frame::Settled { .. } => return,
        };
        self.live[client].position = Some(position);
        self.record(record);
        if let Some(live) = self.live_connection(client, connection) {
            live.on_wire -= 1;
            self.live_reads_if_behind(client);
        }
    }

    fn live_reads_if_behind(&mut self, client: usize) {
        // Behind what was heard of, not behind what can be read: what is still to be heard of is
        // delivered then, and a read would deliver it too.
        let ahead = self.is(Mutation::ReadsAheadOfNews);
        let head = if ahead { self.store.told().state.head } else { self.server.heard };
        let Some(live) = self.server.live.get_mut(&client) else { return };
        if live.reading || live.on_wire >= SOCKET_FRAMES_MAX {
            return;
        }
        if live.cursor.is_at_tail(head) {
            live.reads = 0;
            return;
        }
        live.reading = true;
        live.reads += 1;
        self.coverage.met_if(live.reads > 2, Sometimes::CaughtUpInSteps);
        let connection = live.connection;
        let latency = self.latency();
        self.after(latency, Event::LiveReads { client, connection });
    }

    /// The log is read: what it holds now arrives later.
    pub(super) fn live_reads(&mut self, client: usize, connection: ConnectionId) {
        let Some(from) = self.live_connection(client, connection).map(|live| live.cursor.next())
        else {
            return;
        };
        let batch = self.store.read(from);
        let latency = Duration::from_millis(self.random.between(0, 20));
        self.after(latency, Event::LiveRead { client, connection, batch });
    }

    pub(super) fn live_read(&mut self, client: usize, connection: ConnectionId, batch: Batch) {
        let Some(live) = self.live_connection(client, connection) else { return };
        live.reading = false;
        let (epoch, from) = (live.epoch, live.cursor.next());
        if batch.first_kept > from {
            self.coverage.met(Sometimes::TrimOvertookReader);
            if !self.is(Mutation::SkipsTrimSilently) {
                let (next, reason) = (batch.first_kept, ResetReason::Trimmed);
                self.live_sends(client, Frame::Reset { epoch, next, reason });
            }
        }
        let more = self.is(Mutation::ReadSkipsOne) && !batch.messages.is_empty();
        for (offset, name) in batch.messages {
            self.live_sends(
                client,
                Frame::Message { position: Position { epoch, offset }, name, attempt: 1 },
            );
        }
        if let Some(live) = self.live_connection(client, connection) {
            live.cursor.advance_to(batch.next.plus(u64::from(more)));
        }
        self.live_reads_if_behind(client);
    }

    fn live_connection(
        &mut self,
        client: usize,
        connection: ConnectionId,
    ) -> Option<&mut LiveConnection> {
        self.server.live.get_mut(&client).filter(|live| live.connection == connection)
    }

    /// The server lets go of the subscription of a connection that ends.
    pub(super) fn live_detaches(&mut self, client: usize, connection: ConnectionId) {
        if self.live_connection(client, connection).is_some() {
            self.server.live.remove(&client);
        }
    }

    /// The client's connection ends; the server may not notice.
    pub(super) fn live_drops(&mut self, client: usize) {
        let Some(connection) = self.live[client].connection.take() else { return };
        self.client_left(connection);
        if self.live_connection(client, connection).is_some() {
            if self.random.chance(50) {
                self.leaves_session(connection);
                self.server.live.remove(&client);
            } else {
                self.coverage.met(Sometimes::HalfOpen);
            }
        }
        self.comes_back(Event::LiveConnects { client });
    }
}

/// The position of a client that wants `next` first.
const fn before(epoch: Epoch, next: Offset) -> Position {
    Position { epoch, offset: next.previous() }
}
