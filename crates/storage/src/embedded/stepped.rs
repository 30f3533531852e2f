//! The embedded store without threads of its own, for simulation: whoever holds it says when each
//! of them takes its next turn, so that a run is a function of what was said. The turns are those
//! that the threads take.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidings_core::PolicyTable;

use super::meta::Meta;
use super::recovery::{Opened, Opening};
use super::simulated_disk::SimulatedDisk;
use super::upkeep::Upkeep;
use super::writer::Writer;
use super::{EmbeddedConfig, EmbeddedStore, OpenError, Recovered, mark_closed};
use crate::clock::Clock;
use crate::keep::Sweep;
use crate::store::{CommitObserver, Store, StoreError};

/// Far longer than a simulation takes: syncs that nobody waits for are made when it is said.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The embedded store on a simulated disk, one turn at a time. Dropping it is a crash.
#[derive(Debug)]
pub struct SteppedStore {
    store: EmbeddedStore,
    writer: Writer,
    upkeep: Upkeep,
    meta: Meta,
}

impl SteppedStore {
    /// Opens the store on `disk`, or makes one there. The directory and the intervals of `config`
    /// mean nothing here; everything else does, and segments may be small.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Nothing is deleted on the way to an error.
    pub fn open(
        disk: &SimulatedDisk,
        config: &EmbeddedConfig,
        policies: Arc<PolicyTable>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovered), OpenError> {
        disk.fail_everybody();
        let config = EmbeddedConfig { async_sync_interval: NEVER, ..config.clone() };
        let disk = Arc::new(disk.clone());
        let Opened { shared, writer, checkpoints, meta, recovered } =
            Opening { disk, config: &config, policies, clock }.open()?;
        let sweep = Sweep::new(config.cursor_expiry);
        let every = config.checkpoint_every();
        let upkeep = Upkeep::new(Arc::clone(&shared), checkpoints, every, sweep);
        let store = EmbeddedStore { shared, direct: None, running: Mutex::new(None) };
        Ok((Self { store, writer, upkeep, meta }, recovered))
    }

    /// What everybody else sees of the store.
    pub fn store(&self) -> &dyn Store {
        &self.store
    }

    /// Whether something waits for the writer.
    pub fn has_work(&self) -> bool {
        self.store.shared.queue.waiting_bytes() > 0
    }

    /// Whether something is written that was not synced, because nobody waits for it.
    pub fn is_unsynced(&self) -> bool {
        self.writer.is_unsynced()
    }

    /// The writer takes what waits, up to the size of a batch, and commits it.
    pub fn commit(&mut self, observer: &dyn CommitObserver) {
        turn(&mut self.writer, &self.store, observer);
    }

    /// Syncs what is not synced, as the writer does when nothing came for a while.
    ///
    /// # Errors
    ///
    /// If the sync fails. The store has stopped writing then.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.writer.sync()
    }

    /// One round of upkeep: retention, forgetting, checkpoints, giving segments back. The writer
    /// takes its turns as far as upkeep waits for it.
    pub fn upkeep(&mut self, observer: &dyn CommitObserver) {
        let Self { store, writer, upkeep, meta: _ } = self;
        // No other thread takes what upkeep submits. Each turn takes something off the queue.
        upkeep.round(&mut || {
            while store.shared.queue.waiting_bytes() > 0 {
                turn(writer, store, observer);
            }
        });
    }

    /// Closes the store in good order.
    pub fn close(mut self, observer: &dyn CommitObserver) {
        self.store.shared.queue.close(StoreError::Closed);
        while self.has_work() {
            self.commit(observer);
        }
        self.writer.finish();
        self.upkeep.finish();
        mark_closed(&self.store.shared, self.meta);
    }
}

/// One turn of the writer, with a segment ready if there is space for one.
fn turn(writer: &mut Writer, store: &EmbeddedStore, observer: &dyn CommitObserver) {
    store.shared.preparer.prepare();
    writer.turn(Some(Instant::now()), observer);
}
