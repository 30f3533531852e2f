//! Book of the deliveries that failed: kept while their messages are unsettled, and handed on from
//! one connection of a subscription to the next.

use tidings_core::{
    Attempt, AttemptEnd, CursorKey, DurableKey, Instant, Offset, SettleOutcome, Timestamp,
    Unanswered,
};

use super::subscription::Durable;
use crate::clock::Clock;
use crate::delivery_record::{DeliveryRecord, Happening, Reader};

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) wall: Timestamp,
}

impl Moment {
    pub(super) fn at(now: Instant) -> Self {
        Self { now, wall: Clock::wall() }
    }

    /// The wall clock at an earlier moment, as it would have shown it now.
    pub(super) fn wall_at(self, earlier: Instant) -> Timestamp {
        self.wall.minus(self.now.since(earlier))
    }
}

impl Durable {
    /// The subscriber does not take a message, now or, with `dead`, ever.
    pub(super) fn not_taken(
        &mut self,
        at: Moment,
        record: &mut DeliveryRecord,
        (offset, end, reason): (Offset, AttemptEnd, Option<String>),
        decide: impl FnOnce(&mut Self) -> SettleOutcome,
    ) -> SettleOutcome {
        let unanswered = self.window.unanswered_at(offset);
        let outcome = decide(self);
        match (outcome, unanswered) {
            (SettleOutcome::Done, Some(unanswered)) => {
                self.failed(at, record, unanswered, end, reason);
            }
            (SettleOutcome::Done, None) => self.refused_later(at, offset, reason),
            (SettleOutcome::Stale, _) => {}
        }
        outcome
    }

    /// A delivery ended without settling its message.
    pub(super) fn failed(
        &mut self,
        at: Moment,
        record: &mut DeliveryRecord,
        unanswered: Unanswered,
        end: AttemptEnd,
        reason: Option<String>,
    ) {
        let Unanswered { offset, attempt, .. } = unanswered;
        self.note(record, at.now, offset, attempt, Happening::Failed(end));
        let attempt = Attempt {
            number: attempt,
            client: self.client.clone(),
            sent_at: at.wall_at(unanswered.sent_at),
            ended_at: at.wall,
            end,
            reason: reason.map(Into::into),
        };
        self.attempts.failed(offset, attempt);
    }

    /// A message whose delivery has failed already is refused while it waits for the next one: why
    /// is kept with the last.
    fn refused_later(&mut self, at: Moment, offset: Offset, reason: Option<String>) {
        let Some(last) = self.attempts.of(offset).and_then(|a| a.kept().last()).cloned() else {
            return;
        };
        let reason = reason.map(Into::into);
        let refused = Attempt { ended_at: at.wall, end: AttemptEnd::Refused, reason, ..last };
        self.attempts.failed(offset, refused);
    }

    /// Deliveries that were not answered in time. To be asked before the window is told the time.
    pub(super) fn note_timeouts(&mut self, at: Moment, record: &mut DeliveryRecord) {
        let overdue: Vec<_> = self.window.unanswered().filter(|u| u.due <= at.now).collect();
        for unanswered in overdue {
            self.failed(at, record, unanswered, AttemptEnd::TimedOut, None);
        }
    }

    /// The connection broke. That is an attempt of the first message alone; of the others it is kept
    /// where they have failed before.
    pub(super) fn note_connection_end(&mut self, at: Moment, record: &mut DeliveryRecord) {
        let first = self.window.cursor();
        let cut: Vec<_> = self.window.unanswered().collect();
        let end = AttemptEnd::ConnectionEnded;
        for unanswered in cut {
            let Unanswered { offset, attempt, .. } = unanswered;
            if offset == first || self.attempts.of(offset).is_some() {
                self.failed(at, record, unanswered, end, None);
            } else {
                self.note(record, at.now, offset, attempt, Happening::Failed(end));
            }
        }
    }

    /// Has the shard remember what happened to a delivery.
    pub(super) fn note(
        &mut self,
        record: &mut DeliveryRecord,
        at: Instant,
        offset: Offset,
        attempt: u32,
        what: Happening,
    ) {
        let Self { reader, key, client, .. } = self;
        let who = || Reader {
            key: CursorKey::Durable(key.clone()),
            who: Some((key.user.clone(), client.clone())),
        };
        record.note(reader, who, (at, offset, attempt), what);
    }
}

impl super::Shard {
    /// A subscription's connection ended: what failed on it is kept for the next one.
    pub(super) fn keep_attempts(&self, key: &DurableKey, durable: &mut Durable) {
        let log = std::mem::take(&mut durable.attempts);
        if !log.is_empty() {
            self.env.attempts.keep(&key.clone().into(), durable.window.state().epoch, log);
        }
    }
}
