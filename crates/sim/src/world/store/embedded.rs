//! The real embedded store on a simulated disk. What is submitted waits in its own queue, its
//! writer commits when the world says so, and a crash ends it in whatever operation on the disk.
//!
//! Chance comes from a source of its own, so that the world draws the same with either store.

mod form;
mod opening;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings_core::{Offset, PolicyTable, Timestamp};
use tidings_storage::simulation::{DiskFault, SimulatedDisk, SteppedStore};
use tidings_storage::{
    Commit, CommitObserver, Committed, EmbeddedConfig, ManualClock, ReadFrom, ReadLimit,
    StoreError, Submission,
};

use super::{Change, Crashed, Found, Outcome, Perishes, Power, READ_MAX, Refused, SYNC_INTERVAL};
use super::{Ticket, Told, View, Write};
use crate::history::SessionName;
use crate::mutation::Mutation;
use crate::random::Random;
use crate::sometimes::{Coverage, Sometimes};
use crate::world::event::Batch;
use crate::world::session::id_of;
use form::Forms;

/// Hears of commits for as long as the process lives.
#[derive(Debug)]
struct Ear {
    disk: SimulatedDisk,
    heard: Mutex<Vec<Committed>>,
}

impl Ear {
    fn of(disk: &SimulatedDisk) -> Arc<Self> {
        Arc::new(Self { disk: disk.clone(), heard: Mutex::default() })
    }

    fn take(&self) -> Vec<Committed> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CommitObserver for Ear {
    fn committed(&self, commit: Commit) {
        if !self.disk.has_ended() {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.extend(commit.outcomes);
        }
    }
}

/// Who waits for what.
#[derive(Clone, Debug)]
struct Asked {
    write: Write,
    ticket: Ticket,
}

/// What ends with the process.
#[derive(Debug)]
struct Running {
    store: SteppedStore,
    ear: Arc<Ear>,
    asked: BTreeMap<u64, Asked>,
    /// Whether the writer is about to take what waits.
    committing: bool,
    /// What is committed and not told.
    untold: Vec<(Asked, Outcome)>,
    /// What became of the log and is not in the history.
    changed: Vec<Change>,
    /// The last message that was told.
    told_head: Offset,
    /// Whether a sync is under way of what nobody waits for.
    syncs_soon: bool,
}

#[derive(Debug)]
pub(in crate::world) struct Embedded {
    mutation: Option<Mutation>,
    random: Random,
    disk: SimulatedDisk,
    config: EmbeddedConfig,
    policies: Arc<PolicyTable>,
    /// Most messages that retention leaves.
    messages_max: u64,
    clock: Arc<ManualClock>,
    running: Option<Running>,
    forms: Forms,
    /// What readers see: also what was committed and not told.
    view: View,
    /// Whose cursors there may be.
    subscriptions: BTreeSet<usize>,
    /// Which sessions there may be.
    sessions: BTreeSet<SessionName>,
    tags: u64,
    full: bool,
    first_head: Offset,
    coverage: Coverage,
}

impl Embedded {
    pub(super) const fn told(&self) -> &View {
        &self.view
    }

    pub(super) const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.running.as_ref().is_some_and(|running| {
            let refusing = running.store.store().status().refusing;
            matches!(refusing, Some(StoreError::Poisoned { .. }))
        })
    }

    pub(super) fn unsynced_and_untold(&self) -> (bool, bool) {
        let running = self.running.as_ref();
        running.map_or((false, false), |running| (running.committing, !running.untold.is_empty()))
    }

    pub(super) fn letter_waits(&self) -> bool {
        self.running.as_ref().is_some_and(|running| {
            let letter = |asked: &Asked| matches!(asked.write, Write::DeadLetter { .. });
            running.committing && running.asked.values().any(letter)
                || running.untold.iter().any(|(asked, _)| letter(asked))
        })
    }

    pub(super) fn fail_next_sync(&mut self) {
        let fault = if self.random.chance(70) { DiskFault::Sync } else { DiskFault::Write };
        self.disk.set_fault(fault, self.random.below(4) as u32);
    }

    pub(super) fn fill(&mut self) {
        self.full = true;
        self.disk.set_capacity(self.disk.used());
    }

    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn free_space(&mut self) {
        self.full = false;
        self.disk.set_capacity(u64::MAX);
    }

    pub(super) fn heal(&mut self) {
        self.disk.clear_fault();
        self.free_space();
    }

