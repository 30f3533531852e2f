//! Walks over the batches of a segment: the one reader of the log that both recovery and the
//! checkpointer use.
//!
//! What is not an intact batch with the number that comes next is one of three things. If the
//! next segment goes on with that number, it is the unused end of this one. If a later batch says
//! that it had been on disk, it is damage, and the records in it that still verify are kept.
//! Otherwise it is the end of the log, where unfinished batches may lie, for which nobody waited
//! or nobody was answered.

use std::collections::VecDeque;
use std::ops::Range;

use super::batch::{
    BATCH_HEAD, BatchHead, Next, RawRecord, SEGMENT_HEAD, Seed, SegmentId, UNFINISHED_REACH,
};
use crate::codec::Malformed;

/// Who is told what a segment holds, in the order of the log.
pub(crate) trait Visitor {
    /// A record that starts at `position`, with `end` where the next one would start.
    fn record(&mut self, position: usize, record: RawRecord<'_>) -> Result<(), Malformed>;
    /// A batch ends: what follows is apart from it.
    fn batch_end(&mut self);
    /// `bytes` bytes from `position` could not be used, and `records` records are lost.
    fn damaged(&mut self, position: usize, bytes: usize, records: u64);
}

/// A segment's bytes from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentBytes<'a> {
    pub(crate) id: SegmentId,
    pub(crate) seed: Seed,
    pub(crate) bytes: &'a [u8],
}

/// What is known to follow a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Following {
    /// What it begins with.
    pub(crate) next: Next,
    /// Batches before this number had been on disk by then.
    pub(crate) synced: u64,
}

impl From<BatchHead> for Following {
    fn from(head: BatchHead) -> Self {
        Self { next: head.number, synced: head.synced }
    }
}

/// Where the walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanEnd {
    /// After the last batch that counts.
    pub(crate) position: usize,
    /// What is to be cut off there.
    pub(crate) cut: Option<Cut>,
    /// From where on no batch says that it is on disk.
    pub(crate) unsynced_from: usize,
}

/// Unfinished batches at the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// How far it reaches, bytes.
    pub(crate) bytes: usize,
    /// How many records it may have held.
    pub(crate) records: u64,
}

/// Batches that none after them says are on disk: as many as are written between two syncs.
#[derive(Debug, Default)]
struct Unsynced(VecDeque<(u64, usize)>);

impl Unsynced {
    fn note(&mut self, at: usize, head: BatchHead) {
        while self.0.front().is_some_and(|(batch, _)| *batch < head.synced) {
            self.0.pop_front();
        }
        self.0.push_back((head.number.batch, at));
    }

    fn from(&self) -> Option<usize> {
        self.0.front().map(|(_, at)| *at)
    }
}

impl<'a> SegmentBytes<'a> {
    /// Tells `visitor` what lies from `from` on. `next` is what should come, and is moved on;
    /// `following` is what a later segment begins with, if one is in use.
    pub(crate) fn scan(
        self,
        from: usize,
        next: &mut Next,
        following: Option<Following>,
        visitor: &mut dyn Visitor,
    ) -> ScanEnd {
        let mut at = from;
        let mut unsynced = Unsynced::default();
        loop {
            if let Some((end, head)) = self.visit_batch(at, next, visitor) {
                unsynced.note(at, head);
                at = end;
                continue;
            }
            let unsynced_from = unsynced.from().unwrap_or(at);
            // A batch that comes next but was not on disk when a later segment was written to is
            // that segment's, and unfinished there.
            let lost = following.filter(|following| following.synced > next.batch);
            if following.is_some() && lost.is_none() {
                return ScanEnd { position: at, cut: None, unsynced_from };
            }
            let was_synced = lost.is_some() || self.proves_synced(at, next.batch);
            let later = BatchHead::find(self.bytes, at, self.id, self.seed, next.batch + 1);
            if let Some((found, head)) = later.filter(|_| was_synced) {
                self.salvage(at..found, next, head.number, visitor);
                at = found;
            } else if let Some(lost) = lost {
                let end = self.bytes.len().max(at);
                self.salvage(at..end, next, lost.next, visitor);
                // What was kept stays where it is, so writing goes on behind it.
                return ScanEnd { position: end, cut: None, unsynced_from };
            } else {
                let cut = self.unfinished(at, *next);
                return ScanEnd { position: at, cut, unsynced_from };
            }
        }
    }

    /// Whether anything was ever written to the segment, be it unfinished.
    pub(crate) fn was_written(self) -> bool {
        let places = SEGMENT_HEAD..SEGMENT_HEAD + UNFINISHED_REACH;
        RawRecord::find(self.bytes, places, self.seed).is_some()
    }

