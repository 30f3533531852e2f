//! Judges a history: were the promises of DESIGN §3 kept?
//!
//! It knows nothing of how the server works, only what clients saw and what the log was found to
//! hold. It is linear in the history but for lookups.

mod durable;
pub mod groups;
mod letters;
mod live;
mod log;
pub mod presence;
mod repeats;
mod resume;
pub mod schedule;
mod sessions;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{Epoch, Offset};

use crate::history::{Name, Record};
use crate::violation::Violation;

/// The first violation of a whole history: one that ends, after all faults are healed and
/// everybody has had time, with a [`Record::LogFound`].
///
/// `cursor_lag_max` is how long before a kill an answered ack must have come to be remembered.
pub fn check(history: &[Record], cursor_lag_max: Duration) -> Result<(), Violation> {
    let known = log::check(history)?;
    resume::check(history)?;
    sessions::check(history)?;
    live::check(history, &known)?;
    repeats::check(history, cursor_lag_max)?;
    letters::check(history)?;
    durable::check(history, &known)
}

/// The same for a topic that retention trims at moments that nobody notes: what is known is where
/// the log begins in the end. Nobody may be told of a gap beyond that, and whoever lost something was
/// told before it got more than a `window` of further messages; gives how many it lost, over all
/// durable subscriptions.
pub fn check_trimmed(
    history: &[Record],
    cursor_lag_max: Duration,
    window: u32,
) -> Result<u64, Violation> {
    let found = |record: &Record| matches!(record, Record::LogFound { .. });
    let (first, last) = (history.iter().position(found), history.iter().rposition(found));
    let mut told: Vec<Record> = Vec::with_capacity(history.len() + 1);
    for (at, record) in history.iter().enumerate() {
        // What the log held in between was found between two of those moments.
        if !found(record) || Some(at) == first || Some(at) == last {
            told.push(record.clone());
        }
        if Some(at) == first
            && let Some(Record::LogFound { state, .. }) = last.and_then(|last| history.get(last))
        {
            told.push(Record::Trimmed { first: state.first });
        }
    }
    let known = log::check(&told)?;
    live::check(&told, &known)?;
    repeats::check(&told, cursor_lag_max)?;
    durable::check(&told, &known)?;
    told::check(&told, &known, window)
}

/// Every message that anybody ever saw or was told of, by place.
#[derive(Clone, Debug, Default)]
struct Known(BTreeMap<(Epoch, Offset), Name>);

impl Known {
    /// The first message of a life of the log in `first..end`.
    fn first_in(&self, epoch: Epoch, first: Offset, end: Offset) -> Option<Offset> {
        let mut between = self.0.range((epoch, first)..(epoch, end.max(first)));
        between.next().map(|((_, offset), _)| *offset)
    }
}

/// Which life of the log there is, and from where on it is kept, as the history goes along.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    epoch: Option<Epoch>,
    first: Offset,
}

impl Kept {
    fn follow(&mut self, record: &Record) {
        match record {
            Record::LogFound { state, .. } => {
                *self = Self { epoch: Some(state.epoch), first: state.first };
            }
            Record::Trimmed { first } => self.first = self.first.max(*first),
            Record::LogLost => *self = Self::default(),
            Record::Published { .. }
            | Record::Acknowledged { .. }
            | Record::Subscribed { .. }
            | Record::Joined { .. }
            | Record::ToldOfGap { .. }
            | Record::ToldWhy { .. }
            | Record::Session(_)
            | Record::Delivered { .. }
            | Record::Acked { .. }
            | Record::DeadLettered { .. }
            | Record::CursorSaved { .. }
            | Record::Perishes { .. }
            | Record::Spared { .. }
            | Record::Connected { .. }
            | Record::Settled { .. }
            | Record::CursorLags { .. }
            | Record::PowerLost { .. }
            | Record::NotOpened { .. }
            | Record::Damaged { .. }
            | Record::PurgeAsked { .. }
            | Record::Purged { .. }
            | Record::LettersFound { .. }
            | Record::Killed { .. } => {}
        }
    }
}
