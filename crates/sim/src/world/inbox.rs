//! Durable subscribers, the client's side: they take their time, answer one way or another, and
//! lose their connections.

use std::collections::BTreeSet;
use std::time::Duration;

use tidings_core::{Epoch, Offset, Position};

use super::World;
use super::event::{ConnectionId, Event, Frame, Reply};
use super::link::Link;
use crate::history::{Record, Subscriber};

#[derive(Debug, Default)]
pub(super) struct DurableClient {
    pub(super) connection: Option<ConnectionId>,
    epoch: Option<Epoch>,
    link: Link,
    /// Got on this connection and not done with.
    open: BTreeSet<Offset>,
    /// The last message got on this connection.
    last: Offset,
    /// Where the server's window had got to at most.
    pub(super) furthest: Option<(Epoch, Offset)>,
}

impl World {
    pub(super) fn durable_connects(&mut self, client: usize) {
        if self.durable[client].connection.is_some() {
            return;
        }
        if !self.server.up {
            return self.comes_back(Event::DurableConnects { client });
        }
        let (connection, process) = (self.new_connection(), self.server.process);
        let durable = &mut self.durable[client];
        *durable = DurableClient {
            connection: Some(connection),
            furthest: durable.furthest,
            ..DurableClient::default()
        };
        let latency = self.latency();
        self.after(latency, Event::DurableSubscribes { client, connection, process });
        let patience = Duration::from_millis(self.random.between(50, 600));
        self.after(patience, Event::DurableGivesUp { client, connection });
    }

    /// No answer came in time. (At the end, answers may take as long as they do.)
    pub(super) fn durable_gives_up(&mut self, client: usize, connection: ConnectionId) {
        let durable = &self.durable[client];
        let waits = durable.connection == Some(connection) && durable.epoch.is_none();
        if waits && self.chaos() {
            self.durable_drops(client);
        }
    }

    /// A frame reaches the client, if it still has that connection.
    pub(super) fn durable_frame(&mut self, client: usize, connection: ConnectionId, frame: Frame) {
        if self.durable[client].connection != Some(connection) {
            return;
        }
        match frame {
            Frame::Subscribed { epoch, .. } | Frame::Reset { epoch, .. } => {
                self.durable[client].epoch = Some(epoch);
            }
            Frame::Settled { position } => {
                let (subscriber, at) = (Subscriber::Durable(client), self.now);
                self.record(Record::Settled { subscriber, position, at });
            }
            Frame::Message { position, name, attempt } => {
                let subscriber = Subscriber::Durable(client);
                self.record(Record::Delivered { subscriber, position, name, attempt });
                let durable = &mut self.durable[client];
                durable.open.insert(position.offset);
                durable.last = durable.last.max(position.offset);
                let work = Duration::from_millis(self.random.between(0, 60));
                let offset = position.offset;
                self.after(work, Event::DurableDecides { client, connection, offset });
            }
        }
    }

    /// The client is done with a message, or is not.
    pub(super) fn durable_decides(
        &mut self,
        client: usize,
        connection: ConnectionId,
        offset: Offset,
    ) {
        if self.durable[client].connection != Some(connection) {
            return;
        }
        let chaos = self.chaos() && self.plan.hesitates;
        let reply = match self.random.below(100) {
            0..10 if chaos => Reply::Nack(offset),
            10..14 if chaos => Reply::Refuse(offset),
            14..30 if chaos => return,
            30..50 => {
                self.done_with(client, offset);
                let durable = &self.durable[client];
                // Through the last one before anything it is not done with.
                let through = durable.open.first().map_or(durable.last, |open| open.previous());
                Reply::AckThrough(through)
            }
            _ => {
                self.done_with(client, offset);
                Reply::Ack(offset)
            }
        };
        let latency = self.random.between(1, self.plan.latency_max);
        let at = self.durable[client].link.arrival(self.now, latency);
        self.queue.add(at, Event::DurableReplies { client, connection, reply });
    }

    fn done_with(&mut self, client: usize, offset: Offset) {
        let durable = &mut self.durable[client];
        durable.open.remove(&offset);
        let epoch = durable.epoch.expect("a message comes after the answer to the subscription");
        let position = Position { epoch, offset };
        self.record(Record::Acked { subscriber: Subscriber::Durable(client), position });
    }

    /// The client's connection ends.
    pub(super) fn durable_drops(&mut self, client: usize) {
        let Some(connection) = self.durable[client].connection.take() else { return };
        self.client_left(connection);
        self.durable_closed(client, connection);
        self.comes_back(Event::DurableConnects { client });
    }
}
