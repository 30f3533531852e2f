//! What can happen in the world, and when.

use std::collections::BTreeMap;

use tidings_core::{Epoch, Instant, Offset, Position, ResetReason};

use crate::history::{Name, SessionName, Subscriber};

/// One life of the server's process. What was on its way to an earlier one is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Process(pub(super) u64);

/// One connection of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

/// Which try of which message a publisher waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) publisher: usize,
    pub(super) name: Name,
    pub(super) number: u32,
}

/// What a publisher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublishAnswer {
    Published(Position),
    Refused,
}

/// A frame from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The subscription goes on at `next`, and nothing is missing.
    Subscribed {
        epoch: Epoch,
        next: Offset,
    },
    /// The subscription goes on at `next`; what comes before is gone.
    Reset {
        epoch: Epoch,
        next: Offset,
        reason: ResetReason,
    },
    Message {
        position: Position,
        name: Name,
        attempt: u32,
    },
    /// An ack counts.
    Settled {
        position: Position,
    },
}

/// A frame from a durable subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Ack(Offset),
    AckThrough(Offset),
    Nack(Offset),
    Refuse(Offset),
}

/// Messages read from the log, and where the next read goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) first_kept: Offset,
    pub(super) messages: Vec<(Offset, Name)>,
    pub(super) next: Offset,
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    PublisherActs {
        publisher: usize,
    },
    PublishArrives {
        request: Try,
        process: Process,
    },
    PublishAnswered {
        request: Try,
        answer: PublishAnswer,
    },
    PublishTimesOut {
        request: Try,
    },
    StoreSteps {
        process: Process,
    },
    /// The news of a message comes to those who hold connections, a little after it can be read.
    Heard {
        head_before: Offset,
        offset: Offset,
        name: Name,
        process: Process,
    },
    LiveConnects {
        client: usize,
    },
    LiveSubscribes {
        client: usize,
        connection: ConnectionId,
        process: Process,
    },
    LiveReads {
        client: usize,
        connection: ConnectionId,
    },
    LiveRead {
        client: usize,
        connection: ConnectionId,
        batch: Batch,
    },
    LiveFrame {
        client: usize,
        connection: ConnectionId,
        frame: Frame,
    },
    DurableConnects {
        client: usize,
    },
    DurableSubscribes {
        client: usize,
        connection: ConnectionId,
        process: Process,
    },
    /// A client that has heard nothing of its subscription tries again.
    DurableGivesUp {
        client: usize,
        connection: ConnectionId,
    },
    DurableFrame {
        client: usize,
        connection: ConnectionId,
        frame: Frame,
    },
    DurableDecides {
        client: usize,
        connection: ConnectionId,
        offset: Offset,
    },
    DurableReplies {
        client: usize,
        connection: ConnectionId,
        reply: Reply,
    },
    DurableDeadline {
        client: usize,
        connection: ConnectionId,
    },
    /// A cursor that could not be saved is saved again.
    DurableSaves {
        client: usize,
        connection: ConnectionId,
    },
    /// What nobody waits for has waited long enough.
    StoreSyncs {
        process: Process,
    },
    /// A second tab of a client's device connects, with the session of the first.
    TabConnects {
        subscriber: Subscriber,
        connection: ConnectionId,
        process: Process,
    },
    /// A client hears which session its connection has.
    Welcomed {
        subscriber: Subscriber,
        connection: ConnectionId,
        session: SessionName,
        resumed: bool,
    },
    /// A client hears that another connection has its session.
    ToldTakenOver {
        subscriber: Subscriber,
        connection: ConnectionId,
    },
    /// The server looks whether a connection's session is to be saved again.
    SessionLooked {
        connection: ConnectionId,
        process: Process,
    },
    Trouble,
    SpaceFreed,
    Crash {
        process: Process,
    },
    Restart {
        lost: bool,
    },
}

/// Events by time; those of one moment in the order they were added.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    events: BTreeMap<(Instant, u64), Event>,
    added: u64,
}

impl EventQueue {
    pub(super) fn add(&mut self, at: Instant, event: Event) {
        self.added += 1;
        self.events.insert((at, self.added), event);
    }

    pub(super) fn next(&mut self) -> Option<(Instant, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
