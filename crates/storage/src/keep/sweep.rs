//! Finds cursors and sessions to be forgotten, a few at a time.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use tidings_core::{CursorKey, SessionId, Timestamp};

use super::{Change, Keep};

/// Walks over cursors and sessions again and again.
#[derive(Debug)]
pub(crate) struct Sweep {
    cursor_expiry: Duration,
    /// The last cursor looked at.
    cursor: Option<CursorKey>,
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
        self.cursor = visit(&keep.cursors, self.cursor.take(), count, |key, saved| {
            if saved.saved_at.plus(self.cursor_expiry) <= now {
                outdated.push(Change::ForgetCursor(key.clone(), saved.saved_at));
            }
        });
        self.session = visit(&keep.sessions, self.session.take(), count, |id, session| {
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

/// Visits the next `count` entries after `last`; returns the last one, or `None` at the end.
fn visit<K: Clone + Ord, V>(
    entries: &BTreeMap<K, V>,
    last: Option<K>,
    count: usize,
    mut visitor: impl FnMut(&K, &V),
) -> Option<K> {
    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = entries.range((from, Bound::Unbounded));
    let mut last = None;
    for (key, value) in rest.by_ref().take(count) {
        visitor(key, value);
        last = Some(key);
    }
    rest.next().and(last).cloned()
}
