//! Cursors and sessions in memory.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{
    CursorKey, CursorState, Durability, MessageId, NewMessage, Offset, Session, SessionId,
    Timestamp, Topic, UserId,
};

use crate::store::{CursorsOf, Write};

mod cursors;
mod sessions;
mod sweep;

pub(crate) use cursors::Cursors;
pub(crate) use sessions::Sessions;
pub(crate) use sweep::Sweep;

/// After how long a cursor is forgotten that is not saved again, by default: longer than people
/// are away, shorter than names that nobody uses any more pile up.
pub(crate) const CURSOR_EXPIRY_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A cursor, and when it was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedCursor {
    pub(crate) state: CursorState,
    pub(crate) saved_at: Timestamp,
}

/// One change to cursors and sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A cursor was saved.
    SaveCursor(CursorKey, SavedCursor),
    /// A cursor was forgotten.
    DeleteCursor(CursorKey),
    /// A session was saved.
    SaveSession(Arc<Session>),
    /// A session was forgotten.
    DeleteSession(SessionId),
    /// A cursor is forgotten unless it was saved after this time. Between finding it and
    /// forgetting it, its owner may have come back.
    ForgetCursor(CursorKey, Timestamp),
    /// A session is forgotten unless it expires after this time; as above.
    ForgetSession(SessionId, Timestamp),
}

/// A message to be appended.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) content: NewMessage,
    pub(crate) durability: Durability,
    /// The id it keeps, if it has one.
    pub(crate) id: Option<MessageId>,
}

/// A write, as the stores see it: about a message, or a change.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// Append a message.
    Publish(Publication),
    /// Remove a message.
    Remove(Topic, Offset),
    /// Change a cursor or session.
    Change(Change),
}

impl Request {
    /// A write that was submitted `now`.
    pub(crate) fn new(write: Write, now: Timestamp) -> Self {
        match write {
            Write::Publish { message: content, durability, id } => {
                Self::Publish(Publication { content, durability, id })
            }
            Write::Remove { topic, offset } => Self::Remove(topic, offset),
            Write::SaveCursor { key, state } => {
                Self::Change(Change::SaveCursor(key, SavedCursor { state, saved_at: now }))
            }
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
    pub(crate) cursors: Cursors,
    pub(crate) sessions: Sessions,
}

impl Keep {
    /// Where a cursor stands.
    pub(crate) fn cursor(&self, key: &CursorKey) -> Option<CursorState> {
        self.cursors.get(key).map(|saved| saved.state)
    }

    /// How many cursors a user has, counted up to `limit`.
    pub(crate) fn count_cursors(&self, user: &UserId, limit: usize) -> usize {
        self.cursors.count(&CursorsOf::User(user.clone()), limit)
    }

    /// Users who have a cursor or a session, by name.
    pub(crate) fn users(&self, from: Bound<&UserId>, limit: usize) -> Vec<UserId> {
        let mut users: Vec<UserId> = Vec::new();
        while users.len() < limit {
            let from = users.last().map_or(from, Bound::Excluded);
            let next = [self.cursors.next_user(from), self.sessions.next_user(from)];
            let Some(user) = next.into_iter().flatten().min() else { break };
            users.push(user);
        }
        users
    }

    /// Makes one change.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::SaveCursor(key, saved) => {
                self.cursors.insert(&key, saved);
            }
            Change::DeleteCursor(key) => {
                self.cursors.remove(&key);
            }
            Change::SaveSession(session) => self.sessions.save(session),
            Change::DeleteSession(id) => self.sessions.delete(&id),
            Change::ForgetCursor(key, until) => {
                if self.cursors.saved_at(&key).is_some_and(|saved_at| saved_at <= until) {
                    self.cursors.remove(&key);
                }
            }
            Change::ForgetSession(id, until) => {
                if self.sessions.get(&id).is_some_and(|session| session.expires_at <= until) {
                    self.sessions.delete(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{DurableKey, Epoch};

    use super::*;

    fn key(user: &str, name: &str, topic: &str) -> CursorKey {
        CursorKey::Durable(DurableKey {
            user: user.parse().unwrap(),
            name: name.parse().unwrap(),
            topic: topic.parse().unwrap(),
        })
    }

    fn save(key: CursorKey, saved_at: u64) -> Change {
        let state = CursorState::at(Epoch::new(1), Offset::FIRST);
        Change::SaveCursor(key, SavedCursor { state, saved_at: Timestamp::from_ms(saved_at) })
    }

    fn session(expires_at: u64) -> Session {
        Session {
            id: "s".parse().unwrap(),
            user: "alice".parse().unwrap(),
            client: "phone".parse().unwrap(),
            expires_at: Timestamp::from_ms(expires_at),
        }
    }

    #[test]
    fn only_the_users_own_cursors_are_counted_and_no_more_than_asked() {
        let mut keep = Keep::default();
        for user in ["alic", "alice", "alice ", "alicf"] {
            for (name, topic) in [(" ", " "), ("phone", "a"), ("phone", "b"), ("\u{10ffff}", "a")] {
                keep.apply(save(key(user, name, topic), 0));
            }
        }
        let count = |user: &str, limit| keep.count_cursors(&user.parse().unwrap(), limit);
        assert_eq!(count("alice", usize::MAX), 4);
        assert_eq!(count("alice", 3), 3);
        assert_eq!(count("bob", usize::MAX), 0);
    }

    #[test]
    fn what_was_saved_again_is_not_forgotten() {
        let (mut keep, key) = (Keep::default(), key("alice", "phone", "a"));
        let time = Timestamp::from_ms;
        keep.apply(save(key.clone(), 10));
        keep.apply(Change::SaveSession(session(10).into()));
        keep.apply(Change::ForgetCursor(key.clone(), time(9)));
        keep.apply(Change::ForgetSession(session(0).id, time(9)));
        assert_eq!((keep.cursors.len(), keep.sessions.len()), (1, 1));
        keep.apply(Change::ForgetCursor(key, time(10)));
        keep.apply(Change::ForgetSession(session(0).id, time(10)));
        assert_eq!((keep.cursors.len(), keep.sessions.len()), (0, 0));
    }
}
