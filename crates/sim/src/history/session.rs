//! What is remembered of sessions and connections.

use std::time::Duration;

use tidings_core::{Instant, Timestamp};

use super::Subscriber;

/// One session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionName(u64);

impl SessionName {
    /// The session with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionName(u64);

impl ConnectionName {
    /// The connection with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// One entry of the history that is about sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionRecord {
    /// What is configured.
    Rules {
        /// How long a session outlives its connection.
        expiry: Duration,
        /// Longest time between a moment with a connection and the save that counts from it.
        lag: Duration,
        /// How long a save may stay unsynced once it is told: a power cut takes it.
        unsynced: Duration,
    },
    /// The server gave a connection its session.
    Entered {
        /// Whose the connection is.
        subscriber: Subscriber,
        /// Which connection.
        connection: ConnectionName,
        /// The session its client showed.
        shown: Option<SessionName>,
        /// The session it has from now on.
        session: SessionName,
        /// Whether that is the one that was shown.
        resumed: bool,
        /// What the server's wall clock showed.
        wall: Timestamp,
        /// When.
        at: Instant,
    },
    /// The server refused a connection, because the session is another user's.
    Denied {
        /// Whose the connection is.
        subscriber: Subscriber,
        /// The session its client showed.
        shown: SessionName,
    },
    /// A client was told which session its connection has.
    Welcomed {
        /// Which connection.
        connection: ConnectionName,
        /// Its session.
        session: SessionName,
        /// Whether it was told that this is the one it had shown.
        resumed: bool,
    },
    /// A client was told that another connection has the session of this one, which is over.
    ToldTakenOver {
        /// Which connection.
        connection: ConnectionName,
    },
    /// A connection is over for its client.
    Left {
        /// Which connection.
        connection: ConnectionName,
        /// When.
        at: Instant,
    },
    /// A session is in the store: who looks finds it from now on.
    Stored {
        /// Which.
        session: SessionName,
        /// When it ends unless it is saved again.
        expires_at: Timestamp,
    },
    /// A session was told as saved.
    Kept {
        /// Which.
        session: SessionName,
        /// When it ends unless it is saved again.
        expires_at: Timestamp,
        /// When.
        at: Instant,
    },
    /// A session could not be saved: it may end early.
    Lags {
        /// Which.
        session: SessionName,
    },
    /// The sessions that the store held after a start, and at the end.
    Found {
        /// Each with its end.
        sessions: Vec<(SessionName, Timestamp)>,
        /// What the server's wall clock showed.
        wall: Timestamp,
    },
    /// Somebody set the server's wall clock.
    ClockSet {
        /// When.
        at: Instant,
        /// What it showed before: sessions that had ended by then may be forgotten.
        before: Timestamp,
    },
}
