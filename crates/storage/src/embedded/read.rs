//! Reads messages back.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use tidings_core::{Message, Offset, OffsetSet, Timestamp, Topic, TopicState};

use super::batch::{BATCH_HEAD, BatchHead, RawRecord, Salt, Seed, SegmentId};
use super::index::{Run, TopicLog};
use super::record::{MessageView, Record};
use super::segments::Segment;
use super::shared::{Shared, count};
use crate::store::{ReadBatch, ReadFrom, ReadLimit, StoreError};

/// Runs looked up at once: bounds how long the index is held.
const RUNS_PER_STEP: usize = 64;

/// Damaged places remembered, so that each is counted and logged once.
const DAMAGE_MAX: usize = 10_000;

/// Damaged places that were met by readers.
#[derive(Debug, Default)]
pub(crate) struct KnownDamage(Mutex<BTreeSet<(SegmentId, u32)>>);

impl KnownDamage {
    /// Whether this place is met for the first time.
    fn is_new(&self, segment: SegmentId, position: u32) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.len() < DAMAGE_MAX && places.insert((segment, position))
    }
}

/// A run to be read, and which of its messages are wanted.
pub(super) struct Piece {
    pub(super) run: Run,
    segment: Arc<Segment>,
    wanted: RangeInclusive<Offset>,
    /// Which of them were removed.
    removed: OffsetSet,
}

/// What is read in one go.
struct Stretch {
    state: TopicState,
    pieces: Vec<Piece>,
    /// What is known to be lost of it and lies in no run.
    damaged: Vec<(Offset, Offset)>,
}

impl Piece {
    pub(super) fn read(&self) -> Result<Vec<u8>, StoreError> {
        let read = self.segment.read(self.run.position, self.run.span);
        read.map_err(|error| StoreError::Read { reason: error.to_string() })
    }

    /// How many messages it should have.
    fn expected(&self) -> u64 {
        let (first, last) = (*self.wanted.start(), *self.wanted.end());
        last.next().distance_from(first).saturating_sub(self.removed.count_within(first, last))
    }

    /// Which of its messages are not among those that could be read.
    fn lost(&self, messages: &[Arc<Message>]) -> Vec<(Offset, Offset)> {
        if self.expected() <= messages.len() as u64 {
            return Vec::new();
        }
        let mut lost = OffsetSet::from_ranges([(*self.wanted.start(), *self.wanted.end())]);
        for (first, last) in self.removed.ranges() {
            lost.remove(first, last);
        }
        for message in messages {
            lost.remove(message.offset, message.offset);
        }
        lost.ranges().collect()
    }

    pub(super) fn wants(&self, topic: &Topic, view: &MessageView<'_>) -> bool {
        view.topic == topic.as_str()
            && self.wanted.contains(&view.offset)
            && !self.removed.contains(view.offset)
    }
}

/// The records in a run's bytes, of whatever topic. What cannot be read is passed over.
pub(super) fn records(
    bytes: &[u8],
    segment: SegmentId,
    salt: Salt,
) -> impl Iterator<Item = Record<'_>> {
    let seed = Seed::new(salt, segment);
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let Some(record) = RawRecord::decode(bytes, at, seed) else {
                let head = BatchHead::decode(bytes, at, segment, seed);
                // What is neither is damaged: look for what comes next byte by byte.
                at += if head.is_some() { BATCH_HEAD } else { 1 };
                continue;
            };
            at = record.end;
            if let Ok(record) = Record::decode(record.kind, record.body) {
                return Some(record);
            }
        }
        None
    })
}

