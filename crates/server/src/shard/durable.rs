//! Durable subscriptions: carrying out what the delivery window decides.

use tidings_core::{
    DeliveryEffect, DeliveryWindow, DurableKey, Message, Offset, ResetReason, Timestamp, Topic, gap,
};
use tidings_storage::{ReadBatch, StoreError, Write, fault_point};

use super::catch_up::{CATCH_UP, READ_RETRY};
use super::connection::Connection;
use super::subscription::{Durable, Kind, Purpose, Wanted};
use super::{CURSOR_SAVE_INTERVAL, ConnectionKey, PendingWrite, Shard, trace};
use crate::clock::Clock;
use crate::commit::SharedMessage;
use crate::dead_letters::audience;
use crate::delivery_record::Happening;
use crate::inbox::Want;

/// The durable subscription of a connection to `topic`, if it holds one.
pub(super) fn held<'c>(connection: &'c mut Connection, topic: &Topic) -> Option<&'c mut Durable> {
    connection.active()?.subscriptions.iter_mut().find_map(|s| match &mut s.kind {
        Kind::Durable(durable) if durable.key.topic == *topic => Some(&mut **durable),
        Kind::Durable(_)
        | Kind::Live { .. }
        | Kind::LiveFilter(_)
        | Kind::Waiting(_)
        | Kind::Shared(_) => None,
    })
}

/// The durable subscription of a connection under this name and no other: one that took its place
/// in the topic must not take its answers.
pub(super) fn held_as<'c>(
    connection: &'c mut Connection,
    key: &DurableKey,
) -> Option<&'c mut Durable> {
    held(connection, &key.topic).filter(|durable| durable.key == *key)
}

impl Shard {
    /// A message was appended to a topic that a connection reads durably.
    pub(super) fn deliver_durable(&mut self, slot: u32, shared: &SharedMessage, wall: Timestamp) {
        let topic = shared.message.topic();
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let Some(durable) = held(connection, topic) else { return };
        let offset = shared.message.offset;
        durable.window.tail_advanced(offset);
        let is_ours = shared.audience.includes_durable(&durable.key);
        if !is_ours {
            durable.window.missing(offset, offset);
        }
        let at_hand = (is_ours && !shared.message.is_expired(wall)).then_some(shared);
        self.pump(slot, topic, at_hand);
    }