    /// The first batch of the segment, if it was ever used.
    pub(crate) fn first_batch(self) -> Option<Following> {
        let (_, head) = BatchHead::find(self.bytes, SEGMENT_HEAD, self.id, self.seed, 0)?;
        Some(Following::from(head))
    }

    /// Visits the batch at `at` if it is the next one and all of it is intact.
    fn visit_batch(
        self,
        at: usize,
        next: &mut Next,
        visitor: &mut dyn Visitor,
    ) -> Option<(usize, BatchHead)> {
        let head = BatchHead::decode(self.bytes, at, self.id, self.seed)?;
        let end = self.intact_end(at, head)?;
        if head.number != *next {
            return None;
        }
        let mut position = at + BATCH_HEAD;
        while position < end {
            let record = RawRecord::decode(self.bytes, position, self.seed)?;
            self.visit(position, record, visitor);
            position = record.end;
        }
        visitor.batch_end();
        *next = Next { batch: next.batch + 1, record: next.record + u64::from(head.count) };
        Some((end, head))
    }

    /// Where the batch ends, if each of its records verifies.
    fn intact_end(self, at: usize, head: BatchHead) -> Option<usize> {
        let start = at + BATCH_HEAD;
        let end = start.checked_add(usize::try_from(head.body).ok()?)?;
        let mut position = start;
        for _ in 0..head.count {
            position = RawRecord::decode(self.bytes, position, self.seed)?.end;
        }
        (position == end).then_some(end)
    }

    fn visit(self, position: usize, record: RawRecord<'_>, visitor: &mut dyn Visitor) {
        if visitor.record(position, record) == Err(Malformed) {
            visitor.damaged(position, record.end - position, 1);
        }
    }

    /// Keeps the records of a damaged place that verify, and moves on to `found`.
    fn salvage(self, place: Range<usize>, next: &mut Next, found: Next, visitor: &mut dyn Visitor) {
        let bytes = self.bytes.get(..place.end).unwrap_or(self.bytes);
        // From the first byte that could not be used to the last.
        let mut unused: Option<Range<usize>> = None;
        let mut note = |gap: Range<usize>| {
            if !gap.is_empty() {
                let start = unused.as_ref().map_or(gap.start, |unused| unused.start);
                unused = Some(start..gap.end);
            }
        };
        let has_head = BatchHead::decode(bytes, place.start, self.id, self.seed).is_some();
        let mut at = place.start + if has_head { BATCH_HEAD } else { 0 };
        let mut kept = 0;
        while let Some((start, record)) = RawRecord::find(bytes, at..bytes.len(), self.seed) {
            note(at..start);
            self.visit(start, record, visitor);
            kept += 1;
            at = record.end;
        }
        note(at..place.end);
        visitor.batch_end();
        let lost = found.record.saturating_sub(next.record).saturating_sub(kept);
        let unused = unused.unwrap_or(place.start..place.start);
        visitor.damaged(unused.start, unused.len(), lost);
        *next = found;
    }

    /// Whether a batch behind `at` says that the one numbered `batch` was on disk before it.
    fn proves_synced(self, at: usize, batch: u64) -> bool {
        let mut from = at;
        while let Some((found, head)) =
            BatchHead::find(self.bytes, from, self.id, self.seed, batch + 1)
        {
            if head.synced > batch {
                return true;
            }
            from = found + BATCH_HEAD;
        }
        false
    }

    /// Measures unfinished batches at the end of the log.
    fn unfinished(self, at: usize, next: Next) -> Option<Cut> {
        let mut end = at;
        let mut records = 0;
        let mut from = at;
        while let Some((found, head)) =
            BatchHead::find(self.bytes, from, self.id, self.seed, next.batch)
        {
            let foretold = found.saturating_add(BATCH_HEAD + head.body as usize);
            end = end.max(foretold.min(self.bytes.len()));
            let last = head.number.record.saturating_add(u64::from(head.count));
            records = records.max(last.saturating_sub(next.record));
            from = found + BATCH_HEAD;
        }
        // Further on there are only bytes of the segment's former life, slow to look through.
        let reach = end.saturating_add(UNFINISHED_REACH);
        let (mut from, mut verified) = (at, 0);
        while let Some((_, record)) = RawRecord::find(self.bytes, from..reach, self.seed) {
            verified += 1;
            from = record.end;
            end = end.max(record.end);
        }
        let records = records.max(verified);
        (end > at).then(|| Cut { bytes: end - at, records })
    }
}
