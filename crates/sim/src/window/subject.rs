//! The delivery window under test, or one that breaks a promise on purpose.

use std::collections::VecDeque;
use std::time::Duration;

use tidings_core::{
    CursorState, DeliveryEffect, DeliveryPolicy, DeliveryWindow, Departure, Instant, Offset,
    SettleOutcome,
};

use crate::mutation::Mutation;

/// A [`DeliveryWindow`] that does as it does, but for the mutation.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    window: DeliveryWindow,
    size: u32,
    mutation: Option<Mutation>,
    /// Effects a mutation has put off or made up.
    put_off: VecDeque<DeliveryEffect>,
}

impl Subject {
    pub(super) fn new(
        mutation: Option<Mutation>,
        mut policy: DeliveryPolicy,
        size: u32,
        state: CursorState,
        tail: Offset,
        seed: u64,
    ) -> Self {
        if mutation == Some(Mutation::NeverGivesUp) {
            policy.attempts_max = u32::MAX;
        }
        let opened = size + u32::from(mutation == Some(Mutation::OverrunsWindow));
        let mut window = DeliveryWindow::new(policy, opened, state, tail, seed);
        if mutation == Some(Mutation::SendsUnreserved) {
            window.saved(Offset::LAST);
        }
        Self { window, size, mutation, put_off: VecDeque::new() }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub(super) fn begins(&mut self, reserved: Offset) {
        self.window.begins(reserved);
    }

    pub(super) fn saved(&mut self, reserved: Offset) {
        self.window.saved(reserved);
    }

    pub(super) fn tail_advanced(&mut self, tail: Offset) {
        self.window.tail_advanced(tail);
    }

    pub(super) fn acked(&mut self, offset: Offset) -> SettleOutcome {
        if self.is(Mutation::SettlesUnsent) && offset == self.window.next() {
            self.window.missing(offset, offset);
        }
        let outcome = self.window.acked(offset);
        if self.is(Mutation::ResendsAcked) && outcome == SettleOutcome::Done {
            self.put_off.push_back(DeliveryEffect::Send { offset, attempt: 2 });
        }
        outcome
    }

    pub(super) fn acked_through(&mut self, through: Offset) -> SettleOutcome {
        let outcome = self.window.acked_through(through);
        if self.is(Mutation::CumulativeAckTakesGivenUp) {
            let mut offset = self.window.cursor();
            while offset <= through.min(self.window.next()) {
                self.window.dead_lettered(offset);
                offset = offset.next();
            }
        }
        outcome
    }

    pub(super) fn nacked(
        &mut self,
        now: Instant,
        offset: Offset,
        delay: Option<Duration>,
    ) -> SettleOutcome {
        if self.is(Mutation::NackSettles) {
            return self.window.acked(offset);
        }
        let at_once = self.is(Mutation::RetriesAtOnce).then_some(Duration::ZERO);
        self.window.nacked(now, offset, delay.or(at_once))
    }

    pub(super) fn refused(&mut self, offset: Offset) -> SettleOutcome {
        self.window.refused(offset)
    }

    pub(super) fn extended(
        &mut self,
        now: Instant,
        offset: Offset,
        more: Duration,
    ) -> SettleOutcome {
        let more = if self.is(Mutation::IgnoresExtend) { Duration::ZERO } else { more };
        self.window.extended(now, offset, more)
    }

    pub(super) fn not_sent(&mut self, offset: Offset, again_at: Instant) {
        self.window.not_sent(offset, again_at);
    }

    pub(super) fn deadline_passed(&mut self, now: Instant) {
        if !self.is(Mutation::MissesTimeouts) {
            self.window.deadline_passed(now);
        }
    }

    pub(super) fn missing(&mut self, first: Offset, last: Offset) {
        let more = u64::from(self.is(Mutation::MissingTakesOneMore));
        self.window.missing(first, last.plus(more));
    }

    pub(super) fn dead_lettered(&mut self, offset: Offset) {
        self.window.dead_lettered(offset);
    }

    pub(super) fn dead_letter_failed(&mut self, now: Instant, offset: Offset) {
        if self.is(Mutation::FailedDeadLetterSettles) {
            self.window.dead_lettered(offset);
        } else if !self.is(Mutation::FailedDeadLetterForgotten) {
            self.window.dead_letter_failed(now, offset);
        }
    }

    pub(super) fn next_effect(&mut self, now: Instant) -> Option<DeliveryEffect> {
        if let Some(effect) = self.put_off.pop_front() {
            return Some(effect);
        }
        let effect = self.window.next_effect(now);
        match effect {
            Some(DeliveryEffect::DeadLetter { offset, .. })
                if self.is(Mutation::SettlesBeforeDeadLetter) =>
            {
                self.window.dead_lettered(offset);
            }
            Some(DeliveryEffect::Send { attempt: 1, .. }) if self.is(Mutation::SwapsFirstSends) => {
                if let Some(second) = self.window.next_effect(now) {
                    self.put_off.extend(effect);
                    return Some(second);
                }
            }
            Some(
                DeliveryEffect::Send { .. }
                | DeliveryEffect::DeadLetter { .. }
                | DeliveryEffect::SaveCursor
                | DeliveryEffect::Reserve,
            ) => {}
            None => self.drop_when_full(),
        }
        effect
    }

    fn drop_when_full(&mut self) {
        let next = self.window.next();
        let full = self.window.in_flight() >= self.size as usize;
        if self.is(Mutation::DropsWhenFull) && full && next <= self.window.tail() {
            self.window.missing(next, next);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let late = Duration::from_millis(u64::from(self.is(Mutation::WakesLate)));
        self.window.next_deadline().map(|at| at + late)
    }

    pub(super) fn state(&self) -> CursorState {
        let mut state = self.as_mutated(self.window.state());
        if self.is(Mutation::ForgetsToReserve) {
            state.reserved = Offset::ORIGIN;
        }
        state
    }

    pub(super) fn last_state(&self, departure: Departure) -> CursorState {
        self.as_mutated(self.window.last_state(departure))
    }

    fn as_mutated(&self, mut state: CursorState) -> CursorState {
        if self.is(Mutation::SavedCursorLeads) {
            state.next = state.next.next();
        }
        if self.is(Mutation::ForgetsAttempts) {
            state.attempts.clear();
        }
        if self.is(Mutation::InterruptionCounts) {
            state.attempts.iter_mut().for_each(|(_, attempts)| *attempts = (*attempts).max(1));
        }
        if self.is(Mutation::ForgetsSettled) {
            state.settled.clear();
        }
        state
    }

    pub(super) const fn cursor(&self) -> Offset {
        self.window.cursor()
    }

    pub(super) fn pending(&self) -> u64 {
        self.window.pending()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.window.in_flight()
    }
}
