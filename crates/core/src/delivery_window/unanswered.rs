//! What of a window waits for an answer: for whoever keeps book of failed deliveries.

use super::{DeliveryWindow, Flight};
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
}

const fn unanswered(offset: Offset, flight: Flight) -> Option<Unanswered> {
    let Flight::AwaitingAck { attempt, sent_at, due } = flight else { return None };
    Some(Unanswered { offset, attempt, sent_at, due })
}
