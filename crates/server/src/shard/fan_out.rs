//! From a commit to the sockets of this shard: the hot path.

use tidings_core::{Durability, LiveStep, Priority, Timestamp, Topic};
use tidings_protocol::Published;

use super::Shard;
use super::topics::{LiveSubscriber, TopicEntry};
use crate::clock::Clock;
use crate::commit::{Landed, SharedCommit, SharedMessage};
use crate::inbox::ticket_of;
use crate::trace_log;

impl Shard {
    /// Delivers a commit's messages and answers this shard's own writes.
    pub(super) fn fan_out(&mut self, commit: &SharedCommit) {
        let lane = self.inbox.lane();
        let wall = Clock::wall();
        for entry in &commit.entries {
            match &entry.landed {
                Landed::Message(shared) => {
                    if let Some(tag) = ticket_of(lane, entry.ticket) {
                        let message = &shared.message;
                        trace_log::published(message);
                        let published = Published {
                            id: message.id,
                            position: message.position(),
                            duplicate: false,
                        };
                        self.write_done(tag, Ok(published));
                    }
                    self.deliver(shared, wall);
                }
                Landed::Other(outcome) => {
                    if let Some(tag) = ticket_of(lane, entry.ticket) {
                        self.write_done(tag, Err(outcome));
                    }
                }
            }
        }
    }

    fn deliver(&mut self, shared: &SharedMessage, wall: Timestamp) {
        self.topics.fan_outs += 1;
        self.topics.backlogs.appended(&shared.message);
        if self.topics.exact.contains_key(shared.message.topic()) {
            self.deliver_exact(shared, wall);
        }
        if !self.topics.filters.is_empty() {
            self.deliver_to_filters(shared);
        }
        if !self.groups.is_empty() {
            self.deliver_to_groups(shared);
        }
    }

    fn deliver_exact(&mut self, shared: &SharedMessage, wall: Timestamp) {
        let topic = shared.message.topic();
        let Some(entry) = self.topics.exact.get_mut(topic) else { return };
        let head_before = entry.head;
        entry.head = entry.head.max(shared.message.offset);
        // Out of the map for the walk, so that connections can be reached meanwhile.
        let mut live = std::mem::take(&mut entry.live);
        let durable = entry.durable.clone();
        let mut behind = false;
        for subscriber in &mut live {
            behind |= self.deliver_live(subscriber, head_before, shared);
        }
        if let Some(entry) = self.topics.exact.get_mut(topic) {
            entry.live = live;
        }
        if behind {
            self.catch_up_topic(topic);
        }
        for slot in durable {
            self.deliver_durable(slot, shared, wall);
        }
    }

    /// Returns whether the subscriber has to read the log.
    fn deliver_live(
        &mut self,
        subscriber: &mut LiveSubscriber,
        head_before: tidings_core::Offset,
        shared: &SharedMessage,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(subscriber.slot as usize) else {
            return false;
        };
        let (topic, offset) = (shared.message.topic(), shared.message.offset);
        let mut cursor = subscriber.cursor;
        let step = cursor.appended(head_before, offset);
        if step == LiveStep::Skip && connection.begins_after(topic, offset) {
            // It was on its way when the subscription began: a filter's to deliver, if there is one.
            return false;
        }
        // Whatever comes of it: the message is this subscription's to deliver, not a filter's.
        connection.last_fan_out = self.topics.fan_outs;
        let outbound_bytes = self.env.settings.outbound_bytes;
        let priority = shared.priority(&self.env.policies);
        let (has_room, written) = connection.room_for(priority, outbound_bytes);
        self.env.metrics.bytes_out.inc_by(written);
        if !has_room {
            connection.starved = true;
            self.no_room(subscriber, shared);
            return false;
        }
        match step {
            LiveStep::Deliver => {
                if shared.audience.includes_live() {
                    connection.push_shared(shared, priority, &mut self.deflater);
                    connection.queue_flush(subscriber.slot, &mut self.unflushed);
                    self.env.metrics.deliveries.inc();
                }
                subscriber.cursor = cursor;
                false
            }
            LiveStep::Skip => false,
            LiveStep::Behind => {
                if self.is_memory(shared) {
                    self.keep_backlog(shared);
                }
                !subscriber.reading
            }
        }
    }

    /// A slow subscriber reads the log later; what is in no log and no backlog, it misses.
    fn no_room(&mut self, subscriber: &mut LiveSubscriber, shared: &SharedMessage) {
        if self.is_memory(shared) && !self.keep_backlog(shared) {
            self.env.metrics.dropped_slow.inc();
            subscriber.cursor.advance_to(shared.message.offset.next());
        }
    }

    pub(super) fn priority(&self, topic: &Topic) -> Priority {
        self.env.policies.priority(topic)
    }

    pub(super) fn is_memory(&self, shared: &SharedMessage) -> bool {
        match self.env.policies.policy(shared.message.topic()).durability {
            Durability::Memory => true,
            Durability::Sync | Durability::Async => false,
        }
    }

    /// After messages were left out of the inbox: what the store holds is the truth, and whoever
    /// lacks some of it reads the log.
    pub(super) fn refresh_heads(&mut self) {
        self.env.metrics.inbox_overflows.inc();
        let mut topics: Vec<_> = self.topics.exact.keys().cloned().collect();
        topics.sort_unstable();
        for topic in topics {
            let head = self.env.store.topic_state(&topic).head;
            let Some(entry) = self.topics.exact.get_mut(&topic) else { continue };
            entry.head = entry.head.max(head);
            let durable = entry.durable.clone();
            self.catch_up_topic(&topic);
            for slot in durable {
                self.tail_advanced(slot, &topic, head);
            }
        }
        self.end_filter_subscriptions();
        self.refresh_groups();
    }
}

impl TopicEntry {
    /// Live subscribers that lack messages the log has.
    pub(super) fn laggards(&self) -> impl Iterator<Item = &LiveSubscriber> {
        self.live.iter().filter(|s| !s.reading && !s.cursor.is_at_tail(self.head))
    }
}