    pub(super) fn submit(&mut self, write: Write, ticket: Ticket) -> Result<(), Refused> {
        match &write {
            Write::SaveCursor { durable, .. } => {
                self.subscriptions.insert(*durable);
            }
            Write::SaveSession { name, .. } => {
                self.sessions.insert(*name);
            }
            Write::Publish { .. } | Write::DeadLetter { .. } | Write::Purge { .. } => {}
        }
        let Some(running) = &mut self.running else { return Err(Refused) };
        if only_tells(self.mutation, &write, ticket) {
            if let Write::Purge { place } = write {
                running.changed.push(Change::Purge { place });
            }
            running.untold.push((Asked { write, ticket }, Outcome::Saved));
            return Ok(());
        }
        self.tags += 1;
        let ticket_of_store = tidings_storage::Ticket { lane: 0, tag: self.tags };
        let submission =
            Submission { write: self.forms.write(&write), ticket: Some(ticket_of_store) };
        running.store.store().submit(vec![submission]).map_err(|error| {
            let overloaded = matches!(error, StoreError::Overloaded { .. });
            self.coverage.met_if(overloaded, Sometimes::StoreOverloaded);
            Refused
        })?;
        running.asked.insert(self.tags, Asked { write, ticket });
        Ok(())
    }

    pub(super) fn begin(&mut self, wall: Timestamp) -> bool {
        self.clock.set(wall);
        let Some(running) = &mut self.running else { return false };
        let waits = running.store.has_work() || !running.untold.is_empty();
        if running.committing || !waits {
            return false;
        }
        running.committing = running.store.has_work();
        true
    }

    /// The writer commits, or what it has committed is told.
    pub(super) fn step(&mut self, wall: Timestamp) -> Told {
        self.clock.set(wall);
        let Some(running) = &mut self.running else { return Told::default() };
        if running.committing {
            running.committing = false;
            running.store.commit(running.ear.as_ref());
            self.hear();
            return Told { durable: self.changed(), ..Told::default() };
        }
        self.tell()
    }

    /// What became of the log since this was last asked.
    pub(super) fn changed(&mut self) -> Vec<Change> {
        self.running.as_mut().map_or_else(Vec::new, |running| std::mem::take(&mut running.changed))
    }

    /// Takes in what the store's observer heard, and what readers see now.
    fn hear(&mut self) {
        let Some(running) = &mut self.running else { return };
        for committed in running.ear.take() {
            let tag = committed.ticket.map(|ticket| ticket.tag);
            let Some(asked) = tag.and_then(|tag| running.asked.remove(&tag)) else { continue };
            let (outcome, change) = heard(&asked.write, &committed.outcome, self.first_head);
            running.changed.extend(change);
            running.untold.push((asked, outcome));
        }
        self.look();
    }

    /// Subscribers hear of what is committed.
    fn tell(&mut self) -> Told {
        let Some(running) = &mut self.running else { return Told::default() };
        let untold = std::mem::take(&mut running.untold);
        let appended = untold.iter().filter_map(|(asked, outcome)| match (&asked.write, outcome) {
            (Write::Publish { name, .. }, Outcome::Published(position)) => {
                Some((position.offset, *name))
            }
            (
                Write::Publish { .. }
                | Write::SaveCursor { .. }
                | Write::DeadLetter { .. }
                | Write::Purge { .. }
                | Write::SaveSession { .. },
                _,
            ) => None,
        });
        let appended: Vec<_> = appended.collect();
        let head_before = running.told_head;
        running.told_head = appended.last().map_or(head_before, |(offset, _)| *offset);
        let outcomes = untold.into_iter().map(|(asked, outcome)| (asked.ticket, outcome));
        let outcomes = outcomes.collect();
        Told { outcomes, head_before, appended, durable: self.changed() }
    }

    /// What a reader of the store sees now.
    fn look(&mut self) {
        let Some(running) = &self.running else { return };
        let store = running.store.store();
        let state = store.topic_state(&self.forms.topic);
        let mut view = View { state, ..View::empty(state.epoch) };
        for message in self.forms.all(store, &self.forms.topic) {
            let (offset, published_at) = (message.offset, message.published_at);
            view.messages.insert(offset, form::name_of(&message));
            if let Some(ttl) = message.content.ttl {
                view.perishable.insert(offset, Perishes { published_at, ttl });
            }
        }
        for message in self.forms.all(store, &self.forms.letters) {
            if let Some(letter) = form::letter_of(&message) {
                view.letters.insert(message.offset, letter);
            }
        }
        for durable in &self.subscriptions {
            if let Some(state) = store.cursor(&self.forms.cursor_key(*durable)) {
                view.cursors.insert(*durable, state);
            }
        }
        for name in &self.sessions {
            if let Some(session) = store.session(&id_of(*name)) {
                view.sessions.insert(*name, session);
            }
        }
        self.view = view;
    }

    /// Reads the log itself.
    pub(super) fn read(&self, from: Offset) -> Batch {
        let nothing = Batch { first_kept: self.view.state.first, messages: Vec::new(), next: from };
        let Some(running) = &self.running else { return nothing };
        let limit = ReadLimit { messages: READ_MAX, bytes: usize::MAX };
        let from = ReadFrom::Offset(from);
        match running.store.store().read(&self.forms.topic, from, limit) {
            Ok(batch) => {
                let messages = batch.messages.iter();
                let messages = messages.map(|message| (message.offset, form::name_of(message)));
                let messages = messages.collect();
                Batch { first_kept: batch.state.first, messages, next: batch.next }
            }
            Err(_) => nothing,
        }
    }

