//! The end of a subscription: nothing more is sent, and what was given up is still set aside.

use super::{DeliveryEffect, DeliveryWindow, Flight, GiveUp};
use crate::position::Offset;

impl DeliveryWindow {
    /// Whether a message that was given up is on its way to the dead letters. A last state taken
    /// before it is there would bring the message again.
    pub fn awaits_dead_letters(&self) -> bool {
        let awaited =
            |flight: &Flight| matches!(flight, Flight::AwaitingDeadLetter { retry_at: None, .. });
        self.in_flight.values().any(awaited)
    }

    /// For a subscription that has ended: the next message that was given up and is in nobody's
    /// hands, with its deliveries and why. What was to be sent again is not.
    pub fn next_dead_letter(&mut self) -> Option<(Offset, u32, GiveUp)> {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                DeliveryEffect::DeadLetter { offset, attempts, reason }
                    if self.is_wanted(effect) =>
                {
                    return Some((offset, attempts, reason));
                }
                DeliveryEffect::DeadLetter { .. }
                | DeliveryEffect::Send { .. }
                | DeliveryEffect::SaveCursor
                | DeliveryEffect::Reserve => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backoff::Backoff;
    use crate::cursor_state::CursorState;
    use crate::delivery_window::DeliveryPolicy;
    use crate::position::Epoch;
    use crate::time::Instant;

    #[test]
    fn what_was_given_up_is_awaited_until_it_is_set_aside_or_could_not_be() {
        let second = Duration::from_secs(1);
        let backoff = Backoff { base: second, cap: second };
        let policy = DeliveryPolicy { ack_timeout: second, attempts_max: 5, backoff };
        let state = CursorState::beginning(Epoch::new(1), Offset::FIRST, 8);
        let tail = Offset::new(4);
        let mut window = DeliveryWindow::new(policy, 8, state, tail, 1);
        window.begins(tail);
        while window.next_effect(Instant::ORIGIN).is_some() {}
        let [taken, waiting, late, gone] = [1, 2, 3, 4].map(Offset::new);
        assert!(!window.awaits_dead_letters());
        window.refused(taken);
        assert!(window.next_effect(Instant::ORIGIN).is_some());
        window.nacked(Instant::ORIGIN, late, Some(Duration::ZERO));
        window.deadline_passed(Instant::ORIGIN);
        window.refused(waiting);
        window.refused(gone);
        window.missing(gone, gone);
        assert_eq!(window.next_dead_letter(), Some((waiting, 1, GiveUp::Asked)));
        assert_eq!(window.next_dead_letter(), None, "nothing is sent, and nothing set aside twice");
        window.dead_lettered(waiting);
        assert!(window.awaits_dead_letters());
        window.dead_letter_failed(Instant::ORIGIN, taken);
        assert!(!window.awaits_dead_letters());
    }
}
