//! What opening the store found to be lost, so that readers are told and need not wonder at a gap.
//!
//! Damage that a reader meets is not in here: a run that holds fewer messages than it should says
//! so each time it is read.

use tidings_core::{Offset, OffsetSet};

use super::{Index, Run, TopicLog};
use crate::embedded::record::{Skip, SkipScope};

impl TopicLog {
    /// The offsets of `first..=last` that were lost.
    pub(crate) fn damaged_within(&self, first: Offset, last: Offset) -> Vec<(Offset, Offset)> {
        self.damaged.iter().flat_map(|damaged| damaged.within(first, last)).collect()
    }

    /// `run` is the next one: what it does not follow on was lost, and what it holds was not.
    pub(super) fn note_holes_before(&mut self, run: &Run) {
        if self.head.next() < run.first {
            self.note_damaged(self.head.next(), run.first.previous());
        } else if let Some(damaged) = &mut self.damaged {
            damaged.remove(run.first, run.last());
            self.drop_empty_damaged();
        }
    }

    /// A run is lost, but for what was removed of it before.
    pub(super) fn note_lost(&mut self, run: &Run) {
        let mut lost = OffsetSet::from_ranges([(run.first.max(self.first), run.last())]);
        for (first, last) in self.removed_of(run).ranges() {
            lost.remove(first, last);
        }
        for (first, last) in lost.ranges() {
            self.note_damaged(first, last);
        }
    }

    fn note_damaged(&mut self, first: Offset, last: Offset) {
        self.damaged.get_or_insert_default().insert(first, last);
    }

    /// What is trimmed is no longer missed.
    pub(super) fn forget_damaged_before(&mut self, first: Offset) {
        if let Some(damaged) = &mut self.damaged {
            damaged.remove_before(first);
            self.drop_empty_damaged();
        }
    }

    fn drop_empty_damaged(&mut self) {
        if self.damaged.as_ref().is_some_and(|damaged| damaged.is_empty()) {
            self.damaged = None;
        }
    }
}

impl Index {
    /// `records` records are lost, of any topics: no topic gives their offsets again, and each may
    /// have lost its last messages. Runs that follow show where it was not so.
    pub(crate) fn lose(&mut self, records: u64) {
        for log in &mut self.logs {
            // Where nothing is kept, `first` moves on instead, and that is told.
            if records > 0 && log.first <= log.head {
                log.note_damaged(log.head.next(), log.head.plus(records));
            }
        }
        self.skip(Skip { scope: SkipScope::All, by: records });
    }
}
