//! Cursors and sessions in memory.

use std::collections::BTreeMap;

use tidings_core::{CursorState, Durability, DurableKey, NewMessage, Session, SessionId};

use crate::store::Write;

/// One change to cursors and sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A cursor was saved.
    SaveCursor(DurableKey, CursorState),
    /// A cursor was forgotten.
    DeleteCursor(DurableKey),
    /// A session was saved.
    SaveSession(Session),
    /// A session was forgotten.
    DeleteSession(SessionId),
}

/// A write, as the stores see it: a message, or a change.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// Append a message.
    Publish(NewMessage, Durability),
    /// Change a cursor or session.
    Change(Change),
}

impl From<Write> for Request {
    fn from(write: Write) -> Self {
        match write {
            Write::Publish { message, durability } => Self::Publish(message, durability),
            Write::SaveCursor { key, state } => Self::Change(Change::SaveCursor(key, state)),
            Write::DeleteCursor { key } => Self::Change(Change::DeleteCursor(key)),
            Write::SaveSession(session) => Self::Change(Change::SaveSession(session)),
            Write::DeleteSession(id) => Self::Change(Change::DeleteSession(id)),
        }
    }
}

/// The newest state of every cursor and session. Sorted, because clients choose the keys and
/// checkpoints must not depend on a hash's order.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    pub(crate) cursors: BTreeMap<DurableKey, CursorState>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
}

impl Keep {
    /// Makes one change.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::SaveCursor(key, state) => {
                self.cursors.insert(key, state);
            }
            Change::DeleteCursor(key) => {
                self.cursors.remove(&key);
            }
            Change::SaveSession(session) => {
                self.sessions.insert(session.id.clone(), session);
            }
            Change::DeleteSession(id) => {
                self.sessions.remove(&id);
            }
        }
    }
}
