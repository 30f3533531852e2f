//! The store in one directory: one log for everything, written by one thread.

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tidings_core::{
    CursorKey, CursorState, Message, MessageId, PolicyTable, Priority, Session, SessionId, Topic,
    TopicState, UserId,
};

use crate::clock::{Clock, SystemClock};
use crate::fault_point::fault_point;
use crate::keep::{CURSOR_EXPIRY_DEFAULT, Sweep};
use crate::store::{
    CommitObserver, Cursor, CursorsOf, ReadBatch, ReadFrom, ReadLimit, Store, StoreError,
    StoreStatus, Submission,
};

mod adopt;
mod batch;
mod checkpoint;
mod direct;
mod disk;
mod error;
mod find;
mod index;
mod meta;
mod preparer;
mod queue;
mod read;
mod record;
mod recovery;
mod replay;
mod scan;
mod segments;
mod shared;
mod simulated_disk;
mod state;
mod stepped;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;

pub use adopt::{AdoptError, Arrival, adopt};
pub use error::{Damage, OpenError, Origin, Recovered};
pub use simulated_disk::{DiskFault, DiskLie, SimulatedDisk};
pub use stepped::SteppedStore;

use direct::Direct;
use disk::{Disk, RealDisk};
use meta::{Left, Meta};
use recovery::{Opened, Opening};
use shared::Shared;
use upkeep::{Stop, Upkeep};
use writer::Writer;

/// Smallest and largest segment: a record must fit in one, and positions are 32 bits.
const SEGMENT_BYTES_MIN: u32 = 1024 * 1024;
const SEGMENT_BYTES_MAX: u32 = 1024 * 1024 * 1024;

/// Checkpoints made while the log writes as many bytes as it may take, at least.
const CHECKPOINTS_PER_LOG: u64 = 8;

/// Where and how an embedded store works.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Where it lives. Made if it is missing.
    pub directory: PathBuf,
    /// Size of the log's files, 1 MiB to 1 GiB. The unit in which disk space is taken and given
    /// back; bounds the largest record.
    pub segment_bytes: u32,
    /// Most bytes that may wait for the writer; at the bound `submit` refuses. A single write may
    /// be larger.
    pub queue_bytes_max: usize,
    /// How long a publish's key is remembered.
    pub dedup_window: Duration,
    /// How many keys are remembered, over all topics; at the bound the oldest go early. About
    /// 90 bytes of memory each.
    pub dedup_keys_max: usize,
    /// After how long a cursor is forgotten that is not saved again.
    pub cursor_expiry: Duration,
    /// How long writes that nobody waits for may stay unsynced.
    pub async_sync_interval: Duration,
    /// Most bytes of disk the log may take; at the bound publishes are refused.
    pub log_bytes_max: u64,
    /// The number of this server in message ids.
    pub node: u16,
    /// After how many bytes of log a checkpoint is made, or sooner if the log may not grow to several
    /// times as many: bounds what a start has to read.
    pub checkpoint_bytes: u64,
    /// How often retention is applied and space is given back.
    pub upkeep_interval: Duration,
}

impl EmbeddedConfig {
    /// The defaults, in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 64 * 1024 * 1024,
            queue_bytes_max: 64 * 1024 * 1024,
            dedup_window: Duration::from_secs(24 * 60 * 60),
            dedup_keys_max: 1_000_000,
            cursor_expiry: CURSOR_EXPIRY_DEFAULT,
            async_sync_interval: Duration::from_millis(50),
            log_bytes_max: u64::MAX,
            node: 0,
            checkpoint_bytes: 256 * 1024 * 1024,
            upkeep_interval: Duration::from_secs(1),
        }
    }

    /// After how many bytes of log a checkpoint is made. A segment in which anything is left can be
    /// emptied after the next one, so a log that may not grow to so many needs them sooner.
    fn checkpoint_every(&self) -> u64 {
        self.checkpoint_bytes.min(self.log_bytes_max / CHECKPOINTS_PER_LOG)
    }

    fn check(&self) -> Result<(), OpenError> {
        let refuse = |reason: String| Err(OpenError::Config { reason });
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return refuse(format!(
                "segment_bytes is {}, and must be between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            ));
        }
        let log_bytes_min = 4 * u64::from(self.segment_bytes);
        if self.log_bytes_max < log_bytes_min {
            return refuse(format!(
                "log_bytes_max is {}, and must be at least four segments ({log_bytes_min})",
                self.log_bytes_max
            ));
        }
        Ok(())
    }
}

/// The store in one directory.
///
/// Its files are drawn in `docs/storage-format.md`. Three threads work for it: one writes, one
/// prepares the next segment, one does upkeep. Dropping it closes it.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// None where every step is somebody else's to take.
    direct: Option<Direct>,
    running: Mutex<Option<Running>>,
}

