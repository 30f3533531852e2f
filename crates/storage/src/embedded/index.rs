//! Where every message lies: for each topic, runs of messages in segments.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;

use tidings_core::{Offset, OffsetSet, Timestamp, Topic, TopicState};

use super::batch::SegmentId;
use super::record::{Skip, SkipScope, Waited};

mod damage;
mod given;
mod removal;
mod run;

pub(crate) use run::Run;

/// A topic's number in the index, for as long as the store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(u32);

/// One topic's log.
#[derive(Debug)]
pub(crate) struct TopicLog {
    pub(crate) topic: Topic,
    /// First offset not trimmed.
    pub(crate) first: Offset,
    /// Last offset given.
    pub(crate) head: Offset,
    /// Whether messages were ever told before they were synced.
    pub(crate) unwaited: bool,
    /// Bytes of the runs' records.
    pub(crate) bytes: u64,
    /// Messages of the runs that are there, so that nobody walks over a long log to count them.
    pub(crate) messages: u64,
    /// By rising offset, not overlapping. Gaps between them are removed, damaged or skipped.
    pub(crate) runs: VecDeque<Run>,
    /// What was removed within the runs; mostly nothing.
    pub(crate) removed: Option<Box<OffsetSet>>,
    /// What was lost to damage, as far as opening the store told; mostly nothing.
    pub(crate) damaged: Option<Box<OffsetSet>>,
}

impl TopicLog {
    pub(crate) const fn new(topic: Topic, floor: Offset) -> Self {
        Self {
            topic,
            first: floor.next(),
            head: floor,
            unwaited: false,
            bytes: 0,
            messages: 0,
            runs: VecDeque::new(),
            removed: None,
            damaged: None,
        }
    }

    /// The index of the first run that ends at `offset` or later.
    pub(crate) fn run_from(&self, offset: Offset) -> usize {
        self.runs.partition_point(|run| run.last() < offset)
    }

    /// The index of the first run that may hold a message of `time` or later.
    pub(crate) fn run_from_time(&self, time: Timestamp) -> usize {
        self.runs.partition_point(|run| run.time_max < time)
    }
}

/// All topics' logs.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: HashMap<Topic, Slot>,
    names: BTreeSet<Topic>,
    logs: Vec<TopicLog>,
    /// Bytes of the records in each segment that a run points to.
    live: BTreeMap<SegmentId, u64>,
    messages: u64,
    given: given::Given,
    /// Offsets that no topic to come may use.
    floor: Offset,
}

impl Index {
    /// The slot of a topic that has a log.
    pub(crate) fn slot(&self, topic: &str) -> Option<Slot> {
        self.slots.get(topic).copied()
    }

    /// The slot of a topic, which gets a log if it has none.
    pub(crate) fn slot_or_insert(&mut self, topic: &Topic) -> Slot {
        if let Some(slot) = self.slots.get(topic) {
            return *slot;
        }
        let slot = Slot(u32::try_from(self.logs.len()).expect("memory ends before 4 G topics"));
        self.slots.insert(topic.clone(), slot);
        self.names.insert(topic.clone());
        self.logs.push(TopicLog::new(topic.clone(), self.floor));
        slot
    }

    /// The log in this slot.
    pub(crate) fn log(&self, slot: Slot) -> &TopicLog {
        &self.logs[slot.0 as usize]
    }

    fn log_mut(&mut self, slot: Slot) -> &mut TopicLog {
        &mut self.logs[slot.0 as usize]
    }

    /// Slots from the `from`-th, at most `count`: to walk over all topics in small steps.
    pub(crate) fn slots(&self, from: usize, count: usize) -> impl Iterator<Item = Slot> + use<> {
        let end = (from.saturating_add(count)).min(self.logs.len());
        (from..end).map(|n| Slot(u32::try_from(n).expect("slots are u32")))
    }

    /// How a topic stands; `None` if it has no log. `first` and `head` leave out what was
    /// skipped before the first message.
    pub(crate) fn state(&self, slot: Slot, epoch: tidings_core::Epoch) -> TopicState {
        let log = self.log(slot);
        TopicState { epoch, first: log.first, head: log.head }
    }

    /// Topics by name.
    pub(crate) fn topics_from(&self, from: Bound<&str>) -> impl Iterator<Item = (&Topic, Slot)> {
        let names = self.names.range::<str, _>((from, Bound::Unbounded));
        names.filter_map(|topic| Some((topic, self.slot(topic.as_str())?)))
    }

    /// How many topics have a log.
    pub(crate) const fn topics(&self) -> usize {
        self.logs.len()
    }

    /// How many messages are kept.
    pub(crate) const fn messages(&self) -> u64 {
        self.messages
    }

    /// The last offset that no topic to come may use.
    pub(crate) const fn floor(&self) -> Offset {
        self.floor
    }

    pub(crate) const fn set_floor(&mut self, floor: Offset) {
        self.floor = floor;
    }

    /// Segments that messages lie in, with the bytes of their records.
    pub(crate) const fn live(&self) -> &BTreeMap<SegmentId, u64> {
        &self.live
    }

