//! Empties old segments that hold little that is still kept, so that one quiet topic with a long
//! retention cannot pin the disk.
//!
//! What is left in many segments is moved together: one at a time, what each held would come to
//! lie in a segment of its own again while others go on writing, and as many would stay pinned.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use tidings_core::{Offset, Topic};

use super::{TOPICS_PER_STEP, Upkeep};
use crate::embedded::batch::SegmentId;
use crate::embedded::index::Run;
use crate::embedded::queue::Move;
use crate::fault_point::fault_point;
use crate::store::StoreError;

/// Segments with less than this part of live bytes are emptied.
const LIVE_PARTS: u64 = 4;
/// The newest segments are left alone: much of what is in them may soon be trimmed anyway.
const NEWEST_LEFT: u64 = 2;
/// Bytes read before they are moved, about: bounds memory, and how long others wait for the
/// writer.
const PORTION_BYTES: usize = 256 * 1024;

/// Messages to be moved together, with the segments they come from.
#[derive(Debug, Default)]
struct Portion {
    moves: Vec<Move>,
    moved: Vec<(SegmentId, Receiver<Result<(), StoreError>>)>,
    bytes: usize,
}

impl Upkeep {
    /// Moves what is left in mostly dead segments to the end of the log. The segments are given
    /// back once checkpoints know.
    pub(super) fn clean(&mut self, submitted: &mut dyn FnMut()) {
        let segments = self.mostly_dead();
        if segments.is_empty() {
            return;
        }
        let mut portion = Portion::default();
        for (topic, first, run) in self.runs_in(&segments) {
            if let Err(error) = self.add(&mut portion, &topic, first, run) {
                self.leave(run.segment, &error);
            }
            if portion.bytes >= PORTION_BYTES
                && !self.move_all(std::mem::take(&mut portion), submitted)
            {
                return;
            }
        }
        if !self.move_all(portion, submitted) {
            return;
        }
        // What is still there cannot be read: it stays until it is trimmed.
        let index = self.shared.index();
        self.stuck.extend(segments.into_iter().filter(|id| index.live().contains_key(id)));
    }

    /// Old segments with little in them, oldest first: as many as fit into one, or one.
    fn mostly_dead(&self) -> BTreeSet<SegmentId> {
        let end = self.shared.synced().segment;
        let index = self.shared.index();
        let mut bytes = 0;
        let candidates = index.live().iter().filter_map(|(id, live)| {
            let is_old = id.0 + NEWEST_LEFT < end.0
                && self.checkpoints.newest_end.is_some_and(|end| *id < end.segment);
            if !is_old || self.stuck.contains(id) {
                return None;
            }
            let segment = self.shared.segments.get(*id)?;
            (*live < segment.bytes / LIVE_PARTS).then_some((*id, *live, segment.bytes))
        });
        let fitting = candidates.take_while(|(_, live, segment_bytes)| {
            let is_first = bytes == 0;
            bytes += live;
            is_first || bytes <= *segment_bytes
        });
        fitting.map(|(id, _, _)| id).collect()
    }

    fn runs_in(&self, segments: &BTreeSet<SegmentId>) -> Vec<(Topic, Offset, Run)> {
        let mut found = Vec::new();
        let mut from = 0;
        loop {
            let index = self.shared.index();
            let slots: Vec<_> = index.slots(from, TOPICS_PER_STEP).collect();
            if slots.is_empty() {
                return found;
            }
            from += slots.len();
            for slot in slots {
                let log = index.log(slot);
                let runs = log.runs.iter().filter(|run| segments.contains(&run.segment));
                found.extend(runs.map(|run| (log.topic.clone(), log.first, *run)));
            }
        }
    }

    /// Reads a run's messages. Those with offsets in sequence are moved as one.
    fn add(
        &self,
        portion: &mut Portion,
        topic: &Topic,
        first: Offset,
        run: Run,
    ) -> Result<(), StoreError> {
        let messages = self.shared.messages_of(topic, run, first)?;
        portion.bytes += run.bytes as usize;
        for sequence in messages.chunk_by(|one, other| one.offset.next() == other.offset) {
            let (done, moved) = sync_channel(1);
            portion.moves.push(Move { messages: sequence.to_vec(), done });
            portion.moved.push((run.segment, moved));
        }
        Ok(())
    }

    /// Has the writer write these messages again. Whether to go on.
    fn move_all(&mut self, portion: Portion, submitted: &mut dyn FnMut()) -> bool {
        fault_point("segment-emptying");
        if self.shared.queue.submit_moves(portion.moves).is_err() {
            return false;
        }
        submitted();
        for (id, moved) in portion.moved {
            match self.outcome(&moved) {
                Ok(()) => {}
                Err(error @ (StoreError::TooLarge { .. } | StoreError::Read { .. })) => {
                    self.leave(id, &error);
                }
                Err(
                    StoreError::Full { .. }
                    | StoreError::Overloaded { .. }
                    | StoreError::Poisoned { .. }
                    | StoreError::Closed,
                ) => return false,
            }
        }
        fault_point("segment-emptied");
        true
    }

    fn outcome(&self, moved: &Receiver<Result<(), StoreError>>) -> Result<(), StoreError> {
        loop {
            match moved.recv_timeout(Duration::from_secs(1)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(StoreError::Closed),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(error) = self.shared.poison.get() {
                        return Err(error.clone());
                    }
                }
            }
        }
    }

    fn leave(&mut self, id: SegmentId, error: &StoreError) {
        tracing::warn!(%error, file = id.file_name(), "a segment could not be emptied");
        self.stuck.insert(id);
    }
}
