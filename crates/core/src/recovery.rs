//! Can a client go on where it left off? (promise P8)

use crate::position::{Epoch, Offset, Position};

/// What a topic's log holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// The life of the log.
    pub epoch: Epoch,
    /// The earliest offset still kept; one past the head when nothing is.
    pub first: Offset,
    /// The last offset given out; [`Offset::ORIGIN`] when there was none.
    pub head: Offset,
}

impl TopicState {
    /// A log that never held a message.
    pub const fn empty(epoch: Epoch) -> Self {
        Self { epoch, first: Offset::FIRST, head: Offset::ORIGIN }
    }
}

/// Why a subscriber cannot go on from its position. The words are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// The log was lost, rebuilt or restored since.
    EpochChanged,
    /// Messages after the position have been trimmed by retention.
    Trimmed,
    /// The position lies after the head: it belongs to another log.
    AheadOfHead,
    /// Messages were left out on purpose: the topic's policy asks for the latest only, or drops
    /// the oldest for slow readers.
    Skipped,
    /// Messages were lost: what the disk has of them is not what was written.
    Damaged,
}

impl ResetReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::EpochChanged, Self::Trimmed, Self::AheadOfHead, Self::Skipped, Self::Damaged];

    /// The word in frames and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EpochChanged => "epoch_changed",
            Self::Trimmed => "trimmed",
            Self::AheadOfHead => "ahead_of_head",
            Self::Skipped => "skipped",
            Self::Damaged => "damaged",
        }
    }
}

/// The answer to a subscriber that shows a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Everything after its position will be delivered.
    Recovered {
        /// The first offset it gets.
        next: Offset,
    },
    /// Something is missing; delivery goes on from the earliest message left.
    Reset {
        /// What happened.
        reason: ResetReason,
        /// The first offset it gets.
        next: Offset,
    },
}

impl Recovery {
    /// The first offset to deliver.
    pub const fn next(self) -> Offset {
        match self {
            Self::Recovered { next } | Self::Reset { next, .. } => next,
        }
    }
}

/// Decides whether everything after `after` can still be delivered.
pub fn recover(after: Position, state: TopicState) -> Recovery {
    let reset = |reason| Recovery::Reset { reason, next: state.first };
    if after.epoch != state.epoch {
        return reset(ResetReason::EpochChanged);
    }
    if after.offset > state.head {
        return reset(ResetReason::AheadOfHead);
    }
    if after.offset.next() < state.first {
        return reset(ResetReason::Trimmed);
    }
    Recovery::Recovered { next: after.offset.next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch::new(7);

    fn state(first: u64, head: u64) -> TopicState {
        TopicState { epoch: EPOCH, first: Offset::new(first), head: Offset::new(head) }
    }

    fn at(offset: u64) -> Position {
        Position { epoch: EPOCH, offset: Offset::new(offset) }
    }

    fn recovered(next: u64) -> Recovery {
        Recovery::Recovered { next: Offset::new(next) }
    }

    fn reset(reason: ResetReason, next: u64) -> Recovery {
        Recovery::Reset { reason, next: Offset::new(next) }
    }

    /// The cases after which clients of other servers most often lose messages silently.
    #[test]
    fn tells_every_case_of_coming_back() {
        let other = Position { epoch: Epoch::new(8), offset: Offset::new(2) };
        for (name, after, state, expected) in [
            ("empty log, from the start", at(0), state(1, 0), recovered(1)),
            ("from a position", at(8), state(1, 10), recovered(9)),
            ("at the head", at(10), state(1, 10), recovered(11)),
            ("all of a whole log", at(0), state(1, 10), recovered(1)),
            ("next is the first kept", at(4), state(5, 10), recovered(5)),
            ("next was trimmed", at(3), state(5, 10), reset(ResetReason::Trimmed, 5)),
            ("all was trimmed, was behind", at(9), state(11, 10), reset(ResetReason::Trimmed, 11)),
            ("all was trimmed, was current", at(10), state(11, 10), recovered(11)),
            ("ahead of the head", at(11), state(1, 10), reset(ResetReason::AheadOfHead, 1)),
            ("another epoch", other, state(1, 10), reset(ResetReason::EpochChanged, 1)),
        ] {
            assert_eq!(recover(after, state), expected, "{name}");
        }
    }
}
