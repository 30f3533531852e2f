//! Durable subscriptions find their holder: one connection at a time, from a saved cursor on.

use std::sync::Arc;

use tidings_core::{
    CursorState, DeliveryWindow, Durability, DurableKey, Filter, Position, Recovery, ResetReason,
    TopicState, recover,
};
use tidings_protocol::{ErrorBody, ErrorCode, ServerBody, Subscribed, UnsubscribeReason};
use tidings_storage::{StoreError, Write};

use super::subscribe::{place, start};
use super::subscription::{Durable, Kind, Stage, Subscription, WaitingDurable};
use super::trace::TracedDeliveries;
use super::{ConnectionKey, PendingWrite, Shard};
use crate::directory::{Claim, Place};
use crate::inbox::Letter;
use crate::problem::store_error;

/// Where a durable or shared subscription goes on.
pub(super) struct Start {
    pub(super) cursor: CursorState,
    pub(super) begins: Begins,
    /// What its client is told.
    pub(super) told: Recovery,
}

/// When a durable or shared subscription began.
pub(super) enum Begins {
    /// Just now: its cursor was made for it.
    Now,
    /// Just now in this life of the log: its cursor is of another.
    Anew,
    /// Before, perhaps in another process.
    Before,
}

impl Shard {
    /// Takes a durable subscription, or waits for the connection that holds it to let go.
    pub(super) fn claim_durable(&mut self, slot: u32, sub: Filter, waiting: WaitingDurable) {
        let topic = &waiting.key.topic;
        if self.env.policies.policy(topic).durability == Durability::Memory {
            let message = format!(
                "`{topic}` keeps nothing (`durability = \"memory\"`), so nothing can be durable"
            );
            let error = ErrorBody::new(ErrorCode::Unsupported, message);
            return self.refuse_durable(slot, &waiting, error);
        }
        let Some(connection) = self.key(slot) else { return };
        let place = Place { lane: self.inbox.lane(), connection };
        match self.env.directory.claim(&waiting.key, place) {
            Claim::Granted => self.open_durable(slot, sub, waiting),
            Claim::Wait { evict, displaced } => {
                let key = waiting.key.clone();
                self.add(slot, sub, Kind::Waiting(Box::new(waiting)));
                for evicted in [evict, displaced].into_iter().flatten() {
                    let letter = Letter::Evict { key: key.clone(), holder: evicted.connection };
                    self.env.inboxes[evicted.lane as usize].post(letter);
                }
            }
        }
    }

    /// The durable subscription is this connection's: goes on from its cursor, or makes one.
    fn open_durable(&mut self, slot: u32, sub: Filter, mut waiting: WaitingDurable) {
        let key = &waiting.key;
        let state = self.env.store.topic_state(&key.topic);
        let Some(saved) = self.env.store.cursor(&key.clone().into()) else {
            let Some(connection) = self.key(slot) else { return };
            let cursors_max = self.env.settings.cursors_per_user;
            if self.env.store.count_cursors(&key.user, cursors_max) >= cursors_max {
                self.release(key, connection);
                let message = format!(
                    "a user has at most {cursors_max} durable subscriptions \
                     (`limits.cursors_per_user`); those not used for long are forgotten"
                );
                let error = ErrorBody::new(ErrorCode::LimitReached, message);
                return self.refuse_durable(slot, &waiting, error);
            }
            let start = start(waiting.from, state);
            let cursor = CursorState::beginning(state.epoch, start.next(), waiting.window);
            let write = Write::SaveCursor { key: key.clone().into(), state: cursor };
            let pending = PendingWrite::Open { key: key.clone(), connection };
            waiting.stage = Stage::Opening { start };
            self.add(slot, sub, Kind::Waiting(Box::new(waiting)));
            return self.write(write, Some(pending));
        };
        let mut start = go_on(saved, state);
        match waiting.stage {
            Stage::Opening { start: told } => (start.told, start.begins) = (told, Begins::Now),
            Stage::Held => {}
        };
        self.attach(slot, sub, &waiting, start);
    }

