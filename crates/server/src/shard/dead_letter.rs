//! Messages that were given up: kept in the open, then settled.

use slab::Slab;
use tidings_core::{Attempts, CursorKey, Durability, DurableKey, GiveUp, Message, Offset};
use tidings_storage::{StoreError, Write, fault_point};

use super::connection::Connection;
use super::durable::held_as;
use super::parting::Partings;
use super::subscription::Durable;
use super::{ConnectionKey, PendingWrite, Shard};
use crate::dead_letters::{Burial, gave_up};
use crate::delivery_record::Happening;

/// Why a message is set aside.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) whose: CursorKey,
    /// After how many deliveries.
    pub(super) attempts: u32,
    pub(super) reason: GiveUp,
    /// How its deliveries ended, as far as that is known.
    pub(super) failed: Option<Attempts>,
}

impl Shard {
    /// Sets a message of a durable subscription aside.
    pub(super) fn dead_letter(
        &mut self,
        (connection, key): (ConnectionKey, &DurableKey),
        message: &Message,
        attempts: u32,
        reason: GiveUp,
    ) {
        let offset = message.offset;
        let (connections, partings) = (&mut self.connections, &mut self.partings);
        let Some(durable) = find(connections, partings, connection, key) else { return };
        let failed = durable.attempts.of(offset).cloned();
        let dead = Dead { whose: key.clone().into(), attempts, reason, failed };
        let pending = PendingWrite::DeadLetter { connection, key: key.clone(), offset };
        if !self.append_dead_letter(message, dead, pending)
            && let Some(durable) = find(&mut self.connections, &mut self.partings, connection, key)
        {
            durable.window.dead_lettered(offset);
            durable.attempts.settled(offset);
        }
    }

    /// Appends a copy of `message` to the dead letters. Returns `false` if it stays where it is
    /// instead: a dead letter that nobody can take, appended again, would come back to the same
    /// subscriber for ever.
    pub(super) fn append_dead_letter(
        &mut self,
        message: &Message,
        dead: Dead,
        pending: PendingWrite,
    ) -> bool {
        let (topic, offset) = (message.topic(), message.offset);
        let Dead { whose, attempts, reason, failed } = dead;
        if topic.is_reserved() {
            tracing::warn!(%topic, %offset, attempts, "a dead letter was given up; it stays readable");
            self.env.metrics.dead_letters_discarded.inc();
            return false;
        }
        tracing::warn!(
            %topic, %offset, attempts, reason = gave_up(reason), subscription = %whose,
            "a message was given up"
        );
        let burial = Burial { message, by: &whose, attempts, reason, failed: failed.as_ref() };
        let message = burial.dead_letter();
        fault_point("dead-letter-writing");
        let write = Write::Publish { message, durability: Durability::Sync, id: None };
        self.write(write, Some(pending));
        true
    }

    pub(super) fn dead_letter_answered(
        &mut self,
        connection: ConnectionKey,
        key: &DurableKey,
        offset: Offset,
        refused: Option<&StoreError>,
    ) {
        let (now, topic) = (self.now, &key.topic);
        let (connections, partings) = (&mut self.connections, &mut self.partings);
        let Some(durable) = find(connections, partings, connection, key) else { return };
        match refused {
            None => {
                fault_point("dead-letter-durable");
                durable.window.dead_lettered(offset);
                durable.note(&mut self.record, now, offset, 0, Happening::GivenUp);
                durable.attempts.settled(offset);
                fault_point("dead-letter-settled");
                self.env.metrics.dead_letters.inc();
            }
            Some(error) => {
                tracing::error!(%error, %topic, %offset, "a dead letter could not be written");
                durable.window.dead_letter_failed(now, offset);
            }
        }
        if self.partings.get(connection, key).is_some() {
            self.go_on_parting(key);
        } else {
            self.pump(connection.slot, topic, None);
        }
    }
}

/// A durable subscription that a connection holds, or is letting go of.
fn find<'s>(
    connections: &'s mut Slab<Connection>,
    partings: &'s mut Partings,
    connection: ConnectionKey,
    key: &DurableKey,
) -> Option<&'s mut Durable> {
    let holder = connections.get_mut(connection.slot as usize);
    let holder = holder.filter(|holder| holder.generation == connection.generation);
    holder.and_then(|holder| held_as(holder, key)).or_else(|| partings.get(connection, key))
}
