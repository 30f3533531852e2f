//! Decides what one durable subscription is sent, resent and spared.

mod effect;
mod ending;
mod saving;
mod shared;
mod unanswered;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::{Backoff, Jitter};
use crate::cursor_state::CursorState;
use crate::limits::WINDOW_SPAN_FACTOR;
use crate::offset_set::OffsetSet;
use crate::position::{Epoch, Offset};
use crate::reservation::Reservation;
use crate::time::Instant;
pub use unanswered::Unanswered;

pub use effect::{DeliveryEffect, GiveUp, SettleOutcome, Standing};
pub(crate) use shared::Interrupted;

/// How a durable subscription is delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// How long a delivery may stay unacked before it is sent again.
    pub ack_timeout: Duration,
    /// Deliveries of one message before it is given up. At least 1.
    pub attempts_max: u32,
    /// The wait between a failed delivery and the next.
    pub backoff: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    /// Sent; the answer is due.
    AwaitingAck { attempt: u32, sent_at: Instant, due: Instant },
    /// Not acked; to be sent again.
    BackingOff { attempt: u32, until: Instant },
    /// Wanted, and held back by the group that shares this window; so often in vain before.
    Held { attempts: u32 },
    /// Given up; settled once the dead letter is durable.
    AwaitingDeadLetter { attempts: u32, reason: GiveUp, retry_at: Option<Instant> },
}

/// Decides what one durable subscription is sent, resent and spared (promise P4).
///
/// Methods come in four kinds: *inputs* tell what happened (`tail_advanced`, `acked`,
/// `deadline_passed`, …); [`next_effect`](Self::next_effect) gives what is to be done, until it
/// gives none; [`next_deadline`](Self::next_deadline) says when `deadline_passed` is wanted;
/// getters tell how things stand.
///
/// Invariant: every offset in `cursor..next` is in flight or was settled out of order; everything
/// before `cursor` is settled.
///
/// Invariant: a message is settled only by an ack, by being gone from the log, or by a dead
/// letter that was reported durable.
#[derive(Clone, Debug)]
pub struct DeliveryWindow {
    /// Shared by all windows of a topic: there may be many.
    policy: Arc<DeliveryPolicy>,
    window: u32,
    epoch: Epoch,
    /// First offset not settled.
    cursor: Offset,
    /// First offset never sent on this connection.
    next: Offset,
    /// Last offset the log is known to hold.
    tail: Offset,
    in_flight: BTreeMap<Offset, Flight>,
    settled: OffsetSet,
    /// Failed deliveries on earlier connections of messages not settled.
    earlier_attempts: BTreeMap<Offset, u32>,
    reservation: Reservation,
    /// No deadline lies before this moment. May be too early, never too late.
    deadline: Option<Instant>,
    effects: VecDeque<DeliveryEffect>,
    /// Whether the state has changed since [`DeliveryEffect::SaveCursor`] was last given.
    unsaved: bool,
    jitter: Jitter,
}

impl DeliveryWindow {
    /// A window of at most `window` unacked messages that goes on from `state`, over a log whose
    /// last offset is `tail`. It saves its own state before it sends anything. `seed` feeds the jitter of backoffs.
    pub fn new(
        policy: impl Into<Arc<DeliveryPolicy>>,
        window: u32,
        state: CursorState,
        tail: Offset,
        seed: u64,
    ) -> Self {
        let CursorState { epoch, next: cursor, settled, attempts, reserved } = state;
        let tail = tail.max(cursor.previous());
        Self {
            policy: policy.into(),
            window: window.max(1),
            epoch,
            cursor,
            next: cursor,
            tail,
            in_flight: BTreeMap::new(),
            settled: OffsetSet::from_ranges(settled),
            earlier_attempts: attempts.into_iter().filter(|(o, _)| *o >= cursor).collect(),
            reservation: Reservation::new(reserved, tail),
            deadline: None,
            effects: VecDeque::new(),
            unsaved: false,
            jitter: Jitter::new(seed),
        }
    }

    /// The state was [made](CursorState::beginning) for this window and reserves through
    /// `reserved`: nothing was sent before, and so much may be.
    pub const fn begins(&mut self, reserved: Offset) {
        self.reservation.begin(reserved);
    }

    /// The saved cursor is of another life of the log, and stays until something is worth saving.
    pub const fn begins_anew(&mut self) {
        self.reservation.begin_anew(self.tail);
    }

