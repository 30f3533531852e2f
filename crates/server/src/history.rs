//! A part of a topic's past, as the socket and HTTP both answer it.

use tidings_core::{Offset, Position, Recovery, ResetReason, Topic, recover};
use tidings_protocol::{Delivery, ErrorBody, ErrorCode, History};
use tidings_storage::ReadBatch;

use crate::clock::Clock;

/// What a history reply says of what was read; an error if the position shown is of no use.
pub(crate) fn history(
    topic: Topic,
    position: Option<Position>,
    batch: &ReadBatch,
) -> Result<History, ErrorBody> {
    let state = batch.state;
    let mut recovered = true;
    if let Some(position) = position {
        match recover(position, state) {
            Recovery::Recovered { .. } => {}
            Recovery::Reset { reason: ResetReason::EpochChanged, .. } => {
                let message = format!(
                    "`{topic}` is in epoch {} now, not {}: read it from the first message kept",
                    state.epoch, position.epoch
                );
                return Err(ErrorBody::new(ErrorCode::EpochChanged, message));
            }
            Recovery::Reset { reason: ResetReason::AheadOfHead, .. } => {
                let message =
                    format!("`{topic}` ends at offset {}, before {}", state.head, position.offset);
                return Err(ErrorBody::new(ErrorCode::OffsetAhead, message));
            }
            Recovery::Reset {
                reason: ResetReason::Trimmed | ResetReason::Skipped | ResetReason::Damaged,
                ..
            } => recovered = false,
        }
    }
    if let Some(last) = batch.messages.last() {
        recovered &= batch.damaged.within(Offset::ORIGIN, last.offset).next().is_none();
    }
    let now = Clock::wall();
    let kept = batch.messages.iter().filter(|message| !message.is_expired(now));
    Ok(History {
        topic,
        epoch: state.epoch,
        offset: state.head,
        first: state.first,
        recovered,
        more: batch.next <= state.head,
        messages: kept.map(|message| Delivery::of(message, 1)).collect(),
    })
}

/// Where the next page begins. Damage behind the last message is left to it: told without a message
/// behind it, it would be told again and again to whoever asks after the last message.
pub(crate) fn next_page(batch: &ReadBatch) -> Offset {
    let behind = batch.messages.last().map_or(Offset::ORIGIN, |message| message.offset);
    let damaged = batch.damaged.within(behind, batch.next).next();
    damaged.map_or(batch.next, |(first, _)| first)
}
