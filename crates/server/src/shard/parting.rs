//! Durable subscriptions whose connection has let go of them while messages that it gave up are on
//! their way to the dead letters. They stay until these are durable: a last cursor that is saved
//! before would bring the messages again.

use std::collections::HashMap;
use tidings_core::{CursorState, Departure, DurableKey, Message, Offset};
use tidings_storage::{ReadBatch, StoreError, Write};

use super::durable::settle_gaps;
use super::failed::Moment;
use super::subscription::{Durable, Purpose, Wanted};
use super::{ConnectionKey, PendingWrite, Shard};
use crate::clock::Clock;
use crate::dead_letters::audience;
use crate::delivery_record::DeliveryRecord;
use crate::inbox::{Asker, Want};

/// The subscriptions that are parting. Nobody else can hold one meanwhile, so a key names one.
#[derive(Debug, Default)]
pub(super) struct Partings(HashMap<DurableKey, Parting>);

#[derive(Debug)]
struct Parting {
    connection: ConnectionKey,
    departure: Departure,
    durable: Box<Durable>,
}

impl Partings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `connection` held under this key until it let go of it.
    pub(super) fn get(
        &mut self,
        connection: ConnectionKey,
        key: &DurableKey,
    ) -> Option<&mut Durable> {
        let parting = self.0.get_mut(key).filter(|parting| parting.connection == connection)?;
        Some(&mut parting.durable)
    }
}

impl Shard {
    /// A connection lets go of a durable subscription, which is free for others once all is saved.
    pub(super) fn part(
        &mut self,
        connection: ConnectionKey,
        mut durable: Box<Durable>,
        departure: Departure,
    ) {
        durable.stop_sending(Moment::at(self.now), departure, &mut self.record);
        let key = durable.key.clone();
        self.partings.0.insert(key.clone(), Parting { connection, departure, durable });
        self.go_on_parting(&key);
    }

    /// Ends a subscription if everything that was given up is set aside, or has been tried.
    pub(super) fn go_on_parting(&mut self, key: &DurableKey) {
        let Some(Parting { connection, durable, .. }) = self.partings.0.get_mut(key) else {
            return;
        };
        if durable.window.awaits_dead_letters() {
            let first = durable.wanted.iter().map(|wanted| wanted.offset).min();
            if let Some(first) = first.filter(|_| !durable.reading) {
                durable.reading = true;
                let asker = Asker::Connection(*connection);
                let want = Want::Parting { key: key.clone() };
                self.ask_read_for(asker, want, &key.topic, first);
            }
            return;
        }
        self.end_parting(key);
    }

    /// Ends all of them as they are, for there is no more time: what is not set aside comes again.
    pub(super) fn end_partings(&mut self) {
        let keys: Vec<_> = self.partings.0.keys().cloned().collect();
        for key in keys {
            self.end_parting(&key);
        }
    }

    fn end_parting(&mut self, key: &DurableKey) {
        let Some(parting) = self.partings.0.remove(key) else { return };
        let Parting { connection, departure, mut durable } = parting;
        let state = durable.last_state(departure, &mut self.record);
        self.keep_attempts(key, &mut durable);
        let pending = PendingWrite::Release { key: key.clone(), connection };
        self.write(Write::SaveCursor { key: key.clone().into(), state }, Some(pending));
    }

    /// What a reader found for a subscription that is parting.
    pub(super) fn parting_read(
        &mut self,
        connection: ConnectionKey,
        key: &DurableKey,
        from: Offset,
        result: Result<ReadBatch, StoreError>,
    ) {
        let wall = Clock::wall();
        let Some(durable) = self.partings.get(connection, key) else { return };
        durable.reading = false;
        match result {
            Ok(batch) => {
                let is_ours = |message: &Message| {
                    !message.is_expired(wall) && audience(message).includes_durable(key)
                };
                // Nobody is left who could be told of gaps.
                settle_gaps(&mut durable.window, from, &batch, is_ours);
                let read = from..batch.next;
                let resolved = durable.wanted.extract_if(.., |w| read.contains(&w.offset));
                for Wanted { offset, purpose } in resolved.collect::<Vec<_>>() {
                    let found = batch.messages.binary_search_by_key(&offset, |m| m.offset);
                    let message = found.ok().and_then(|at| batch.messages.get(at));
                    match (message, purpose) {
                        (Some(message), Purpose::DeadLetter { attempts, reason })
                            if is_ours(message) =>
                        {
                            self.dead_letter((connection, key), message, attempts, reason);
                        }
                        (Some(_) | None, _) => {}
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, topic = %key.topic, "a dead letter could not be made");
                durable.give_back_wanted(self.now, self.now);
            }
        }
        self.go_on_parting(key);
    }
}

impl Durable {
    /// Its connection is gone: from now on messages that were given up are all it wants.
    fn stop_sending(&mut self, at: Moment, departure: Departure, record: &mut DeliveryRecord) {
        let is_grave = |wanted: &mut Wanted| matches!(wanted.purpose, Purpose::DeadLetter { .. });
        let mut graves: Vec<_> = self.wanted.extract_if(.., is_grave).collect();
        self.give_back_wanted(at.now, at.now);
        while let Some((offset, attempts, reason)) = self.window.next_dead_letter() {
            graves.push(Wanted { offset, purpose: Purpose::DeadLetter { attempts, reason } });
        }
        self.wanted = graves;
        // A read that is under way is its connection's, and will find nobody.
        self.reading = false;
        match departure {
            Departure::Broken => self.note_connection_end(at, record),
            Departure::Meant | Departure::Ended => {}
        }
    }

    /// What to save at the end.
    fn last_state(&mut self, departure: Departure, record: &mut DeliveryRecord) -> CursorState {
        record.left(self.reader.take());
        self.window.last_state(departure)
    }
}
