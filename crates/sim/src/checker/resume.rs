//! A client that comes back is told that messages are missing exactly when some are, and why (P8).

use tidings_core::{Offset, ResetReason};

use super::Kept;
use crate::history::Record;
use crate::violation::{Promise, Violation, ensure};

pub(super) fn check(history: &[Record]) -> Result<(), Violation> {
    let mut kept = Kept::default();
    for record in history {
        if let Record::Subscribed { subscriber, after: Some(after), recovered, epoch, next } =
            record
        {
            let current = kept.epoch == Some(*epoch);
            ensure(current, Promise::ToldWhenReset, || {
                format!("{subscriber:?} reads epoch {epoch}, the log is in {:?}", kept.epoch)
            })?;
            let whole = after.epoch == *epoch && kept.first <= after.offset.next();
            ensure(whole == *recovered, Promise::ToldWhenReset, || {
                format!(
                    "{subscriber:?} came back after {after:?} and was told recovered: {recovered}, \
                     while the log {epoch} is kept from {}",
                    kept.first
                )
            })?;
            let expected = if whole { after.offset.next() } else { kept.first.max(Offset::FIRST) };
            ensure(*next == expected, Promise::AtLeastOnce, || {
                format!("{subscriber:?} goes on at {next} instead of {expected}")
            })?;
        }
        if let Record::ToldWhy { subscriber, held, epoch, reason } = record {
            let expected = match held.epoch == *epoch {
                true => ResetReason::Trimmed,
                false => ResetReason::EpochChanged,
            };
            ensure(*reason == expected, Promise::ToldWhenReset, || {
                format!("{subscriber:?} with {held:?} went to epoch {epoch}: told {reason:?}")
            })?;
        }
        kept.follow(record);
    }
    Ok(())
}
