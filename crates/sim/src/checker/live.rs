//! What a live client sees: rising offsets without a hole, unless it is told of one (P2, P6), and
//! in the end everything.

use std::collections::BTreeMap;

use tidings_core::{Epoch, Offset, TopicState};

use super::{Kept, Known};
use crate::history::{Record, Subscriber};
use crate::violation::{Promise, Violation, ensure};

/// The first offset a client lacks, in which life of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lacks {
    epoch: Epoch,
    next: Offset,
}

#[derive(Debug)]
struct Live<'a> {
    known: &'a Known,
    kept: Kept,
    clients: BTreeMap<Subscriber, Lacks>,
    last_found: Option<TopicState>,
}

pub(super) fn check(history: &[Record], known: &Known) -> Result<(), Violation> {
    let (kept, clients) = (Kept::default(), BTreeMap::new());
    let mut live = Live { known, kept, clients, last_found: None };
    for record in history {
        live.kept.follow(record);
        live.follow(record)?;
    }
    live.check_end()
}

impl Live<'_> {
    fn follow(&mut self, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Joined { subscriber, epoch, next } => {
                if let Some(lacks) = self.clients.get(subscriber).copied() {
                    self.no_hole(*subscriber, lacks, *epoch, *next)?;
                }
                self.clients.insert(*subscriber, Lacks { epoch: *epoch, next: *next });
            }
            Record::ToldOfGap { subscriber: subscriber @ Subscriber::Durable(_), epoch, next } => {
                return self.gap_is_real(*subscriber, *epoch, *next);
            }
            Record::ToldOfGap { subscriber: subscriber @ Subscriber::Live(_), epoch, next } => {
                self.gap_is_real(*subscriber, *epoch, *next)?;
                self.clients.insert(*subscriber, Lacks { epoch: *epoch, next: *next });
            }
            Record::Delivered {
                subscriber: subscriber @ Subscriber::Live(_), position, ..
            } => {
                let lacks = self.clients.get(subscriber).copied();
                let Some(lacks) = lacks.filter(|lacks| lacks.epoch == position.epoch) else {
                    let what = format!("{subscriber:?} got {position:?} while it lacks {lacks:?}");
                    return Err(Violation::new(Promise::ToldWhenReset, what));
                };
                ensure(position.offset >= lacks.next, Promise::OneOrder, || {
                    format!("{subscriber:?} got {} again or late", position.offset)
                })?;
                self.no_hole(*subscriber, lacks, position.epoch, position.offset)?;
                let next = position.offset.next();
                self.clients.insert(*subscriber, Lacks { epoch: position.epoch, next });
            }
            Record::LogFound { state, .. } => self.last_found = Some(*state),
            Record::Delivered { subscriber: Subscriber::Durable(_), .. }
            | Record::Published { .. }
            | Record::Acknowledged { .. }
            | Record::Trimmed { .. }
            | Record::LogLost
            | Record::Subscribed { .. }
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
            | Record::Killed { .. } => {}
        }
        Ok(())
    }

    /// From what it lacks to `next`, there was never a message.
    fn no_hole(
        &self,
        subscriber: Subscriber,
        lacks: Lacks,
        epoch: Epoch,
        next: Offset,
    ) -> Result<(), Violation> {
        ensure(lacks.epoch == epoch, Promise::ToldWhenReset, || {
            format!("{subscriber:?} went from epoch {} to {epoch} untold", lacks.epoch)
        })?;
        let skipped = self.known.first_in(epoch, lacks.next, next);
        ensure(skipped.is_none(), Promise::NothingSilent, || {
            format!("{subscriber:?} went from {} to {next} without {skipped:?}", lacks.next)
        })
    }

    /// Nobody is told of a gap instead of being sent what is there.
    fn gap_is_real(
        &self,
        subscriber: Subscriber,
        epoch: Epoch,
        next: Offset,
    ) -> Result<(), Violation> {
        let older = self.kept.epoch != Some(epoch);
        ensure(older || next <= self.kept.first.max(Offset::FIRST), Promise::NothingSilent, || {
            format!("{subscriber:?} was told to go on at {next}, kept from {}", self.kept.first)
        })
    }

    fn check_end(&self) -> Result<(), Violation> {
        let Some(log) = self.last_found else { return Ok(()) };
        for (subscriber, lacks) in &self.clients {
            let left = self.known.first_in(log.epoch, lacks.next, log.head.next());
            ensure(lacks.epoch == log.epoch && left.is_none(), Promise::Liveness, || {
                format!("{subscriber:?} ended lacking {lacks:?} of {log:?}")
            })?;
        }
        Ok(())
    }
}
