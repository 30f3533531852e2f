//! Dead letters last until somebody removes them, and then stay away; a store that was not lost
//! can be opened, and is whole whatever ended it (P1, P6).

use std::collections::BTreeSet;

use tidings_core::{Epoch, Offset, Position};

use crate::history::{Record, Subscriber};
use crate::violation::{Promise, Violation, ensure};

/// Whose message was set aside, and where it stands.
type Letter = (Subscriber, Epoch, Offset);

#[derive(Debug, Default)]
struct Letters {
    /// Those that must be there.
    owed: BTreeSet<Letter>,
    /// Those that somebody asked to remove.
    asked: BTreeSet<Letter>,
    /// Where one was removed.
    purged: BTreeSet<Offset>,
}

pub(super) fn check(history: &[Record]) -> Result<(), Violation> {
    let mut letters = Letters::default();
    history.iter().try_for_each(|record| letters.follow(record))
}

impl Letters {
    fn follow(&mut self, record: &Record) -> Result<(), Violation> {
        match record {
            Record::DeadLettered { subscriber, position } => {
                self.owed.insert(letter(*subscriber, *position));
                Ok(())
            }
            Record::PurgeAsked { subscriber, position } => {
                self.asked.insert(letter(*subscriber, *position));
                Ok(())
            }
            Record::Purged { place } => {
                self.purged.insert(*place);
                Ok(())
            }
            Record::LogLost => {
                *self = Self::default();
                Ok(())
            }
            Record::LettersFound { letters } => self.found(letters),
            Record::NotOpened { why } => {
                let what = format!("the store cannot be opened: {why}");
                Err(Violation::new(Promise::AcknowledgedIsDurable, what))
            }
            Record::Damaged { what } => {
                let what = format!("nothing was damaged, and the store says: {what}");
                Err(Violation::new(Promise::AcknowledgedIsDurable, what))
            }
            Record::Published { .. }
            | Record::Perishes { .. }
            | Record::Spared { .. }
            | Record::Acknowledged { .. }
            | Record::LogFound { .. }
            | Record::Trimmed { .. }
            | Record::Subscribed { .. }
            | Record::ToldWhy { .. }
            | Record::Session(_)
            | Record::Joined { .. }
            | Record::ToldOfGap { .. }
            | Record::Delivered { .. }
            | Record::Acked { .. }
            | Record::CursorSaved { .. }
            | Record::Connected { .. }
            | Record::Settled { .. }
            | Record::CursorLags { .. }
            | Record::PowerLost { .. }
            | Record::Killed { .. } => Ok(()),
        }
    }

    fn found(&self, letters: &[(Offset, Subscriber, Position)]) -> Result<(), Violation> {
        for (place, subscriber, position) in letters {
            ensure(!self.purged.contains(place), Promise::NothingSilent, || {
                format!("the dead letter {place} of {subscriber:?} at {position:?} came back")
            })?;
        }
        let found: BTreeSet<_> = letters.iter().map(|(_, who, at)| letter(*who, *at)).collect();
        let lost =
            self.owed.iter().find(|letter| !found.contains(letter) && !self.asked.contains(letter));
        ensure(lost.is_none(), Promise::AtLeastOnce, || format!("the dead letter {lost:?} is gone"))
    }
}

const fn letter(subscriber: Subscriber, position: Position) -> Letter {
    (subscriber, position.epoch, position.offset)
}