impl Shared {
    /// Messages of a topic in order.
    pub(crate) fn read(
        &self,
        topic: &Topic,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, StoreError> {
        let mut state = self.topic_state(topic);
        let mut from = from;
        let since = match from {
            ReadFrom::Time(time) => time,
            ReadFrom::Offset(_) => Timestamp::default(),
        };
        let mut gathered = Gathered::new(limit, since);
        while let Some(Stretch { state: found, pieces, damaged }) =
            self.stretch(topic, from, &gathered)
        {
            state = found;
            gathered.add_damaged(damaged);
            let Some(last) = pieces.last().map(|piece| *piece.wanted.end()) else { break };
            for piece in pieces {
                let messages = self.messages_in(topic, &piece)?;
                gathered.add_damaged(piece.lost(&messages));
                if let Some(next) = gathered.add(messages) {
                    return Ok(gathered.into_batch(state, next));
                }
            }
            from = ReadFrom::Offset(last.next());
        }
        Ok(gathered.into_batch(state, state.head.next()))
    }

    /// The next runs to read, with how the topic stands; `None` if it has no log.
    fn stretch(&self, topic: &Topic, from: ReadFrom, gathered: &Gathered) -> Option<Stretch> {
        let index = self.index();
        let slot = index.slot(topic.as_str())?;
        let state = index.state(slot, self.reading.epoch);
        let log = index.log(slot);
        let (first_run, first) = match from {
            ReadFrom::Offset(offset) => (log.run_from(offset.max(log.first)), offset),
            ReadFrom::Time(time) => (log.run_from_time(time), Offset::FIRST),
        };
        let (mut messages, mut bytes) = (0, 0);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut left = log.runs.len().saturating_sub(first_run);
        for run in log.runs.iter().skip(first_run).take(RUNS_PER_STEP) {
            if messages > gathered.messages_left() || bytes > gathered.bytes_left() {
                break;
            }
            messages += run.messages as usize;
            bytes += run.bytes as usize;
            left -= 1;
            pieces.extend(self.piece(log, run, first));
        }
        let start = match from {
            ReadFrom::Offset(offset) => Some(offset.max(log.first)),
            ReadFrom::Time(_) => pieces.first().map(|piece| *piece.wanted.start()),
        };
        let end = pieces.last().filter(|_| left > 0).map_or(log.head, |last| *last.wanted.end());
        let damaged = start.map(|start| log.damaged_within(start, end)).unwrap_or_default();
        Some(Stretch { state, pieces, damaged })
    }

    /// A run of a topic, to be read from `first` on.
    pub(super) fn piece(&self, log: &TopicLog, run: &Run, first: Offset) -> Option<Piece> {
        let wanted = first.max(log.first).max(run.first)..=run.last();
        // A segment that a run points to is in the table: it is taken out after the run.
        let segment = self.segments.get(run.segment)?;
        Some(Piece { run: *run, segment, wanted, removed: log.removed_of(run) })
    }

    fn messages_in(&self, topic: &Topic, piece: &Piece) -> Result<Vec<Arc<Message>>, StoreError> {
        let run = &piece.run;
        let bytes = piece.read()?;
        let mut messages: Vec<Arc<Message>> = Vec::new();
        for record in records(&bytes, run.segment, self.salt) {
            if let Record::Message(_, view) = record
                && piece.wants(topic, &view)
                && messages.last().is_none_or(|last| last.offset < view.offset)
                && let Ok(message) = view.to_message(topic, self.reading.epoch)
            {
                messages.push(Arc::new(message));
            }
        }
        let lost = piece.expected().saturating_sub(messages.len() as u64);
        if lost > 0 && self.known_damage.is_new(run.segment, run.position) {
            let (file, position) = (run.segment.file_name(), run.position);
            tracing::error!(file, position, span = run.span, lost, "damaged records are left out");
            count(&self.counters.damaged, lost);
        }
        Ok(messages)
    }

    /// The messages of a run, to be written again elsewhere.
    pub(crate) fn messages_of(
        &self,
        topic: &Topic,
        run: Run,
        first: Offset,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        let Some(segment) = self.segments.get(run.segment) else { return Ok(Vec::new()) };
        let wanted = run.first.max(first)..=run.last();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let removed = {
            let index = self.index();
            let slot = index.slot(topic.as_str());
            slot.map(|slot| index.log(slot).removed_of(&run)).unwrap_or_default()
        };
        self.messages_in(topic, &Piece { run, segment, wanted, removed })
    }
}

/// What a read has gathered so far.
struct Gathered {
    limit: ReadLimit,
    since: Timestamp,
    messages: Vec<Arc<Message>>,
    bytes: usize,
    damaged: OffsetSet,
}

impl Gathered {
    fn new(limit: ReadLimit, since: Timestamp) -> Self {
        let damaged = OffsetSet::default();
        Self { limit, since, messages: Vec::new(), bytes: 0, damaged }
    }

    fn add_damaged(&mut self, ranges: Vec<(Offset, Offset)>) {
        for (first, last) in ranges {
            self.damaged.insert(first, last);
        }
    }

    /// What is told of damage ends where the messages do.
    fn into_batch(mut self, state: TopicState, next: Offset) -> ReadBatch {
        if let Some((_, last)) = self.damaged.ranges().last() {
            self.damaged.remove(next, last.max(next));
        }
        ReadBatch { messages: self.messages, damaged: self.damaged, state, next }
    }

    fn messages_left(&self) -> usize {
        self.limit.messages.max(1).saturating_sub(self.messages.len())
    }

    const fn bytes_left(&self) -> usize {
        self.limit.bytes.saturating_sub(self.bytes)
    }

    /// Adds messages until a bound is reached; then returns where to go on.
    fn add(&mut self, messages: Vec<Arc<Message>>) -> Option<Offset> {
        for message in messages {
            if self.messages.is_empty() && message.published_at < self.since {
                continue;
            }
            let bytes = message.content.data.bytes().len();
            let is_full = self.messages_left() == 0 || bytes > self.bytes_left();
            if is_full && !self.messages.is_empty() {
                return Some(message.offset);
            }
            self.bytes += bytes;
            self.messages.push(message);
        }
        None
    }
}
