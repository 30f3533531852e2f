//! What a store in memory holds.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{
    Durability, Epoch, Message, MessageId, NewMessage, Offset, OffsetSet, PolicyTable, Position,
    Timestamp, Topic, TopicState,
};

use super::MemoryConfig;
use super::log::MemoryLog;
use crate::dedup::{Dedup, First};
use crate::hash::{HashSecret, KeyHash};
use crate::keep::{Keep, Publication, Request, Sweep};
use crate::stamp::Stamp;
use crate::store::{
    Committed, Outcome, ReadBatch, ReadFrom, ReadLimit, StoreError, StoreStatus, Submission, Write,
};
use crate::unlogged::Unlogged;

/// Largest message taken: what the embedded store takes as well.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Sessions, and as many cursors, that are looked at whenever one is saved or read: more than one,
/// so that outdated ones go faster than new ones come.
const SWEPT_PER_LOOK: usize = 4;

/// Everything in the store.
#[derive(Debug)]
pub(super) struct Contents {
    policies: Arc<PolicyTable>,
    epoch: Epoch,
    bytes_max: usize,
    bytes: usize,
    topics: BTreeMap<Topic, MemoryLog>,
    /// The last message that was given an id; those of messages that are gone go with them.
    given: HashMap<MessageId, (Topic, Offset)>,
    keep: Keep,
    sweep: Sweep,
    dedup: Dedup,
    stamp: Stamp,
    unlogged: Unlogged,
    figures: StoreStatus,
    is_closed: bool,
}

/// Keys need no secret here: nothing is kept beyond the process, and tests want sameness.
const SECRET: HashSecret = HashSecret([0; 16]);

/// Bytes that a submission brings.
pub(super) fn bytes_of(submission: &Submission) -> usize {
    match &submission.write {
        Write::Publish { message, .. } => message.data.bytes().len(),
        Write::Remove { .. }
        | Write::SaveCursor { .. }
        | Write::DeleteCursor { .. }
        | Write::SaveSession(_)
        | Write::DeleteSession(_) => 0,
    }
}

impl Contents {
    pub(super) fn new(config: &MemoryConfig, policies: Arc<PolicyTable>) -> Self {
        Self {
            policies,
            epoch: config.epoch,
            bytes_max: config.bytes_max,
            bytes: 0,
            topics: BTreeMap::new(),
            given: HashMap::new(),
            keep: Keep::default(),
            sweep: Sweep::new(config.cursor_expiry),
            dedup: Dedup::new(config.dedup_window, config.dedup_keys_max),
            stamp: Stamp::new(config.node, 1, Timestamp::default()),
            unlogged: Unlogged::new(Epoch::new(config.epoch.get().wrapping_add(1))),
            figures: StoreStatus::default(),
            is_closed: false,
        }
    }

    pub(super) const fn check_open(&self) -> Result<(), StoreError> {
        if self.is_closed { Err(StoreError::Closed) } else { Ok(()) }
    }

    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Makes the writes of one submission.
    pub(super) fn commit(
        &mut self,
        submissions: Vec<Submission>,
        now: Timestamp,
        running: Duration,
    ) -> Vec<Committed> {
        self.dedup.advance_to(running);
        let mut refused = None;
        let mut commit = |submission| {
            let committed = self.commit_one(submission, now, refused.as_ref());
            if let Outcome::Refused(error) = &committed.outcome {
                refused = Some(error.clone());
            }
            committed
        };
        submissions.into_iter().map(&mut commit).collect()
    }

    /// Makes one write; an earlier one of the same submission may have been `refused`.
    fn commit_one(
        &mut self,
        submission: Submission,
        now: Timestamp,
        refused: Option<&StoreError>,
    ) -> Committed {
        let outcome = match Request::new(submission.write, now) {
            Request::Publish(publication) => self.publish(publication, now),
            Request::Remove(topic, offset) => match refused {
                Some(error) => Outcome::Refused(error.clone()),
                None => {
                    let removed = self.topics.get_mut(&topic).and_then(|log| log.remove(offset));
                    self.bytes -= removed.unwrap_or_default();
                    Outcome::Saved
                }
            },
            Request::Change(change) => {
                self.keep(now);
                self.keep.apply(change);
                Outcome::Saved
            }
        };
        self.figures.commits += 1;
        Committed { ticket: submission.ticket, outcome }
    }

    /// Cursors and sessions, without some of those that are outdated: each look takes a step.
    pub(super) fn keep(&mut self, now: Timestamp) -> &Keep {
        for change in self.sweep.step(&self.keep, now, SWEPT_PER_LOOK) {
            self.keep.apply(change);
        }
        &self.keep
    }

