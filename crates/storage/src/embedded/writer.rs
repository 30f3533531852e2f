//! The one thread that writes.
//!
//! It takes all that waits, gives each message its place, writes one batch, syncs if anybody
//! waits for that, makes the batch visible to readers, and tells the outcomes, in this order. So
//! a reader is never ahead of the disk. While it syncs, the next batch gathers: a lone publisher
//! waits for nobody, and many share one sync.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidings_core::Priority;

use super::queue::{Queued, Taken};
use super::shared::{Shared, count};
use crate::dedup::Dedup;
use crate::fault_point::fault_point;
use crate::stamp::Stamp;
use crate::store::{Commit, CommitObserver, Committed, Outcome, StoreError};

mod log;
mod plan;

pub(crate) use log::Log;
use plan::{Plan, Planned, What};

/// Records that may wait for a sync nobody asked for. Also how many offsets a power cut can take
/// back from a topic: so many are skipped after one.
pub(crate) const UNSYNCED_RECORDS_MAX: u64 = 65_536;

/// Bytes gathered into one batch, at most: bounds how long a commit takes.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// The writer.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    dedup: Dedup,
    stamp: Stamp,
    sync_interval: Duration,
    batch_bytes_max: usize,
    record_bytes_max: usize,
    /// The submission of each priority that a write was last refused of, and why: what follows in it
    /// may count on what was refused.
    refused: BTreeMap<Priority, (u64, StoreError)>,
}

/// What came of the writer's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has done something; there may be more.
    Taken,
    /// The queue is closed and empty.
    Closed,
}

