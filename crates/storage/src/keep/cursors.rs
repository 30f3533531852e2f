//! Every cursor's newest state, small: there may be millions, and most of them rest.
//!
//! A key is one text, its parts separated by zero bytes, which no name holds: user, name and topic;
//! or nothing, group, filter and topic. So keys sort by owner, groups first, and one allocation
//! serves the two orders that are asked for. Most cursors have settled nothing out of order, and
//! take no space for it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use tidings_core::{
    CursorKey, CursorState, DurableKey, Epoch, GroupKey, Offset, Timestamp, UserId,
};

use super::SavedCursor;
use crate::store::{Cursor, CursorsOf};

/// Whose cursor it is, as one text.
pub(crate) type KeyText = Arc<str>;

/// Separates the parts of a key.
const SEPARATOR: char = '\0';

/// Comes behind every text that goes on with a separator, and before all that go on with a
/// character of a name.
const BEHIND_SEPARATOR: &str = "\u{1}";

/// A cursor's state: 32 bytes, unless something is reserved, or was settled out of order or tried
/// before.
#[derive(Debug)]
struct Small {
    epoch: Epoch,
    next: Offset,
    saved_at: Timestamp,
    ahead: Option<Box<Ahead>>,
}

/// What most cursors have nothing of.
#[derive(Debug)]
struct Ahead {
    settled: Box<[(Offset, Offset)]>,
    attempts: Box<[(Offset, u32)]>,
    /// Nothing is reserved once a connection has ended.
    reserved: Offset,
}

impl Small {
    fn new(SavedCursor { state, saved_at }: SavedCursor) -> Self {
        let CursorState { epoch, next, settled, attempts, reserved } = state;
        let is_plain = settled.is_empty() && attempts.is_empty() && reserved == Offset::ORIGIN;
        let (settled, attempts) = (settled.into(), attempts.into());
        let ahead = || Box::new(Ahead { settled, attempts, reserved });
        Self { epoch, next, saved_at, ahead: (!is_plain).then(ahead) }
    }

    fn saved(&self) -> SavedCursor {
        let mut state = CursorState::at(self.epoch, self.next);
        if let Some(ahead) = &self.ahead {
            state.settled = ahead.settled.to_vec();
            state.attempts = ahead.attempts.to_vec();
            state.reserved = ahead.reserved;
        }
        SavedCursor { state, saved_at: self.saved_at }
    }
}

/// A key in the order of topics.
#[derive(Debug, PartialEq, Eq)]
struct TopicFirst(KeyText);

impl TopicFirst {
    fn topic(&self) -> &str {
        self.0.rsplit(SEPARATOR).next().unwrap_or_default()
    }
}

