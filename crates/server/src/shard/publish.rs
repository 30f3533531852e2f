//! Publishing: from the frame to the log and back to the publisher.

use tidings_core::{NewMessage, Operation};
use tidings_protocol::{ErrorBody, ErrorCode, Publish, Published, RequestId, ServerBody};
use tidings_storage::{Outcome, StoreError, Write};

use super::{ConnectionKey, PendingWrite, Shard};
use crate::clock::Clock;
use crate::problem::{not_offered, reserved, store_error};

impl Shard {
    pub(super) fn publish(&mut self, slot: u32, id: RequestId, publish: Publish) {
        if publish.topic.is_reserved() {
            return self.send_error(slot, Some(id), reserved(&publish.topic));
        }
        if !self.allowed(slot, Some(id), Operation::Publish, &publish.topic) {
            return;
        }
        if let Err(error) = self.check_publish(slot, &publish) {
            return self.send_error(slot, Some(id), error);
        }
        let Some(connection) = self.key(slot) else { return };
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        active.publishes_in_flight += 1;
        let durability = self.env.policies.policy(&publish.topic).durability;
        let message = NewMessage {
            topic: publish.topic,
            data: publish.data,
            content_type: publish.content_type,
            headers: publish.headers,
            sender: Some(active.principal.user.clone()),
            key: publish.key,
            order_key: publish.order_key,
            ttl: publish.ttl,
        };
        let pending = PendingWrite::Publish { connection, id };
        self.write(Write::Publish { message, durability, id: None }, Some(pending));
    }

    fn check_publish(&mut self, slot: u32, publish: &Publish) -> Result<(), ErrorBody> {
        if publish.deliver_at.is_some_and(|time| time > Clock::wall()) {
            return Err(not_offered("a `deliver_at` in the future"));
        }
        let limits = self.env.settings.limits;
        let bytes = publish.data.bytes().len();
        if bytes > limits.message_bytes as usize {
            let message = format!(
                "the data has {bytes} bytes, {} are allowed (`limits.message_bytes`)",
                limits.message_bytes
            );
            return Err(ErrorBody::new(ErrorCode::TooLarge, message));
        }
        let in_flight = self
            .connections
            .get_mut(slot as usize)
            .and_then(|c| c.active())
            .map_or(0, |active| active.publishes_in_flight);
        if in_flight >= limits.publishes_in_flight {
            let message = format!(
                "{in_flight} publishes wait for their answer: wait for some before sending more"
            );
            let mut error = ErrorBody::new(ErrorCode::LimitReached, message);
            error.retry_after = Some(crate::problem::RETRY_SOON);
            return Err(error);
        }
        Ok(())
    }

    /// Tells whoever waits for the write with this tag what came of it. `published` is the
    /// message's place if it has one.
    pub(super) fn write_done(&mut self, tag: u64, outcome: Result<Published, &Outcome>) {
        let Some(pending) = self.pending.try_remove(tag as usize) else { return };
        match pending {
            PendingWrite::Publish { connection, id } => {
                self.publish_answered(connection, id, outcome);
            }
            PendingWrite::DeadLetter { connection, topic, offset } => {
                self.dead_letter_answered(connection, &topic, offset, refused(&outcome));
            }
            PendingWrite::Cursor { connection, topic, reserved } => match refused(&outcome) {
                Some(error) => self.cursor_refused(connection, &topic, error),
                None => self.cursor_saved(connection, &topic, reserved),
            },
            PendingWrite::Session { connection } => {
                if refused(&outcome).is_some() {
                    self.session_refused(connection);
                }
            }
            PendingWrite::Open { key, connection } => {
                self.opened(&key, connection, refused(&outcome));
            }
            PendingWrite::Release { key, connection } => self.release(&key, connection),
        }
    }

    /// The same for a write that never reached the store.
    pub(super) fn write_refused(&mut self, tag: u64, error: &StoreError) {
        self.write_done(tag, Err(&Outcome::Refused(error.clone())));
    }

    fn publish_answered(
        &mut self,
        key: ConnectionKey,
        id: RequestId,
        outcome: Result<Published, &Outcome>,
    ) {
        let Some(connection) = self.connection(key) else { return };
        if let Some(active) = connection.active() {
            active.publishes_in_flight = active.publishes_in_flight.saturating_sub(1);
        }
        let body = match outcome {
            Ok(published) => ServerBody::Published(published),
            Err(Outcome::Duplicate { id, position }) => {
                ServerBody::Published(Published { id: *id, position: *position, duplicate: true })
            }
            Err(Outcome::Refused(error)) => {
                let error = store_error(error);
                self.env.metrics.errors(error.code).inc();
                ServerBody::Error(error)
            }
            Err(Outcome::Published(_) | Outcome::Saved) => return,
        };
        self.send(key.slot, Some(id), body);
    }
}

/// Why a write was not kept, if it was not.
const fn refused<'o>(outcome: &Result<Published, &'o Outcome>) -> Option<&'o StoreError> {
    match outcome {
        Err(Outcome::Refused(error)) => Some(error),
        Ok(_) | Err(Outcome::Published(_) | Outcome::Duplicate { .. } | Outcome::Saved) => None,
    }
}
