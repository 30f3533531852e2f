//! What a delivery window wants done, and what it says of answers.

#[cfg(doc)]
use super::DeliveryWindow;
use crate::position::Offset;

/// Why a message was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GiveUp {
    /// The last attempt was not acked in time.
    TimedOut,
    /// The last attempt ended with the connection it was made on, or with the process.
    ConnectionEnded,
    /// The last attempt was nacked.
    Nacked,
    /// The subscriber asked for it.
    Asked,
}

/// Something for the caller to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEffect {
    /// Read the message and send it. If the log no longer has it, say so with
    /// [`DeliveryWindow::missing`].
    Send {
        /// Which message.
        offset: Offset,
        /// Which delivery of it, from 1; at least 2 if an earlier process may have sent it.
        attempt: u32,
    },
    /// Append the message to the dead letters, then report with
    /// [`DeliveryWindow::dead_lettered`] or [`DeliveryWindow::dead_letter_failed`].
    DeadLetter {
        /// Which message.
        offset: Offset,
        /// How often it was delivered in vain.
        attempts: u32,
        /// Why no more.
        reason: GiveUp,
    },
    /// [`DeliveryWindow::state`] has changed in a way worth saving. May be carried out late:
    /// a saved cursor may lag, never lead.
    SaveCursor,
    /// Save [`DeliveryWindow::state`] at once, and again until it is durable: without it, soon
    /// nothing new is sent. Tell [`DeliveryWindow::saved`], as of every save.
    Reserve,
}

/// What an ack or nack did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleOutcome {
    /// It counted.
    Done,
    /// The message is settled already, or was never sent on this subscription: nothing to do.
    Stale,
}

/// Where a message is between its delivery and being settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its delivery waits for an answer.
    AwaitingAck,
    /// It is not with the subscriber, and will be sent later.
    Waiting,
    /// It is on its way to the dead letters.
    GivenUp(GiveUp),
}
