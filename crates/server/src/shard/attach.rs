//! Durable subscriptions find their holder: one connection at a time, from a saved cursor on.

use std::collections::BTreeMap;

use tidings_core::{
    CursorState, DeliveryWindow, Durability, DurableKey, Filter, Position, Recovery, recover,
};
use tidings_protocol::{ErrorBody, ErrorCode, ServerBody, Subscribed, UnsubscribeReason};
use tidings_storage::{StoreError, Write};

use super::subscribe::{place, start};
use super::subscription::{Durable, Kind, Stage, Subscription, WaitingDurable};
use super::{ConnectionKey, PendingWrite, Shard};
use crate::directory::{Claim, Place};
use crate::inbox::Letter;
use crate::problem::store_error;

impl Shard {
    /// Takes a durable subscription, or waits for the connection that holds it to let go.
    pub(super) fn claim_durable(&mut self, slot: u32, sub: Filter, waiting: WaitingDurable) {
        let topic = &waiting.key.topic;
        if self.env.policies.policy(topic).durability == Durability::Memory {
            let message = format!(
                "`{topic}` keeps nothing (`durability = \"memory\"`), so nothing can be durable"
            );
            let error = ErrorBody::new(ErrorCode::Unsupported, message);
            return self.send_error(slot, Some(waiting.id), error);
        }
        let Some(connection) = self.key(slot) else { return };
        let place = Place { lane: self.inbox.lane(), connection };
        match self.env.directory.claim(&waiting.key, place) {
            Claim::Granted => self.open_durable(slot, sub, waiting),
            Claim::Wait { holder, displaced } => {
                let key = waiting.key.clone();
                self.add(slot, sub, Kind::Waiting(Box::new(waiting)));
                for evicted in [Some(holder), displaced].into_iter().flatten() {
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
        let Some(saved) = self.env.store.cursor(key) else {
            let Some(connection) = self.key(slot) else { return };
            let start = start(waiting.from, state);
            let cursor = CursorState::at(state.epoch, start.next());
            let write = Write::SaveCursor { key: key.clone(), state: cursor };
            let pending = PendingWrite::Open { key: key.clone(), connection };
            waiting.stage = Stage::Opening { start };
            self.add(slot, sub, Kind::Waiting(Box::new(waiting)));
            return self.write(write, Some(pending));
        };
        let after = Position { epoch: saved.epoch, offset: saved.next.previous() };
        let recovery = recover(after, state);
        let cursor = match recovery {
            Recovery::Recovered { .. } => saved,
            // Saved only once something settles, so that the reset is told again if the answer
            // gets lost.
            Recovery::Reset { next, .. } => CursorState::at(state.epoch, next),
        };
        let told = match waiting.stage {
            Stage::Opening { start } => start,
            Stage::Held => recovery,
        };
        self.attach(slot, sub, &waiting, cursor, told);
    }

    fn attach(
        &mut self,
        slot: u32,
        sub: Filter,
        waiting: &WaitingDurable,
        cursor: CursorState,
        told: Recovery,
    ) {
        let WaitingDurable { id, key, window, .. } = waiting;
        let state = self.env.store.topic_state(&key.topic);
        let policy = self.env.policies.policy(&key.topic).delivery;
        let seed = self.env.random_seed();
        let window = DeliveryWindow::new(policy, *window, cursor, state.head, seed);
        let place = Some(place(state, told, window.pending()));
        self.topics.entry(&key.topic, state.head).durable.push(slot);
        let durable = Durable {
            key: key.clone(),
            window,
            wanted: Vec::new(),
            reading: false,
            unsaved: false,
            reasons: BTreeMap::new(),
        };
        self.add(slot, sub.clone(), Kind::Durable(Box::new(durable)));
        self.send(slot, Some(*id), ServerBody::Subscribed(Subscribed { sub, place }));
        self.pump(slot, &key.topic, None);
    }

    /// Takes the request back that waited for `key`.
    fn take_waiting(
        &mut self,
        key: &DurableKey,
        waiter: ConnectionKey,
    ) -> Option<(Filter, WaitingDurable)> {
        let is_it = |kind: &Kind| matches!(kind, Kind::Waiting(waiting) if waiting.key == *key);
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

    /// The connection that held a durable subscription has let go.
    pub(super) fn released(&mut self, key: &DurableKey, waiter: ConnectionKey) {
        match self.take_waiting(key, waiter) {
            Some((sub, waiting)) => self.open_durable(waiter.slot, sub, waiting),
            // Gone in the meantime: the next one, if any.
            None => self.release(key, waiter),
        }
    }

    /// The first cursor of a durable subscription is saved, or could not be.
    pub(super) fn opened(
        &mut self,
        key: &DurableKey,
        waiter: ConnectionKey,
        refused: Option<&StoreError>,
    ) {
        match (self.take_waiting(key, waiter), refused) {
            (Some((sub, waiting)), None) => self.open_durable(waiter.slot, sub, waiting),
            (Some((_, waiting)), Some(error)) => {
                self.send_error(waiter.slot, Some(waiting.id), store_error(error));
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
                Kind::Live { .. } | Kind::LiveFilter(_) => false,
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
        if let Some(next) = self.env.directory.release(key, place) {
            let letter = Letter::Released { key: key.clone(), waiter: next.connection };
            self.env.inboxes[next.lane as usize].post(letter);
        }
    }
}
