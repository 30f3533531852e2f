//! Folds the log after a checkpoint into its state: at the start, and to make the next one.

use std::io;
use std::sync::Arc;

use super::batch::{BATCH_HEAD, BatchHead, LogEnd, SEGMENT_HEAD, Salt, Seed, SegmentId};
use super::error::Damage;
use super::scan::{Cut, Following, SegmentBytes};
use super::segments::Segment;
use super::state::{Fold, State};

/// What a replay found; the state's `end` tells how far it came.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// An unfinished batch at the end.
    pub(crate) cut: Option<Cut>,
    pub(crate) damage: Vec<Damage>,
    /// The segments that were read.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// From where on nothing says that the last of them is on disk.
    pub(crate) unsynced_from: usize,
}

/// Folds in the log of `segments` (rising) from the state's end to its own end, or `until` some
/// place that is known to lie on disk.
pub(crate) fn replay(
    state: &mut State,
    salt: Salt,
    segments: &[Arc<Segment>],
    until: Option<LogEnd>,
) -> io::Result<Replayed> {
    let mut replayed = Replayed::default();
    let segments = used(state.end.segment, salt, segments, until)?;
    let mut expected = state.end.segment;
    for (n, (segment, _)) in segments.iter().enumerate() {
        while expected < segment.id {
            let (file, position) = (expected.file_name(), 0);
            replayed.damage.push(Damage { file, position, bytes: 0, records: 0 });
            expected = expected.next();
        }
        expected = segment.id.next();
        let later = segments.iter().skip(n + 1).find_map(|(_, first)| *first);
        let last = until.filter(|until| until.segment == segment.id);
        // A place that is known to lie on disk is as good as a batch that says so.
        let known = until.map(|until| Following { next: until.next, synced: until.next.batch });
        let following = later.or(known);
        let bytes = segment.read_to(last.map_or(u64::MAX, |until| u64::from(until.position)))?;
        let from = if segment.id == state.end.segment {
            state.end.position as usize
        } else {
            SEGMENT_HEAD
        };
        let seed = Seed::new(salt, segment.id);
        let read = SegmentBytes { id: segment.id, seed, bytes: &bytes };
        let mut next = state.end.next;
        let mut fold = Fold::new(state, segment.id);
        let end = read.scan(from, &mut next, following, &mut fold);
        replayed.damage.append(&mut fold.damage);
        let position = u32::try_from(end.position).expect("segments are at most 1 GiB");
        state.end = LogEnd { segment: segment.id, position, next };
        replayed.cut = end.cut;
        replayed.unsynced_from = end.unsynced_from;
        replayed.segments.push(Arc::clone(segment));
        if end.cut.is_some() {
            break;
        }
    }
    Ok(replayed)
}

/// The segments from `from` on that hold batches, with their first batch. One in between that
/// shows none is damaged.
fn used(
    from: SegmentId,
    salt: Salt,
    segments: &[Arc<Segment>],
    until: Option<LogEnd>,
) -> io::Result<Vec<(Arc<Segment>, Option<Following>)>> {
    let mut used = Vec::new();
    for segment in segments {
        let is_wanted = segment.id >= from && until.is_none_or(|until| segment.id <= until.segment);
        if is_wanted {
            used.push((Arc::clone(segment), first_batch(segment, salt)?));
        }
    }
    // Where the end is known, an empty segment before it is damaged, too.
    while until.is_none()
        && let Some((segment, None)) = used.last()
        && segment.id != from
        && !was_written(segment, salt)?
    {
        used.pop();
    }
    Ok(used)
}

/// The first batch of a segment, if it was used.
fn first_batch(segment: &Segment, salt: Salt) -> io::Result<Option<Following>> {
    let seed = Seed::new(salt, segment.id);
    let start = segment.read(SEGMENT_HEAD as u32, BATCH_HEAD as u32)?;
    if let Some(head) = BatchHead::decode(&start, 0, segment.id, seed) {
        return Ok(Some(Following::from(head)));
    }
    let bytes = segment.read_to(u64::MAX)?;
    Ok(SegmentBytes { id: segment.id, seed, bytes: &bytes }.first_batch())
}

/// Whether anything was written to a segment that shows no batch.
pub(crate) fn was_written(segment: &Segment, salt: Salt) -> io::Result<bool> {
    let seed = Seed::new(salt, segment.id);
    let bytes = segment.read_to(u64::MAX)?;
    Ok(SegmentBytes { id: segment.id, seed, bytes: &bytes }.was_written())
}
