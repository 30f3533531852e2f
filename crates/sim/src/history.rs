//! What is remembered of a run, from the outside: what clients did and were told, and what the
//! log was found to hold. The [`checker`](crate::checker) judges nothing else.

pub mod groups;
pub mod presence;
pub mod schedule;
mod session;

use std::time::Duration;

use tidings_core::{
    CursorState, Epoch, Instant, Offset, Position, ResetReason, Timestamp, TopicState,
};

pub use session::{ConnectionName, SessionName, SessionRecord};

/// One message as its publisher means it, however often it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(u64);

impl Name {
    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The message with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// Who gets messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subscriber {
    /// A live subscription: the client remembers its position.
    Live(usize),
    /// A durable one: the server remembers it.
    Durable(usize),
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A publisher began to publish a message.
    Published {
        /// Which.
        name: Name,
        /// Whether it is published until it is acknowledged.
        keyed: bool,
    },
    /// A message that is about to be published is worth delivering only for so long.
    Perishes {
        /// Which.
        name: Name,
        /// For how long.
        ttl: Duration,
    },
    /// The server spared a durable subscriber a message that it says has expired.
    Spared {
        /// Whom.
        subscriber: Subscriber,
        /// Where the message stands.
        position: Position,
        /// When it was published, by the server's wall clock.
        published_at: Timestamp,
        /// What that clock showed when it was spared.
        wall: Timestamp,
    },
    /// A publisher was told that its message is in the log.
    Acknowledged {
        /// Which.
        name: Name,
        /// Where it stands.
        position: Position,
    },
    /// What the log held after a start, and at the end.
    LogFound {
        /// Its epoch and bounds.
        state: TopicState,
        /// Every message in it.
        messages: Vec<(Offset, Name)>,
    },
    /// Retention trimmed everything before `first`.
    Trimmed {
        /// The first offset kept.
        first: Offset,
    },
    /// The log was lost, which ends every promise about it; another one took its place.
    LogLost,
    /// The server answered a subscription.
    Subscribed {
        /// Whose.
        subscriber: Subscriber,
        /// What it goes on from: the position the client showed, or the one before the saved
        /// cursor; `None` for a new subscription.
        after: Option<Position>,
        /// Whether it was told that nothing is missing.
        recovered: bool,
        /// The life of the log it reads.
        epoch: Epoch,
        /// The first offset it will get.
        next: Offset,
    },
    /// A live client heard that its subscription goes on at `next` and nothing is missing.
    Joined {
        /// Whose.
        subscriber: Subscriber,
        /// The life of the log it reads.
        epoch: Epoch,
        /// The first offset it will get.
        next: Offset,
    },
    /// A live client heard that messages are missing and that it goes on at `next`.
    ToldOfGap {
        /// Whose.
        subscriber: Subscriber,
        /// The life of the log it reads.
        epoch: Epoch,
        /// The first offset it will get.
        next: Offset,
    },
    /// A live client heard why messages are missing.
    ToldWhy {
        /// Whose.
        subscriber: Subscriber,
        /// The last position it had, which is what it showed.
        held: Position,
        /// The life of the log it reads from now on.
        epoch: Epoch,
        /// What it was told.
        reason: ResetReason,
    },
    /// What happened to a session.
    Session(SessionRecord),
    /// A client got a message.
    Delivered {
        /// Which client.
        subscriber: Subscriber,
        /// Where the message stands.
        position: Position,
        /// Which message.
        name: Name,
        /// Which delivery of it the frame said it was.
        attempt: u32,
    },
    /// A durable client is done with a message and says so; the server may or may not hear it.
    Acked {
        /// Which client.
        subscriber: Subscriber,
        /// Where the message stands.
        position: Position,
    },
    /// The dead letter of a durable subscription's message became durable.
    DeadLettered {
        /// Whose.
        subscriber: Subscriber,
        /// Where the message stands.
        position: Position,
    },
    /// The cursor of a durable subscription became durable.
    CursorSaved {
        /// Whose.
        subscriber: Subscriber,
        /// What was saved.
        state: CursorState,
    },
    /// A durable client has its subscription from a process of the server.
    Connected {
        /// Which client.
        subscriber: Subscriber,
        /// Which process, counted up with each start.
        process: u64,
    },
    /// A durable client was answered that its ack counts.
    Settled {
        /// Which client.
        subscriber: Subscriber,
        /// Where the message stands.
        position: Position,
        /// When it got the answer.
        at: Instant,
    },
    /// A cursor could not be saved, or a connection's last one was not: it lags.
    CursorLags {
        /// Whose.
        subscriber: Subscriber,
    },
    /// The power went: what this process and those before it had written and not synced may be
    /// gone.
    PowerLost {
        /// The last process that wrote.
        process: u64,
    },
    /// The store cannot be opened.
    NotOpened {
        /// What it says.
        why: String,
    },
    /// The store says that its log is damaged.
    Damaged {
        /// What it says.
        what: String,
    },
    /// An operator asked that a dead letter be removed.
    PurgeAsked {
        /// Whose message it is.
        subscriber: Subscriber,
        /// Where the message stands.
        position: Position,
    },
    /// A dead letter was removed for good.
    Purged {
        /// The dead letter's own place.
        place: Offset,
    },
    /// The dead letters there were after a start, and at the end.
    LettersFound {
        /// The place of each, whose message it is, and where that stands.
        letters: Vec<(Offset, Subscriber, Position)>,
    },
    /// The server was killed.
    Killed {
        /// Which process.
        process: u64,
        /// When.
        at: Instant,
    },
}
