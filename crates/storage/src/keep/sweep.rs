//! Finds cursors and sessions to be forgotten, a few at a time.

use std::time::Duration;

use tidings_core::{SessionId, Timestamp};

use super::cursors::{KeyText, key_of};
use super::{Change, Keep};

/// Walks over cursors and sessions again and again.
#[derive(Debug)]
pub(crate) struct Sweep {
    cursor_expiry: Duration,
    /// The last cursor looked at.
    cursor: Option<KeyText>,
    /// The last session looked at.
    session: Option<SessionId>,
}

impl Sweep {
    /// A sweep for cursors that were not saved for `cursor_expiry`, and for expired sessions.
    pub(crate) const fn new(cursor_expiry: Duration) -> Self {
        Self { cursor_expiry, cursor: None, session: None }
    }

    /// Looks at the next `count` cursors and as many sessions; returns what forgets those that
    /// are outdated `now`.
    pub(crate) fn step(&mut self, keep: &Keep, now: Timestamp, count: usize) -> Vec<Change> {
        let mut outdated = Vec::new();
        let cursors = keep.cursors.after(self.cursor.as_ref());
        self.cursor = visit(cursors, count, |key, saved_at| {
            if saved_at.plus(self.cursor_expiry) <= now {
                outdated.push(Change::ForgetCursor(key_of(key), saved_at));
            }
        });
        let sessions = keep.sessions.after(self.session.as_ref());
        let sessions = sessions.map(|session| (&session.id, session));
        self.session = visit(sessions, count, |id, session| {
            if session.expires_at <= now {
                outdated.push(Change::ForgetSession(id.clone(), session.expires_at));
            }
        });
        outdated
    }

    /// Whether everything was looked at, and the next step begins anew.
    pub(crate) const fn is_at_the_start(&self) -> bool {
        self.cursor.is_none() && self.session.is_none()
    }
}

/// Visits the next `count` entries; returns the last one, or `None` at the end.
fn visit<'a, K: Clone + 'a, V>(
    mut entries: impl Iterator<Item = (&'a K, V)>,
    count: usize,
    mut visitor: impl FnMut(&K, V),
) -> Option<K> {
    let mut last = None;
    for (key, value) in entries.by_ref().take(count) {
        visitor(key, value);
        last = Some(key);
    }
    entries.next().and(last).cloned()
}
