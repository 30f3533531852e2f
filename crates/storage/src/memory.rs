//! A store without a disk: for tests, simulation, and trying things out.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_core::{
    CursorKey, CursorState, Epoch, Message, MessageId, PolicyTable, Priority, Session, SessionId,
    Topic, TopicState, UserId,
};

use crate::clock::Clock;
use crate::keep::CURSOR_EXPIRY_DEFAULT;
use crate::store::{
    Commit, CommitObserver, Cursor, CursorsOf, ReadBatch, ReadFrom, ReadLimit, Store, StoreError,
    StoreStatus, Submission,
};

mod contents;
mod log;

use contents::Contents;

/// How a store in memory works.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// Most bytes of messages kept; at the bound publishes are refused until retention trims.
    pub bytes_max: usize,
    /// Most bytes of one submission.
    pub queue_bytes_max: usize,
    /// How long a publish's key is remembered.
    pub dedup_window: Duration,
    /// How many keys are remembered; at the bound the oldest go early.
    pub dedup_keys_max: usize,
    /// After how long a cursor is forgotten that is not saved again.
    pub cursor_expiry: Duration,
    /// The number of this server in message ids.
    pub node: u16,
    /// The life of the logs. Messages with `Durability::Memory` get the one after it.
    pub epoch: Epoch,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            bytes_max: 256 * 1024 * 1024,
            queue_bytes_max: 64 * 1024 * 1024,
            dedup_window: Duration::from_secs(24 * 60 * 60),
            dedup_keys_max: 1_000_000,
            cursor_expiry: CURSOR_EXPIRY_DEFAULT,
            node: 0,
            epoch: Epoch::new(1),
        }
    }
}

/// A store that keeps everything in memory and nothing beyond its own life.
///
/// There is no thread: the outcome is told from the thread that submits, before `submit` returns.
/// So a simulation that uses it is deterministic.
pub struct MemoryStore {
    observer: Arc<dyn CommitObserver>,
    clock: Arc<dyn Clock>,
    queue_bytes_max: usize,
    /// Held while a commit is made and told, so that commits are told one at a time, in order.
    committing: Mutex<()>,
    contents: Mutex<Contents>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(
        config: &MemoryConfig,
        policies: Arc<PolicyTable>,
        observer: Arc<dyn CommitObserver>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            observer,
            clock,
            queue_bytes_max: config.queue_bytes_max,
            committing: Mutex::new(()),
            contents: Mutex::new(Contents::new(config, policies)),
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    /// Nothing ever waits here, so nothing overtakes.
    fn submit_as(
        &self,
        _priority: Priority,
        submissions: Vec<Submission>,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let outcomes = {
            let mut contents = self.contents();
            contents.check_open()?;
            let bytes = submissions.iter().map(contents::bytes_of).sum();
            if submissions.len() > 1 && bytes > self.queue_bytes_max {
                return Err(StoreError::Overloaded { waiting_bytes: 0, submitted_bytes: bytes });
            }
            contents.commit(submissions, now, self.clock.running())
        };
        // The contents are free again: the observer may read.
        self.observer.committed(Commit { outcomes });
        Ok(())
    }

    fn topic_state(&self, topic: &Topic) -> TopicState {
        self.contents().topic_state(topic, self.clock.now())
    }

    fn count_messages(&self, topic: &Topic) -> u64 {
        self.contents().count_messages(topic, self.clock.now())
    }

    fn read(
        &self,
        topic: &Topic,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, StoreError> {
        Ok(self.contents().read(topic, from, limit, self.clock.now()))
    }

    fn find(&self, id: MessageId) -> Result<Option<Arc<Message>>, StoreError> {
        Ok(self.contents().find(id, self.clock.now()))
    }

    fn cursor(&self, key: &CursorKey) -> Option<CursorState> {
        self.contents().keep(self.clock.now()).cursor(key)
    }

    fn session(&self, id: &SessionId) -> Option<Session> {
        self.contents().keep(self.clock.now()).sessions.get(id).cloned()
    }

    fn cursors(&self, of: &CursorsOf, after: Option<&CursorKey>, limit: usize) -> Vec<Cursor> {
        self.contents().keep(self.clock.now()).cursors.list(of, after, limit)
    }

    fn sessions_of(&self, user: &UserId, limit: usize) -> Vec<Session> {
        self.contents().keep(self.clock.now()).sessions.of(user, limit)
    }

    fn users(&self, from: Bound<&UserId>, limit: usize) -> Vec<UserId> {
        self.contents().keep(self.clock.now()).users(from, limit)
    }

    fn count_cursors(&self, user: &UserId, limit: usize) -> usize {
        self.contents().keep(self.clock.now()).count_cursors(user, limit)
    }

    fn topics(&self, from: Bound<&str>, limit: usize) -> Vec<(Topic, TopicState)> {
        self.contents().topics(from, limit)
    }

    fn status(&self) -> StoreStatus {
        self.contents().status(self.clock.now())
    }

    fn close(&self) {
        let _one_at_a_time = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        self.contents().close();
    }
}