    /// A durable subscription does not begin: its client is told.
    pub(super) fn refuse_durable(&mut self, slot: u32, waiting: &WaitingDurable, error: ErrorBody) {
        match waiting.id {
            Some(id) => {
                self.send_error(slot, Some(id), error);
                if waiting.instead_of_policy {
                    // What it was to take the place of goes on.
                    self.subscribe_own_inbox(slot);
                }
            }
            None => {
                let (code, DurableKey { user, name, .. }) = (error.code.as_str(), &waiting.key);
                tracing::warn!(%user, durable = %name, code, "an inbox could not be subscribed");
                self.send_error(slot, None, error);
            }
        }
    }

    fn attach(&mut self, slot: u32, sub: Filter, waiting: &WaitingDurable, start: Start) {
        let Start { cursor, begins, told } = start;
        let WaitingDurable { id, key, window, watch, .. } = waiting;
        let by_policy = id.is_none();
        let state = self.env.store.topic_state(&key.topic);
        let policy = Arc::clone(&self.env.policies.policy(&key.topic).delivery);
        let seed = self.env.random_seed();
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        let client = active.session.client.clone();
        let attempts = self.env.attempts.take(&key.clone().into(), cursor.epoch);
        let reserved = cursor.reserved;
        let mut window = DeliveryWindow::new(policy, *window, cursor, state.head, seed);
        match begins {
            Begins::Now => window.begins(reserved),
            Begins::Anew => window.begins_anew(),
            Begins::Before => {}
        }
        window.missing(window.cursor(), state.first.previous());
        let place = Some(place(state, told, window.pending()));
        let entry = self.topics.entry(&key.topic, state.head);
        let index = entry.durable.len() as u32;
        entry.durable.push(slot);
        let durable = Durable {
            key: key.clone(),
            window,
            wanted: Vec::new(),
            reading: false,
            unsaved: false,
            attempts,
            reader: None,
            client,
            by_policy,
            traced: TracedDeliveries::default(),
            index,
        };
        self.add(slot, sub.clone(), Kind::Durable(Box::new(durable)));
        // Whoever did not ask is told the name it has to ask by.
        let durable = by_policy.then(|| key.name.clone());
        let subscribed = Subscribed { sub, place, pending: None, durable };
        self.send(slot, *id, ServerBody::Subscribed(subscribed));
        self.attend(slot, &key.topic, *watch);
        if matches!(told, Recovery::Recovered { .. }) {
            // Saved again though nothing moved: a cursor that is not is forgotten one day.
            self.touch_cursor(slot, &key.topic);
        }
        self.pump(slot, &key.topic, None);
    }

    /// Takes the request back that waits for `key` in this stage.
    fn take_waiting(
        &mut self,
        key: &DurableKey,
        waiter: ConnectionKey,
        in_stage: fn(Stage) -> bool,
    ) -> Option<(Filter, WaitingDurable)> {
        let is_it = |kind: &Kind| match kind {
            Kind::Waiting(waiting) => waiting.key == *key && in_stage(waiting.stage),
            Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Durable(_) | Kind::Shared(_) => false,
        };
        let active = self.connection(waiter)?.active()?;
        let at = active.subscriptions.iter().position(|s| is_it(&s.kind))?;
        let Subscription { sub, kind: Kind::Waiting(waiting) } =
            active.subscriptions.swap_remove(at)
        else {
            return None;
        };
        self.env.metrics.subscriptions.dec();
        Some((sub, *waiting))
    }