impl Writer {
    /// A writer that goes on at the end of `log`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: Log,
        dedup: Dedup,
        stamp: Stamp,
        sync_interval: Duration,
        segment_bytes: u32,
    ) -> Self {
        let record_bytes_max = log::record_bytes_max(segment_bytes);
        let batch_bytes_max = BATCH_BYTES_MAX.min(record_bytes_max / 4);
        Self {
            shared,
            log,
            dedup,
            stamp,
            sync_interval,
            batch_bytes_max,
            record_bytes_max,
            refused: BTreeMap::new(),
        }
    }

    /// For messages that somebody else gives their ids.
    pub(crate) const fn stamp_beside(&self) -> Stamp {
        self.stamp.beside()
    }

    /// The thread's work, until the queue is closed and empty.
    pub(crate) fn run(mut self, observer: &dyn CommitObserver) {
        let _guard = PoisonOnPanic(Arc::clone(&self.shared));
        loop {
            let sync_at = self.log.unsynced_since().map(|since| since + self.sync_interval);
            match self.turn(sync_at, observer) {
                Turn::Taken => {}
                Turn::Closed => break,
            }
        }
        self.finish();
    }

    /// Waits for work and commits it, or syncs if none has come by `sync_at`.
    pub(crate) fn turn(&mut self, sync_at: Option<Instant>, observer: &dyn CommitObserver) -> Turn {
        match self.shared.queue.take(self.batch_bytes_max, sync_at) {
            Taken::Work(work) => self.commit(work, observer),
            Taken::TimedOut => {
                // A failure poisons the store; there is nobody waiting to be told.
                let _ = self.sync();
            }
            Taken::Closed => return Turn::Closed,
        }
        Turn::Taken
    }

    /// Whether something is written and not synced.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.log.unsynced_since().is_some()
    }

    /// Ends the log where it is, after the last turn.
    pub(crate) fn finish(&mut self) {
        if self.shared.poison.get().is_none() {
            // The mark makes damage in the batches before it tell from an unfinished end.
            let closed = self.make_room(0).and_then(|()| self.write(|log| log.write_mark()));
            fault_point("mark-written");
            let _ = closed.and_then(|()| self.sync());
        }
    }

    fn commit(&mut self, work: Vec<Queued>, observer: &dyn CommitObserver) {
        let unlogged = work.iter().filter(|queued| queued.is_unlogged()).count();
        let committed = self.try_commit(work);
        count(&self.shared.counters.commits, 1);
        let outcomes = match committed {
            Ok(plan) => self.publish(plan),
            Err((planned, error)) => refuse(planned, &error),
        };
        if !outcomes.is_empty() {
            observer.committed(Commit { outcomes });
            fault_point("commit-told");
        }
        self.shared.queue.unlogged_told(unlogged);
    }

    /// Plans, writes and syncs a batch. An error is final.
    fn try_commit(&mut self, work: Vec<Queued>) -> Result<Plan, (Vec<Planned>, StoreError)> {
        if let Some(error) = self.shared.poison.get().cloned() {
            return Err((plan::unplanned(work), error));
        }
        let bytes = work
            .iter()
            .map(|item| item.bytes)
            .filter(|bytes| *bytes <= self.record_bytes_max)
            .sum();
        let room = self.make_room(bytes);
        if let Err(error @ StoreError::Poisoned { .. }) = room {
            return Err((plan::unplanned(work), error));
        }
        let mut plan = self.plan(work, room);
        fault_point("commit-planned");
        let written =
            if plan.records() > 0 { self.write(|log| log.write_batch(&mut plan)) } else { Ok(()) };
        let synced = written.and_then(|()| {
            let is_due = self.log.unsynced_since().is_some_and(|since| {
                plan.wants_sync
                    || self.log.unsynced_records() >= UNSYNCED_RECORDS_MAX
                    || since.elapsed() >= self.sync_interval
            });
            if is_due { self.sync() } else { Ok(()) }
        });
        match synced {
            Ok(()) => Ok(plan),
            Err(error) => Err((plan.into_planned(), error)),
        }
    }

    /// Goes on in the next segment if this one has no room. Fails with `Full` if there is none.
    fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        if self.log.has_room(bytes) {
            return Ok(());
        }
        let next = self.shared.preparer.take()?;
        fault_point("segment-taken");
        // What is in the old segment must last before anything in the new one can.
        self.sync()?;
        fault_point("segment-left");
        let next = self.shared.segments.insert(next);
        self.log.go_on_in(next);
        fault_point("segment-entered");
        Ok(())
    }

    fn write(&mut self, write: impl FnOnce(&mut Log) -> io::Result<()>) -> Result<(), StoreError> {
        write(&mut self.log).map_err(|error| self.fail("write", &error))
    }

    /// Makes what is written last. A failure is final.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if self.log.unsynced_since().is_none() {
            return Ok(());
        }
        self.log.sync().map_err(|error| self.fail("fdatasync", &error))?;
        count(&self.shared.counters.syncs, 1);
        *self.shared.synced() = self.log.end();
        Ok(())
    }

    fn fail(&self, operation: &'static str, error: &io::Error) -> StoreError {
        tracing::error!(%error, operation, "the store stops writing: restart once the disk is sound");
        self.shared.poison(operation, error.to_string())
    }

    /// Makes a batch visible and gives its outcomes.
    fn publish(&mut self, plan: Plan) -> Vec<Committed> {
        fault_point("commit-durable");
        let counters = &self.shared.counters;
        count(&counters.appended, plan.appended);
        count(&counters.duplicates, plan.duplicates);
        for (key, first) in &plan.keys {
            self.dedup.remember(*key, *first, plan.time);
        }
        counters.keys_evicted_early.store(self.dedup.evicted_early(), Ordering::Relaxed);
        fault_point("keys-remembered");
        plan.show(&self.shared);
        fault_point("index-shown");
        plan.apply_changes(&self.shared);
        fault_point("changes-applied");
        plan.into_outcomes()
    }
}

/// Tells everybody that nothing was kept.
fn refuse(planned: Vec<Planned>, error: &StoreError) -> Vec<Committed> {
    let refused = planned.into_iter().filter_map(|planned| match planned.what {
        What::Moved(done) => {
            let _ = done.try_send(Err(error.clone()));
            None
        }
        What::Told(_) | What::Message(_) | What::Removal(..) | What::Change(_) => {
            let outcome = Outcome::Refused(error.clone());
            Some(Committed { ticket: planned.ticket, outcome })
        }
    });
    refused.collect()
}

/// Nobody may wait for a writer that is gone.
struct PoisonOnPanic(Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("commit", "the writer panicked; see the log before this".to_owned());
        }
    }
}

impl Log {
    /// When the oldest record was written that is not synced.
    fn unsynced_since(&self) -> Option<Instant> {
        self.unsynced.map(|unsynced| unsynced.since)
    }

    /// How many records are not synced.
    fn unsynced_records(&self) -> u64 {
        self.unsynced.map_or(0, |unsynced| unsynced.records)
    }
}