    /// A round of upkeep.
    pub(super) fn retain(&mut self, wall: Timestamp) -> Option<Offset> {
        self.clock.set(wall);
        let checkpoints = self.checkpoints();
        let running = self.running.as_mut()?;
        running.store.upkeep(running.ear.as_ref());
        self.coverage.met_if(self.checkpoints() > checkpoints, Sometimes::CheckpointMade);
        let before = self.view.state.first;
        // The writer may have taken its turn, too.
        self.hear();
        let first = self.view.state.first;
        (first > before).then_some(first)
    }

    fn checkpoints(&self) -> Option<String> {
        self.disk.names().into_iter().rfind(|name| name.starts_with("checkpoint"))
    }

    pub(super) fn sync_wanted(&mut self) -> Option<Duration> {
        match &mut self.running {
            Some(running) if running.store.is_unsynced() && !running.syncs_soon => {
                running.syncs_soon = true;
                Some(SYNC_INTERVAL)
            }
            Some(_) | None => None,
        }
    }

    /// The interval has passed.
    pub(super) fn sync(&mut self) {
        if let Some(running) = &mut self.running {
            running.syncs_soon = false;
            // A failure poisons the store; whoever asks next is told.
            let _ = running.store.sync();
        }
    }

    /// The process ends: between two operations on the disk, or in any of those that a commit or
    /// upkeep makes.
    pub(super) fn crash(&mut self) -> Crashed {
        let Some(running) = &mut self.running else {
            return Crashed { told: Told::default(), power: Power::Stayed };
        };
        let commits = running.committing;
        if commits || self.random.chance(30) {
            let most = if commits { 4 } else { 40 };
            self.disk.end_after(self.random.below(most) as u32);
            if commits {
                running.store.commit(running.ear.as_ref());
            } else {
                running.store.upkeep(running.ear.as_ref());
            }
            self.coverage.met_if(self.disk.has_ended() && commits, Sometimes::EndedInCommit);
            self.coverage.met_if(self.disk.has_ended() && !commits, Sometimes::EndedInUpkeep);
        }
        self.hear();
        let durable = self.changed();
        // What the store told before its end may have left the server.
        let told = Told { durable, ..if commits { self.tell() } else { Told::default() } };
        self.running = None;
        Crashed { told, power: self.stop() }
    }

    /// What a process or the machine leaves behind.
    fn stop(&mut self) -> Power {
        if self.random.chance(50) {
            self.disk = self.disk.after_kill();
            return Power::Stayed;
        }
        self.coverage.met(Sometimes::PowerLost);
        self.disk = self.disk.after_power_loss(self.random.seed());
        Power::Lost
    }
}

/// Whether a write is only told as done.
fn only_tells(mutation: Option<Mutation>, write: &Write, ticket: Ticket) -> bool {
    match write {
        // The first cursor is read back at once.
        Write::SaveCursor { .. } => {
            mutation == Some(Mutation::CursorsOnlyTold)
                && !matches!(ticket, Ticket::NewCursor { .. })
        }
        Write::Purge { .. } => mutation == Some(Mutation::PurgesOnlyTold),
        Write::SaveSession { .. } => mutation == Some(Mutation::SessionsOnlyTold),
        Write::Publish { .. } | Write::DeadLetter { .. } => false,
    }
}

/// What an outcome means in the world.
fn heard(
    write: &Write,
    outcome: &tidings_storage::Outcome,
    first_head: Offset,
) -> (Outcome, Option<Change>) {
    use tidings_storage::Outcome as Of;
    match (write, outcome) {
        (Write::Publish { .. }, Of::Published(message)) => {
            (Outcome::Published(message.position()), None)
        }
        (Write::DeadLetter { durable, position }, Of::Published(message)) => {
            let (durable, position) = (*durable, *position);
            let place = message.offset;
            (Outcome::Saved, Some(Change::DeadLetter { place, durable, position }))
        }
        (_, Of::Duplicate { position, .. }) => {
            let earlier = position.offset <= first_head;
            let found = if earlier { Found::EarlierProcess } else { Found::SameProcess };
            (Outcome::Duplicate { first: *position, found }, None)
        }
        (Write::SaveCursor { durable, state }, Of::Saved) => {
            let change = Change::Cursor { durable: *durable, state: state.clone() };
            (Outcome::Saved, Some(change))
        }
        (Write::Purge { place }, Of::Saved) => {
            (Outcome::Saved, Some(Change::Purge { place: *place }))
        }
        (Write::SaveSession { name, session }, Of::Saved) => {
            let change = Change::Session { name: *name, session: session.clone() };
            (Outcome::Saved, Some(change))
        }
        (
            Write::SaveCursor { .. } | Write::Purge { .. } | Write::SaveSession { .. },
            Of::Published(_),
        )
        | (Write::Publish { .. } | Write::DeadLetter { .. }, Of::Saved)
        | (_, Of::Refused(_)) => (Outcome::Refused, None),
    }
}
