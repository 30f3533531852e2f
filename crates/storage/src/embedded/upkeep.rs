//! What goes on in the background: retention, checkpoints, and giving segments back.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidings_core::{Offset, PolicyTable, Timestamp};

use super::batch::{LogEnd, SegmentId};
use super::checkpoint::{self, CheckpointId};
use super::error::Damage;
use super::index::{Index, Slot, TopicLog};
use super::replay::replay;
use super::segments::Segment;
use super::shared::{Shared, count};
use super::state::State;
use crate::fault_point::fault_point;
use crate::keep::Sweep;

mod clean;
mod forget;

/// Topics looked at with one hold of the index.
const TOPICS_PER_STEP: usize = 128;
/// Topics looked at in one round; with more, retention takes several rounds.
const TOPICS_PER_ROUND: usize = 20_000;
/// Freed segments are waited for this long at most before a checkpoint is made for them.
const FREED_WAIT: Duration = Duration::from_secs(60);

/// What is known of the checkpoints on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checkpoints {
    /// The number of the newest.
    pub(crate) newest: Option<CheckpointId>,
    /// Where the newest ends.
    pub(crate) newest_end: Option<LogEnd>,
    /// Where the one before ends. Only segments before both are freed, so that either will do.
    pub(crate) previous_end: Option<LogEnd>,
    /// Segments that messages lie in, as the newest has it.
    pub(crate) newest_live: BTreeSet<SegmentId>,
}

/// The thread that does it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    shared: Arc<Shared>,
    checkpoints: Checkpoints,
    checkpoint_bytes: u64,
    made_at: Instant,
    next_topic: usize,
    sweep: Sweep,
    /// Segments that could not be emptied because of damage.
    stuck: BTreeSet<SegmentId>,
}