    fn publish(&mut self, publication: Publication, now: Timestamp) -> Outcome {
        let Publication { content, durability, id } = publication;
        let time = self.stamp.time(now);
        let topic = content.topic.clone();
        let key = KeyHash::of(SECRET, &content);
        if let Some(First { id, position }) = key.and_then(|key| self.dedup.first(key)) {
            self.figures.duplicates += 1;
            return Outcome::Duplicate { id, position };
        }
        let position = match durability {
            Durability::Memory => self.unlogged.place(&topic),
            Durability::Sync | Durability::Async => match self.place(&content, time) {
                Ok(position) => position,
                Err(error) => return Outcome::Refused(error),
            },
        };
        let id = id.unwrap_or_else(|| self.stamp.id(time));
        let Position { epoch, offset } = position;
        let message = Arc::new(Message { id, epoch, offset, published_at: time, content });
        if let Some(key) = key {
            self.dedup.remember(key, First { id, position }, time);
        }
        if durability != Durability::Memory {
            self.figures.appended += 1;
            self.bytes += message.content.data.bytes().len();
            if id.time_ms() != time.as_ms() {
                self.note_given(&message);
            }
            self.topics
                .entry(topic.clone())
                .or_insert_with(MemoryLog::new)
                .append(Arc::clone(&message));
            self.trim(&topic, time);
        }
        Outcome::Published(message)
    }

    fn place(&mut self, content: &NewMessage, now: Timestamp) -> Result<Position, StoreError> {
        let bytes = content.data.bytes().len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes, bytes_max: MESSAGE_BYTES_MAX });
        }
        if self.bytes + bytes > self.bytes_max {
            self.trim_all(now);
        }
        if self.bytes + bytes > self.bytes_max {
            return Err(StoreError::Full { directory: "memory".to_owned() });
        }
        let head = self.topics.get(&content.topic).map(|log| log.head).unwrap_or_default();
        Ok(Position { epoch: self.epoch, offset: head.next() })
    }

    fn trim(&mut self, topic: &Topic, now: Timestamp) {
        let Some(log) = self.topics.get_mut(topic) else { return };
        let (messages, bytes) = log.trim(self.policies.policy(topic).retention, now);
        self.figures.trimmed += messages;
        self.bytes -= bytes;
    }

    fn trim_all(&mut self, now: Timestamp) {
        for (topic, log) in &mut self.topics {
            let (messages, bytes) = log.trim(self.policies.policy(topic).retention, now);
            self.figures.trimmed += messages;
            self.bytes -= bytes;
        }
    }

    pub(super) fn count_messages(&mut self, topic: &Topic, now: Timestamp) -> u64 {
        self.trim(topic, now);
        self.topics.get(topic).map_or(0, |log| log.count() as u64)
    }

    pub(super) fn topic_state(&mut self, topic: &Topic, now: Timestamp) -> TopicState {
        self.trim(topic, now);
        if let Some(log) = self.topics.get(topic) {
            return TopicState { epoch: self.epoch, first: log.first, head: log.head };
        }
        if let Some(state) = self.unlogged.state(topic) {
            return state;
        }
        match self.policies.policy(topic).durability {
            Durability::Memory => self.unlogged.uncounted(),
            Durability::Sync | Durability::Async => TopicState::empty(self.epoch),
        }
    }

    pub(super) fn read(
        &mut self,
        topic: &Topic,
        from: ReadFrom,
        limit: ReadLimit,
        now: Timestamp,
    ) -> ReadBatch {
        let state = self.topic_state(topic, now);
        let read = self.topics.get(topic).map(|log| log.read(from, limit));
        let (messages, next) = read.unwrap_or_else(|| (Vec::new(), state.head.next()));
        ReadBatch { messages, damaged: OffsetSet::default(), state, next }
    }

    fn note_given(&mut self, message: &Message) {
        if self.given.len() > 2 * self.topics.values().map(MemoryLog::count).sum::<usize>() + 1024 {
            let topics = &self.topics;
            self.given.retain(|_, (topic, offset)| {
                topics.get(topic).is_some_and(|log| log.message(*offset).is_some())
            });
        }
        self.given.insert(message.id, (message.topic().clone(), message.offset));
    }

    /// The message with this id.
    pub(super) fn find(&mut self, id: MessageId, now: Timestamp) -> Option<Arc<Message>> {
        self.trim_all(now);
        let given = self.given.get(&id);
        let given = given.and_then(|(topic, offset)| self.topics.get(topic)?.message(*offset));
        let made = || {
            let mut messages = self.topics.values().flat_map(MemoryLog::messages);
            messages.find(|m| m.id == id && m.published_at.as_ms() == id.time_ms())
        };
        given.or_else(made).cloned()
    }

    pub(super) fn topics(&self, from: Bound<&str>, limit: usize) -> Vec<(Topic, TopicState)> {
        let topics = self.topics.range::<str, _>((from, Bound::Unbounded)).take(limit);
        topics
            .map(|(topic, log)| {
                let state = TopicState { epoch: self.epoch, first: log.first, head: log.head };
                (topic.clone(), state)
            })
            .collect()
    }

    pub(super) fn status(&mut self, now: Timestamp) -> StoreStatus {
        self.trim_all(now);
        StoreStatus {
            topics: self.topics.len() as u64,
            messages: self.topics.values().map(|log| log.count() as u64).sum(),
            keys_evicted_early: self.dedup.evicted_early(),
            ..self.figures.clone()
        }
    }
}