    /// A [`state`](Self::state) that reserves through `reserved` is durable.
    pub fn saved(&mut self, reserved: Offset) {
        self.reservation.saved(reserved);
    }

    /// The log has grown to `tail`.
    pub fn tail_advanced(&mut self, tail: Offset) {
        self.tail = self.tail.max(tail);
    }

    /// The subscriber is done with everything up to and including `through`.
    pub fn acked_through(&mut self, through: Offset) -> SettleOutcome {
        let through = through.min(self.next.previous());
        if through < self.cursor {
            return SettleOutcome::Stale;
        }
        // What is on its way to the dead letters was given up before the ack: it settles there.
        let later = self.in_flight.split_off(&through.next());
        let sent = self.in_flight.len();
        self.in_flight.retain(|_, flight| matches!(flight, Flight::AwaitingDeadLetter { .. }));
        let counts = self.in_flight.len() < sent;
        let mut first = self.cursor;
        for given_up in self.in_flight.keys() {
            self.settled.insert(first, given_up.previous());
            first = given_up.next();
        }
        self.settled.insert(first, through);
        self.in_flight.extend(later);
        if !counts {
            return SettleOutcome::Stale;
        }
        self.advance_cursor();
        SettleOutcome::Done
    }

    /// The subscriber is done with this message alone.
    pub fn acked(&mut self, offset: Offset) -> SettleOutcome {
        match self.in_flight.get(&offset) {
            Some(Flight::AwaitingAck { .. } | Flight::BackingOff { .. } | Flight::Held { .. }) => {
                self.settle(offset);
                SettleOutcome::Done
            }
            Some(Flight::AwaitingDeadLetter { .. }) | None => SettleOutcome::Stale,
        }
    }

    /// The subscriber wants the message again, after `delay` or, without one, after the policy's
    /// backoff. The last attempt's nack gives it up.
    pub fn nacked(
        &mut self,
        now: Instant,
        offset: Offset,
        delay: Option<Duration>,
    ) -> SettleOutcome {
        let Some(Flight::AwaitingAck { attempt, .. }) = self.in_flight.get(&offset).copied() else {
            return SettleOutcome::Stale;
        };
        self.attempt_failed(now, offset, attempt, delay, GiveUp::Nacked);
        SettleOutcome::Done
    }

    /// The subscriber will never take this message: on to the dead letters.
    pub fn refused(&mut self, offset: Offset) -> SettleOutcome {
        match self.in_flight.get(&offset).copied() {
            Some(
                Flight::AwaitingAck { attempt, .. }
                | Flight::BackingOff { attempt, .. }
                | Flight::Held { attempts: attempt },
            ) => {
                self.give_up(offset, attempt, GiveUp::Asked);
                SettleOutcome::Done
            }
            Some(Flight::AwaitingDeadLetter { .. }) | None => SettleOutcome::Stale,
        }
    }

    /// The subscriber needs `more` time, from now, for one delivery.
    pub fn extended(&mut self, now: Instant, offset: Offset, more: Duration) -> SettleOutcome {
        let Some(Flight::AwaitingAck { due, .. }) = self.in_flight.get_mut(&offset) else {
            return SettleOutcome::Stale;
        };
        *due = now + more;
        let due = *due;
        self.note_deadline(due);
        SettleOutcome::Done
    }

    /// A [`DeliveryEffect::Send`] was not carried out, and never will be: it does not count as an
    /// attempt, and is wanted again at `again_at`.
    pub fn not_sent(&mut self, offset: Offset, again_at: Instant) {
        let attempt = match self.in_flight.get(&offset) {
            Some(Flight::AwaitingAck { attempt, .. }) => attempt.saturating_sub(1),
            Some(Flight::Held { attempts }) => *attempts,
            Some(Flight::BackingOff { .. } | Flight::AwaitingDeadLetter { .. }) | None => return,
        };
        self.in_flight.insert(offset, Flight::BackingOff { attempt, until: again_at });
        self.note_deadline(again_at);
    }

