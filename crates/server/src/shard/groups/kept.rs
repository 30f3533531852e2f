//! Messages that were read from the log and are wanted soon, so that parked messages and small
//! windows do not read the log over and over.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_core::{Message, Offset, Topic};

/// Bytes kept for one group: a few reads of the log.
const BYTES_MAX: usize = 256 * 1024;

/// What a message costs beside its data.
const OVERHEAD_BYTES: usize = 256;

/// Messages at hand. Never more than its bound; what does not fit is read again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    messages: BTreeMap<(Topic, Offset), Arc<Message>>,
    bytes: usize,
}

impl Kept {
    pub(super) fn keep(&mut self, message: &Arc<Message>) {
        let bytes = cost(message);
        let key = (message.topic().clone(), message.offset);
        if self.bytes + bytes <= BYTES_MAX && !self.messages.contains_key(&key) {
            self.bytes += bytes;
            self.messages.insert(key, Arc::clone(message));
        }
    }

    pub(super) fn get(&self, topic: &Topic, offset: Offset) -> Option<&Arc<Message>> {
        self.messages.get(&(topic.clone(), offset))
    }

    pub(super) fn drop_one(&mut self, topic: &Topic, offset: Offset) {
        if let Some(message) = self.messages.remove(&(topic.clone(), offset)) {
            self.bytes -= cost(&message);
        }
    }

    /// Forgets what lies before the cursor of a topic.
    pub(super) fn drop_before(&mut self, topic: &Topic, cursor: Offset) {
        let settled = self.messages.range((topic.clone(), Offset::ORIGIN)..(topic.clone(), cursor));
        let settled: Vec<_> = settled.map(|((_, offset), _)| *offset).collect();
        for offset in settled {
            self.drop_one(topic, offset);
        }
    }
}

fn cost(message: &Message) -> usize {
    message.content.data.bytes().len() + OVERHEAD_BYTES
}
