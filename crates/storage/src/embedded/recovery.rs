//! Opens a directory: finds out what is there, mends what a crash left, and gets ready to write.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Instant;

use tidings_core::{Epoch, PolicyTable};

use super::EmbeddedConfig;
use super::batch::{LOG_DIR, LogEnd, Owner, SegmentId};
use super::checkpoint::{self, CHECKPOINT_DIR};
use super::disk::{Disk, random_u64};
use super::error::{Damage, OpenError, Origin, Recovered};
use super::meta::{Found, Left, Meta};
use super::preparer::Preparer;
use super::queue::Queue;
use super::read::KnownDamage;
use super::replay::replay;
use super::segments::{Segment, Segments};
use super::shared::{Counters, Shared};
use super::state::{Reading, State};
use super::upkeep::{Checkpoints, Loaded, load_newest, trim_all};
use super::writer::Writer;
use crate::clock::Clock;
use crate::fault_point::fault_point;
use crate::stamp::Stamp;
use crate::unlogged::Unlogged;

mod mend;

use mend::{Restart, mend};

/// A store ready to run.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) meta: Meta,
    pub(crate) recovered: Recovered,
}

/// What opening a store works with.
pub(crate) struct Opening<'a> {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) config: &'a EmbeddedConfig,
    pub(crate) policies: Arc<PolicyTable>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Opening<'_> {
    /// Opens the store.
    pub(crate) fn open(self) -> Result<Opened, OpenError> {
        let started = Instant::now();
        let disk = self.disk.as_ref();
        make_dirs(disk).map_err(self.failed("make the directories of"))?;
        fault_point("directories-made");
        let Found { mut meta, origin } = Meta::load(disk)?;
        let segments = open_segments(disk).map_err(self.failed("open the segments of"))?;
        check_owner(disk, &segments, &meta)?;
        let mut loaded = self.load(&mut meta, origin, &segments)?;
        fault_point("checkpoint-loaded");
        let state = &mut loaded.state;
        // Where a store that was closed ends is known: what is missing before that is damage.
        let until = match meta.left {
            Left::Closed(end) => Some(end).filter(|_| !segments.is_empty()),
            Left::Open => None,
        };
        let mut replayed =
            replay(state, meta.salt, &segments, until).map_err(self.failed("read the log of"))?;
        fault_point("log-replayed");
        let mut recovered = Recovered {
            segments_read: replayed.segments.len() as u64,
            cut_bytes: replayed.cut.map_or(0, |cut| cut.bytes as u64),
            damaged_checkpoints: loaded.damaged,
            unclean: meta.left == Left::Open,
            origin,
            ..Recovered::default()
        };
        std::mem::take(&mut replayed.damage).into_iter().for_each(|found| recovered.note(found));
        let restart = mend(disk, self.config, &meta, state, segments, &replayed)
            .map_err(self.failed("mend the log of"))?;
        fault_point("log-mended");
        let missing = drop_missing(state, &restart);
        if loaded.damaged == 0 {
            // An older checkpoint would know segments that were rightly given back since.
            missing.into_iter().for_each(|damage| recovered.note(damage));
        }
        trim_all(&mut state.index, &self.policies, self.clock.now());
        // Only now, so that a crash before this repeats everything.
        meta.lives += 1;
        meta.left = Left::Open;
        meta.boot = disk.boot();
        meta.save(disk).map_err(self.failed("write META of"))?;
        fault_point("meta-opened");
        let ids = checkpoint::list(disk).map_err(self.failed("list the checkpoints of"))?;
        let checkpoints = Checkpoints {
            newest: ids.first().copied(),
            newest_end: loaded.found.map(|(_, end)| end),
            previous_end: None,
            newest_live: state.index.live().keys().copied().collect(),
        };
        recovered.messages = state.index.messages();
        recovered.topics = state.index.topics() as u64;
        let damaged = recovered.damaged_records;
        let (shared, writer) = self.assemble(&meta, loaded.state, restart, damaged)?;
        recovered.duration = started.elapsed();
        Ok(Opened { shared, writer, checkpoints, meta, recovered })
    }

    /// The newest checkpoint, or an empty state for a log that is there from its beginning.
    fn load(
        &self,
        meta: &mut Meta,
        origin: Origin,
        segments: &[Arc<Segment>],
    ) -> Result<Loaded, OpenError> {
        let disk = self.disk.as_ref();
        let has_checkpoints =
            !checkpoint::list(disk).map_err(self.failed("list the checkpoints of"))?.is_empty();
        if segments.is_empty() && !has_checkpoints {
            if meta.lives > 0 {
                tracing::error!(directory = disk.place(), "the log is gone: beginning a new one");
                meta.epoch = Epoch::new(self.random()?);
            }
            // Before there is a log: if this start ended between the two, the next would find one
            // without an identity, or give it the epoch of the one that is gone.
            meta.left = Left::Closed(LogEnd::START);
            meta.save(disk).map_err(self.failed("write META of"))?;
        }
        match origin {
            Origin::Here | Origin::Unknown => {}
            Origin::Copied => meta.epoch = Epoch::new(self.random()?),
        }
        let reading = Reading {
            epoch: meta.epoch,
            secret: meta.secret,
            dedup_window: self.config.dedup_window,
            dedup_keys_max: self.config.dedup_keys_max,
        };
        load_newest(disk, reading, segments)
            .map_err(self.failed("read the checkpoints of"))?
            .ok_or_else(|| OpenError::Checkpoint { directory: disk.place() })
    }

    fn assemble(
        &self,
        meta: &Meta,
        state: State,
        restart: Restart,
        damaged: u64,
    ) -> Result<(Arc<Shared>, Writer), OpenError> {
        let config = self.config;
        let Restart { log, segments, ready, last_id, bytes } = restart;
        let State { reading, index, keep, mut dedup, last_time, end } = state;
        dedup.go_on(self.clock.now(), self.clock.running());
        let preparer = Preparer::new(
            Arc::clone(&self.disk),
            meta.salt,
            config.segment_bytes,
            config.log_bytes_max,
            ready,
            last_id,
            bytes,
        );
        let shared = Arc::new(Shared {
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.clock),
            policies: Arc::clone(&self.policies),
            reading,
            salt: meta.salt,
            queue: Queue::new(config.queue_bytes_max),
            preparer,
            index: RwLock::new(index),
            keep: RwLock::new(keep),
            unlogged: RwLock::new(Unlogged::new(Epoch::new(self.random()?))),
            segments: Segments::new(segments),
            synced: Mutex::new(end),
            poison: OnceLock::new(),
            known_damage: KnownDamage::default(),
            counters: Counters { damaged: damaged.into(), ..Counters::default() },
        });
        let stamp = Stamp::new(config.node, meta.lives, last_time);
        let interval = config.async_sync_interval;
        let bytes = config.segment_bytes;
        let writer = Writer::new(Arc::clone(&shared), log, dedup, stamp, interval, bytes);
        Ok((shared, writer))
    }

    fn random(&self) -> Result<u64, OpenError> {
        random_u64(self.disk.as_ref()).map_err(self.failed("draw random numbers for"))
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(io::Error) -> OpenError + use<> {
        let path = self.disk.place();
        move |source| OpenError::Io { operation, path, source }
    }
}

