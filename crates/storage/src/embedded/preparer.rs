//! Has the next segment ready before it is needed: prewritten with zeros and synced, so that a
//! commit changes nothing but bytes that are there already, and its sync needs no journal.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::batch::{LOG_DIR, Salt, SegmentId, segment_head};
use super::disk::Disk;
use super::segments::Segment;
use crate::fault_point::fault_point;
use crate::store::StoreError;

/// How long to wait after there was no space.
const RETRY: Duration = Duration::from_secs(1);
/// Freed segments kept to be used again; more are given back to the file system.
const SPARES_MAX: usize = 2;
/// Prewriting goes in steps, each synced, so that commits in between wait for one step at most.
const STEP: usize = 1024 * 1024;
const TEMPORARY: &str = "log/next.new";

/// Makes segments, from nothing or from freed ones.
#[derive(Debug)]
pub(crate) struct Preparer {
    disk: Arc<dyn Disk>,
    salt: Salt,
    segment_bytes: u32,
    log_bytes_max: u64,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    ready: VecDeque<Segment>,
    spares: Vec<Segment>,
    last_id: SegmentId,
    /// Bytes of all segment files.
    bytes: u64,
    trouble: Trouble,
    closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// The last try to make a segment failed.
    Failed,
    /// And a write was refused because of it.
    Refused,
}

impl Preparer {
    /// Goes on after segment `last_id`, with segments that are `ready`, where all files of the log
    /// have `bytes`.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        salt: Salt,
        segment_bytes: u32,
        log_bytes_max: u64,
        ready: VecDeque<Segment>,
        last_id: SegmentId,
        bytes: u64,
    ) -> Self {
        let inner = Inner {
            ready,
            spares: Vec::new(),
            last_id,
            bytes,
            trouble: Trouble::None,
            closing: false,
        };
        let (inner, changed) = (Mutex::new(inner), Condvar::new());
        Self { disk, salt, segment_bytes, log_bytes_max, inner, changed }
    }

    /// The thread's work: keeps one segment ready until [`close`](Self::close).
    pub(crate) fn run(&self) {
        let mut inner = self.lock();
        loop {
            if inner.closing {
                return;
            }
            if !inner.ready.is_empty() {
                inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if inner.trouble != Trouble::None && inner.spares.is_empty() {
                let waited = self.changed.wait_timeout(inner, RETRY);
                inner = waited.unwrap_or_else(PoisonError::into_inner).0;
                if inner.closing {
                    return;
                }
            }
            inner = self.make_one(inner);
            self.changed.notify_all();
        }
    }

    /// Tries to make a segment if none is ready, without waiting: for who has no thread for it.
    pub(crate) fn prepare(&self) {
        let inner = self.lock();
        if inner.ready.is_empty() {
            drop(self.make_one(inner));
        }
    }

    /// Takes the segment that is ready, or waits for the one that is being made.
    pub(crate) fn take(&self) -> Result<Segment, StoreError> {
        let mut inner = self.lock();
        loop {
            if let Some(segment) = inner.ready.pop_front() {
                self.changed.notify_all();
                return Ok(segment);
            }
            if inner.closing {
                return Err(StoreError::Closed);
            }
            if inner.trouble != Trouble::None {
                inner.trouble = Trouble::Refused;
                return Err(self.full());
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a segment back that holds nothing any more.
    pub(crate) fn give_back(&self, segment: Segment) -> io::Result<()> {
        let mut inner = self.lock();
        let is_usable = segment.bytes == u64::from(self.segment_bytes);
        if is_usable && inner.spares.len() < SPARES_MAX {
            inner.spares.push(segment);
            self.changed.notify_all();
            return Ok(());
        }
        self.disk.remove(&segment.id.file_name())?;
        fault_point("segment-removed");
        inner.bytes = inner.bytes.saturating_sub(segment.bytes);
        self.disk.sync_dir(LOG_DIR)
    }

    /// Bytes of all segment files.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Why writes are refused, if they are.
    pub(crate) fn refusing(&self) -> Option<StoreError> {
        (self.lock().trouble == Trouble::Refused).then(|| self.full())
    }

    /// Whether there is no space for another segment.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.lock().trouble != Trouble::None
    }

    /// Ends [`run`](Self::run).
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    fn full(&self) -> StoreError {
        StoreError::Full { directory: self.disk.place() }
    }

    /// Makes a segment without holding the lock meanwhile.
    fn make_one<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let id = inner.last_id.next();
        let made = match inner.spares.pop() {
            Some(mut spare) => {
                drop(inner);
                let result = self.reuse(&mut spare, id);
                inner = self.lock();
                match result {
                    Ok(()) => Ok(spare),
                    Err(error) => {
                        inner.spares.push(spare);
                        Err(error)
                    }
                }
            }
            None if inner.bytes + u64::from(self.segment_bytes) > self.log_bytes_max => {
                Err(io::Error::other("the log has reached the size it may have"))
            }
            None => {
                drop(inner);
                let result = make(self.disk.as_ref(), self.salt, id, self.segment_bytes);
                inner = self.lock();
                inner.bytes += result.as_ref().map_or(0, |segment| segment.bytes);
                result
            }
        };
        match made {
            Ok(segment) => {
                if inner.trouble != Trouble::None {
                    tracing::info!("there is space for the log again");
                }
                inner.last_id = id;
                inner.trouble = Trouble::None;
                inner.ready.push_back(segment);
            }
            Err(error) => {
                if inner.trouble == Trouble::None {
                    tracing::warn!(%error, "no segment could be prepared; trying every second");
                    inner.trouble = Trouble::Failed;
                }
            }
        }
        inner
    }

    /// Gives a freed segment another name. Its old batches no longer verify under it.
    fn reuse(&self, spare: &mut Segment, id: SegmentId) -> io::Result<()> {
        self.disk.rename(&spare.id.file_name(), &id.file_name())?;
        fault_point("spare-renamed");
        spare.id = id;
        spare.file.write_at(&segment_head(id, self.salt), 0)?;
        fault_point("spare-headed");
        spare.file.sync()?;
        fault_point("spare-synced");
        self.disk.sync_dir(LOG_DIR)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The fields are changed one at a time, each consistent by itself.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a segment of zeros.
pub(crate) fn make(disk: &dyn Disk, salt: Salt, id: SegmentId, bytes: u32) -> io::Result<Segment> {
    let file = disk.create(TEMPORARY)?;
    let written = (|| {
        let zeros = vec![0; STEP.min(bytes as usize)];
        let mut position = 0;
        while position < u64::from(bytes) {
            let left = usize::try_from(u64::from(bytes) - position).unwrap_or(STEP);
            let step = &zeros[..left.min(zeros.len())];
            file.write_at(step, position)?;
            file.sync()?;
            position += step.len() as u64;
            fault_point("segment-zeroing");
        }
        fault_point("segment-zeroed");
        file.write_at(&segment_head(id, salt), 0)?;
        file.sync()?;
        fault_point("segment-made");
        disk.rename(TEMPORARY, &id.file_name())?;
        fault_point("segment-named");
        disk.sync_dir(LOG_DIR)
    })();
    match written {
        Ok(()) => Ok(Segment { id, file, bytes: u64::from(bytes) }),
        Err(error) => {
            // What was written takes space that may be needed; that it is left is no harm.
            let _ = disk.remove(TEMPORARY);
            Err(error)
        }
    }
}