    /// Time has passed; anything due is sent again or given up.
    pub fn deadline_passed(&mut self, now: Instant) {
        if self.deadline.is_none_or(|at| at > now) {
            return;
        }
        self.deadline = None;
        // Retries that nobody has taken yet are decided again below.
        self.effects.retain(|effect| !matches!(effect, DeliveryEffect::Send { .. }));
        let flights: Vec<_> = self.in_flight.iter().map(|(o, f)| (*o, *f)).collect();
        for (offset, flight) in flights {
            match flight {
                Flight::AwaitingAck { attempt, due, .. } if due <= now => {
                    self.attempt_failed(now, offset, attempt, None, GiveUp::TimedOut);
                }
                Flight::BackingOff { attempt, until } if until <= now => {
                    // It counts as sent once the effect is taken: an answer may come before.
                    let attempt = attempt + 1;
                    self.effects.push_back(DeliveryEffect::Send { offset, attempt });
                }
                Flight::AwaitingDeadLetter { attempts, reason, retry_at: Some(at) }
                    if at <= now =>
                {
                    self.give_up(offset, attempts, reason);
                }
                Flight::AwaitingAck { due: at, .. }
                | Flight::BackingOff { until: at, .. }
                | Flight::AwaitingDeadLetter { retry_at: Some(at), .. } => self.note_deadline(at),
                Flight::Held { .. } | Flight::AwaitingDeadLetter { retry_at: None, .. } => {}
            }
        }
    }

    /// The log no longer has the messages `first..=last` (trimmed, expired or damaged): there is
    /// nothing left to deliver, so they are settled.
    ///
    /// This holds for messages on their way to the dead letters too: what cannot be read cannot
    /// be set aside. Nothing if `last` is before `first`.
    pub fn missing(&mut self, first: Offset, last: Offset) {
        if last < first {
            return;
        }
        let sent: Vec<_> = self.in_flight.range(first..=last).map(|(offset, _)| *offset).collect();
        for offset in sent {
            self.settle(offset);
        }
        if first <= self.next && last >= self.next {
            self.settled.insert(self.next, last);
            self.next = last.next();
            self.tail = self.tail.max(last);
            self.advance_cursor();
        }
    }

    /// Whether any of the messages `first..=last` is the next to be delivered, or not settled yet:
    /// whether it changes anything that they are [`missing`](Self::missing).
    pub fn lacks(&self, first: Offset, last: Offset) -> bool {
        first <= last
            && ((first..=last).contains(&self.next)
                || self.in_flight.range(first..=last).next().is_some())
    }

    /// The dead letter of this message is durable: only now is the message settled, so a crash
    /// can repeat it but never lose it.
    pub fn dead_lettered(&mut self, offset: Offset) {
        if let Some(Flight::AwaitingDeadLetter { .. }) = self.in_flight.get(&offset) {
            self.settle(offset);
        }
    }

    /// The dead letter could not be written: it is tried again after the policy's backoff.
    pub fn dead_letter_failed(&mut self, now: Instant, offset: Offset) {
        let backoff = self.policy.backoff.delay(1, &mut self.jitter);
        if let Some(Flight::AwaitingDeadLetter { retry_at, .. }) = self.in_flight.get_mut(&offset) {
            *retry_at = Some(now + backoff);
            self.note_deadline(now + backoff);
        }
    }

