//! What the log adds up to: a pure fold over its records.
//!
//! Recovery and the checkpointer both fold; so a checkpoint plus the log after it is the same as
//! the whole log.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{Epoch, Offset, Position, Timestamp, Topic};

use super::batch::{LogEnd, RawRecord, SegmentId};
use super::error::Damage;
use super::index::{Index, Run, Slot};
use super::record::{Appended, MessageView, Record, RemoveView, Waited};
use super::scan::Visitor;
use crate::codec::Malformed;
use crate::dedup::{Dedup, First};
use crate::hash::{HashSecret, KeyHash};
use crate::keep::Keep;

/// What a store needs to know to read its own records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) epoch: Epoch,
    pub(crate) secret: HashSecret,
    pub(crate) dedup_window: Duration,
    pub(crate) dedup_keys_max: usize,
}

/// Everything the log adds up to.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) reading: Reading,
    pub(crate) index: Index,
    pub(crate) keep: Keep,
    pub(crate) dedup: Dedup,
    /// The time of the newest message.
    pub(crate) last_time: Timestamp,
    /// Up to where the log is folded in.
    pub(crate) end: LogEnd,
}

impl State {
    /// What an empty log adds up to.
    pub(crate) fn empty(reading: Reading) -> Self {
        Self {
            reading,
            index: Index::default(),
            keep: Keep::default(),
            dedup: Dedup::new(reading.dedup_window, reading.dedup_keys_max),
            last_time: Timestamp::default(),
            end: LogEnd::START,
        }
    }
}

/// Messages of one topic that follow each other within a batch.
#[derive(Clone, Copy, Debug)]
struct Group {
    slot: Slot,
    appended: Appended,
    waited: Waited,
    run: Run,
}

impl Group {
    fn can_take(&self, slot: Slot, appended: Appended, message: &MessageView<'_>) -> bool {
        self.slot == slot
            && self.appended == appended
            && self.run.last().next() == message.offset
            && message.published_at == self.run.time
    }
}

/// Folds the records of one segment into a state.
#[derive(Debug)]
pub(crate) struct Fold<'a> {
    state: &'a mut State,
    segment: SegmentId,
    group: Option<Group>,
    /// What is removed, until the batch ends or something else comes: by topic.
    removals: BTreeMap<u32, (Slot, Vec<Offset>)>,
    /// The topic of the last record: mostly the next one's too.
    recent: Option<(Topic, Slot)>,
    /// What could not be read.
    pub(crate) damage: Vec<Damage>,
}

impl<'a> Fold<'a> {
    pub(crate) const fn new(state: &'a mut State, segment: SegmentId) -> Self {
        Self {
            state,
            segment,
            group: None,
            removals: BTreeMap::new(),
            recent: None,
            damage: Vec::new(),
        }
    }

    fn slot(&mut self, name: &str) -> Result<Slot, Malformed> {
        if let Some((topic, slot)) = &self.recent
            && topic.as_str() == name
        {
            return Ok(*slot);
        }
        let topic = Topic::parse(name).map_err(|_| Malformed)?;
        let slot = self.state.index.slot_or_insert(&topic);
        self.recent = Some((topic, slot));
        Ok(slot)
    }

    fn message(
        &mut self,
        position: usize,
        end: usize,
        appended: Appended,
        message: &MessageView<'_>,
    ) -> Result<(), Malformed> {
        let slot = self.slot(message.topic)?;
        let position = u32::try_from(position).map_err(|_| Malformed)?;
        let end = u32::try_from(end).map_err(|_| Malformed)?;
        let taken_in = self.group.as_mut().is_some_and(|group| {
            group.can_take(slot, appended, message) && group.run.take_in(position, end)
        });
        if !taken_in {
            self.flush();
            let (offset, time) = (message.offset, message.published_at);
            let run = Run::of_one(offset, time, self.segment, position, end);
            self.group = Some(Group { slot, appended, waited: message.waited, run });
        }
        if let Some(group) = &mut self.group
            && message.waited == Waited::NotForSync
        {
            group.waited = Waited::NotForSync;
        }
        if appended == Appended::New {
            let (offset, at) = (message.offset, message.published_at);
            self.state.index.note_given(slot, offset, message.id, at);
            self.state.last_time = self.state.last_time.max(message.published_at);
            if let Some(key) = message.key {
                let hash =
                    KeyHash::new(self.state.reading.secret, message.topic, message.sender, key);
                let epoch = self.state.reading.epoch;
                let position = Position { epoch, offset: message.offset };
                let first = First { id: message.id, position };
                self.state.dedup.read_back(hash, first, message.published_at);
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.flush_message();
        for (slot, offsets) in std::mem::take(&mut self.removals).into_values() {
            self.state.index.remove(slot, offsets);
        }
    }

    fn flush_message(&mut self) {
        let Some(group) = self.group.take() else { return };
        match group.appended {
            Appended::New => self.state.index.append(group.slot, group.run, group.waited),
            Appended::Moved => self.state.index.relocate(group.slot, group.run),
        }
    }
}

impl Visitor for Fold<'_> {
    fn record(&mut self, position: usize, record: RawRecord<'_>) -> Result<(), Malformed> {
        match Record::decode(record.kind, record.body)? {
            Record::Message(appended, message) => {
                self.message(position, record.end, appended, &message)?;
            }
            Record::Remove(RemoveView { topic, offset }) => {
                self.flush_message();
                if let Some(slot) = self.state.index.slot(topic) {
                    self.removals.entry(slot.number()).or_insert((slot, Vec::new())).1.push(offset);
                }
            }
            Record::Change(change) => self.state.keep.apply(change),
            Record::Skip(skip) => {
                self.flush();
                self.state.index.skip(skip);
            }
        }
        Ok(())
    }

    fn batch_end(&mut self) {
        self.flush();
    }

    fn damaged(&mut self, position: usize, bytes: usize, records: u64) {
        self.flush();
        // Any topic's head may have been in the lost records, so no topic gives those offsets
        // again. The same damage is found again by the next fold, with the same outcome.
        self.state.index.lose(records);
        self.damage.push(Damage {
            file: self.segment.file_name(),
            position: position as u64,
            bytes: bytes as u64,
            records,
        });
    }
}
