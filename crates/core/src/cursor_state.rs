//! What outlives the connection of a durable subscription.

use crate::position::{Epoch, Offset};
use crate::recovery::TopicState;

/// What is remembered of a durable subscription between connections and across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorState {
    /// The life of the log that the offsets belong to.
    pub epoch: Epoch,
    /// The first offset not settled.
    pub next: Offset,
    /// Ranges (first, last) after `next` that are settled already, rising and apart.
    pub settled: Vec<(Offset, Offset)>,
    /// Failed attempts so far of unsettled messages, rising by offset. Those with 0 were sent,
    /// and it was not their failure that they were not acked.
    pub attempts: Vec<(Offset, u32)>,
    /// Any message up to this one may have been sent, also without an entry in `attempts`.
    pub reserved: Offset,
}

impl CursorState {
    /// A cursor that has settled everything before `next` and sent nothing else.
    pub const fn at(epoch: Epoch, next: Offset) -> Self {
        let reserved = Offset::ORIGIN;
        Self { epoch, next, settled: Vec::new(), attempts: Vec::new(), reserved }
    }

    /// The same, for a subscription of this `window` about to begin: what it sends first is
    /// reserved, so that nothing more has to be saved before.
    pub fn beginning(epoch: Epoch, next: Offset, window: u32) -> Self {
        let reserved = crate::reservation::ahead_of(next, window);
        Self { reserved, ..Self::at(epoch, next) }
    }

    /// How many offsets of `log` it has not settled: what waits for the subscription, but for
    /// messages that were removed one by one. A cursor of another life of the log begins anew.
    pub fn pending_in(&self, log: &TopicState) -> u64 {
        if self.epoch != log.epoch {
            return log.head.next().distance_from(log.first);
        }
        let from = self.next.max(log.first);
        let settled = self.settled.iter().map(|(first, last)| {
            let last = (*last).min(log.head);
            last.next().distance_from((*first).max(from))
        });
        log.head.next().distance_from(from).saturating_sub(settled.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_is_what_the_log_has_and_the_cursor_has_not_settled() {
        let offset = Offset::new;
        let log = TopicState { epoch: Epoch::new(1), first: offset(5), head: offset(20) };
        let state = |next, settled: &[(u64, u64)]| CursorState {
            settled: settled.iter().map(|(a, b)| (offset(*a), offset(*b))).collect(),
            ..CursorState::at(Epoch::new(1), offset(next))
        };
        assert_eq!(state(21, &[]).pending_in(&log), 0);
        assert_eq!(state(11, &[]).pending_in(&log), 10);
        assert_eq!(state(11, &[(13, 14), (19, 20)]).pending_in(&log), 6);
        assert_eq!(state(2, &[(3, 6)]).pending_in(&log), 14, "what was trimmed is not owed");
        assert_eq!(state(30, &[]).pending_in(&log), 0, "past a log that lost its end");
        let other = CursorState::at(Epoch::new(2), offset(15));
        assert_eq!(other.pending_in(&log), 16);
    }
}