    /// The next thing to do, or none. `now` starts the ack timeout of what is sent.
    pub fn next_effect(&mut self, now: Instant) -> Option<DeliveryEffect> {
        if let Some(effect) = self.next_decided(now).or_else(|| self.start_next(now)) {
            return Some(effect);
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        if self.reservation.ask(self.next, self.window) {
            return Some(DeliveryEffect::Reserve);
        }
        unsaved.then_some(DeliveryEffect::SaveCursor)
    }

    /// When [`deadline_passed`](Self::deadline_passed) is wanted; `None` for not at all.
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long a delivery may stay unacked.
    pub fn ack_timeout(&self) -> Duration {
        self.policy.ack_timeout
    }

    /// The first offset not settled.
    pub const fn cursor(&self) -> Offset {
        self.cursor
    }

    /// The first offset never sent on this connection.
    pub const fn next(&self) -> Offset {
        self.next
    }

    /// The last offset the log is known to hold.
    pub const fn tail(&self) -> Offset {
        self.tail
    }

    /// Messages between the cursor and the log's end, settled ones not counted.
    pub fn pending(&self) -> u64 {
        // A log that lost its unsynced end may be shorter than what was settled of it.
        self.tail.next().distance_from(self.cursor).saturating_sub(self.settled.count())
    }

    /// Unsettled messages that were sent.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether an answer to a delivery of `offset` is due. If none is, a
    /// [`DeliveryEffect::Send`] that was not carried out yet was overtaken: it must not be.
    pub fn awaits_ack(&self, offset: Offset) -> bool {
        matches!(self.in_flight.get(&offset), Some(Flight::AwaitingAck { .. }))
    }

    fn has_room(&self) -> bool {
        let span_max = u64::from(self.window) * WINDOW_SPAN_FACTOR;
        self.in_flight.len() < self.window as usize
            && self.next.distance_from(self.cursor) < span_max
    }

    /// Whether nothing that came after the effect was decided has overtaken it.
    fn is_wanted(&self, effect: DeliveryEffect) -> bool {
        match effect {
            DeliveryEffect::Send { offset, attempt } => matches!(
                self.in_flight.get(&offset),
                Some(Flight::BackingOff { attempt: failed, .. }) if failed + 1 == attempt
            ),
            DeliveryEffect::DeadLetter { offset, .. } => matches!(
                self.in_flight.get(&offset),
                Some(Flight::AwaitingDeadLetter { retry_at: None, .. })
            ),
            DeliveryEffect::SaveCursor | DeliveryEffect::Reserve => true,
        }
    }

    /// The caller carries `effect` out: the ack timeout of what is sent starts.
    ///
    /// What may have been sent before says so, and that is all: only attempts known to have failed
    /// count.
    fn taken(&mut self, now: Instant, effect: DeliveryEffect) -> DeliveryEffect {
        let DeliveryEffect::Send { offset, attempt } = effect else { return effect };
        let due = now + self.policy.ack_timeout;
        self.in_flight.insert(offset, Flight::AwaitingAck { attempt, sent_at: now, due });
        self.note_deadline(due);
        DeliveryEffect::Send { offset, attempt: self.told(offset, attempt) }
    }

    /// What the subscriber is told of an attempt.
    fn told(&self, offset: Offset, attempt: u32) -> u32 {
        let sent_before =
            offset <= self.reservation.earlier() || self.earlier_attempts.contains_key(&offset);
        if sent_before { attempt.max(2) } else { attempt }
    }

    /// What to do with the first message never sent on this connection, if there is one and room
    /// for it.
    fn send_next(&mut self) -> Option<DeliveryEffect> {
        while let Some(end) = self.settled.run_end(self.next) {
            self.next = end.next();
        }
        if self.next > self.tail || !self.has_room() || !self.reservation.covers(self.next) {
            return None;
        }
        let offset = self.next;
        self.next = offset.next();
        let attempts = self.earlier_attempts.get(&offset).copied().unwrap_or(0);
        if attempts >= self.policy.attempts_max {
            self.give_up(offset, attempts, GiveUp::ConnectionEnded);
            return self.effects.pop_front();
        }
        Some(DeliveryEffect::Send { offset, attempt: attempts + 1 })
    }

    fn attempt_failed(
        &mut self,
        now: Instant,
        offset: Offset,
        attempt: u32,
        delay: Option<Duration>,
        reason: GiveUp,
    ) {
        if attempt >= self.policy.attempts_max {
            return self.give_up(offset, attempt, reason);
        }
        let delay = delay.unwrap_or_else(|| self.policy.backoff.delay(attempt, &mut self.jitter));
        let until = now + delay;
        self.in_flight.insert(offset, Flight::BackingOff { attempt, until });
        self.note_deadline(until);
    }

    fn give_up(&mut self, offset: Offset, attempts: u32, reason: GiveUp) {
        let flight = Flight::AwaitingDeadLetter { attempts, reason, retry_at: None };
        self.in_flight.insert(offset, flight);
        self.effects.push_back(DeliveryEffect::DeadLetter { offset, attempts, reason });
    }

    fn settle(&mut self, offset: Offset) {
        self.in_flight.remove(&offset);
        self.settled.insert(offset, offset);
        self.advance_cursor();
    }

    /// Moves the cursor over everything settled in a row.
    fn advance_cursor(&mut self) {
        if let Some(end) = self.settled.run_end(self.cursor) {
            self.cursor = end.next();
            self.settled.remove_before(self.cursor);
            self.earlier_attempts = self.earlier_attempts.split_off(&self.cursor);
        }
        self.next = self.next.max(self.cursor);
        self.unsaved = true;
    }

    fn note_deadline(&mut self, at: Instant) {
        self.deadline = Some(self.deadline.map_or(at, |earlier| earlier.min(at)));
    }
}
