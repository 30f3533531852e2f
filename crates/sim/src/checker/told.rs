//! A durable subscription that lost messages to retention was told that it did (P6).

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::{Epoch, Offset};

use super::Known;
use crate::history::{Record, Subscriber};
use crate::violation::{Promise, Violation, ensure};

#[derive(Debug, Default)]
struct Told {
    /// The first offset owed to each.
    starts: BTreeMap<(Subscriber, Epoch), Offset>,
    settled: BTreeSet<(Subscriber, Epoch, Offset)>,
    /// Up to where each was told that something is missing.
    ends: BTreeMap<(Subscriber, Epoch), Offset>,
}

/// Gives how many messages durable subscriptions lost, having been told.
pub(super) fn check(history: &[Record], known: &Known) -> Result<u64, Violation> {
    let mut told = Told::default();
    for record in history {
        told.follow(record);
    }
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

impl Told {
    fn follow(&mut self, record: &Record) {
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
            }
            Record::Subscribed { subscriber: Subscriber::Live(_), .. }
            | Record::Published { .. }
            | Record::Perishes { .. }
            | Record::Acknowledged { .. }
            | Record::LogFound { .. }
            | Record::Trimmed { .. }
            | Record::LogLost
            | Record::Joined { .. }
            | Record::Delivered { .. }
            | Record::CursorSaved { .. }
            | Record::Connected { .. }
            | Record::Settled { .. }
            | Record::CursorLags { .. }
            | Record::Killed { .. } => {}
        }
    }
}
