//! Every session's newest record, small: there is one for each client of the last hours.
//!
//! A record is there once, and shared: by the two orders that are asked for, and by the connection
//! that saved it.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use tidings_core::limits::ID_BYTES_MAX;
use tidings_core::{ClientId, Session, SessionId, Timestamp, UserId};

/// A session in the order of ids.
#[derive(Debug)]
struct ById(Arc<Session>);

impl Borrow<SessionId> for ById {
    fn borrow(&self) -> &SessionId {
        &self.0.id
    }
}

impl Ord for ById {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

/// A session in the order of users.
#[derive(Debug)]
struct ByUser(Arc<Session>);

impl Ord for ByUser {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.0.user, &self.0.id).cmp(&(&other.0.user, &other.0.id))
    }
}

/// Equality and partial order as the order says.
macro_rules! as_ordered {
    ($($name:ident),*) => {
        $(impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        })*
    };
}

as_ordered!(ById, ByUser);

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: BTreeSet<ById>,
    by_user: BTreeSet<ByUser>,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<&Session> {
        self.by_id.get(id).map(|ById(session)| &**session)
    }

    /// All, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_id.iter().map(|ById(session)| &**session)
    }

    /// The next ones after `last`, by id.
    pub(super) fn after<'a>(
        &'a self,
        last: Option<&SessionId>,
    ) -> impl Iterator<Item = &'a Session> + use<'a> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.by_id.range::<SessionId, _>((from, Bound::Unbounded));
        rest.map(|ById(session)| &**session)
    }

    /// A user's, at most `limit`.
    pub(crate) fn of(&self, user: &UserId, limit: usize) -> Vec<Session> {
        let first = ByUser(Arc::new(first_of(user)));
        let theirs = self.by_user.range(first..).map(|ByUser(session)| &**session);
        theirs.take_while(|session| session.user == *user).take(limit).cloned().collect()
    }

    /// The first user from here on who has a session.
    pub(super) fn next_user(&self, from: Bound<&UserId>) -> Option<UserId> {
        let start = match from {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(user) => Bound::Included(ByUser(Arc::new(first_of(user)))),
            Bound::Excluded(user) => Bound::Excluded(ByUser(Arc::new(last_of(user)))),
        };
        let ByUser(session) = self.by_user.range((start, Bound::Unbounded)).next()?;
        Some(session.user.clone())
    }

    pub(crate) fn save(&mut self, session: Arc<Session>) {
        if let Some(ById(before)) = self.by_id.replace(ById(Arc::clone(&session)))
            && before.user != session.user
        {
            self.by_user.remove(&ByUser(before));
        }
        self.by_user.replace(ByUser(session));
    }

    pub(crate) fn delete(&mut self, id: &SessionId) {
        if let Some(ById(session)) = self.by_id.take(id) {
            self.by_user.remove(&ByUser(session));
        }
    }
}

/// What comes before every session of a user.
fn first_of(user: &UserId) -> Session {
    // No id has control characters, so none comes before a space.
    boundary(user, " ")
}

/// What no session of a user comes behind: there is no later id.
fn last_of(user: &UserId) -> Session {
    const LAST: char = char::MAX;
    boundary(user, &LAST.to_string().repeat(ID_BYTES_MAX / LAST.len_utf8()))
}

fn boundary(user: &UserId, id: &str) -> Session {
    Session {
        id: SessionId::parse(id).expect("no boundary is longer than an id"),
        user: user.clone(),
        client: ClientId::parse(" ").expect("a space is a name"),
        expires_at: Timestamp::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, user: &str, expires_at: u64) -> Arc<Session> {
        Arc::new(Session {
            id: id.parse().unwrap(),
            user: user.parse().unwrap(),
            client: "phone".parse().unwrap(),
            expires_at: Timestamp::from_ms(expires_at),
        })
    }

    fn ids(sessions: &Sessions, user: &str) -> Vec<String> {
        let of = sessions.of(&user.parse().unwrap(), usize::MAX);
        of.iter()
            .map(|session| format!("{} {}", session.id.as_str(), session.expires_at.as_ms()))
            .collect()
    }

    /// The two orders tell the same, whatever is saved again, given to another user or deleted.
    #[test]
    fn both_orders_hold_the_newest_record() {
        let mut sessions = Sessions::default();
        for (id, user) in [("a", "alice"), (" ", "alice"), ("b", "bob"), ("c", "alic")] {
            sessions.save(session(id, user, 1));
        }
        sessions.save(session("a", "alice", 2));
        assert_eq!(ids(&sessions, "alice"), ["  1", "a 2"]);
        sessions.save(session("a", "bob", 3));
        assert_eq!(ids(&sessions, "alice"), ["  1"]);
        assert_eq!(ids(&sessions, "bob"), ["a 3", "b 1"]);
        for id in ["a", "a", " ", "b", "c"] {
            sessions.delete(&id.parse().unwrap());
        }
        assert_eq!((sessions.by_id.len(), sessions.by_user.len()), (0, 0));
    }

    /// A record that nobody shares any more would be one that is kept twice.
    #[test]
    fn a_record_is_there_once() {
        let mut sessions = Sessions::default();
        let saved = session("a", "alice", 1);
        sessions.save(Arc::clone(&saved));
        sessions.save(Arc::clone(&saved));
        assert_eq!(Arc::strong_count(&saved), 3);
    }
}
