//! What outlives the connection of a durable subscription.

use crate::position::{Epoch, Offset};

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
}
