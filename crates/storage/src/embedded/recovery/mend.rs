//! Mends what a crash left, so that writing can go on. All of it can be repeated after a crash
//! in the middle.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::embedded::EmbeddedConfig;
use crate::embedded::batch::{LogEnd, Owner, SEGMENT_HEAD, Salt, SegmentId};
use crate::embedded::disk::Disk;
use crate::embedded::meta::{Left, Meta};
use crate::embedded::preparer;
use crate::embedded::record::{Skip, SkipScope};
use crate::embedded::replay::{Replayed, was_written};
use crate::embedded::scan::Cut;
use crate::embedded::segments::Segment;
use crate::embedded::state::State;
use crate::embedded::writer::{Log, UNSYNCED_RECORDS_MAX};
use crate::fault_point::fault_point;

/// The first segment of a new directory is no larger, so that a first start is instant.
const FIRST_SEGMENT_BYTES: u32 = 1024 * 1024;
/// Room for the batch of one skip.
const SKIP_BYTES: usize = 64;

/// How writing goes on.
pub(super) struct Restart {
    pub(super) log: Log,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) ready: VecDeque<Segment>,
    /// The largest number a segment file has.
    pub(super) last_id: SegmentId,
    /// Bytes of all segment files.
    pub(super) bytes: u64,
}

/// Whose file a segment is.
pub(super) fn owner(segment: &Segment, salt: Salt) -> Owner {
    segment.read(0, SEGMENT_HEAD as u32).map_or(Owner::Unknown, |head| Owner::of(&head, salt))
}

/// Cuts an unfinished end, syncs what a crash of the process left unsynced, and sees to it that
/// no offset is given twice.
pub(super) fn mend(
    disk: &dyn Disk,
    config: &EmbeddedConfig,
    meta: &Meta,
    state: &mut State,
    segments: Vec<Arc<Segment>>,
    replayed: &Replayed,
) -> io::Result<Restart> {
    match meta.left {
        Left::Open => write_again(replayed, state.end)?,
        Left::Closed(_) => {}
    }
    for segment in &replayed.segments {
        segment.file.sync()?;
    }
    let mut mending = Mending { disk, config, salt: meta.salt, ready: VecDeque::new() };
    let skips = skips(meta, disk, state, replayed.cut);
    let mut last_id = segments.last().map_or(state.end.segment, |segment| segment.id);
    let (mut used, unused): (Vec<_>, Vec<_>) =
        segments.into_iter().partition(|segment| segment.id <= state.end.segment);
    if !mending.sort_out(unused, state.end.segment)? {
        last_id = mending.ready.back().map_or(state.end.segment, |segment| segment.id);
    }
    let tail = match used.last().filter(|tail| tail.id == state.end.segment) {
        Some(tail) => Arc::clone(tail),
        None => {
            let made = mending.begin(state, last_id, used.is_empty())?;
            used.push(Arc::clone(&made));
            made
        }
    };
    let cut_at = LogEnd { ..state.end };
    let mut log = Log::new(meta.salt, Arc::clone(&tail), state.end);
    for skip in skips {
        if !log.has_room(SKIP_BYTES) {
            let next = mending.next(last_id.max(log.end().segment), config.segment_bytes)?;
            used.push(Arc::clone(&next));
            log.go_on_in(next);
        }
        log.write_skip(skip)?;
        fault_point("skip-written");
        log.sync()?;
        fault_point("skip-synced");
        state.index.skip(skip);
    }
    if let Some(cut) = replayed.cut {
        clear(&tail, cut_at, log.end(), cut)?;
    }
    state.end = log.end();
    last_id = last_id.max(state.end.segment);
    let ready = mending.ready;
    let bytes = used.iter().map(|segment| segment.bytes).sum::<u64>()
        + ready.iter().map(|segment| segment.bytes).sum::<u64>();
    Ok(Restart { log, segments: used, ready, last_id, bytes })
}

