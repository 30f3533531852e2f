//! What is remembered of who was on a topic, and of who was said to be.

use std::collections::BTreeSet;

use tidings_core::Instant;

/// One client, under the name it comes back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientNumber(usize);

impl ClientNumber {
    /// The client with this number.
    pub const fn new(number: usize) -> Self {
        Self(number)
    }
}

/// How somebody leaves a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It was answered that it is gone.
    Answered,
    /// The connection broke, or ended without an answer.
    Broken,
}

/// One entry of the history. What a client does is entered before the server can hear of it, what
/// it is told after it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceRecord {
    /// A client is about to connect and subscribe.
    Entering {
        /// Who.
        client: ClientNumber,
        /// To which process of the server, counted up with each start.
        process: u64,
    },
    /// It was answered that it is subscribed.
    Here {
        /// Who.
        client: ClientNumber,
        /// By which process.
        process: u64,
    },
    /// It is about to leave, or noticed that its connection is gone.
    Leaving {
        /// Who.
        client: ClientNumber,
    },
    /// It has left.
    Left {
        /// Who.
        client: ClientNumber,
        /// How.
        farewell: Farewell,
        /// When.
        at: Instant,
    },
    /// Somebody is about to ask who is there.
    Asking {
        /// The number of the question.
        question: u64,
        /// When.
        at: Instant,
    },
    /// And was answered.
    Answered {
        /// The number of the question.
        question: u64,
        /// By which process.
        process: u64,
        /// Everybody on the list.
        listed: BTreeSet<ClientNumber>,
    },
    /// A process is about to be killed, or to be asked to stop.
    Ending {
        /// Which.
        process: u64,
    },
}
