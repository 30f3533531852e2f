//! One topic's messages in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use tidings_core::{Message, Offset, Retention, Timestamp};

use crate::store::{ReadFrom, ReadLimit};

/// One topic's messages.
#[derive(Debug)]
pub(super) struct MemoryLog {
    pub(super) first: Offset,
    pub(super) head: Offset,
    messages: VecDeque<Arc<Message>>,
    pub(super) bytes: usize,
}

impl MemoryLog {
    pub(super) const fn new() -> Self {
        Self { first: Offset::FIRST, head: Offset::ORIGIN, messages: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn append(&mut self, message: Arc<Message>) {
        self.head = message.offset;
        self.bytes += message.content.data.bytes().len();
        self.messages.push_back(message);
    }

    pub(super) fn count(&self) -> usize {
        self.messages.len()
    }

    /// Drops what the policy no longer keeps; returns how many messages and bytes.
    pub(super) fn trim(&mut self, retention: Retention, now: Timestamp) -> (u64, usize) {
        let (mut trimmed, before) = (0, self.bytes);
        while let Some(oldest) = self.messages.front() {
            let count = self.messages.len() as u64;
            let is_too_old = oldest.published_at.plus(retention.age) <= now;
            let are_too_many = retention.messages.is_some_and(|most| count > most);
            let is_too_much =
                count > 1 && retention.bytes.is_some_and(|most| self.bytes as u64 > most);
            if !is_too_old && !are_too_many && !is_too_much {
                break;
            }
            self.bytes -= oldest.content.data.bytes().len();
            self.first = oldest.offset.next();
            self.messages.pop_front();
            trimmed += 1;
        }
        (trimmed, before - self.bytes)
    }

    /// Messages within the limit, and where to go on.
    pub(super) fn read(&self, from: ReadFrom, limit: ReadLimit) -> (Vec<Arc<Message>>, Offset) {
        let start = match from {
            ReadFrom::Offset(offset) => self.messages.partition_point(|m| m.offset < offset),
            ReadFrom::Time(time) => {
                let found = self.messages.iter().position(|m| m.published_at >= time);
                found.unwrap_or(self.messages.len())
            }
        };
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for message in self.messages.iter().skip(start) {
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
