//! What one batch will do: each message's place, decided before anything is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tidings_core::{
    Durability, Message, MessageId, NewMessage, Offset, Position, Timestamp, Topic,
};

use super::Writer;
use crate::dedup::First;
use crate::embedded::index::{Run, Slot};
use crate::embedded::queue::{Move, Queued, Work};
use crate::embedded::record::{Appended, Waited};
use crate::embedded::shared::Shared;
use crate::hash::KeyHash;
use crate::keep::{Change, Publication};
use crate::store::{Committed, Outcome, StoreError, Ticket};

/// One piece of work with what will be told about it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) ticket: Option<Ticket>,
    pub(super) what: What,
}

/// What becomes of a piece of work once the batch is written.
#[derive(Debug)]
pub(super) enum What {
    /// The batch makes no difference.
    Told(Outcome),
    /// A message is kept.
    Message(Arc<Message>),
    /// A message is removed.
    Removal(Topic, Offset),
    /// A cursor or session changes.
    Change(Change),
    /// Messages lie elsewhere.
    Moved(SyncSender<Result<(), StoreError>>),
}

/// Messages of one topic, written one after the other so that a reader finds them together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) slot: Slot,
    pub(super) appended: Appended,
    pub(super) messages: SmallVec<[(Arc<Message>, Waited); 1]>,
    /// Where they lie, once written.
    pub(super) runs: SmallVec<[Run; 1]>,
}

/// What one batch will do.
#[derive(Debug)]
pub(super) struct Plan {
    planned: Vec<Planned>,
    pub(super) groups: Vec<Group>,
    by_slot: FxHashMap<Slot, usize>,
    /// Keys of this batch: repeated ones may be in it as well.
    by_key: FxHashMap<KeyHash, First>,
    /// The same, in the order of submission.
    pub(super) keys: Vec<(KeyHash, First)>,
    pub(super) wants_sync: bool,
    pub(super) appended: u64,
    pub(super) duplicates: u64,
    changes: usize,
    removals: usize,
    pub(super) time: Timestamp,
    /// Whether the log takes records.
    room: Result<(), StoreError>,
}

/// Work that no plan was made for, because nothing can be written.
pub(super) fn unplanned(work: Vec<Queued>) -> Vec<Planned> {
    let planned = work.into_iter().map(|item| match item.work {
        Work::Publish(_, ticket) => Planned { ticket, what: What::Told(Outcome::Saved) },
        Work::Remove(topic, offset, ticket) => {
            Planned { ticket, what: What::Removal(topic, offset) }
        }
        Work::Change(change, ticket) => Planned { ticket, what: What::Change(change) },
        Work::Move(Move { done, .. }) => Planned { ticket: None, what: What::Moved(done) },
    });
    planned.collect()
}

impl Plan {
    fn new(room: Result<(), StoreError>, time: Timestamp, works: usize) -> Self {
        Self {
            planned: Vec::with_capacity(works),
            groups: Vec::new(),
            by_slot: FxHashMap::default(),
            by_key: FxHashMap::default(),
            keys: Vec::new(),
            wants_sync: false,
            appended: 0,
            duplicates: 0,
            changes: 0,
            removals: 0,
            time,
            room,
        }
    }

    /// How many records the batch has.
    pub(super) fn records(&self) -> usize {
        let messages: usize = self.groups.iter().map(|group| group.messages.len()).sum();
        messages + self.removals + self.changes
    }

    /// Everything, in the order of submission.
    pub(super) fn planned(&self) -> &[Planned] {
        &self.planned
    }

    /// The changes to cursors and sessions, in the order of submission.
    fn changes(&self) -> impl Iterator<Item = &Change> {
        self.planned.iter().filter_map(|planned| match &planned.what {
            What::Change(change) => Some(change),
            What::Told(_) | What::Message(_) | What::Removal(..) | What::Moved(_) => None,
        })
    }

    pub(super) fn into_planned(self) -> Vec<Planned> {
        self.planned
    }

    /// Lets readers find the messages, and those that are removed no more.
    pub(super) fn show(&self, shared: &Shared) {
        if self.groups.is_empty() && self.removals == 0 {
            return;
        }
        let mut index = shared.index_mut();
        for group in &self.groups {
            if group.appended == Appended::New {
                for (message, _) in &group.messages {
                    let (offset, at) = (message.offset, message.published_at);
                    index.note_given(group.slot, offset, message.id, at);
                }
            }
            let unwaited = group.messages.iter().any(|(_, w)| *w == Waited::NotForSync);
            let waited = if unwaited { Waited::NotForSync } else { Waited::ForSync };
            for run in &group.runs {
                match group.appended {
                    Appended::New => index.append(group.slot, *run, waited),
                    Appended::Moved => index.relocate(group.slot, *run),
                }
            }
        }
        let mut removals: BTreeMap<&Topic, Vec<Offset>> = BTreeMap::new();
        for planned in &self.planned {
            if let What::Removal(topic, offset) = &planned.what {
                removals.entry(topic).or_default().push(*offset);
            }
        }
        for (topic, offsets) in removals {
            if let Some(slot) = index.slot(topic.as_str()) {
                index.remove(slot, offsets);
            }
        }
    }