    /// Whoever held a durable subscription has let go of it for `waiter`.
    pub(super) fn released(&mut self, key: &DurableKey, waiter: ConnectionKey) {
        let place = Place { lane: self.inbox.lane(), connection: waiter };
        if !self.env.directory.is_holder(key, place) {
            // Withdrawn in the meantime.
            return;
        }
        let held = |stage| matches!(stage, Stage::Held);
        match self.take_waiting(key, waiter, held) {
            Some((sub, waiting)) => self.open_durable(waiter.slot, sub, waiting),
            None => {
                let in_use = self.connection(waiter).and_then(|c| c.active()).is_some_and(|a| {
                    a.subscriptions.iter().any(|s| s.kind.durable_key() == Some(key))
                });
                if !in_use {
                    self.release(key, waiter);
                }
            }
        }
    }

    /// The first cursor of a durable subscription is saved, or could not be.
    pub(super) fn opened(
        &mut self,
        key: &DurableKey,
        waiter: ConnectionKey,
        refused: Option<&StoreError>,
    ) {
        let opening = |stage| matches!(stage, Stage::Opening { .. });
        match (self.take_waiting(key, waiter, opening), refused) {
            (Some((sub, waiting)), None) => self.open_durable(waiter.slot, sub, waiting),
            (Some((_, waiting)), Some(error)) => {
                self.refuse_durable(waiter.slot, &waiting, store_error(error));
                self.release(key, waiter);
            }
            (None, _) => self.release(key, waiter),
        }
    }

    /// Another connection wants a durable subscription that this one holds or waits for.
    pub(super) fn evict(&mut self, key: &DurableKey, holder: ConnectionKey) {
        let sub = self.connection(holder).and_then(|c| c.active()).and_then(|active| {
            let mine = |s: &&Subscription| match &s.kind {
                Kind::Durable(durable) => durable.key == *key,
                Kind::Waiting(waiting) => waiting.key == *key,
                Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Shared(_) => false,
            };
            active.subscriptions.iter().find(mine).map(|s| s.sub.clone())
        });
        if let Some(sub) = sub {
            self.end_subscription(holder.slot, &sub, UnsubscribeReason::TakenOver);
        }
    }

    /// A durable subscription is free: whoever waits for it gets it.
    pub(super) fn release(&mut self, key: &DurableKey, connection: ConnectionKey) {
        let place = Place { lane: self.inbox.lane(), connection };
        self.tell_released(key, self.env.directory.release(key, place));
    }

    /// The holder stops using a durable subscription, and releases it once its cursor is saved.
    pub(super) fn leave(&self, key: &DurableKey, connection: ConnectionKey) {
        self.env.directory.leave(key, Place { lane: self.inbox.lane(), connection });
    }

    /// A request that waited is given up.
    pub(super) fn withdraw(&self, key: &DurableKey, connection: ConnectionKey) {
        let place = Place { lane: self.inbox.lane(), connection };
        self.tell_released(key, self.env.directory.withdraw(key, place));
    }

    fn tell_released(&self, key: &DurableKey, next: Option<Place>) {
        if let Some(next) = next {
            let letter = Letter::Released { key: key.clone(), waiter: next.connection };
            self.env.inboxes[next.lane as usize].post(letter);
        }
    }
}

/// Where a subscription goes on whose cursor was saved.
pub(super) fn go_on(saved: CursorState, state: TopicState) -> Start {
    let after = Position { epoch: saved.epoch, offset: saved.next.previous() };
    let told = recover(after, state);
    let (cursor, begins) = match told {
        // A window over a log that was trimmed finds that out by itself, and keeps what was acked
        // out of order.
        Recovery::Recovered { .. }
        | Recovery::Reset {
            reason: ResetReason::Trimmed | ResetReason::Skipped | ResetReason::Damaged,
            ..
        } => (saved, Begins::Before),
        // Saved only once something settles, so that the reset is told again if the answer gets
        // lost.
        Recovery::Reset { reason: ResetReason::EpochChanged | ResetReason::AheadOfHead, next } => {
            (CursorState::at(state.epoch, next), Begins::Anew)
        }
    };
    Start { cursor, begins, told }
}
