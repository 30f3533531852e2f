//! What of a delivery window is saved.

use super::{DeliveryWindow, Flight};
use crate::cursor_state::CursorState;
use crate::position::Offset;
use crate::presence::Departure;

impl DeliveryWindow {
    /// What to save while the subscription goes on. If nothing is saved after it, the process has
    /// ended, which is no failure of any message.
    pub fn state(&self) -> CursorState {
        let attempts = self.in_flight.iter().map(|(offset, flight)| match *flight {
            Flight::AwaitingAck { attempt, .. } => (*offset, attempt - 1),
            Flight::BackingOff { attempt, .. } => (*offset, attempt),
            Flight::Held { attempts } | Flight::AwaitingDeadLetter { attempts, .. } => {
                (*offset, attempts)
            }
        });
        // What is reserved has no need of zeros.
        let failed = attempts.filter(|(_, attempts)| *attempts > 0);
        self.state_with(failed, self.reservation.next_save(self.next, self.window))
    }

    /// What to save when the connection has ended: what was sent, and nothing reserved.
    ///
    /// A connection that breaks is an attempt of the first message in flight alone: if anything
    /// made the subscriber fail, it was that one. The others were interrupted, which is no failure
    /// of theirs, or a bad network would use up the attempts of a whole inbox; they are marked as
    /// sent before, and no more than that. A subscriber that leaves in good order has failed at
    /// nothing.
    pub fn last_state(&self, departure: Departure) -> CursorState {
        let first = match departure {
            Departure::Broken => self.in_flight.keys().next(),
            Departure::Meant | Departure::Ended => None,
        };
        let attempts = self.in_flight.iter().filter_map(|(offset, flight)| match *flight {
            Flight::AwaitingAck { attempt, .. } if Some(offset) != first => {
                Some((*offset, attempt - 1))
            }
            // Never sent on this connection.
            Flight::BackingOff { attempt: 0, .. } | Flight::Held { attempts: 0 } => {
                self.earlier_attempts.get(offset).map(|earlier| (*offset, *earlier))
            }
            Flight::AwaitingAck { attempt, .. } | Flight::BackingOff { attempt, .. } => {
                Some((*offset, attempt))
            }
            Flight::Held { attempts } | Flight::AwaitingDeadLetter { attempts, .. } => {
                Some((*offset, attempts))
            }
        });
        let earlier = self.reservation.earlier();
        let unsettled = earlier >= self.cursor;
        self.state_with(attempts, if unsettled { earlier } else { Offset::ORIGIN })
    }

    fn state_with(
        &self,
        in_flight: impl Iterator<Item = (Offset, u32)>,
        reserved: Offset,
    ) -> CursorState {
        let unsent = self.earlier_attempts.range(self.next..).map(|(o, a)| (*o, *a));
        CursorState {
            epoch: self.epoch,
            next: self.cursor,
            settled: self.settled.ranges().collect(),
            attempts: in_flight.chain(unsent).collect(),
            reserved,
        }
    }
}
