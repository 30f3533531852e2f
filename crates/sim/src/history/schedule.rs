//! What is remembered of messages for later. All times are of the server's wall clock, which the
//! clients share with it.

use tidings_core::Timestamp;

use super::Name;

/// One entry of the history. What a client does is entered before the server can hear of it, what
/// it is told after it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleRecord {
    /// A process of the server is ready.
    Ready {
        /// When that was seen.
        at: Timestamp,
    },
    /// It is about to be killed, or to be asked to stop.
    Ending {
        /// When.
        at: Timestamp,
    },
    /// A message is about to be published for later.
    Scheduling {
        /// Which.
        name: Name,
        /// When it is due.
        due: Timestamp,
    },
    /// The publisher was told that the message is kept for later.
    Kept {
        /// Which.
        name: Name,
        /// When.
        at: Timestamp,
    },
    /// Somebody is about to ask that it not be published.
    Cancelling {
        /// Which.
        name: Name,
    },
    /// And was told that it will not be.
    Cancelled {
        /// Which.
        name: Name,
    },
    /// A subscriber got it.
    Seen {
        /// Which.
        name: Name,
        /// When.
        at: Timestamp,
    },
    /// It is in the log at the end, once for each such entry.
    Found {
        /// Which.
        name: Name,
        /// When the log says it was published.
        at: Timestamp,
    },
}