/// What closing ends.
struct Running {
    writer: JoinHandle<()>,
    preparer: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    stop: Arc<Stop>,
    meta: Meta,
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = self.shared.disk.place();
        f.debug_struct("EmbeddedStore").field("directory", &place).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens the store in the configured directory, or makes one there.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Nothing is deleted on the way to an error.
    pub fn open(
        config: &EmbeddedConfig,
        policies: Arc<PolicyTable>,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<(Self, Recovered), OpenError> {
        Self::open_with_clock(config, policies, observer, Arc::new(SystemClock))
    }

    /// As [`open`](Self::open), with another clock.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open_with_clock(
        config: &EmbeddedConfig,
        policies: Arc<PolicyTable>,
        observer: Arc<dyn CommitObserver>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovered), OpenError> {
        config.check()?;
        let disk = Arc::new(RealDisk::open(&config.directory)?);
        Self::open_on(disk, config, policies, observer, clock)
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        config: &EmbeddedConfig,
        policies: Arc<PolicyTable>,
        observer: Arc<dyn CommitObserver>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovered), OpenError> {
        let place = disk.place();
        let Opened { shared, writer, checkpoints, meta, recovered } =
            Opening { disk, config, policies, clock }.open()?;
        let stop = Arc::new(Stop::default());
        let sweep = Sweep::new(config.cursor_expiry);
        let every = config.checkpoint_every();
        let upkeep = Upkeep::new(Arc::clone(&shared), checkpoints, every, sweep);
        let direct = Direct::new(writer.stamp_beside(), Arc::clone(&observer));
        let running =
            start(&shared, config, writer, upkeep, stop, observer, meta).map_err(|source| {
                OpenError::Io { operation: "start threads for", path: place, source }
            })?;
        Ok((Self { shared, direct: Some(direct), running: Mutex::new(Some(running)) }, recovered))
    }
}

fn start(
    shared: &Arc<Shared>,
    config: &EmbeddedConfig,
    writer: Writer,
    upkeep: Upkeep,
    stop: Arc<Stop>,
    observer: Arc<dyn CommitObserver>,
    meta: Meta,
) -> std::io::Result<Running> {
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let preparer = {
        let shared = Arc::clone(shared);
        thread("tidings-prepare").spawn(move || shared.preparer.run())?
    };
    let writer = thread("tidings-log").spawn(move || writer.run(observer.as_ref()))?;
    let upkeep = {
        let (stop, interval) = (Arc::clone(&stop), config.upkeep_interval);
        thread("tidings-upkeep").spawn(move || upkeep.run(&stop, interval))?
    };
    Ok(Running { writer, preparer, upkeep, stop, meta })
}

impl Store for EmbeddedStore {
    fn submit_as(
        &self,
        priority: Priority,
        submissions: Vec<Submission>,
    ) -> Result<(), StoreError> {
        match &self.direct {
            Some(direct) => direct.submit(&self.shared, priority, submissions),
            None => self.shared.queue.submit(priority, submissions, self.shared.clock.now()),
        }
    }

    fn topic_state(&self, topic: &Topic) -> TopicState {
        self.shared.topic_state(topic)
    }

    fn count_messages(&self, topic: &Topic) -> u64 {
        let index = self.shared.index();
        index.slot(topic.as_str()).map_or(0, |slot| index.log(slot).messages)
    }

    fn read(
        &self,
        topic: &Topic,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, StoreError> {
        self.shared.read(topic, from, limit)
    }

    fn find(&self, id: MessageId) -> Result<Option<Arc<Message>>, StoreError> {
        self.shared.find(id)
    }

    fn cursor(&self, key: &CursorKey) -> Option<CursorState> {
        self.shared.keep().cursor(key)
    }

    fn count_cursors(&self, user: &UserId, limit: usize) -> usize {
        self.shared.keep().count_cursors(user, limit)
    }

    fn session(&self, id: &SessionId) -> Option<Session> {
        self.shared.keep().sessions.get(id).cloned()
    }

    fn cursors(&self, of: &CursorsOf, after: Option<&CursorKey>, limit: usize) -> Vec<Cursor> {
        self.shared.keep().cursors.list(of, after, limit)
    }

    fn sessions_of(&self, user: &UserId, limit: usize) -> Vec<Session> {
        self.shared.keep().sessions.of(user, limit)
    }

    fn users(&self, from: Bound<&UserId>, limit: usize) -> Vec<UserId> {
        self.shared.keep().users(from, limit)
    }

    fn topics(&self, from: Bound<&str>, limit: usize) -> Vec<(Topic, TopicState)> {
        let index = self.shared.index();
        let topics = index.topics_from(from).take(limit);
        let epoch = self.shared.reading.epoch;
        topics.map(|(topic, slot)| (topic.clone(), index.state(slot, epoch))).collect()
    }

    fn status(&self) -> StoreStatus {
        self.shared.status()
    }

    fn close(&self) {
        // Held to the end, so that a second caller returns when the first one's work is done.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Running { writer, preparer, upkeep, stop, meta }) = running.take() else {
            return;
        };
        self.shared.queue.close(StoreError::Closed);
        // A thread that panicked has said so; the others are ended all the same.
        let _ = writer.join();
        fault_point("writer-ended");
        stop.stop();
        let _ = upkeep.join();
        fault_point("upkeep-ended");
        self.shared.preparer.close();
        let _ = preparer.join();
        mark_closed(&self.shared, meta);
        fault_point("meta-closed");
        self.shared.disk.release();
    }
}

/// Notes that everything was synced and told, if it was.
fn mark_closed(shared: &Shared, mut meta: Meta) {
    if shared.poison.get().is_none() {
        meta.left = Left::Closed(*shared.synced());
        if let Err(error) = meta.save(shared.disk.as_ref()) {
            tracing::warn!(%error, "the store could not be marked as closed");
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}
