//! Removing single messages, in any order.
//!
//! A run whose messages were removed here and there stays one run, with holes beside it: parts of
//! it would take three times the memory, and each would be read with the bytes of all. A run
//! without a message left is dropped, so its segment can be used again.

use tidings_core::{Offset, OffsetSet};

use super::{Index, Run, Slot, TopicLog};
use crate::embedded::batch::BATCH_HEAD;

impl TopicLog {
    /// Whether the log has had the message and it was removed; only asked within runs.
    fn is_removed(&self, offset: Offset) -> bool {
        self.removed.as_ref().is_some_and(|removed| removed.contains(offset))
    }

    /// The offsets of a run that were removed.
    pub(crate) fn removed_of(&self, run: &Run) -> OffsetSet {
        let removed = self.removed.iter();
        OffsetSet::from_ranges(removed.flat_map(|set| set.within(run.first, run.last())))
    }

    /// How many messages of a run are there.
    pub(crate) fn live_of(&self, run: &Run) -> u64 {
        self.live_within(run.first, run.last())
    }

    /// How many of these offsets, which lie in one run, were not removed.
    pub(super) fn live_within(&self, first: Offset, last: Offset) -> u64 {
        let removed = self.removed.as_ref().map_or(0, |set| set.count_within(first, last));
        last.next().distance_from(first).saturating_sub(removed)
    }

    /// `offset`, or the first one after it that was not removed.
    pub(super) fn past_removed(&self, offset: Offset) -> Offset {
        let removed = self.removed.as_ref().and_then(|removed| removed.run_end(offset));
        removed.map_or(offset, Offset::next)
    }

    /// The first offset of a message that is there, or one past the head.
    fn first_live(&self) -> Offset {
        self.runs.front().map_or(self.head.next(), |run| self.past_removed(run.first))
    }

    /// Drops the runs at these places, which have no message left.
    fn drop_runs(&mut self, mut places: Vec<usize>) {
        places.sort_unstable();
        for place in &places {
            let run = self.runs[*place];
            self.forget_removed_of(&run);
        }
        match places.as_slice() {
            [] => {}
            // The shorter side moves up.
            [place] => {
                self.runs.remove(*place);
            }
            _ => {
                let (mut at, mut next) = (0, places.iter().peekable());
                self.runs.retain(|_| {
                    let is_empty = next.next_if(|place| **place == at).is_some();
                    at += 1;
                    !is_empty
                });
            }
        }
    }

    fn remove(&mut self, first: Offset, last: Offset) {
        self.removed.get_or_insert_default().insert(first, last);
    }

    /// Forgets what was removed of a run that is no longer there.
    pub(super) fn forget_removed_of(&mut self, run: &Run) {
        if let Some(removed) = &mut self.removed {
            removed.remove(run.first, run.last());
            if removed.is_empty() {
                self.removed = None;
            }
        }
    }

    /// Forgets what was removed before `first`, which is trimmed.
    pub(super) fn forget_removed_before(&mut self, first: Offset) {
        if let Some(removed) = &mut self.removed {
            removed.remove_before(first);
            if removed.is_empty() {
                self.removed = None;
            }
        }
    }
}

impl Index {
    /// Whether a message is there.
    pub(crate) fn holds(&self, slot: Slot, offset: Offset) -> bool {
        let log = self.log(slot);
        let run = log.runs.get(log.run_from(offset));
        run.is_some_and(|run| run.first <= offset) && offset >= log.first && !log.is_removed(offset)
    }

    /// Removes messages of one topic; those that are not there make no difference. Together,
    /// because dropping runs costs a walk over what a long log has of them.
    pub(crate) fn remove(&mut self, slot: Slot, offsets: impl IntoIterator<Item = Offset>) {
        let (mut empty, mut earliest) = (Vec::new(), None);
        for offset in offsets {
            if !self.holds(slot, offset) {
                continue;
            }
            earliest = Some(earliest.unwrap_or(offset).min(offset));
            let log = self.log_mut(slot);
            let at = log.run_from(offset);
            let run = log.runs[at];
            let live = log.live_of(&run);
            if live <= 1 {
                self.count_out(slot, &run);
                empty.push(at);
            } else {
                // What it took of the segment is not known without reading: an equal share.
                let share = run.bytes / u32::try_from(live).unwrap_or(u32::MAX);
                log.runs[at].bytes -= share;
                self.count_out_removed(slot, run.segment, share);
            }
            self.log_mut(slot).remove(offset, offset);
        }
        self.log_mut(slot).drop_runs(empty);
        let first_live = self.log(slot).first_live();
        if earliest.is_some_and(|earliest| earliest < first_live) {
            self.trim(slot, first_live);
        }
    }

    /// Lets `run` take the place of the runs that hold the same messages elsewhere. Does nothing
    /// if those are gone by now; what was removed or trimmed meanwhile does not come back.
    pub(crate) fn relocate(&mut self, slot: Slot, run: Run) {
        let log = self.log_mut(slot);
        let start = log.run_from(run.first);
        let end = log.runs.partition_point(|old| old.first <= run.last());
        if run.last() < log.first || start >= end {
            return;
        }
        let run = run.narrowed_to(log.first);
        let replaced: Vec<Run> = log.runs.drain(start..end).collect();
        for old in &replaced {
            self.count_out(slot, old);
        }
        let log = self.log_mut(slot);
        // What lies between the replaced runs is gone.
        let mut covered = run.first;
        for old in &replaced {
            if covered < old.first {
                log.remove(covered, old.first.previous());
            }
            covered = covered.max(old.last().next());
        }
        if covered <= run.last() {
            log.remove(covered, run.last());
        }
        let time_max = replaced.iter().map(|old| old.time_max).max().unwrap_or(run.time_max);
        let before = replaced.first().and_then(|old| old.before(run.first));
        let after = replaced.last().and_then(|old| old.after(run.last()));
        let moved = Run { time_max, bytes: log.live_bytes(&run), ..run };
        let mut at = start;
        for part in before.into_iter().chain([moved]).chain(after) {
            let log = self.log_mut(slot);
            if log.live_of(&part) == 0 {
                log.forget_removed_of(&part);
                continue;
            }
            log.runs.insert(at, part);
            log.bytes += u64::from(part.bytes);
            self.count_in(slot, &part);
            at += 1;
        }
    }
}

impl TopicLog {
    /// Bytes of a run's messages that are there, about; never none, which would free its segment.
    fn live_bytes(&self, run: &Run) -> u32 {
        let share = u64::from(run.bytes) * self.live_of(run) / run.count().max(1);
        u32::try_from(share).unwrap_or(run.bytes).max(BATCH_HEAD as u32)
    }
}