/// Writes what may not be on disk once more, where it is. After a sync that failed the system has
/// it in memory and takes it for written: a process that is started then reads it, and no sync
/// would bring it to the disk.
fn write_again(replayed: &Replayed, end: LogEnd) -> io::Result<()> {
    let Some(tail) = replayed.segments.last().filter(|tail| tail.id == end.segment) else {
        return Ok(());
    };
    let from = u32::try_from(replayed.unsynced_from).map_err(io::Error::other)?;
    if from >= end.position {
        return Ok(());
    }
    let bytes = tail.read(from, end.position - from)?;
    tail.file.write_at(&bytes, u64::from(from))
}

struct Mending<'a> {
    disk: &'a dyn Disk,
    config: &'a EmbeddedConfig,
    salt: Salt,
    ready: VecDeque<Segment>,
}

impl Mending<'_> {
    /// Keeps one segment after the end of the log to go on with, and removes others that were
    /// never used. Whether a file was left alone because it cannot be told what it is.
    fn sort_out(&mut self, unused: Vec<Arc<Segment>>, end: SegmentId) -> io::Result<bool> {
        let mut has_unknown = false;
        for segment in unused {
            if owner(&segment, self.salt) != Owner::Us {
                let file = segment.id.file_name();
                tracing::error!(file, "the file is no segment, and is left alone");
                has_unknown = true;
                continue;
            }
            let name = segment.id.file_name();
            let is_usable = self.ready.is_empty()
                && !has_unknown
                && segment.id == end.next()
                && segment.bytes == u64::from(self.config.segment_bytes)
                && !was_written(&segment, self.salt)?;
            match Arc::into_inner(segment) {
                Some(segment) if is_usable => self.ready.push_back(segment),
                Some(_) | None => self.disk.remove(&name)?,
            }
        }
        Ok(has_unknown)
    }

    /// The segment to go on in when the directory is new, or the last segment is gone.
    fn begin(
        &mut self,
        state: &mut State,
        last_id: SegmentId,
        is_empty: bool,
    ) -> io::Result<Arc<Segment>> {
        let made = if is_empty && state.end == LogEnd::START && self.ready.is_empty() {
            let bytes = FIRST_SEGMENT_BYTES.min(self.config.segment_bytes);
            Arc::new(preparer::make(self.disk, self.salt, SegmentId::FIRST, bytes)?)
        } else {
            self.next(last_id, self.config.segment_bytes)?
        };
        state.end.segment = made.id;
        state.end.position = SEGMENT_HEAD as u32;
        Ok(made)
    }

    /// The segment that is ready, or a new one after `last_id`.
    fn next(&mut self, last_id: SegmentId, bytes: u32) -> io::Result<Arc<Segment>> {
        let next = match self.ready.pop_front() {
            Some(ready) => ready,
            None => preparer::make(self.disk, self.salt, last_id.next(), bytes)?,
        };
        Ok(Arc::new(next))
    }
}

/// The offsets that may have been given to messages that are gone.
fn skips(meta: &Meta, disk: &dyn Disk, state: &State, cut: Option<Cut>) -> Vec<Skip> {
    let mut skips = Vec::new();
    // An unfinished batch was never acknowledged, but a damaged last one looks the same.
    if let Some(by) = cut.map(|cut| cut.records).filter(|records| *records > 0) {
        skips.push(Skip { scope: SkipScope::All, by });
    }
    let boot = disk.boot();
    let machine_crashed = meta.left == Left::Open && (boot.is_empty() || boot != meta.boot);
    let is_unwaited = |slot| state.index.log(slot).unwaited;
    if machine_crashed && state.index.slots(0, usize::MAX).any(is_unwaited) {
        skips.push(Skip { scope: SkipScope::Unwaited, by: UNSYNCED_RECORDS_MAX });
    }
    skips
}

/// Overwrites an unfinished batch with zeros, so that none of it is found again behind what is
/// written from now on.
fn clear(segment: &Segment, from: LogEnd, written: LogEnd, cut: Cut) -> io::Result<()> {
    let end = u64::from(from.position) + cut.bytes as u64;
    let start = if written.segment == segment.id { written.position } else { from.position };
    if u64::from(start) < end {
        let length = usize::try_from(end - u64::from(start)).map_err(io::Error::other)?;
        fault_point("cut-clearing");
        segment.file.write_at(&vec![0; length], u64::from(start))?;
        fault_point("cut-cleared");
        segment.file.sync()?;
    }
    Ok(())
}
