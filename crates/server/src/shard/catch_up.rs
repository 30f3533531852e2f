//! Live subscriptions that are behind: they read the log at their own pace.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Durability, Filter, LiveCursor, Offset, ResetReason, Topic, gap, limits};
use tidings_protocol::{ErrorBody, History, RequestId, Reset, ServerBody, UnsubscribeReason};
use tidings_storage::{ReadBatch, ReadFrom, ReadLimit, StoreError};

use super::subscription::{Kind, LaggingTopic, Subscription};
use super::topics::{FilterSubscriber, LiveSubscriber};
use super::{ConnectionKey, Shard};
use crate::clock::Clock;
use crate::commit::SharedMessage;
use crate::dead_letters::audience;
use crate::history::history;
use crate::inbox::{Asker, ReadDone, Want};
use crate::problem::store_error;
use crate::reader::ReadJob;

/// Messages fetched for one subscription in one go. Small, so that many who catch up share the
/// readers fairly and hold little memory.
pub(super) const CATCH_UP: ReadLimit = ReadLimit { messages: 128, bytes: 64 * 1024 };

/// How long after a failed read of the log it is tried again.
pub(super) const READ_RETRY: Duration = Duration::from_secs(1);

/// The place of a live subscription in a topic, to be moved.
pub(super) struct LivePlace<'a> {
    pub(super) sub: &'a Filter,
    pub(super) cursor: &'a mut LiveCursor,
    /// A read for it is under way.
    pub(super) reading: &'a mut bool,
    /// It lacks some of what it asked for when it began.
    pub(super) replaying: bool,
}

/// A live subscription and its place in a topic.
struct Laggard {
    sub: Filter,
    cursor: LiveCursor,
    /// A read for this connection and topic is under way.
    is_reading: bool,
}

impl Shard {
    /// Asks the readers for what the laggards of `topic` lack, where there is room to send it.
    pub(super) fn catch_up_topic(&mut self, topic: &Topic) {
        let Some(entry) = self.topics.exact.get(topic) else { return };
        let laggards: Vec<_> = entry.laggards().map(|s| s.slot).collect();
        for slot in laggards {
            self.catch_up_connection(slot, topic);
        }
    }

    fn catch_up(&mut self, slot: u32, topic: &Topic, next: Offset) {
        let outbound_bytes = self.env.settings.outbound_bytes;
        let Some(key) = self.key(slot) else { return };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if !connection.has_room(outbound_bytes) {
            connection.starved = true;
            return;
        }
        self.each_live_place(slot, topic, |place| *place.reading = true);
        self.env.metrics.catch_up_reads.inc();
        self.ask_read(key, Want::Live { topic: topic.clone() }, topic, next);
    }

    /// Asks the readers for messages of `topic` from `next` on.
    pub(super) fn ask_read(&mut self, key: ConnectionKey, want: Want, topic: &Topic, next: Offset) {
        self.ask_read_for(Asker::Connection(key), want, topic, next);
    }

    /// The same for anybody of this shard.
    pub(super) fn ask_read_for(&mut self, asker: Asker, want: Want, topic: &Topic, next: Offset) {
        self.ask_readers(ReadJob {
            inbox: Arc::clone(&self.inbox),
            asker,
            want,
            topic: topic.clone(),
            from: ReadFrom::Offset(next),
            limit: CATCH_UP,
        });
    }

