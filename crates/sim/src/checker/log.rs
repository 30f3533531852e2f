//! What holds of the log: what is acknowledged or seen stays, one message has one place, one
//! place has one message, and a life of the log ends only when it was lost.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::{Epoch, Offset, Position, TopicState};

use super::{Kept, Known};
use crate::history::{Name, Record};
use crate::violation::{Promise, Violation, ensure};

#[derive(Debug, Default)]
struct Log {
    kept: Kept,
    /// Lives of the log that are over.
    ended: BTreeSet<Epoch>,
    known: Known,
    places: BTreeMap<(Epoch, Name), Offset>,
    /// Whether each message that was published has to be acknowledged in the end.
    published: BTreeMap<Name, bool>,
    acknowledged: BTreeSet<Name>,
    /// What may not be lost any more, and which promise says so.
    owed: BTreeMap<(Epoch, Offset), Promise>,
}

/// Checks P1, P2, P3 and P5; returns every message anybody knows of.
pub(super) fn check(history: &[Record]) -> Result<Known, Violation> {
    let mut log = Log::default();
    for record in history {
        log.follow(record)?;
        log.kept.follow(record);
    }
    for (name, keyed) in &log.published {
        ensure(!keyed || log.acknowledged.contains(name), Promise::Liveness, || {
            format!("{name:?} was never acknowledged")
        })?;
    }
    Ok(log.known)
}

impl Log {
    fn follow(&mut self, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Published { name, keyed } => {
                self.published.insert(*name, *keyed);
                Ok(())
            }
            Record::Acknowledged { name, position } => {
                self.acknowledged.insert(*name);
                self.stands_at(*name, *position)?;
                self.owe(*position, Promise::AcknowledgedIsDurable);
                Ok(())
            }
            Record::Delivered { name, position, .. } => {
                self.stands_at(*name, *position)?;
                self.owe(*position, Promise::SeenIsDurable);
                Ok(())
            }
            Record::LogFound { state, messages } => self.found(*state, messages),
            Record::LogLost => {
                self.ended.extend(self.kept.epoch);
                Ok(())
            }
            Record::Trimmed { .. }
            | Record::Subscribed { .. }
            | Record::Joined { .. }
            | Record::ToldOfGap { .. }
            | Record::ToldWhy { .. }
            | Record::Session(_)
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
            | Record::Killed { .. } => Ok(()),
        }
    }

    fn owe(&mut self, position: Position, promise: Promise) {
        self.owed.entry((position.epoch, position.offset)).or_insert(promise);
    }

    /// `name` was seen at `position`: there and nowhere else, and nothing else there.
    fn stands_at(&mut self, name: Name, position: Position) -> Result<(), Violation> {
        let Position { epoch, offset } = position;
        ensure(self.published.contains_key(&name), Promise::OneOrder, || {
            format!("{name:?} at {position:?} was never published")
        })?;
        let there = *self.known.0.entry((epoch, offset)).or_insert(name);
        ensure(there == name, Promise::OneOrder, || {
            format!("{position:?} holds {name:?}, and held {there:?}")
        })?;
        let place = *self.places.entry((epoch, name)).or_insert(offset);
        ensure(place == offset, Promise::OncePerKey, || {
            format!("{name:?} stands at {place} and at {offset}")
        })
    }

    fn found(&mut self, state: TopicState, messages: &[(Offset, Name)]) -> Result<(), Violation> {
        let epoch = state.epoch;
        ensure(!self.ended.contains(&epoch), Promise::ToldWhenReset, || {
            format!("a new log has the epoch {epoch} of a lost one")
        })?;
        ensure(
            self.kept.epoch.is_none_or(|before| before == epoch),
            Promise::ToldWhenReset,
            || format!("the epoch became {epoch} though the log was not lost"),
        )?;
        let first = self.kept.first.max(Offset::FIRST);
        // Offsets that were given to nobody may be left out where a log begins.
        let begins = state.first.max(first);
        let missing = self.owed.range((epoch, first)..(epoch, begins)).next();
        ensure(missing.is_none(), Promise::NothingSilent, || {
            format!("the log begins at {begins}, and was trimmed to {first}")
        })?;
        let found: BTreeMap<_, _> = messages.iter().copied().collect();
        let end = Offset::new(u64::MAX);
        for ((_, offset), promise) in self.owed.range((epoch, state.first)..(epoch, end)) {
            ensure(found.contains_key(offset), *promise, || {
                format!("{offset} of epoch {epoch} is no longer in the log")
            })?;
        }
        for (offset, name) in messages {
            self.stands_at(*name, Position { epoch, offset: *offset })?;
        }
        Ok(())
    }
}
