//! What waits for groups that have no members: the signal to start workers from none.
//!
//! Nobody owns such a group, so nobody counts for it. What waits is told from its saved cursors and
//! the log, which means a look at all of them: not more often than a small share of one core allows,
//! however many there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidings_core::{CursorKey, Durability, FilterTrie, GroupKey, PolicyTable, Topic, TopicState};
use tidings_storage::{Cursor, CursorsOf, Store};

use crate::reader::names_after;

/// Groups that are counted. What waits for others is not told.
const GROUPS_MAX: usize = 10_000;

/// Cursors and topics listed in one go, with the store's locks held.
const LISTED: usize = 1000;

/// A count is good for so long.
const FRESH: Duration = Duration::from_secs(1);

/// And for so many times as long as it took: counting takes no more than a twentieth of a core.
const FRESH_FACTOR: u32 = 20;

/// What waits for a group, by its saved cursors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Messages that are not settled.
    pub(crate) lag: u64,
    /// Topics that have some.
    pub(crate) topics: usize,
}

/// What waits for every group that has a cursor.
pub(crate) type Counted = Arc<BTreeMap<GroupKey, Waiting>>;

/// The latest count.
#[derive(Debug, Default)]
pub(crate) struct RestingGroups(Mutex<Option<Count>>);

#[derive(Debug)]
struct Count {
    counted: Counted,
    good_until: Instant,
}

impl RestingGroups {
    /// The latest count, or a new one if that is old. Reads much: not for an event loop. Whoever asks
    /// while somebody counts waits for that count.
    pub(crate) fn counted(&self, store: &dyn Store, policies: &PolicyTable) -> Counted {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        if let Some(count) = latest.as_ref().filter(|count| began < count.good_until) {
            return Arc::clone(&count.counted);
        }
        let counted = Arc::new(count(store, policies));
        let took = began.elapsed();
        let good_until = began + took + FRESH.max(took * FRESH_FACTOR);
        *latest = Some(Count { counted: Arc::clone(&counted), good_until });
        counted
    }
}

fn count(store: &dyn Store, policies: &PolicyTable) -> BTreeMap<GroupKey, Waiting> {
    let mut groups: BTreeMap<GroupKey, Waiting> = BTreeMap::new();
    for_each_cursor(store, &CursorsOf::Groups, |key, cursor| {
        if groups.len() >= GROUPS_MAX && !groups.contains_key(key) {
            return;
        }
        let log = store.topic_state(cursor.key.topic());
        groups.entry(key.clone()).or_default().add(cursor.state.pending_in(&log));
    });
    let mut filters = FilterTrie::default();
    for key in groups.keys().filter(|key| key.filter.as_topic().is_none()) {
        filters.insert(&key.filter, key.clone());
    }
    for_each_topic(store, |topic, log| {
        let mut matching = Vec::new();
        filters.matching(topic, |key| matching.push(key.clone()));
        for key in matching {
            if is_unread(store, policies, &key, topic)
                && let Some(waiting) = groups.get_mut(&key)
            {
                waiting.add(all_of(log));
            }
        }
    });
    groups
}

impl Waiting {
    fn add(&mut self, lag: u64) {
        self.lag += lag;
        self.topics += usize::from(lag > 0);
    }
}

/// A topic in which something may wait for a group.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) topic: Topic,
    /// The first offset not settled.
    pub(crate) next: u64,
    pub(crate) head: u64,
    pub(crate) lag: u64,
}

/// Where a group stands in every topic that it reads; none if it has no cursor.
pub(crate) fn places(store: &dyn Store, policies: &PolicyTable, key: &GroupKey) -> Vec<Place> {
    let mut places = Vec::new();
    for_each_cursor(store, &CursorsOf::Group(key.clone()), |_, cursor| {
        let log = store.topic_state(cursor.key.topic());
        let is_current = cursor.state.epoch == log.epoch;
        let next = if is_current { cursor.state.next.max(log.first) } else { log.first };
        places.push(Place {
            topic: cursor.key.topic().clone(),
            next: next.get(),
            head: log.head.get(),
            lag: cursor.state.pending_in(&log),
        });
    });
    if places.is_empty() || key.filter.as_topic().is_some() {
        return places;
    }
    for_each_topic(store, |topic, log| {
        if key.filter.matches(topic) && is_unread(store, policies, key, topic) {
            let (next, head, lag) = (log.first.get(), log.head.get(), all_of(log));
            places.push(Place { topic: topic.clone(), next, head, lag });
        }
    });
    places
}

/// Whether a group has no cursor in a topic that it reads: what is there waits for it, since a group
/// begins with the first message unless its members ask for something else.
fn is_unread(store: &dyn Store, policies: &PolicyTable, key: &GroupKey, topic: &Topic) -> bool {
    let keeps = match policies.policy(topic).durability {
        Durability::Sync | Durability::Async => true,
        Durability::Memory => false,
    };
    let cursor = CursorKey::Group { group: key.clone(), topic: topic.clone() };
    keeps && store.cursor(&cursor).is_none()
}

fn all_of(log: TopicState) -> u64 {
    log.head.next().distance_from(log.first)
}

fn for_each_cursor(store: &dyn Store, of: &CursorsOf, mut each: impl FnMut(&GroupKey, &Cursor)) {
    let mut after = None;
    loop {
        let listed = store.cursors(of, after.as_ref(), LISTED);
        for cursor in &listed {
            match &cursor.key {
                CursorKey::Group { group, .. } => each(group, cursor),
                CursorKey::Durable(_) => {}
            }
        }
        after = listed.into_iter().next_back().map(|cursor| cursor.key);
        if after.is_none() {
            return;
        }
    }
}

fn for_each_topic(store: &dyn Store, mut each: impl FnMut(&Topic, TopicState)) {
    let mut after = None;
    loop {
        let listed = store.topics(names_after(after.as_ref()), LISTED);
        for (topic, state) in &listed {
            each(topic, *state);
        }
        after = listed.into_iter().next_back().map(|(topic, _)| topic);
        if after.is_none() {
            return;
        }
    }
}