    /// Adds messages that follow what is there. Messages that do not are left out: a log gives
    /// an offset once.
    pub(crate) fn append(&mut self, slot: Slot, run: Run, waited: Waited) {
        if self.log(slot).runs.back().is_some_and(|last| run.first <= last.last()) {
            return;
        }
        self.count_in(slot, &run);
        let log = self.log_mut(slot);
        if log.runs.is_empty() {
            // Offsets skipped because of damage may in truth have been free.
            log.first = log.first.min(run.first);
        }
        log.note_holes_before(&run);
        log.head = log.head.max(run.last());
        log.unwaited |= waited == Waited::NotForSync;
        log.bytes += u64::from(run.bytes);
        let time_max = log.runs.back().map_or(run.time_max, |last| last.time_max.max(run.time_max));
        let run = Run { time_max, ..run };
        if let Some(last) = log.runs.back_mut()
            && let Some(joined) = last.joined_with(&run)
        {
            *last = joined;
        } else {
            log.runs.push_back(run);
        }
    }

    /// Forgets what lies before `first`; returns how many messages those were.
    pub(crate) fn trim(&mut self, slot: Slot, first: Offset) -> u64 {
        let log = self.log_mut(slot);
        if first <= log.first {
            return 0;
        }
        // What was removed at the cut goes as well: a run must not be kept for nothing.
        let first = log.past_removed(first);
        log.first = first.min(log.head.next());
        let first = log.first;
        let before = self.messages;
        while let Some(run) = self.log_mut(slot).runs.pop_front() {
            if run.last() >= first {
                // Its bytes stay counted until all of it is trimmed.
                let trimmed = run.first.max(first).previous();
                if run.first < first {
                    let gone = self.log(slot).live_within(run.first, trimmed);
                    self.count_out_messages(slot, gone);
                }
                let kept = run.narrowed_to(first);
                self.log_mut(slot).runs.push_front(kept);
                break;
            }
            self.count_out(slot, &run);
        }
        let log = self.log_mut(slot);
        log.forget_removed_before(first);
        log.forget_damaged_before(first);
        if log.runs.is_empty() {
            log.runs.shrink_to_fit();
        }
        before - self.messages
    }

    /// Leaves out offsets that may have been given before records were lost.
    pub(crate) fn skip(&mut self, skip: Skip) {
        for log in &mut self.logs {
            match skip.scope {
                SkipScope::All => {}
                SkipScope::Unwaited if log.unwaited => {}
                SkipScope::Unwaited => continue,
            }
            // Where nothing is kept, `first` stays one past the head.
            if log.first > log.head {
                log.first = log.first.plus(skip.by);
            }
            log.head = log.head.plus(skip.by);
        }
        if skip.scope == SkipScope::All {
            self.floor = self.floor.plus(skip.by);
        }
    }

    /// Drops runs in segments that are not there; returns how many messages each had.
    pub(crate) fn drop_missing(
        &mut self,
        exists: impl Fn(SegmentId) -> bool,
    ) -> BTreeMap<SegmentId, u64> {
        let missing: BTreeSet<SegmentId> =
            self.live.keys().copied().filter(|segment| !exists(*segment)).collect();
        let mut dropped = BTreeMap::new();
        if missing.is_empty() {
            return dropped;
        }
        for slot in self.slots(0, usize::MAX) {
            let runs = std::mem::take(&mut self.log_mut(slot).runs);
            for run in runs {
                if missing.contains(&run.segment) {
                    *dropped.entry(run.segment).or_default() += self.log(slot).live_of(&run);
                    self.count_out(slot, &run);
                    self.log_mut(slot).note_lost(&run);
                    self.log_mut(slot).forget_removed_of(&run);
                } else {
                    self.log_mut(slot).runs.push_back(run);
                }
            }
        }
        dropped
    }

    /// Restores a topic from a checkpoint.
    pub(crate) fn restore(&mut self, log: TopicLog) {
        let slot = self.slot_or_insert(&log.topic);
        // Counted again, with its runs.
        *self.log_mut(slot) = TopicLog { messages: 0, ..log };
        for n in 0..self.log(slot).runs.len() {
            let run = self.log(slot).runs[n];
            self.count_in(slot, &run);
        }
    }

    fn count_in(&mut self, slot: Slot, run: &Run) {
        *self.live.entry(run.segment).or_default() += u64::from(run.bytes);
        let messages = self.log(slot).live_of(run);
        self.log_mut(slot).messages += messages;
        self.messages += messages;
    }

    fn count_out(&mut self, slot: Slot, run: &Run) {
        let log = self.log_mut(slot);
        log.bytes = log.bytes.saturating_sub(u64::from(run.bytes));
        self.count_out_messages(slot, self.log(slot).live_of(run));
        self.count_out_bytes(run.segment, run.bytes);
    }

    fn count_out_messages(&mut self, slot: Slot, out: u64) {
        self.log_mut(slot).messages -= out;
        self.messages -= out;
    }

    /// Counts out one message of a run, which took so many bytes.
    fn count_out_removed(&mut self, slot: Slot, segment: SegmentId, bytes: u32) {
        let log = self.log_mut(slot);
        log.bytes = log.bytes.saturating_sub(u64::from(bytes));
        self.count_out_messages(slot, 1);
        self.count_out_bytes(segment, bytes);
    }

    fn count_out_bytes(&mut self, segment: SegmentId, out: u32) {
        if let Some(bytes) = self.live.get_mut(&segment) {
            *bytes = bytes.saturating_sub(u64::from(out));
            if *bytes == 0 {
                self.live.remove(&segment);
            }
        }
    }
}

#[cfg(test)]
mod tests;
