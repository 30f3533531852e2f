//! Who on this shard is subscribed to what.

use rustc_hash::FxHashMap;
use slab::Slab;
use tidings_core::{Filter, FilterTrie, LiveCursor, Offset, Topic};

use super::ConnectionKey;
use super::connection::Connection;
use super::subscription::Kind;

/// The subscriptions of a shard, by topic.
#[derive(Debug, Default)]
pub(super) struct Topics {
    pub(super) exact: FxHashMap<Topic, TopicEntry>,
    pub(super) filters: FilterTrie<FilterSubscriber>,
    /// Counts messages, to tell one fan-out from the next.
    pub(super) fan_outs: u64,
}

/// A topic with subscribers on this shard.
#[derive(Debug, Default)]
pub(super) struct TopicEntry {
    /// The last offset this shard knows of.
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
    pub(super) connection: ConnectionKey,
    pub(super) sub: Filter,
}

impl Topics {
    /// The topic's entry, made with the head that `head` tells if there is none yet.
    pub(super) fn entry(&mut self, topic: &Topic, head: Offset) -> &mut TopicEntry {
        let entry = self.exact.entry(topic.clone()).or_default();
        entry.head = entry.head.max(head);
        entry
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
        if let Some(moved) = entry.live.get(index as usize)
            && let Some(connection) = connections.get_mut(moved.slot as usize)
            && let Some(active) = connection.active()
        {
            for subscription in &mut active.subscriptions {
                if let Kind::Live { topic: moved_topic, index: moved_index } =
                    &mut subscription.kind
                    && moved_topic == topic
                {
                    *moved_index = index;
                }
            }
        }
        self.forget_if_empty(topic);
    }

    pub(super) fn remove_durable(&mut self, topic: &Topic, slot: u32) {
        if let Some(entry) = self.exact.get_mut(topic) {
            entry.durable.retain(|held| *held != slot);
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