    /// The log of a topic is known to reach `head`.
    pub(super) fn tail_advanced(&mut self, slot: u32, topic: &Topic, head: Offset) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let Some(durable) = held(connection, topic) else { return };
        durable.window.tail_advanced(head);
        self.pump(slot, topic, None);
    }

    /// Carries out what the window wants done, as far as there is room. The message `at_hand`
    /// need not be read from the log.
    pub(super) fn pump(&mut self, slot: u32, topic: &Topic, at_hand: Option<&SharedMessage>) {
        let outbound_bytes = self.env.settings.outbound_bytes;
        let Some(key) = self.key(slot) else { return };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let (now, priority) = (self.now, self.env.policies.priority(topic));
        let mut sent = 0;
        let (mut moved, mut reserve) = (false, false);
        loop {
            if !connection.has_room_for(priority, outbound_bytes) {
                connection.starved = true;
                break;
            }
            let Some(durable) = held(connection, topic) else { return };
            if durable.wanted.len() >= CATCH_UP.messages {
                // More is asked for when these are fetched, so that it is sent soon after.
                break;
            }
            let Some(effect) = durable.window.next_effect(now) else { break };
            match effect {
                DeliveryEffect::SaveCursor => {
                    durable.attempts.settled_before(durable.window.cursor());
                    moved |= !std::mem::replace(&mut durable.unsaved, true);
                }
                DeliveryEffect::Reserve => reserve = true,
                DeliveryEffect::DeadLetter { offset, attempts, reason } => {
                    let purpose = Purpose::DeadLetter { attempts, reason };
                    durable.want(Wanted { offset, purpose });
                }
                DeliveryEffect::Send { offset, attempt } => match at_hand {
                    Some(shared)
                        if shared.message.offset == offset && durable.wanted.is_empty() =>
                    {
                        durable.note(&mut self.record, now, offset, attempt, Happening::Sent);
                        trace::sent(&self.env.spans, connection, &shared.message, attempt);
                        match attempt {
                            1 => connection.push_shared(shared, priority, &mut self.deflater),
                            _ => connection.push_message(&shared.message, attempt, priority),
                        }
                        sent += 1;
                    }
                    Some(_) | None => {
                        let purpose = Purpose::Send { attempt };
                        durable.want(Wanted { offset, purpose });
                    }
                },
            }
        }
        if sent > 0 {
            fault_point("durable-sent");
            connection.queue_flush(slot, &mut self.unflushed);
            self.env.metrics.deliveries.inc_by(sent);
        }
        if reserve {
            fault_point("durable-reserving");
            self.save_cursor(key, topic);
        } else if moved {
            self.save_soon(key, topic);
        }
        self.fetch_wanted(slot, topic);
        self.arm(slot);
    }

    /// Has a cursor saved though it did not move, so that it is not taken for forgotten.
    pub(super) fn touch_cursor(&mut self, slot: u32, topic: &Topic) {
        let Some(key) = self.key(slot) else { return };
        let Some(durable) = self.connections.get_mut(slot as usize).and_then(|c| held(c, topic))
        else {
            return;
        };
        if !std::mem::replace(&mut durable.unsaved, true) {
            self.save_soon(key, topic);
        }
    }

    fn save_soon(&mut self, key: ConnectionKey, topic: &Topic) {
        self.unsaved.push((key, topic.clone()));
        let due = (self.now + CURSOR_SAVE_INTERVAL).max(self.saves_rest_until);
        self.save_at = Some(self.save_at.map_or(due, |at| at.min(due)));
    }

    /// A cursor could not be saved: it is tried again. Until then nothing is sent that the last
    /// one does not reserve. What refuses one cursor refuses all, so they rest together.
    pub(super) fn cursor_refused(
        &mut self,
        connection: ConnectionKey,
        key: &DurableKey,
        error: &StoreError,
    ) {
        tracing::debug!(%error, topic = %key.topic, "a cursor could not be saved; trying again");
        self.saves_rest_until = self.now + READ_RETRY;
        if self.connection(connection).and_then(|c| held_as(c, key)).is_some() {
            self.touch_cursor(connection.slot, &key.topic);
        }
    }

    /// A cursor is saved: what it reserves may be sent.
    pub(super) fn cursor_saved(
        &mut self,
        connection: ConnectionKey,
        key: &DurableKey,
        reserved: Offset,
    ) {
        let held = self.connection(connection).and_then(|c| held_as(c, key));
        let Some(durable) = held else { return };
        durable.window.saved(reserved);
        fault_point("durable-reserved");
        if durable.window.next() <= durable.window.tail() {
            self.pump(connection.slot, &key.topic, None);
        }
    }

    /// Asks the readers for the earliest message that is wanted, unless a read is under way or
    /// there is no room for what it would bring.
    fn fetch_wanted(&mut self, slot: u32, topic: &Topic) {
        let outbound_bytes = self.env.settings.outbound_bytes;
        let Some(key) = self.key(slot) else { return };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let has_room = connection.has_room(outbound_bytes);
        connection.starved |= !has_room;
        let Some(durable) = held(connection, topic) else { return };
        if durable.reading || !has_room {
            return;
        }
        let Some(first) = durable.wanted.iter().map(|wanted| wanted.offset).min() else { return };
        durable.reading = true;
        self.ask_read(key, Want::Durable { topic: topic.clone() }, topic, first);
    }

    /// What a reader found for a durable subscription.
    pub(super) fn durable_read(
        &mut self,
        slot: u32,
        topic: &Topic,
        from: Offset,
        result: Result<ReadBatch, StoreError>,
    ) {
        let wall = Clock::wall();
        let (now, outbound_bytes) = (self.now, self.env.settings.outbound_bytes);
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let has_room = connection.has_room(outbound_bytes);
        connection.starved |= !has_room;
        let Some(durable) = held(connection, topic) else { return };
        durable.reading = false;
        if !has_room {
            // Read again when the connection has drained.
            return;
        }
        let batch = match result {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, %topic, "a durable subscription cannot be served");
                durable.give_back_wanted(now, now + READ_RETRY);
                return self.arm(slot);
            }
        };
        let key = durable.key.clone();
        let is_ours = |message: &Message| {
            !message.is_expired(wall) && audience(message).includes_durable(&key)
        };
        let gaps = settle_gaps(&mut durable.window, from, &batch, is_ours);
        trace::ended(durable, trace::Cause::Read);
        let (mut resolved, open): (Vec<_>, Vec<_>) = std::mem::take(&mut durable.wanted)
            .into_iter()
            .partition(|wanted| (from..batch.next).contains(&wanted.offset));
        resolved.retain(|wanted| durable.still_wants(wanted));
        durable.wanted = open;
        let mut gaps = gaps.into_iter().peekable();
        for wanted in resolved {
            while let Some(gap) = gaps.next_if(|gap| gap.goes_on <= wanted.offset) {
                self.tell_gap_to_durable(slot, topic, gap);
            }
            let found = batch.messages.binary_search_by_key(&wanted.offset, |m| m.offset);
            let Some(message) = found.ok().and_then(|at| batch.messages.get(at)) else { continue };
            if is_ours(message) {
                self.fulfil(slot, topic, wanted, message);
            }
        }
        for gap in gaps {
            self.tell_gap_to_durable(slot, topic, gap);
        }
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.queue_flush(slot, &mut self.unflushed);
        }
        self.pump(slot, topic, None);
    }

    fn tell_gap_to_durable(&mut self, slot: u32, topic: &Topic, gap: Gap) {
        let first = self.first_after(topic, gap);
        self.send_reset(slot, &topic.into(), topic, gap.reason, first);
    }

    /// What to call the place where delivery goes on after a gap.
    pub(super) fn first_after(&self, topic: &Topic, gap: Gap) -> Offset {
        match gap.reason {
            ResetReason::Damaged => gap.goes_on,
            ResetReason::Trimmed
            | ResetReason::Skipped
            | ResetReason::EpochChanged
            | ResetReason::AheadOfHead => self.env.store.topic_state(topic).first,
        }
    }

    fn fulfil(&mut self, slot: u32, topic: &Topic, wanted: Wanted, message: &Message) {
        let priority = self.priority(topic);
        match wanted.purpose {
            Purpose::Send { attempt } => {
                let Some(connection) = self.connections.get_mut(slot as usize) else { return };
                trace::sent(&self.env.spans, connection, message, attempt);
                connection.push_message(message, attempt, priority);
                fault_point("durable-read");
                if let Some(durable) = held(connection, topic) {
                    let record = &mut self.record;
                    durable.note(record, self.now, message.offset, attempt, Happening::Sent);
                }
                self.env.metrics.deliveries.inc();
                if attempt > 1 {
                    self.env.metrics.redeliveries.inc();
                }
            }
            Purpose::DeadLetter { attempts, reason } => {
                let Some(connection) = self.key(slot) else { return };
                let held = self.connections.get_mut(slot as usize).and_then(|c| held(c, topic));
                let Some(key) = held.map(|durable| durable.key.clone()) else { return };
                self.dead_letter((connection, &key), message, attempts, reason);
            }
        }
    }

    /// Saves the cursors that moved, all in one go.
    pub(super) fn save_cursors_if_due(&mut self) {
        if self.save_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.save_at = None;
        self.save_group_cursors();
        for (connection, topic) in std::mem::take(&mut self.unsaved) {
            let durable = self.connection(connection).and_then(|c| held(c, &topic));
            if durable.is_some_and(|durable| durable.unsaved) {
                self.save_cursor(connection, &topic);
            }
        }
    }

    /// Saves a cursor in this turn.
    fn save_cursor(&mut self, connection: ConnectionKey, topic: &Topic) {
        let Some(durable) = self.connection(connection).and_then(|c| held(c, topic)) else {
            return;
        };
        durable.unsaved = false;
        let (key, state) = (durable.key.clone(), durable.window.state());
        let reserved = state.reserved;
        fault_point("cursor-saving");
        let pending = PendingWrite::Cursor { connection, key: key.clone(), reserved };
        self.write(Write::SaveCursor { key: key.into(), state }, Some(pending));
    }
}

/// Messages that a subscription lacked and the log has no longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    pub(super) reason: ResetReason,
    /// The first offset behind it.
    pub(super) goes_on: Offset,
}

/// Settles what the log no longer has of the part that was read, and what has expired or is for
/// others. Returns what was gone that was not settled before.
pub(super) fn settle_gaps(
    window: &mut DeliveryWindow,
    from: Offset,
    batch: &ReadBatch,
    is_ours: impl Fn(&Message) -> bool,
) -> Vec<Gap> {
    let mut expected = from;
    let mut gaps = Vec::new();
    let mut settle = |window: &mut DeliveryWindow, expected: Offset, found: Offset| {
        let Some(reason) = gap(expected, found, &batch.damaged) else { return };
        if window.lacks(expected, found.previous()) {
            gaps.push(Gap { reason, goes_on: found });
        }
        window.missing(expected, found.previous());
    };
    for message in &batch.messages {
        settle(window, expected, message.offset);
        if !is_ours(message) {
            window.missing(message.offset, message.offset);
        }
        expected = message.offset.next();
    }
    settle(window, expected, batch.next);
    gaps
}
