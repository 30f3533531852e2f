//! One topic's messages in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_core::{Message, Offset, Retention, Timestamp};

use crate::store::{ReadFrom, ReadLimit};

/// One topic's messages.
#[derive(Debug)]
pub(super) struct MemoryLog {
    pub(super) first: Offset,
    pub(super) head: Offset,
    messages: BTreeMap<Offset, Arc<Message>>,
    pub(super) bytes: usize,
}

impl MemoryLog {
    pub(super) const fn new() -> Self {
        Self { first: Offset::FIRST, head: Offset::ORIGIN, messages: BTreeMap::new(), bytes: 0 }
    }

    pub(super) fn append(&mut self, message: Arc<Message>) {
        self.head = message.offset;
        self.bytes += message.content.data.bytes().len();
        self.messages.insert(message.offset, message);
    }

    /// The message with this offset, if it is kept.
    pub(super) fn message(&self, offset: Offset) -> Option<&Arc<Message>> {
        self.messages.get(&offset)
    }

    /// All messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.values()
    }

    pub(super) fn count(&self) -> usize {
        self.messages.len()
    }

    /// Removes a message; returns its bytes, if it was there.
    pub(super) fn remove(&mut self, offset: Offset) -> Option<usize> {
        let bytes = self.messages.remove(&offset)?.content.data.bytes().len();
        self.bytes -= bytes;
        let first_kept = self.messages.keys().next().copied().unwrap_or(self.head.next());
        if offset < first_kept {
            self.first = first_kept;
        }
        Some(bytes)
    }

    /// Drops what the policy no longer keeps; returns how many messages and bytes.
    pub(super) fn trim(&mut self, retention: Retention, now: Timestamp) -> (u64, usize) {
        let (mut trimmed, before) = (0, self.bytes);
        while let Some((_, oldest)) = self.messages.first_key_value() {
            // Removed ones count: it is the newest so many offsets that are kept.
            let count = self.head.next().distance_from(oldest.offset);
            let is_too_old = oldest.published_at.plus(retention.age) <= now;
            let are_too_many = retention.messages.is_some_and(|most| count > most);
            let is_too_much = self.messages.len() > 1
                && retention.bytes.is_some_and(|most| self.bytes as u64 > most);
            if !is_too_old && !are_too_many && !is_too_much {
                break;
            }
            self.bytes -= oldest.content.data.bytes().len();
            self.first = oldest.offset.next();
            self.messages.pop_first();
            trimmed += 1;
        }
        (trimmed, before - self.bytes)
    }

    /// Messages within the limit, and where to go on.
    pub(super) fn read(&self, from: ReadFrom, limit: ReadLimit) -> (Vec<Arc<Message>>, Offset) {
        let start = match from {
            ReadFrom::Offset(offset) => offset,
            ReadFrom::Time(time) => {
                let found = self.messages.values().find(|message| message.published_at >= time);
                found.map_or(self.head.next(), |message| message.offset)
            }
        };
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for message in self.messages.range(start..).map(|(_, message)| message) {
            bytes += message.content.data.bytes().len();
            let is_full = messages.len() >= limit.messages.max(1) || bytes > limit.bytes;
            if is_full && !messages.is_empty() {
                return (messages, message.offset);
            }
            messages.push(Arc::clone(message));
        }
        (messages, self.head.next())
    }
}