    /// Visits the places of a connection's live subscriptions in `topic`.
    pub(super) fn each_live_place(
        &mut self,
        slot: u32,
        topic: &Topic,
        mut visit: impl FnMut(LivePlace<'_>),
    ) {
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        for Subscription { sub, kind } in &mut active.subscriptions {
            match kind {
                Kind::Live { index, asked_up_to, .. } if sub.is(topic) => {
                    let entry = self.topics.exact.get_mut(topic);
                    if let Some(live) = entry.and_then(|e| e.live.get_mut(*index as usize)) {
                        let LiveSubscriber { cursor, reading, .. } = live;
                        let replaying = cursor.next() <= *asked_up_to;
                        visit(LivePlace { sub, cursor, reading, replaying });
                    }
                }
                Kind::LiveFilter(lagging) => {
                    if let Some(LaggingTopic { cursor, reading }) = lagging.topics.get_mut(topic) {
                        visit(LivePlace { sub, cursor, reading, replaying: false });
                    }
                }
                Kind::Live { .. } | Kind::Durable(_) | Kind::Waiting(_) | Kind::Shared(_) => {}
            }
        }
    }

    /// Gives what a reader found to whom it is for.
    pub(super) fn give_read(&mut self, done: ReadDone) {
        let ReadDone { asker, want, from, result } = done;
        let connection = match asker {
            Asker::Group(group) => {
                if let Want::Shared { topic } = want {
                    self.group_read(group, &topic, from, result);
                }
                return;
            }
            Asker::Connection(connection) => connection,
        };
        if let Want::Parting { key } = &want {
            return self.parting_read(connection, key, from, result);
        }
        if self.connection(connection).is_none() {
            return;
        }
        match want {
            // Of subscriptions that need no connection.
            Want::Parting { .. } => {}
            // Asked for groups only.
            Want::Shared { .. } => {}
            Want::Live { topic } => self.live_read(connection.slot, &topic, from, result),
            Want::Durable { topic } => self.durable_read(connection.slot, &topic, from, result),
            Want::History { topic, id, position } => {
                let reply = result.map_err(|error| store_error(&error));
                let reply = reply.and_then(|batch| history(topic, position, &batch));
                self.history_read(connection.slot, id, reply);
            }
        }
    }

    fn live_read(
        &mut self,
        slot: u32,
        topic: &Topic,
        from: Offset,
        result: Result<ReadBatch, StoreError>,
    ) {
        self.each_live_place(slot, topic, |place| *place.reading = false);
        let batch = match result {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, %topic, "a subscriber cannot catch up; trying again");
                return self.retry_reads(slot);
            }
        };
        let outbound_bytes = self.env.settings.outbound_bytes;
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if !connection.has_room(outbound_bytes) {
            // Other subscriptions have filled it meanwhile: read again when it has drained.
            connection.starved = true;
            return;
        }
        // A read for a subscription that is gone says nothing about one that wants more.
        if let Some(Laggard { sub, cursor, .. }) = self.laggard(slot, topic)
            && cursor.next() >= from
        {
            self.send_batch(slot, &sub, topic, cursor, &batch);
            self.each_live_place(slot, topic, |place| place.cursor.advance_to(batch.next));
        }
        self.catch_up_connection(slot, topic);
    }

    /// Reads that failed are asked for again in a while.
    pub(super) fn retry_reads(&mut self, slot: u32) {
        let Some(key) = self.key(slot) else { return };
        let at = self.now + READ_RETRY;
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        connection.retry_reads_at = Some(at);
        self.timers.insert(at, key);
    }

    /// The live subscription of `slot` that lacks most of `topic`.
    fn laggard(&mut self, slot: u32, topic: &Topic) -> Option<Laggard> {
        let entry = self.topics.exact.get(topic);
        let active = self.connections.get_mut(slot as usize)?.active()?;
        let mut most: Option<Laggard> = None;
        let mut is_reading = false;
        for subscription in &active.subscriptions {
            let (cursor, reading) = match &subscription.kind {
                Kind::Live { index, .. } if subscription.sub.is(topic) => {
                    let Some(live) = entry.and_then(|e| e.live.get(*index as usize)) else {
                        continue;
                    };
                    (live.cursor, live.reading)
                }
                Kind::LiveFilter(lagging) => match lagging.topics.get(topic) {
                    Some(place) => (place.cursor, place.reading),
                    None => continue,
                },
                Kind::Live { .. } | Kind::Durable(_) | Kind::Waiting(_) | Kind::Shared(_) => {
                    continue;
                }
            };
            is_reading |= reading;
            if most.as_ref().is_none_or(|most| cursor.next() < most.cursor.next()) {
                most = Some(Laggard { sub: subscription.sub.clone(), cursor, is_reading: false });
            }
        }
        most.map(|most| Laggard { is_reading, ..most })
    }

    /// The first offset that a live subscription of `slot` lacks of `topic`, if it knows one.
    pub(super) fn lags_from(&mut self, slot: u32, topic: &Topic) -> Option<Offset> {
        self.laggard(slot, topic).map(|laggard| laggard.cursor.next())
    }

    /// Sends what was read from `cursor` on, and tells what is missing of it.
    fn send_batch(
        &mut self,
        slot: u32,
        sub: &Filter,
        topic: &Topic,
        cursor: LiveCursor,
        batch: &ReadBatch,
    ) {
        let (wall, priority) = (Clock::wall(), self.priority(topic));
        let mut expected = cursor.next();
        let mut sent = 0;
        for message in batch.messages.iter().filter(|message| message.offset >= cursor.next()) {
            self.tell_gap(slot, sub, topic, (cursor, expected, message.offset), batch);
            expected = message.offset.next();
            if message.is_expired(wall) || !audience(message).includes_live() {
                continue;
            }
            if let Some(connection) = self.connections.get_mut(slot as usize) {
                connection.push_message(message, 1, priority);
                sent += 1;
            }
        }
        self.tell_gap(slot, sub, topic, (cursor, expected, batch.next), batch);
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.queue_flush(slot, &mut self.unflushed);
        }
        self.env.metrics.deliveries.inc_by(sent);
        self.env.metrics.catch_up_deliveries.inc_by(sent);
    }

    /// Nothing was found between two offsets. What was removed one by one is not missed; what is
    /// gone right at the place where the subscription stands was trimmed.
    fn tell_gap(
        &mut self,
        slot: u32,
        sub: &Filter,
        topic: &Topic,
        (cursor, expected, found): (LiveCursor, Offset, Offset),
        batch: &ReadBatch,
    ) {
        match gap(expected, found, &batch.damaged) {
            Some(ResetReason::Damaged) => {
                self.send_reset(slot, sub, topic, ResetReason::Damaged, found);
            }
            Some(reason) if expected == cursor.next() => {
                let first = self.env.store.topic_state(topic).first;
                self.send_reset(slot, sub, topic, reason, first);
            }
            Some(_) | None => {}
        }
    }

    /// Reads for one connection in one topic, if it is behind and no read is under way.
    pub(super) fn catch_up_connection(&mut self, slot: u32, topic: &Topic) {
        let Some(Laggard { cursor, is_reading, .. }) = self.laggard(slot, topic) else { return };
        let head = match self.topics.exact.get(topic) {
            Some(entry) => entry.head,
            None => self.env.store.topic_state(topic).head,
        };
        if is_reading || cursor.is_at_tail(head) {
            return;
        }
        match self.env.policies.policy(topic).durability {
            // It keeps no more than may be sent, so nothing is left to skip.
            Durability::Memory => self.send_backlog(slot, topic, head),
            Durability::Sync | Durability::Async => {
                self.skip_backlog(slot, topic, head);
                if let Some(Laggard { cursor, .. }) = self.laggard(slot, topic) {
                    self.catch_up(slot, topic, cursor.next());
                }
            }
        }
    }

    /// Everything of a connection that was held back goes on.
    pub(super) fn resume_subscriptions(&mut self, slot: u32) {
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        let mut live = Vec::new();
        let mut durable = Vec::new();
        let mut member_of = Vec::new();
        for subscription in &active.subscriptions {
            match &subscription.kind {
                Kind::Live { .. } => live.extend(subscription.sub.as_topic()),
                Kind::LiveFilter(lagging) => live.extend(lagging.topics.keys().cloned()),
                Kind::Durable(held) => durable.push(held.key.topic.clone()),
                Kind::Shared(shared) => member_of.push(shared.member),
                Kind::Waiting(_) => {}
            }
        }
        live.sort_unstable();
        live.dedup();
        for topic in live {
            self.catch_up_connection(slot, &topic);
        }
        for topic in durable {
            self.pump(slot, &topic, None);
        }
        for member in member_of {
            self.send_unsent(slot, member);
        }
    }

    /// Delivers to subscriptions with wildcards.
    pub(super) fn deliver_to_filters(&mut self, shared: &SharedMessage) {
        let mut subscribers: Vec<FilterSubscriber> = Vec::new();
        self.topics.filters.matching(shared.message.topic(), |s| subscribers.push(s.clone()));
        for subscriber in subscribers {
            self.deliver_to_filter(&subscriber, shared);
        }
    }

    fn deliver_to_filter(&mut self, subscriber: &FilterSubscriber, shared: &SharedMessage) {
        let is_memory = self.is_memory(shared);
        let outbound_bytes = self.env.settings.outbound_bytes;
        let fan_out = self.topics.fan_outs;
        let (topic, offset) = (shared.message.topic(), shared.message.offset);
        let key = subscriber.key;
        let slot = key.slot as usize;
        let connection = self.connections.get_mut(slot).filter(|c| c.generation == key.generation);
        let Some(connection) = connection else { return };
        if connection.last_fan_out == fan_out {
            if let Some(active) = connection.active() {
                active.filters_reach(topic, offset);
            }
            return;
        }
        let priority = shared.priority(&self.env.policies);
        let (has_room, written) = connection.room_for(priority, outbound_bytes);
        self.env.metrics.bytes_out.inc_by(written);
        connection.starved |= !has_room;
        let Some(active) = connection.active() else { return };
        // Where one lags they all do, or messages would come out of order, and twice.
        match (active.filters_lag_from(topic), has_room) {
            (Some(next), _) if offset < next => return,
            // They had everything before: back at the tail.
            (Some(next), true) if offset == next => active.filters_reach(topic, offset),
            (Some(next), _) => {
                if is_memory {
                    self.keep_backlog(shared);
                }
                self.fall_behind(subscriber, topic, next);
                if has_room {
                    self.catch_up_connection(key.slot, topic);
                }
                return;
            }
            (None, _) => {}
        }
        if !shared.audience.includes_live() {
            return;
        }
        if has_room {
            connection.last_fan_out = fan_out;
            connection.push_shared(shared, priority, &mut self.deflater);
            connection.queue_flush(key.slot, &mut self.unflushed);
            self.env.metrics.deliveries.inc();
        } else if is_memory && !self.keep_backlog(shared) {
            self.env.metrics.dropped_slow.inc();
        } else {
            self.fall_behind(subscriber, topic, offset);
        }
    }

    /// A subscription with wildcards starts to lag in a topic, if it does not yet.
    pub(super) fn fall_behind(
        &mut self,
        subscriber: &FilterSubscriber,
        topic: &Topic,
        offset: Offset,
    ) {
        let store = Arc::clone(&self.env.store);
        let Some(connection) = self.connection(subscriber.key) else { return };
        let subscription = connection.active().and_then(|a| a.subscription(&subscriber.sub));
        let Some(Kind::LiveFilter(lagging)) = subscription.map(|s| &mut s.kind) else { return };
        if lagging.topics.contains_key(topic) {
            return;
        }
        if lagging.topics.len() >= limits::LAGGING_TOPICS_MAX {
            lagging
                .topics
                .retain(|topic, place| !place.cursor.is_at_tail(store.topic_state(topic).head));
        }
        if lagging.topics.len() < limits::LAGGING_TOPICS_MAX {
            let place = LaggingTopic { cursor: LiveCursor::new(offset), reading: false };
            lagging.topics.insert(topic.clone(), place);
        } else {
            let reason = UnsubscribeReason::TooFarBehind;
            self.end_subscription(subscriber.key.slot, &subscriber.sub, reason);
        }
    }

    /// Subscriptions with wildcards have no place of their own: what the inbox left out they
    /// missed, so they end and their clients are told.
    pub(super) fn end_filter_subscriptions(&mut self) {
        let mut subscriptions = Vec::new();
        for (slot, connection) in &mut self.connections {
            let Some(active) = connection.active() else { continue };
            for subscription in &active.subscriptions {
                if matches!(subscription.kind, Kind::LiveFilter(_)) {
                    subscriptions.push((slot as u32, subscription.sub.clone()));
                }
            }
        }
        for (slot, sub) in subscriptions {
            self.end_subscription(slot, &sub, UnsubscribeReason::TooFarBehind);
        }
    }

    /// Tells a subscription that it lost its place in a topic and goes on with `first`.
    pub(super) fn send_reset(
        &mut self,
        slot: u32,
        sub: &Filter,
        topic: &Topic,
        reason: ResetReason,
        first: Offset,
    ) {
        let state = self.env.store.topic_state(topic);
        self.env.metrics.resets.inc();
        tracing::info!(%sub, %topic, reason = reason.as_str(), "a subscription lost its place");
        let reset = Reset {
            sub: sub.clone(),
            topic: topic.clone(),
            reason,
            epoch: state.epoch,
            first,
            offset: state.head,
        };
        self.send(slot, None, ServerBody::Reset(reset));
    }

    fn history_read(&mut self, slot: u32, id: RequestId, reply: Result<History, ErrorBody>) {
        if let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) {
            active.history_in_flight -= 1;
        }
        match reply {
            Ok(history) => self.send(slot, Some(id), ServerBody::History(history)),
            Err(error) => self.send_error(slot, Some(id), error),
        }
    }
}