impl Ord for TopicFirst {
    fn cmp(&self, other: &Self) -> Ordering {
        self.topic().cmp(other.topic()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for TopicFirst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// All cursors.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    by_owner: BTreeMap<KeyText, Small>,
    by_topic: BTreeSet<TopicFirst>,
}

impl FromIterator<(CursorKey, SavedCursor)> for Cursors {
    /// Many at once, which come sorted from a checkpoint: their trees are built full, which is
    /// quicker and takes less memory than adding one after the other.
    fn from_iter<I: IntoIterator<Item = (CursorKey, SavedCursor)>>(cursors: I) -> Self {
        let cursors = cursors.into_iter();
        let by_owner: BTreeMap<_, _> =
            cursors.map(|(key, saved)| (KeyText::from(text_of(&key)), Small::new(saved))).collect();
        let by_topic = by_owner.keys().map(|text| TopicFirst(Arc::clone(text))).collect();
        Self { by_owner, by_topic }
    }
}

impl Cursors {
    pub(crate) fn len(&self) -> usize {
        self.by_owner.len()
    }

    pub(crate) fn insert(&mut self, key: &CursorKey, saved: SavedCursor) {
        let text = text_of(key);
        let small = Small::new(saved);
        if let Some(known) = self.by_owner.get_mut(&*text) {
            *known = small;
            return;
        }
        let text = KeyText::from(text);
        self.by_topic.insert(TopicFirst(Arc::clone(&text)));
        self.by_owner.insert(text, small);
    }

    pub(crate) fn remove(&mut self, key: &CursorKey) {
        if let Some((text, _)) = self.by_owner.remove_entry(&*text_of(key)) {
            self.by_topic.remove(&TopicFirst(text));
        }
    }

    pub(crate) fn get(&self, key: &CursorKey) -> Option<SavedCursor> {
        self.by_owner.get(&*text_of(key)).map(Small::saved)
    }

    /// When a cursor was saved.
    pub(crate) fn saved_at(&self, key: &CursorKey) -> Option<Timestamp> {
        self.by_owner.get(&*text_of(key)).map(|small| small.saved_at)
    }

    /// All, by owner; groups first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CursorKey, SavedCursor)> {
        self.by_owner.iter().map(|(text, small)| (key_of(text), small.saved()))
    }

    /// The next ones after `last`, with when they were saved.
    pub(super) fn after<'a>(
        &'a self,
        last: Option<&KeyText>,
    ) -> impl Iterator<Item = (&'a KeyText, Timestamp)> + use<'a> {
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(&**last));
        let rest = self.by_owner.range::<str, _>((from, Bound::Unbounded));
        rest.map(|(text, small)| (text, small.saved_at))
    }

    /// How many an owner has, counted up to `limit`.
    pub(crate) fn count(&self, of: &CursorsOf, limit: usize) -> usize {
        self.texts(of, None).take(limit).count()
    }

    /// Those of an owner or topic after `after`, at most `limit`.
    pub(crate) fn list(
        &self,
        of: &CursorsOf,
        after: Option<&CursorKey>,
        limit: usize,
    ) -> Vec<Cursor> {
        let found = self.texts(of, after).take(limit).filter_map(|text| {
            let SavedCursor { state, saved_at } = self.by_owner.get(text)?.saved();
            Some(Cursor { key: key_of(text), state, saved_at })
        });
        found.collect()
    }

    fn texts<'a>(
        &'a self,
        of: &CursorsOf,
        after: Option<&CursorKey>,
    ) -> Box<dyn Iterator<Item = &'a KeyText> + 'a> {
        let after = after.map(text_of);
        let prefix = match of {
            CursorsOf::User(user) => joined(&[user.as_str(), ""]),
            CursorsOf::Group(GroupKey { group, filter }) => {
                joined(&["", group.as_str(), filter.as_str(), ""])
            }
            CursorsOf::Groups => joined(&["", ""]),
            CursorsOf::Topic(topic) => return self.texts_of_topic(topic.as_str(), after),
            CursorsOf::Users => return self.texts_of_users(after.as_deref()),
        };
        let start = match &after {
            Some(after) if after.starts_with(&prefix) => Bound::Excluded(after.as_str()),
            Some(_) | None => Bound::Included(prefix.as_str()),
        };
        let texts = self.by_owner.range::<str, _>((start, Bound::Unbounded));
        Box::new(texts.map(|(text, _)| text).take_while(move |text| text.starts_with(&prefix)))
    }

    fn texts_of_users<'a>(
        &'a self,
        after: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a KeyText> + 'a> {
        let start = match after {
            Some(after) if after > BEHIND_SEPARATOR => Bound::Excluded(after),
            Some(_) | None => Bound::Included(BEHIND_SEPARATOR),
        };
        let texts = self.by_owner.range::<str, _>((start, Bound::Unbounded));
        Box::new(texts.map(|(text, _)| text))
    }

    /// The first user from here on who has a cursor.
    pub(super) fn next_user(&self, from: Bound<&UserId>) -> Option<UserId> {
        let start = match from {
            // Keys of groups begin with a separator.
            Bound::Unbounded => BEHIND_SEPARATOR.to_owned(),
            Bound::Included(user) => joined(&[user.as_str(), ""]),
            Bound::Excluded(user) => format!("{user}{BEHIND_SEPARATOR}"),
        };
        let mut texts = self.by_owner.range::<str, _>((Bound::Included(&*start), Bound::Unbounded));
        match key_of(texts.next()?.0) {
            CursorKey::Durable(key) => Some(key.user),
            CursorKey::Group { .. } => None,
        }
    }

    fn texts_of_topic<'a>(
        &'a self,
        topic: &str,
        after: Option<String>,
    ) -> Box<dyn Iterator<Item = &'a KeyText> + 'a> {
        // No key begins like this, so it comes before all of the topic.
        let first = TopicFirst(joined(&["", "", topic]).into());
        let after = after.map(|after| TopicFirst(after.into()));
        let start = match after {
            Some(after) if after.topic() == topic => Bound::Excluded(after),
            Some(_) | None => Bound::Included(first),
        };
        let texts = self.by_topic.range((start, Bound::Unbounded));
        let topic = topic.to_owned();
        Box::new(texts.take_while(move |text| text.topic() == topic).map(|TopicFirst(text)| text))
    }
}

