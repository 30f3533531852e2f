//! What the threads of a store share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use tidings_core::{PolicyTable, Topic, TopicState};

use super::batch::{LogEnd, Salt};
use super::disk::Disk;
use super::index::Index;
use super::preparer::Preparer;
use super::queue::Queue;
use super::read::KnownDamage;
use super::segments::Segments;
use super::state::Reading;
use crate::clock::Clock;
use crate::keep::Keep;
use crate::store::{StoreError, StoreStatus};
use crate::unlogged::Unlogged;

/// What the threads of a store share. Locks are taken in the order of the fields, and held for
/// a lookup or a batch's changes, never over file operations.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: Arc<PolicyTable>,
    pub(crate) reading: Reading,
    pub(crate) salt: Salt,
    pub(crate) queue: Queue,
    pub(crate) preparer: Preparer,
    pub(crate) index: RwLock<Index>,
    pub(crate) keep: RwLock<Keep>,
    pub(crate) unlogged: RwLock<Unlogged>,
    pub(crate) segments: Segments,
    /// Up to where the log is on disk.
    pub(crate) synced: Mutex<LogEnd>,
    pub(crate) poison: OnceLock<StoreError>,
    pub(crate) known_damage: KnownDamage,
    pub(crate) counters: Counters,
}

/// Figures since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) appended: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) trimmed: AtomicU64,
    pub(crate) keys_evicted_early: AtomicU64,
    pub(crate) damaged: AtomicU64,
}

/// Adds to a figure that nothing is decided by.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

// The writer stops for good when one of its changes panics (`Shared::poison` is set), so what a
// panic may have left half-changed is only read.
impl Shared {
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self) -> RwLockReadGuard<'_, Keep> {
        self.keep.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep_mut(&self) -> RwLockWriteGuard<'_, Keep> {
        self.keep.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn unlogged(&self) -> RwLockReadGuard<'_, Unlogged> {
        self.unlogged.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn unlogged_mut(&self) -> RwLockWriteGuard<'_, Unlogged> {
        self.unlogged.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn synced(&self) -> MutexGuard<'_, LogEnd> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops writing for good.
    pub(crate) fn poison(&self, operation: &'static str, reason: String) -> StoreError {
        let error = StoreError::Poisoned { operation, reason };
        let error = self.poison.get_or_init(|| error).clone();
        self.queue.close(error.clone());
        error
    }

    /// How a topic stands: what its log holds, or else what its first message will find.
    pub(crate) fn topic_state(&self, topic: &Topic) -> TopicState {
        let floor = {
            let index = self.index();
            if let Some(slot) = index.slot(topic.as_str()) {
                return index.state(slot, self.reading.epoch);
            }
            index.floor()
        };
        let unlogged = self.unlogged();
        if let Some(state) = unlogged.state(topic) {
            return state;
        }
        match self.policies.policy(topic).durability {
            tidings_core::Durability::Memory => unlogged.uncounted(),
            tidings_core::Durability::Sync | tidings_core::Durability::Async => {
                TopicState { epoch: self.reading.epoch, first: floor.next(), head: floor }
            }
        }
    }

    /// How the store is.
    pub(crate) fn status(&self) -> StoreStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let (topics, messages) = {
            let index = self.index();
            (index.topics() as u64, index.messages())
        };
        StoreStatus {
            refusing: self.poison.get().cloned().or_else(|| self.preparer.refusing()),
            topics,
            messages,
            disk_bytes: self.preparer.bytes(),
            commits: read(&counters.commits),
            syncs: read(&counters.syncs),
            appended: read(&counters.appended),
            duplicates: read(&counters.duplicates),
            trimmed: read(&counters.trimmed),
            keys_evicted_early: read(&counters.keys_evicted_early),
            damaged: read(&counters.damaged),
            waiting_bytes: self.queue.waiting_bytes() as u64,
        }
    }
}