fn make_dirs(disk: &dyn Disk) -> io::Result<()> {
    disk.make_dir(LOG_DIR)?;
    disk.make_dir(CHECKPOINT_DIR)?;
    for dir in [LOG_DIR, CHECKPOINT_DIR] {
        // What a crash left half-made was never part of the store.
        for name in disk.list(dir)? {
            if name.ends_with(".new") {
                disk.remove(&format!("{dir}/{name}"))?;
            }
        }
    }
    disk.sync_dir("")
}

fn open_segments(disk: &dyn Disk) -> io::Result<Vec<Arc<Segment>>> {
    let names = disk.list(LOG_DIR)?;
    let mut ids: Vec<_> = names.iter().filter_map(|name| SegmentId::of_file(name)).collect();
    ids.sort_unstable();
    let open = |id: SegmentId| {
        let file = disk.open(&id.file_name())?;
        let bytes = file.len()?;
        Ok(Arc::new(Segment { id, file, bytes }))
    };
    ids.into_iter().map(open).collect()
}

/// With another store's META no record would verify, and everything would look like damage.
fn check_owner(disk: &dyn Disk, segments: &[Arc<Segment>], meta: &Meta) -> Result<(), OpenError> {
    for segment in segments {
        if mend::owner(segment, meta.salt) == Owner::Other {
            return Err(OpenError::OtherStore {
                directory: disk.place(),
                file: segment.id.file_name(),
            });
        }
    }
    Ok(())
}

/// Drops messages in segments that are not there.
fn drop_missing(state: &mut State, restart: &Restart) -> Vec<Damage> {
    let exists = |id| restart.segments.iter().any(|segment| segment.id == id);
    let missing = state.index.drop_missing(exists).into_iter();
    let damage = missing.map(|(id, records)| Damage {
        file: id.file_name(),
        position: 0,
        bytes: 0,
        records,
    });
    damage.collect()
}