fn joined(parts: &[&str]) -> String {
    parts.join("\0")
}

fn text_of(key: &CursorKey) -> String {
    match key {
        CursorKey::Durable(DurableKey { user, name, topic }) => {
            joined(&[user.as_str(), name.as_str(), topic.as_str()])
        }
        CursorKey::Group { group: GroupKey { group, filter }, topic } => {
            joined(&["", group.as_str(), filter.as_str(), topic.as_str()])
        }
    }
}

/// The key that a text was made of.
pub(crate) fn key_of(text: &str) -> CursorKey {
    const MADE: &str = "the text was made of a valid key";
    let mut parts = text.split(SEPARATOR);
    let mut next = || parts.next().expect(MADE);
    match next() {
        "" => {
            let group = GroupKey {
                group: next().parse().expect(MADE),
                filter: next().parse().expect(MADE),
            };
            CursorKey::Group { group, topic: next().parse().expect(MADE) }
        }
        user => CursorKey::Durable(DurableKey {
            user: user.parse().expect(MADE),
            name: next().parse().expect(MADE),
            topic: next().parse().expect(MADE),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resting_cursor_is_small() {
        assert_eq!(size_of::<Small>(), 32);
    }

    /// A name left in the second order would be memory that is never given back.
    #[test]
    fn a_forgotten_cursor_leaves_nothing() {
        let mut cursors = Cursors::default();
        let key = |n: u32| {
            CursorKey::Durable(DurableKey {
                user: format!("u{n}").parse().unwrap(),
                name: "phone".parse().unwrap(),
                topic: "a".parse().unwrap(),
            })
        };
        let state = CursorState::at(Epoch::new(1), Offset::FIRST);
        for n in 0..100 {
            let saved = SavedCursor { state: state.clone(), saved_at: Timestamp::default() };
            cursors.insert(&key(n), saved);
        }
        for n in 0..99 {
            cursors.remove(&key(n));
            cursors.remove(&key(n));
        }
        assert_eq!((cursors.by_owner.len(), cursors.by_topic.len()), (1, 1));
        let of_topic = cursors.list(&CursorsOf::Topic("a".parse().unwrap()), None, 1);
        assert_eq!(of_topic.len(), 1);
    }

    #[test]
    fn keys_read_back() {
        let group = GroupKey { group: "w".parse().unwrap(), filter: "a/#".parse().unwrap() };
        for key in [
            CursorKey::Group { group, topic: "a/b".parse().unwrap() },
            CursorKey::Durable(DurableKey {
                user: "alice".parse().unwrap(),
                name: " ".parse().unwrap(),
                topic: "//".parse().unwrap(),
            }),
        ] {
            assert_eq!(key_of(&text_of(&key)), key);
        }
    }
}
