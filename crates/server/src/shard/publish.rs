//! Publishing: from the frame to the log and back to the publisher.

use tidings_core::{Operation, Timestamp};
use tidings_protocol::{
    ErrorBody, ErrorCode, Publish, Published, RequestId, Scheduled, ServerBody,
};
use tidings_storage::{Outcome, StoreError, Submission, Write, fault_point};

use super::{ConnectionKey, PendingWrite, Shard};
use crate::clock::{Clock, Stopwatch};
use crate::problem::{reserved, store_error};
use crate::publication::{Publication, publication};
use crate::spans::PublishSpan;

impl Shard {
    pub(super) fn publish(&mut self, slot: u32, id: RequestId, publish: Publish) {
        if publish.topic.is_reserved() {
            return self.send_error(slot, Some(id), reserved(&publish.topic));
        }
        if !self.allowed(slot, Some(id), Operation::Publish, &publish.topic) {
            return;
        }
        if let Err(error) = self.check_in_flight(slot) {
            return self.send_error(slot, Some(id), error);
        }
        let Some(connection) = self.key(slot) else { return };
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        let user = &active.principal.user;
        let Publication { write, deliver_at, span } =
            match publication(&self.env, user, publish, Clock::wall()) {
                Ok(publication) => publication,
                Err(error) => return self.send_error(slot, Some(id), error),
            };
        fault_point("publish-accepted");
        active.publishes_in_flight += 1;
        let pending = match deliver_at {
            None => PendingWrite::Publish { connection, id, span, submitted: None },
            Some(deliver_at) => PendingWrite::Schedule { connection, id, deliver_at, span },
        };
        self.write(write, Some(pending));
    }

    /// Whether a connection may have another publish under way.
    fn check_in_flight(&mut self, slot: u32) -> Result<(), ErrorBody> {
        let most = self.env.settings.limits.publishes_in_flight;
        let in_flight = self
            .connections
            .get_mut(slot as usize)
            .and_then(|c| c.active())
            .map_or(0, |active| active.publishes_in_flight);
        if in_flight >= most {
            let message = format!(
                "{in_flight} publishes wait for their answer: wait for some before sending more"
            );
            let mut error = ErrorBody::new(ErrorCode::LimitReached, message);
            error.retry_after = Some(crate::problem::RETRY_SOON);
            return Err(error);
        }
        Ok(())
    }

    /// Has the last publish of a submission measure how long all of it takes: a clock is read for each
    /// submission, not for each message.
    pub(super) fn time_submission(&mut self, submissions: &[Submission]) {
        let publishes = submissions.iter().rev().filter_map(|submission| match &submission.write {
            Write::Publish { .. } => submission.ticket,
            Write::Remove { .. }
            | Write::SaveCursor { .. }
            | Write::DeleteCursor { .. }
            | Write::SaveSession(_)
            | Write::DeleteSession(_) => None,
        });
        let last = publishes.map(|ticket| ticket.tag as usize).next();
        let pending = last.and_then(|tag| self.pending.get_mut(tag));
        if let Some(PendingWrite::Publish { submitted, .. }) = pending {
            *submitted = Some(Stopwatch::start());
        }
    }

