//! What of a window waits for an answer: for whoever keeps book of failed deliveries.

use super::{DeliveryWindow, Flight, Standing};
use crate::position::Offset;
use crate::time::Instant;

/// A delivery that was sent and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Which message.
    pub offset: Offset,
    /// Which delivery of it, from 1.
    pub attempt: u32,
    /// Since when.
    pub sent_at: Instant,
    /// When it counts as failed.
    pub due: Instant,
}

impl DeliveryWindow {
    /// The deliveries that were sent and not answered, by rising offset.
    pub fn unanswered(&self) -> impl Iterator<Item = Unanswered> {
        self.in_flight.iter().filter_map(|(offset, flight)| unanswered(*offset, *flight))
    }

    /// The delivery of this message that was sent and not answered.
    pub fn unanswered_at(&self, offset: Offset) -> Option<Unanswered> {
        self.in_flight.get(&offset).and_then(|flight| unanswered(offset, *flight))
    }

    /// How the message at `offset` stands; `None` if it is settled or was never sent.
    pub fn standing(&self, offset: Offset) -> Option<Standing> {
        self.in_flight.get(&offset).map(|flight| match flight {
            Flight::AwaitingAck { .. } => Standing::AwaitingAck,
            Flight::BackingOff { .. } | Flight::Held { .. } => Standing::Waiting,
            Flight::AwaitingDeadLetter { reason, .. } => Standing::GivenUp(*reason),
        })
    }
}

const fn unanswered(offset: Offset, flight: Flight) -> Option<Unanswered> {
    let Flight::AwaitingAck { attempt, sent_at, due } = flight else { return None };
    Some(Unanswered { offset, attempt, sent_at, due })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::GiveUp;
    use super::*;
    use crate::backoff::Backoff;
    use crate::cursor_state::CursorState;
    use crate::delivery_window::DeliveryPolicy;
    use crate::position::{Epoch, Offset};
    use crate::time::Instant;

    #[test]
    fn a_message_stands_where_its_answers_have_brought_it() {
        let wait = Duration::from_secs(1);
        let policy = DeliveryPolicy {
            ack_timeout: wait,
            attempts_max: 2,
            backoff: Backoff { base: wait, cap: wait },
        };
        let state = CursorState::beginning(Epoch::new(1), Offset::FIRST, 8);
        let tail = Offset::new(3);
        let mut window = DeliveryWindow::new(policy, 8, state, tail, 1);
        window.begins(tail);
        let mut now = Instant::ORIGIN;
        while window.next_effect(now).is_some() {}
        let [first, second, third] = [1, 2, 3].map(Offset::new);
        assert_eq!(window.standing(first), Some(Standing::AwaitingAck));
        assert_eq!(window.standing(tail.next()), None, "never sent");
        window.acked(first);
        assert_eq!(window.standing(first), None, "settled");
        window.nacked(now, second, None);
        assert_eq!(window.standing(second), Some(Standing::Waiting));
        window.refused(third);
        assert_eq!(window.standing(third), Some(Standing::GivenUp(GiveUp::Asked)));
        now = now + Duration::from_secs(2);
        window.deadline_passed(now);
        while window.next_effect(now).is_some() {}
        assert_eq!(window.standing(second), Some(Standing::AwaitingAck), "sent again");
        window.deadline_passed(now + Duration::from_secs(2));
        assert_eq!(window.standing(second), Some(Standing::GivenUp(GiveUp::TimedOut)));
    }
}
