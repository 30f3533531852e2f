//! What a window needs so that a group can share it: who gets a message is the group's to decide,
//! so a message that the window wants sent may wait for that decision.

use super::{DeliveryEffect, DeliveryWindow, Flight, GiveUp};
use crate::cursor_state::CursorState;
use crate::position::Offset;
use crate::presence::Departure;
use crate::time::Instant;

/// Whose turn it was when the subscriber that held some messages went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The one it held longest: if anything made the subscriber fail, it was this one, so the
    /// attempt counts.
    Longest,
    /// Any other: no failure of its own. It is marked as sent before, and no more than that.
    Another,
}

impl DeliveryWindow {
    /// At most `window` messages may be unacked from now on. Those beyond it stay in flight.
    pub(crate) fn set_window(&mut self, window: u32) {
        self.window = window.max(1);
    }

    /// What inputs and deadlines have led to and nothing has overtaken: retries and dead letters,
    /// never a message not sent before.
    pub(crate) fn next_decided(&mut self, now: Instant) -> Option<DeliveryEffect> {
        while let Some(effect) = self.effects.pop_front() {
            if self.is_wanted(effect) {
                return Some(self.taken(now, effect));
            }
        }
        None
    }

    /// What to do with the first message never sent, if there is one and room for it.
    pub(crate) fn start_next(&mut self, now: Instant) -> Option<DeliveryEffect> {
        let effect = self.send_next()?;
        Some(self.taken(now, effect))
    }

    /// Whether a message never sent waits for nothing but to be asked for, or for a reservation
    /// that is to be asked for.
    pub(crate) fn has_new(&self) -> bool {
        self.next <= self.tail && self.has_room() && !self.reservation.is_awaited_for(self.next)
    }

    /// Whether it is time to [reserve](DeliveryEffect::Reserve), which then counts as asked for.
    pub(crate) fn ask_to_reserve(&mut self) -> bool {
        self.reservation.ask(self.next, self.window)
    }

    /// The state to save when nothing more is sent for now, and no save is on its way. What was
    /// reserved before no longer is: before anything new is sent, it is reserved again.
    pub(crate) fn closing_state(&mut self) -> CursorState {
        self.reservation.close();
        self.unsaved = false;
        self.last_state(Departure::Broken)
    }

    /// Whether [`state`](Self::state) has changed since this was last asked.
    pub(crate) fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// A [`DeliveryEffect::Send`] is not carried out yet: no time runs for it, and it is no
    /// attempt.
    pub(crate) fn held(&mut self, offset: Offset) {
        if let Some(Flight::AwaitingAck { attempt, .. }) = self.in_flight.get(&offset) {
            let attempts = attempt.saturating_sub(1);
            self.in_flight.insert(offset, Flight::Held { attempts });
        }
    }

    /// A message that was held is sent now. Returns which attempt this is, or none if it is not
    /// held.
    pub(crate) fn sent(&mut self, now: Instant, offset: Offset) -> Option<u32> {
        let Some(Flight::Held { attempts }) = self.in_flight.get(&offset).copied() else {
            return None;
        };
        let (attempt, due) = (attempts + 1, now + self.policy.ack_timeout);
        self.in_flight.insert(offset, Flight::AwaitingAck { attempt, sent_at: now, due });
        self.note_deadline(due);
        Some(self.told(offset, attempt))
    }

    /// The subscriber that had the message went away without an answer. It is held for another
    /// one, or given up if that was its last attempt.
    pub(crate) fn interrupted(&mut self, offset: Offset, which: Interrupted) {
        let Some(Flight::AwaitingAck { attempt, .. }) = self.in_flight.get(&offset).copied() else {
            return;
        };
        let attempts = match which {
            Interrupted::Longest => attempt,
            Interrupted::Another => attempt.saturating_sub(1),
        };
        self.earlier_attempts.insert(offset, attempts);
        if attempts >= self.policy.attempts_max {
            return self.give_up(offset, attempts, GiveUp::ConnectionEnded);
        }
        self.in_flight.insert(offset, Flight::Held { attempts });
    }

    /// Whether a message waits for the next attempt.
    pub(crate) fn is_backing_off(&self) -> bool {
        self.in_flight.values().any(|flight| matches!(flight, Flight::BackingOff { .. }))
    }

    /// Whether something is decided and was not taken.
    pub(crate) fn has_decided(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Most deliveries of an unsettled message.
    pub(crate) fn attempts_most(&self) -> u32 {
        let attempts = self.in_flight.values().map(|flight| match *flight {
            Flight::AwaitingAck { attempt, .. } | Flight::BackingOff { attempt, .. } => attempt,
            Flight::Held { attempts } | Flight::AwaitingDeadLetter { attempts, .. } => attempts,
        });
        attempts.max().unwrap_or(0)
    }

    /// Whether the message is held.
    pub(crate) fn is_held(&self, offset: Offset) -> bool {
        matches!(self.in_flight.get(&offset), Some(Flight::Held { .. }))
    }

    /// Whether the message is unsettled and was asked for.
    pub(crate) fn is_in_flight(&self, offset: Offset) -> bool {
        self.in_flight.contains_key(&offset)
    }
}