    /// Tells whoever waits for the write with this tag what came of it. `published` is the
    /// message's place if it has one.
    pub(super) fn write_done(&mut self, tag: u64, outcome: Result<Published, &Outcome>) {
        let Some(pending) = self.pending.try_remove(tag as usize) else { return };
        match pending {
            PendingWrite::Publish { connection, id, span, submitted } => {
                if let Some(submitted) = submitted {
                    self.env.metrics.publish_times.observe(submitted.elapsed());
                }
                self.publish_answered((connection, id), outcome, span);
            }
            PendingWrite::Schedule { connection, id, deliver_at, span } => {
                self.schedule_answered((connection, id), deliver_at, &outcome, span);
            }
            PendingWrite::DeadLetter { connection, key, offset } => {
                self.dead_letter_answered(connection, &key, offset, refused(&outcome));
            }
            PendingWrite::Cursor { connection, key, reserved } => match refused(&outcome) {
                Some(error) => self.cursor_refused(connection, &key, error),
                None => self.cursor_saved(connection, &key, reserved),
            },
            PendingWrite::Session { connection } => {
                fault_point("session-saved");
                if refused(&outcome).is_some() {
                    self.session_refused(connection);
                }
            }
            PendingWrite::LastSession { connection, id } => self.session_left(connection, &id),
            PendingWrite::Open { key, connection } => {
                self.opened(&key, connection, refused(&outcome));
            }
            PendingWrite::GroupOpen { group, topic } => {
                self.group_opened(group, &topic, refused(&outcome));
            }
            PendingWrite::GroupCursor { group, topic, reserved } => {
                self.group_cursor_saved(group, &topic, reserved, refused(&outcome));
            }
            PendingWrite::GroupDeadLetter { group, topic, offset } => {
                self.group_dead_letter_answered(group, &topic, offset, refused(&outcome));
            }
            PendingWrite::Release { key, connection } => self.release(&key, connection),
        }
    }

    /// The same for a write that never reached the store.
    pub(super) fn write_refused(&mut self, tag: u64, error: &StoreError) {
        self.write_done(tag, Err(&Outcome::Refused(error.clone())));
    }

    /// A repeat of a message that was scheduled is told when that one is due.
    fn schedule_answered(
        &mut self,
        (key, request): (ConnectionKey, RequestId),
        deliver_at: Timestamp,
        outcome: &Result<Published, &Outcome>,
        span: PublishSpan,
    ) {
        let answer = match outcome {
            Ok(Published { id, .. }) => Ok(Scheduled { id: *id, deliver_at, duplicate: false }),
            Err(Outcome::Duplicate { id, .. }) => self.env.schedule.repeated(*id),
            Err(Outcome::Refused(error)) => Err(store_error(error)),
            Err(Outcome::Published(_) | Outcome::Saved) => return,
        };
        fault_point("schedule-answering");
        match &answer {
            Ok(scheduled) => span.scheduled(scheduled),
            Err(error) => span.refused(error.code),
        }
        self.answer_publisher(key, request, answer.map(ServerBody::Scheduled));
    }

    fn publish_answered(
        &mut self,
        (key, request): (ConnectionKey, RequestId),
        outcome: Result<Published, &Outcome>,
        span: PublishSpan,
    ) {
        let answer = match outcome {
            Ok(published) => Ok(published),
            Err(Outcome::Duplicate { id, position }) => {
                Ok(Published { id: *id, position: *position, duplicate: true })
            }
            Err(Outcome::Refused(error)) => Err(store_error(error)),
            Err(Outcome::Published(_) | Outcome::Saved) => return,
        };
        fault_point("publish-answering");
        match &answer {
            Ok(published) => span.published(published),
            Err(error) => span.refused(error.code),
        }
        self.answer_publisher(key, request, answer.map(ServerBody::Published));
    }

    fn answer_publisher(
        &mut self,
        key: ConnectionKey,
        id: RequestId,
        answer: Result<ServerBody, ErrorBody>,
    ) {
        let Some(connection) = self.connection(key) else { return };
        if let Some(active) = connection.active() {
            active.publishes_in_flight = active.publishes_in_flight.saturating_sub(1);
        }
        match answer {
            Ok(body) => self.send(key.slot, Some(id), body),
            Err(error) => self.send_error(key.slot, Some(id), error),
        }
    }
}

/// Why a write was not kept, if it was not.
const fn refused<'o>(outcome: &Result<Published, &'o Outcome>) -> Option<&'o StoreError> {
    match outcome {
        Err(Outcome::Refused(error)) => Some(error),
        Ok(_) | Err(Outcome::Published(_) | Outcome::Duplicate { .. } | Outcome::Saved) => None,
    }
}
