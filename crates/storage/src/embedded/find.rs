//! Finds a message by its id alone.
//!
//! Ids that the store makes hold the time of the message, so only runs of that time are read. All
//! topics' runs are looked at for that, in memory: some ten nanoseconds a topic and a nanosecond a
//! run, and one read for each run of the same second. Ids that were given say nothing about the
//! time; the few there are lie in a table.

use std::sync::Arc;

use tidings_core::{Message, MessageId, Offset, Timestamp, Topic};

use super::read::{Piece, records};
use super::record::Record;
use super::shared::Shared;
use crate::store::{ReadFrom, ReadLimit, StoreError};

/// Topics looked at with one hold of the index.
const TOPICS_PER_STEP: usize = 512;

impl Shared {
    /// The message with this id.
    pub(crate) fn find(&self, id: MessageId) -> Result<Option<Arc<Message>>, StoreError> {
        let given = self.index().given(id);
        if let Some((topic, offset)) = given {
            let limit = ReadLimit { messages: 1, bytes: 0 };
            let read = self.read(&topic, ReadFrom::Offset(offset), limit)?;
            if let Some(message) = read.messages.into_iter().find(|message| message.id == id) {
                return Ok(Some(message));
            }
        }
        let time = Timestamp::from_ms(id.time_ms());
        let mut from = 0;
        loop {
            let Some((next, pieces)) = self.pieces_of(time, from) else { return Ok(None) };
            for (topic, piece) in &pieces {
                if let Some(message) = self.message_in(topic, piece, id)? {
                    return Ok(Some(message));
                }
            }
            from = next;
        }
    }

    /// The runs that may hold a message of `time`, of some topics from the `from`-th on, and the
    /// topic to go on with; `None` when there are no more.
    fn pieces_of(&self, time: Timestamp, from: usize) -> Option<(usize, Vec<(Topic, Piece)>)> {
        let index = self.index();
        let mut pieces = Vec::new();
        let mut next = from;
        for slot in index.slots(from, TOPICS_PER_STEP) {
            let log = index.log(slot);
            // No end to the search: where the clock was set back, times come twice.
            for run in log.runs.range(log.run_from_time(time)..).filter(|run| run.may_hold(time)) {
                let piece = self.piece(log, run, Offset::ORIGIN);
                pieces.extend(piece.map(|piece| (log.topic.clone(), piece)));
            }
            next += 1;
        }
        (next > from).then_some((next, pieces))
    }

    fn message_in(
        &self,
        topic: &Topic,
        piece: &Piece,
        id: MessageId,
    ) -> Result<Option<Arc<Message>>, StoreError> {
        let bytes = piece.read()?;
        let found = records(&bytes, piece.run.segment, self.salt).find_map(|record| match record {
            Record::Message(_, view) if view.id == id && piece.wants(topic, &view) => {
                view.to_message(topic, self.reading.epoch).ok()
            }
            Record::Message(..) | Record::Remove(_) | Record::Change(_) | Record::Skip(_) => None,
        });
        Ok(found.map(Arc::new))
    }
}