/// Tells the thread to end.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits that long; returns whether to end.
    fn wait(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Upkeep {
    pub(crate) fn new(
        shared: Arc<Shared>,
        found: Checkpoints,
        checkpoint_bytes: u64,
        sweep: Sweep,
    ) -> Self {
        Self {
            shared,
            checkpoints: found,
            checkpoint_bytes,
            made_at: Instant::now(),
            next_topic: 0,
            sweep,
            stuck: BTreeSet::new(),
        }
    }

    /// The thread's work. The last thing is a checkpoint, so that the next start is quick.
    pub(crate) fn run(mut self, stop: &Stop, interval: Duration) {
        while !stop.wait(interval) {
            // The writer has a thread of its own.
            self.round(&mut || {});
        }
        self.finish();
    }

    /// The last thing before the store closes.
    pub(crate) fn finish(&mut self) {
        if self.shared.poison.get().is_none() && self.log_since() > 0 {
            self.checkpoint();
        }
    }

    /// One round of everything. `submitted` is called before it waits for the writer.
    pub(crate) fn round(&mut self, submitted: &mut dyn FnMut()) {
        self.trim();
        if self.shared.poison.get().is_some() {
            return;
        }
        self.forget();
        if self.is_due() {
            self.checkpoint();
        }
        self.give_back();
        self.clean(submitted);
    }

    /// Moves each topic's `first` to what its policy says.
    fn trim(&mut self) {
        let topics = self.shared.index().topics();
        let now = self.shared.clock.now();
        for _ in 0..topics.min(TOPICS_PER_ROUND).div_ceil(TOPICS_PER_STEP) {
            if self.next_topic >= topics {
                self.next_topic = 0;
            }
            let firsts = {
                let index = self.shared.index();
                due_firsts(&index, self.next_topic, &self.shared.policies, now)
            };
            self.next_topic += TOPICS_PER_STEP;
            if !firsts.is_empty() {
                let mut index = self.shared.index_mut();
                for (slot, first) in firsts {
                    count(&self.shared.counters.trimmed, index.trim(slot, first));
                    fault_point("topic-trimmed");
                }
            }
        }
    }

    /// Bytes of log since the newest checkpoint, about.
    fn log_since(&self) -> u64 {
        let synced = *self.shared.synced();
        let from = self.checkpoints.newest_end.unwrap_or(LogEnd::START);
        let ids = self.shared.segments.ids();
        let whole: u64 = ids
            .iter()
            .filter(|id| (from.segment..synced.segment).contains(*id))
            .filter_map(|id| self.shared.segments.get(*id))
            .map(|segment| segment.bytes)
            .sum();
        (whole + u64::from(synced.position)).saturating_sub(u64::from(from.position))
    }

    fn is_due(&self) -> bool {
        let freed = self.freed();
        let waits = freed.iter().any(|id| !self.is_covered(*id));
        let freed_bytes: u64 = freed
            .iter()
            .filter_map(|id| self.shared.segments.get(*id))
            .map(|segment| segment.bytes)
            .sum();
        let is_wanted = freed_bytes >= self.checkpoint_bytes / 4
            || self.shared.preparer.is_in_trouble()
            || self.made_at.elapsed() >= FREED_WAIT;
        self.log_since() >= self.checkpoint_bytes || (waits && is_wanted)
    }

    /// Segments that no message lies in and that are not written to.
    fn freed(&self) -> Vec<SegmentId> {
        let end = self.shared.synced().segment;
        let ids = self.shared.segments.ids();
        let index = self.shared.index();
        ids.into_iter().filter(|id| *id < end && !index.live().contains_key(id)).collect()
    }

    /// Whether neither of the two newest checkpoints needs the segment.
    fn is_covered(&self, id: SegmentId) -> bool {
        let before = |end: Option<LogEnd>| end.is_some_and(|end| id < end.segment);
        before(self.checkpoints.newest_end)
            && before(self.checkpoints.previous_end)
            && !self.checkpoints.newest_live.contains(&id)
    }

    fn give_back(&self) {
        for id in self.freed() {
            if !self.is_covered(id) {
                continue;
            }
            // Somebody may still be reading: then the next round will do.
            let Some(segment) = self.shared.segments.take(id) else { continue };
            if let Err(error) = self.shared.preparer.give_back(segment) {
                tracing::warn!(%error, file = id.file_name(), "a freed segment could not be removed");
            }
        }
    }

    /// Makes a checkpoint of the log that is on disk, without touching what the writer uses.
    fn checkpoint(&mut self) {
        self.made_at = Instant::now();
        if let Err(error) = self.try_checkpoint() {
            tracing::warn!(%error, "no checkpoint could be made; the log is kept until one can");
        }
    }

    fn try_checkpoint(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let until = *shared.synced();
        let segments: Vec<Arc<Segment>> =
            shared.segments.ids().iter().filter_map(|id| shared.segments.get(*id)).collect();
        let loaded = load(&shared, &segments)?;
        let mut state = loaded.state;
        for damage in replay(&mut state, shared.salt, &segments, Some(until))?.damage {
            let Damage { file, position, bytes, records } = damage;
            tracing::error!(
                file,
                position,
                bytes,
                records,
                "the log is damaged; what is lost is in no checkpoint"
            );
        }
        state.end = until;
        take_over_firsts(&mut state, &shared);
        let id = CheckpointId(self.checkpoints.newest.map_or(1, |newest| newest.0 + 1));
        fault_point("checkpoint-folded");
        checkpoint::write(shared.disk.as_ref(), id, &state)?;
        fault_point("checkpoint-made");
        self.checkpoints = Checkpoints {
            newest: Some(id),
            newest_end: Some(until),
            previous_end: loaded.found.map(|(_, end)| end),
            newest_live: state.index.live().keys().copied().collect(),
        };
        let kept = [Some(id), loaded.found.map(|(id, _)| id)];
        for old in checkpoint::list(shared.disk.as_ref())? {
            if !kept.contains(&Some(old)) {
                shared.disk.remove(&old.file_name())?;
                fault_point("checkpoint-removed");
            }
        }
        Ok(())
    }
}

/// The newest whole checkpoint.
pub(crate) struct Loaded {
    pub(crate) state: State,
    /// Which it is and where it ends; `None` if the log is read from its beginning.
    pub(crate) found: Option<(CheckpointId, LogEnd)>,
    /// Newer ones that are damaged.
    pub(crate) damaged: u64,
}

fn load(shared: &Shared, segments: &[Arc<Segment>]) -> io::Result<Loaded> {
    let loaded = load_newest(shared.disk.as_ref(), shared.reading, segments)?;
    loaded.ok_or_else(|| io::Error::other("no checkpoint is whole"))
}

/// The newest whole checkpoint, or nothing at all if the log is there from its beginning. `None`
/// if neither is there.
pub(crate) fn load_newest(
    disk: &dyn super::disk::Disk,
    reading: super::state::Reading,
    segments: &[Arc<Segment>],
) -> io::Result<Option<Loaded>> {
    let ids = checkpoint::list(disk)?;
    let mut damaged = 0;
    for id in ids {
        match checkpoint::read(disk, id, reading)? {
            Ok(state) => {
                // The log between this one and a damaged newer one is there: segments are kept
                // until two checkpoints no longer need them.
                let found = Some((id, state.end));
                return Ok(Some(Loaded { state, found, damaged }));
            }
            Err(crate::codec::Malformed) => {
                tracing::error!(file = id.file_name(), "the checkpoint is damaged and passed over");
                damaged += 1;
            }
        }
    }
    // In between, segments may have been given back: then the log alone is not enough.
    let is_whole = segments.iter().zip(1..).all(|(segment, n)| segment.id == SegmentId(n));
    let state = State::empty(reading);
    // Damaged checkpoints without any segment are not the beginning of a store.
    let is_usable = is_whole && (damaged == 0 || !segments.is_empty());
    Ok(is_usable.then_some(Loaded { state, found: None, damaged }))
}

/// Retention happens in memory; a checkpoint keeps what it did.
fn take_over_firsts(state: &mut State, shared: &Shared) {
    let mut from = 0;
    loop {
        let firsts: Vec<_> = {
            let index = shared.index();
            let logs = index.slots(from, TOPICS_PER_STEP).map(|slot| index.log(slot));
            logs.map(|log| (log.topic.clone(), log.first)).collect()
        };
        if firsts.is_empty() {
            return;
        }
        from += firsts.len();
        for (topic, first) in firsts {
            if let Some(slot) = state.index.slot(topic.as_str()) {
                state.index.trim(slot, first);
            }
        }
    }
}

/// Topics from the `from`-th on that keep more than their policy says, with their new `first`.
fn due_firsts(
    index: &Index,
    from: usize,
    policies: &PolicyTable,
    now: Timestamp,
) -> Vec<(Slot, Offset)> {
    let slots = index.slots(from, TOPICS_PER_STEP);
    let firsts = slots.map(|slot| (slot, retained_first(index.log(slot), policies, now)));
    firsts.filter(|(slot, first)| *first > index.log(*slot).first).collect()
}

/// Trims every topic at once: before a store is opened to anybody.
pub(crate) fn trim_all(index: &mut Index, policies: &PolicyTable, now: Timestamp) -> u64 {
    let trimmed = AtomicU64::new(0);
    for slot in index.slots(0, usize::MAX) {
        let first = retained_first(index.log(slot), policies, now);
        count(&trimmed, index.trim(slot, first));
    }
    trimmed.load(Ordering::Relaxed)
}

/// The first offset a topic's policy keeps.
fn retained_first(log: &TopicLog, policies: &PolicyTable, now: Timestamp) -> Offset {
    let retention = policies.policy(&log.topic).retention;
    let mut first = log.first;
    if let Some(messages) = retention.messages {
        first = first.max(Offset::new(log.head.get().saturating_sub(messages)).next());
    }
    let mut bytes = log.bytes;
    for (n, run) in log.runs.iter().enumerate() {
        let is_last = n + 1 == log.runs.len();
        let is_too_old = run.time_max.plus(retention.age) <= now;
        let is_too_much = !is_last && retention.bytes.is_some_and(|bytes_max| bytes > bytes_max);
        if run.last() >= first && !is_too_old && !is_too_much {
            break;
        }
        first = first.max(run.last().next());
        bytes -= u64::from(run.bytes);
    }
    first
}
