//! Who on this shard is subscribed to what.

use slab::Slab;
use std::collections::HashMap;
use tidings_core::{Filter, FilterTrie, LiveCursor, Offset, Topic};

use super::ConnectionKey;
use super::backlog::Backlogs;
use super::connection::Connection;
use super::subscription::{Kind, Subscriptions};

/// The subscriptions of a shard, by topic.
#[derive(Debug, Default)]
pub(super) struct Topics {
    pub(super) exact: HashMap<Topic, TopicEntry>,
    pub(super) filters: FilterTrie<FilterSubscriber>,
    /// The newest messages of topics without a log that somebody lags in.
    pub(super) backlogs: Backlogs,
    /// Counts messages, to tell one fan-out from the next.
    pub(super) fan_outs: u64,
}

/// A topic with subscribers on this shard.
#[derive(Debug, Default)]
pub(super) struct TopicEntry {
    /// The last offset fanned out here, or taken from the store when the entry was made.
    pub(super) head: Offset,
    /// Dense, walked in order on every message.
    pub(super) live: Vec<LiveSubscriber>,
    /// Connections with a durable subscription to this topic.
    pub(super) durable: Vec<u32>,
}

/// A live subscriber's place: sixteen bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveSubscriber {
    pub(super) cursor: LiveCursor,
    pub(super) slot: u32,
    /// A read of the log for it is under way.
    pub(super) reading: bool,
}

/// A live subscription with wildcards.
#[derive(Clone, Debug)]
pub(super) struct FilterSubscriber {
    pub(super) key: ConnectionKey,
    pub(super) sub: Filter,
}

impl Topics {
    /// The topic's entry, made with `head` if there is none yet. An entry that exists keeps its
    /// own: the store may be ahead of what this shard has fanned out, and those at the tail must
    /// not be taken for late.
    pub(super) fn entry(&mut self, topic: &Topic, head: Offset) -> &mut TopicEntry {
        let new = || TopicEntry { head, ..TopicEntry::default() };
        self.exact.entry(topic.clone()).or_insert_with(new)
    }

    /// The topic with the text that its entry has: those who are on it for long share one.
    pub(super) fn shared_name(&self, topic: &Topic) -> Topic {
        self.exact.get_key_value(topic).map_or(topic, |(name, _)| name).clone()
    }

    /// How many subscriptions get the messages of a topic, those of groups left out.
    pub(super) fn count_subscribers(&self, topic: &Topic) -> u64 {
        let exact = self.exact.get(topic).map_or(0, |entry| entry.live.len() + entry.durable.len());
        let mut count = exact as u64;
        self.filters.matching(topic, |_| count += 1);
        count
    }

    /// Removes the live subscriber at `index` and tells the one that moves into its place.
    pub(super) fn remove_live(
        &mut self,
        topic: &Topic,
        index: u32,
        connections: &mut Slab<Connection>,
    ) {
        let Some(entry) = self.exact.get_mut(topic) else { return };
        entry.live.swap_remove(index as usize);
        let moved = entry.live.get(index as usize).map(|moved| moved.slot);
        let subscriptions = moved.and_then(|slot| subscriptions(connections, slot));
        for subscription in subscriptions.into_iter().flatten() {
            if let Kind::Live { index: its_index, .. } = &mut subscription.kind
                && subscription.sub.is(topic)
            {
                *its_index = index;
            }
        }
        self.forget_if_empty(topic);
    }

    /// The same for a durable one.
    pub(super) fn remove_durable(
        &mut self,
        topic: &Topic,
        index: u32,
        connections: &mut Slab<Connection>,
    ) {
        let Some(entry) = self.exact.get_mut(topic) else { return };
        entry.durable.swap_remove(index as usize);
        let moved = entry.durable.get(index as usize).copied();
        let subscriptions = moved.and_then(|slot| subscriptions(connections, slot));
        for subscription in subscriptions.into_iter().flatten() {
            if let Kind::Durable(durable) = &mut subscription.kind
                && durable.key.topic == *topic
            {
                durable.index = index;
            }
        }
        self.forget_if_empty(topic);
    }

    fn forget_if_empty(&mut self, topic: &Topic) {
        let empty = |entry: &TopicEntry| entry.live.is_empty() && entry.durable.is_empty();
        if self.exact.get(topic).is_some_and(empty) {
            self.exact.remove(topic);
        }
    }
}

fn subscriptions(connections: &mut Slab<Connection>, slot: u32) -> Option<&mut Subscriptions> {
    Some(&mut connections.get_mut(slot as usize)?.active()?.subscriptions)
}
