//! The segments that are open: who reads one holds it, and only what nobody holds is used again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::batch::SegmentId;
use super::disk::DiskFile;

/// One file of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) bytes: u64,
}

impl Segment {
    /// Reads `count` bytes, or fewer where the file ends.
    pub(crate) fn read(&self, position: u32, count: u32) -> io::Result<Vec<u8>> {
        super::disk::read_up_to(self.file.as_ref(), u64::from(position), count as usize)
    }

    /// Reads everything up to `end`.
    pub(crate) fn read_to(&self, end: u64) -> io::Result<Vec<u8>> {
        let count = usize::try_from(end.min(self.bytes)).unwrap_or(usize::MAX);
        super::disk::read_up_to(self.file.as_ref(), 0, count)
    }
}

/// The segments with batches, by their place in the log.
#[derive(Debug, Default)]
pub(crate) struct Segments(RwLock<BTreeMap<SegmentId, Arc<Segment>>>);

impl Segments {
    pub(crate) fn new(segments: impl IntoIterator<Item = Arc<Segment>>) -> Self {
        let segments = segments.into_iter().map(|segment| (segment.id, segment));
        Self(RwLock::new(segments.collect()))
    }

    pub(crate) fn get(&self, id: SegmentId) -> Option<Arc<Segment>> {
        self.read().get(&id).cloned()
    }

    pub(crate) fn insert(&self, segment: Segment) -> Arc<Segment> {
        let segment = Arc::new(segment);
        self.write().insert(segment.id, Arc::clone(&segment));
        segment
    }

    /// The ids, rising.
    pub(crate) fn ids(&self) -> Vec<SegmentId> {
        self.read().keys().copied().collect()
    }

    /// Takes a segment out if nobody reads it.
    pub(crate) fn take(&self, id: SegmentId) -> Option<Segment> {
        let mut segments = self.write();
        let segment = segments.remove(&id)?;
        match Arc::try_unwrap(segment) {
            Ok(segment) => Some(segment),
            Err(read) => {
                segments.insert(id, read);
                None
            }
        }
    }

    // A panic while the map is locked leaves it as it was before or after one insertion.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<SegmentId, Arc<Segment>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<SegmentId, Arc<Segment>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