    /// Makes the changes to cursors and sessions.
    pub(super) fn apply_changes(&self, shared: &Shared) {
        if self.changes == 0 {
            return;
        }
        let mut keep = shared.keep_mut();
        for change in self.changes() {
            keep.apply(change.clone());
        }
    }

    /// What is told when all of it is done.
    pub(super) fn into_outcomes(self) -> Vec<Committed> {
        let outcomes = self.planned.into_iter().filter_map(|Planned { ticket, what }| {
            let outcome = match what {
                What::Told(outcome) => outcome,
                What::Message(message) => Outcome::Published(message),
                What::Removal(..) | What::Change(_) => Outcome::Saved,
                What::Moved(done) => {
                    let _ = done.try_send(Ok(()));
                    return None;
                }
            };
            Some(Committed { ticket, outcome })
        });
        outcomes.collect()
    }

    fn add(&mut self, ticket: Option<Ticket>, what: What) {
        self.planned.push(Planned { ticket, what });
    }

    /// Why the last piece of work was refused, if it was.
    fn refused_last(&self) -> Option<&StoreError> {
        match &self.planned.last()?.what {
            What::Told(Outcome::Refused(error)) => Some(error),
            What::Told(Outcome::Published(_) | Outcome::Duplicate { .. } | Outcome::Saved)
            | What::Message(_)
            | What::Removal(..)
            | What::Change(_)
            | What::Moved(_) => None,
        }
    }

    fn refuse(&mut self, ticket: Option<Ticket>, error: StoreError) {
        self.add(ticket, What::Told(Outcome::Refused(error)));
    }
}

impl Writer {
    /// Decides what becomes of each piece of work. `room` says whether the log takes records.
    pub(super) fn plan(&mut self, work: Vec<Queued>, room: Result<(), StoreError>) -> Plan {
        let time = self.stamp.time(self.shared.clock.now());
        self.dedup.advance_to(self.shared.clock.running());
        let mut plan = Plan::new(room, time, work.len());
        for Queued { work, bytes, priority, submission } in work {
            match work {
                Work::Publish(publication, ticket) => {
                    self.plan_publish(&mut plan, ticket, publication, bytes);
                }
                Work::Remove(topic, offset, ticket) => {
                    let refused = self.refused.get(&priority).filter(|(of, _)| *of == submission);
                    let planned = match refused {
                        Some((_, error)) => What::Told(Outcome::Refused(error.clone())),
                        None => self.plan_remove(&plan, topic, offset, bytes),
                    };
                    if matches!(planned, What::Removal(..)) {
                        plan.removals += 1;
                        // A checkpoint takes over what readers no longer find: what took the
                        // message's place must be on disk by then.
                        plan.wants_sync = true;
                    }
                    plan.add(ticket, planned);
                }
                Work::Change(change, ticket) => match self.takes(&plan, bytes) {
                    Ok(()) => {
                        plan.changes += 1;
                        plan.wants_sync |= self.is_first_cursor(&change);
                        plan.add(ticket, What::Change(change));
                    }
                    Err(error) => plan.refuse(ticket, error),
                },
                Work::Move(moved) => match self.takes(&plan, bytes) {
                    Ok(()) => self.plan_move(&mut plan, moved),
                    Err(error) => {
                        let _ = moved.done.try_send(Err(error));
                    }
                },
            }
            if let Some(error) = plan.refused_last() {
                self.refused.insert(priority, (submission, error.clone()));
            }
        }
        plan
    }

    /// Whether this is where a subscription begins: whoever is told of it relies on that, and
    /// would miss messages if it began later after all.
    fn is_first_cursor(&self, change: &Change) -> bool {
        match change {
            Change::SaveCursor(key, _) => self.shared.keep().cursors.get(key).is_none(),
            Change::DeleteCursor(_)
            | Change::SaveSession(_)
            | Change::DeleteSession(_)
            | Change::ForgetCursor(..)
            | Change::ForgetSession(..) => false,
        }
    }

    /// Removing what is not there makes no difference, and must make none to what is given the
    /// offset later in this batch.
    fn plan_remove(&self, plan: &Plan, topic: Topic, offset: Offset, bytes: usize) -> What {
        let index = self.shared.index();
        let is_there = index.slot(topic.as_str()).is_some_and(|slot| {
            let group = plan.by_slot.get(&slot).map(|group| &plan.groups[*group]);
            let is_planned = |group: &Group| match (group.messages.first(), group.messages.last()) {
                (Some((first, _)), Some((last, _))) => {
                    (first.offset..=last.offset).contains(&offset)
                }
                (None, _) | (_, None) => false,
            };
            index.holds(slot, offset) || group.is_some_and(is_planned)
        });
        if !is_there {
            return What::Told(Outcome::Saved);
        }
        match self.takes(plan, bytes) {
            Ok(()) => What::Removal(topic, offset),
            Err(error) => What::Told(Outcome::Refused(error)),
        }
    }

