//! A durable subscription that lost messages to retention was told that it did, in time (P6).

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::{Epoch, Offset};

use super::Known;
use crate::history::{Record, Subscriber};
use crate::violation::{Promise, Violation, ensure};

/// A message that never came, noticed when one after it did.
#[derive(Clone, Copy, Debug)]
struct Hole {
    offset: Offset,
    /// How many messages came since.
    since: u32,
}

#[derive(Debug)]
struct Told<'a> {
    known: &'a Known,
    window: u32,
    /// Everything that comes at some time.
    comes: BTreeSet<(Subscriber, Epoch, Offset)>,
    furthest: BTreeMap<(Subscriber, Epoch), Offset>,
    untold: BTreeMap<(Subscriber, Epoch), Hole>,
    /// The first offset owed to each.
    starts: BTreeMap<(Subscriber, Epoch), Offset>,
    settled: BTreeSet<(Subscriber, Epoch, Offset)>,
    /// Up to where each was told that something is missing.
    ends: BTreeMap<(Subscriber, Epoch), Offset>,
}

/// Gives how many messages durable subscriptions lost, having been told: before more than `window`
/// further ones came, since the server says so behind what it has read.
pub(super) fn check(history: &[Record], known: &Known, window: u32) -> Result<u64, Violation> {
    let mut comes = BTreeSet::new();
    for record in history {
        if let Record::Delivered { subscriber, position, .. } = record {
            comes.insert((*subscriber, position.epoch, position.offset));
        }
    }
    let mut told = Told {
        known,
        window,
        comes,
        furthest: BTreeMap::new(),
        untold: BTreeMap::new(),
        starts: BTreeMap::new(),
        settled: BTreeSet::new(),
        ends: BTreeMap::new(),
    };
    history.iter().try_for_each(|record| told.follow(record))?;
    let mut missed = 0;
    for ((subscriber, epoch), start) in &told.starts {
        let mut from = *start;
        let end = told.ends.get(&(*subscriber, *epoch)).copied().unwrap_or_default();
        while let Some(offset) = known.first_in(*epoch, from, Offset::LAST) {
            if !told.settled.contains(&(*subscriber, *epoch, offset)) {
                ensure(offset < end, Promise::NothingSilent, || {
                    format!("{subscriber:?} lost {offset}, and was told of a gap up to {end}")
                })?;
                missed += 1;
            }
            from = offset.next();
        }
    }
    Ok(missed)
}

impl Told<'_> {
    fn follow(&mut self, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Subscribed {
                subscriber: subscriber @ Subscriber::Durable(_),
                epoch,
                next,
                ..
            } => {
                self.starts.entry((*subscriber, *epoch)).or_insert(*next);
            }
            Record::Acked { subscriber, position }
            | Record::DeadLettered { subscriber, position }
            | Record::Spared { subscriber, position, .. } => {
                self.settled.insert((*subscriber, position.epoch, position.offset));
            }
            Record::ToldOfGap { subscriber, epoch, next } => {
                let end = self.ends.entry((*subscriber, *epoch)).or_default();
                *end = (*end).max(*next);
                self.untold
                    .retain(|whose, hole| *whose != (*subscriber, *epoch) || hole.offset >= *next);
            }
            Record::Delivered {
                subscriber: subscriber @ Subscriber::Durable(_),
                position,
                attempt,
                ..
            } => return self.delivered((*subscriber, position.epoch), position.offset, *attempt),
            Record::Subscribed { subscriber: Subscriber::Live(_), .. }
            | Record::Published { .. }
            | Record::Perishes { .. }
            | Record::Acknowledged { .. }
            | Record::LogFound { .. }
            | Record::Trimmed { .. }
            | Record::LogLost
            | Record::ToldWhy { .. }
            | Record::Session(_)
            | Record::Joined { .. }
            | Record::Delivered { subscriber: Subscriber::Live(_), .. }
            | Record::CursorSaved { .. }
            | Record::Connected { .. }
            | Record::Settled { .. }
            | Record::CursorLags { .. }
            | Record::Killed { .. }
            | Record::PowerLost { .. }
            | Record::NotOpened { .. }
            | Record::Damaged { .. }
            | Record::PurgeAsked { .. }
            | Record::Purged { .. }
            | Record::LettersFound { .. } => {}
        }
        Ok(())
    }

    fn delivered(
        &mut self,
        whose: (Subscriber, Epoch),
        offset: Offset,
        attempt: u32,
    ) -> Result<(), Violation> {
        if let Some(hole) = self.untold.get_mut(&whose) {
            hole.since += 1;
            ensure(hole.since <= self.window, Promise::NothingSilent, || {
                format!("{whose:?} got {offset} and was not told that {hole:?} is missing")
            })?;
        }
        let start = self.starts.get(&whose).map_or(Offset::ORIGIN, |start| start.previous());
        let before = self.furthest.get(&whose).copied().unwrap_or(start);
        self.furthest.insert(whose, before.max(offset));
        let end = self.ends.get(&whose).copied().unwrap_or_default();
        let mut from = before.next().max(end);
        // What may have been sent before comes in no order.
        while attempt == 1
            && let Some(missing) = self.known.first_in(whose.1, from, offset)
        {
            if !self.comes.contains(&(whose.0, whose.1, missing)) {
                self.untold.insert(whose, Hole { offset: missing, since: 0 });
            }
            from = missing.next();
        }
        Ok(())
    }
}
