//! The end of the log, where batches are written.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::plan::{Plan, What};
use crate::embedded::batch::{
    BATCH_HEAD, BatchHead, LogEnd, Next, RECORD_HEAD, RECORD_MAX, SEGMENT_HEAD, Salt, Seed,
};
use crate::embedded::index::Run;
use crate::embedded::record::{Skip, put_change, put_message, put_remove, put_skip};
use crate::embedded::segments::Segment;
use crate::fault_point::fault_point;

/// A buffer larger than this is not kept after a batch.
const BUFFER_KEPT: usize = 4 * 1024 * 1024;

/// Most bytes of a record, with its head, in a store with segments of this size.
pub(crate) fn record_bytes_max(segment_bytes: u32) -> usize {
    (segment_bytes as usize).saturating_sub(SEGMENT_HEAD + BATCH_HEAD).min(RECORD_HEAD + RECORD_MAX)
}

/// The end of the log.
#[derive(Debug)]
pub(crate) struct Log {
    salt: Salt,
    active: Arc<Segment>,
    position: u32,
    next: Next,
    /// Batches before this one are on disk.
    synced: u64,
    buffer: Vec<u8>,
    pub(super) unsynced: Option<Unsynced>,
}

/// What was written since the last sync.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsynced {
    pub(super) since: Instant,
    pub(super) records: u64,
}

impl Log {
    /// A log that goes on in `active`, whose bytes before `end` are on disk.
    pub(crate) const fn new(salt: Salt, active: Arc<Segment>, end: LogEnd) -> Self {
        let (position, next) = (end.position, end.next);
        let synced = next.batch;
        Self { salt, active, position, next, synced, buffer: Vec::new(), unsynced: None }
    }

    /// Where the next batch will lie.
    pub(crate) fn end(&self) -> LogEnd {
        LogEnd { segment: self.active.id, position: self.position, next: self.next }
    }

    /// Whether a batch with `bytes` of records fits.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let needed = (BATCH_HEAD + bytes) as u64;
        u64::from(self.position) + needed <= self.active.bytes
    }

    /// Goes on at the start of `segment`.
    pub(crate) fn go_on_in(&mut self, segment: Arc<Segment>) {
        self.active = segment;
        self.position = SEGMENT_HEAD as u32;
    }

    /// Writes the records of a plan and notes where its messages lie.
    pub(super) fn write_batch(&mut self, plan: &mut Plan) -> io::Result<()> {
        let seed = self.begin();
        for group in &mut plan.groups {
            for (message, waited) in &group.messages {
                let position = self.position + in_segment(self.buffer.len());
                put_message(&mut self.buffer, seed, group.appended, *waited, message);
                let end = self.position + in_segment(self.buffer.len());
                if group.runs.last_mut().is_some_and(|run| run.take_in(position, end)) {
                    continue;
                }
                let (offset, time) = (message.offset, message.published_at);
                group.runs.push(Run::of_one(offset, time, self.active.id, position, end));
            }
        }
        for planned in plan.planned() {
            match &planned.what {
                What::Change(change) => put_change(&mut self.buffer, seed, change),
                What::Removal(topic, offset) => {
                    put_remove(&mut self.buffer, seed, topic, *offset);
                }
                What::Told(_) | What::Message(_) | What::Moved(_) => {}
            }
        }
        self.write(in_segment(plan.records()))
    }

    /// Writes a batch without records: after it, everything before must be whole.
    pub(crate) fn write_mark(&mut self) -> io::Result<()> {
        self.begin();
        self.write(0)
    }

    /// Writes that offsets are not to be given.
    pub(crate) fn write_skip(&mut self, skip: Skip) -> io::Result<()> {
        let seed = self.begin();
        put_skip(&mut self.buffer, seed, skip);
        self.write(1)
    }

    /// Makes what was written last.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        fault_point("log-syncing");
        self.active.file.sync()?;
        fault_point("log-synced");
        self.unsynced = None;
        self.synced = self.next.batch;
        Ok(())
    }

    fn begin(&mut self) -> Seed {
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.buffer.resize(BATCH_HEAD, 0);
        Seed::new(self.salt, self.active.id)
    }

    fn write(&mut self, count: u32) -> io::Result<()> {
        let segment = self.active.id;
        let body = in_segment(self.buffer.len() - BATCH_HEAD);
        let head = BatchHead { number: self.next, synced: self.synced, count, body };
        let head = head.encode(segment, Seed::new(self.salt, segment));
        self.buffer[..BATCH_HEAD].copy_from_slice(&head);
        fault_point("log-writing");
        self.active.file.write_at(&self.buffer, u64::from(self.position))?;
        fault_point("log-written");
        self.position += in_segment(self.buffer.len());
        self.next.batch += 1;
        self.next.record += u64::from(count);
        let unsynced = self.unsynced.get_or_insert(Unsynced { since: Instant::now(), records: 0 });
        unsynced.records += u64::from(count);
        Ok(())
    }
}

fn in_segment(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("segments are at most 1 GiB")
}