    fn takes(&self, plan: &Plan, bytes: usize) -> Result<(), StoreError> {
        if bytes > self.record_bytes_max {
            return Err(StoreError::TooLarge { bytes, bytes_max: self.record_bytes_max });
        }
        plan.room.clone()
    }

    fn plan_publish(
        &mut self,
        plan: &mut Plan,
        ticket: Option<Ticket>,
        publication: Publication,
        bytes: usize,
    ) {
        let Publication { content, durability, id } = publication;
        let key = KeyHash::of(self.shared.reading.secret, &content);
        if let Some(key) = key {
            let first = plan.by_key.get(&key).copied();
            if let Some(First { id, position }) = first.or_else(|| self.dedup.first(key)) {
                // The first one may have been published without waiting for the disk.
                plan.wants_sync |= durability == Durability::Sync;
                plan.duplicates += 1;
                return plan.add(ticket, What::Told(Outcome::Duplicate { id, position }));
            }
        }
        let waited = match durability {
            Durability::Sync => Waited::ForSync,
            Durability::Async => Waited::NotForSync,
            Durability::Memory => {
                let position = self.shared.unlogged_mut().place(&content.topic);
                let message = self.stamped(plan.time, position, id, content);
                plan.remember(key, message.id, position);
                return plan.add(ticket, What::Told(Outcome::Published(message)));
            }
        };
        if let Err(error) = self.takes(plan, bytes) {
            return plan.refuse(ticket, error);
        }
        let (slot, group) = self.group_of(plan, &content.topic, waited);
        let offset = self.next_offset(slot, &plan.groups[group]);
        let position = Position { epoch: self.shared.reading.epoch, offset };
        let message = self.stamped(plan.time, position, id, content);
        plan.remember(key, message.id, position);
        plan.wants_sync |= waited == Waited::ForSync;
        plan.appended += 1;
        plan.groups[group].messages.push((Arc::clone(&message), waited));
        plan.add(ticket, What::Message(message));
    }

    /// The group of a topic's new messages in this batch.
    fn group_of(&self, plan: &mut Plan, topic: &Topic, waited: Waited) -> (Slot, usize) {
        let (slot, was_unwaited) = {
            let index = self.shared.index();
            let slot = index.slot(topic.as_str());
            (slot, slot.is_some_and(|slot| index.log(slot).unwaited))
        };
        // There is room for the message, so a topic that gets a slot here gets a message.
        let slot = slot.unwrap_or_else(|| self.shared.index_mut().slot_or_insert(topic));
        if waited == Waited::NotForSync && !was_unwaited {
            // That offsets of this topic may be taken back must itself not be taken back.
            plan.wants_sync = true;
        }
        let next = plan.groups.len();
        let group = *plan.by_slot.entry(slot).or_insert(next);
        if group == next {
            let appended = Appended::New;
            plan.groups.push(Group {
                slot,
                appended,
                messages: SmallVec::new(),
                runs: SmallVec::new(),
            });
        }
        (slot, group)
    }

    fn next_offset(&self, slot: Slot, group: &Group) -> Offset {
        match group.messages.last() {
            Some((last, _)) => last.offset.next(),
            None => self.shared.index().log(slot).head.next(),
        }
    }

    fn stamped(
        &mut self,
        time: Timestamp,
        position: Position,
        id: Option<MessageId>,
        content: NewMessage,
    ) -> Arc<Message> {
        Arc::new(Message {
            id: id.unwrap_or_else(|| self.stamp.id(time)),
            epoch: position.epoch,
            offset: position.offset,
            published_at: time,
            content,
        })
    }

    fn plan_move(&self, plan: &mut Plan, moved: Move) {
        let Move { messages, done } = moved;
        let topic = messages.first().map(|message| message.topic().clone());
        if let Some(slot) = topic.and_then(|topic| self.shared.index().slot(topic.as_str())) {
            let messages = messages.into_iter().map(|message| (message, Waited::ForSync)).collect();
            plan.groups.push(Group {
                slot,
                appended: Appended::Moved,
                messages,
                runs: SmallVec::new(),
            });
        }
        plan.add(None, What::Moved(done));
    }
}

impl Plan {
    fn remember(&mut self, key: Option<KeyHash>, id: MessageId, position: Position) {
        if let Some(key) = key {
            let first = First { id, position };
            self.by_key.insert(key, first);
            self.keys.push((key, first));
        }
    }
}
