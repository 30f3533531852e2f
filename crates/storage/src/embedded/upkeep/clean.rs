//! Empties old segments that hold little that is still kept, so that one quiet topic with a long
//! retention cannot pin the disk.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use tidings_core::{Message, Offset, Topic};

use super::{TOPICS_PER_STEP, Upkeep};
use crate::embedded::batch::SegmentId;
use crate::embedded::index::Run;
use crate::store::StoreError;

/// Segments with less than this part of live bytes are emptied.
const LIVE_PARTS: u64 = 4;
/// The newest segments are left alone: much of what is in them may soon be trimmed anyway.
const NEWEST_LEFT: u64 = 2;

impl Upkeep {
    /// Moves what is left in one mostly dead segment to the end of the log. The segment is given
    /// back once checkpoints know.
    pub(super) fn clean_one(&mut self) {
        let Some(id) = self.mostly_dead() else { return };
        for (topic, first, run) in self.runs_in(id) {
            let moved = self
                .shared
                .messages_of(&topic, run, first)
                .and_then(|messages| self.move_all(messages));
            match moved {
                Ok(()) => {}
                Err(StoreError::Full { .. } | StoreError::Overloaded { .. }) => return,
                Err(error) => {
                    tracing::warn!(%error, file = id.file_name(), "a segment could not be emptied");
                    self.stuck.insert(id);
                    return;
                }
            }
        }
        // What is still there cannot be read: it stays until it is trimmed.
        if self.shared.index().live().contains_key(&id) {
            self.stuck.insert(id);
        }
    }

    fn mostly_dead(&self) -> Option<SegmentId> {
        let end = self.shared.synced().segment;
        let index = self.shared.index();
        let candidate = index.live().iter().find(|(id, live)| {
            id.0 + NEWEST_LEFT < end.0
                && !self.stuck.contains(id)
                && self.checkpoints.newest_end.is_some_and(|end| **id < end.segment)
                && self
                    .shared
                    .segments
                    .get(**id)
                    .is_some_and(|segment| **live < segment.bytes / LIVE_PARTS)
        });
        candidate.map(|(id, _)| *id)
    }

    fn runs_in(&self, id: SegmentId) -> Vec<(Topic, Offset, Run)> {
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
                let runs = log.runs.iter().filter(|run| run.segment == id);
                found.extend(runs.map(|run| (log.topic.clone(), log.first, *run)));
            }
        }
    }

    /// Has the writer write these messages again. Those with offsets in sequence go together.
    fn move_all(&self, messages: Vec<Arc<Message>>) -> Result<(), StoreError> {
        let mut sequence: Vec<Arc<Message>> = Vec::new();
        for message in messages {
            if sequence.last().is_some_and(|last| last.offset.next() != message.offset) {
                self.move_sequence(std::mem::take(&mut sequence))?;
            }
            sequence.push(message);
        }
        self.move_sequence(sequence)
    }

    fn move_sequence(&self, messages: Vec<Arc<Message>>) -> Result<(), StoreError> {
        if messages.is_empty() {
            return Ok(());
        }
        let (done, moved) = sync_channel(1);
        self.shared.queue.submit_move(messages, done)?;
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
}
