//! A small model of a store with group commit: submitted, written, synced, told.
//!
//! A crash loses what was not synced, but for a part that happened to reach the disk. A failed
//! sync ends writing until the next start. (The real store has crash tests of its own.)

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tidings_core::{CursorState, Epoch, Offset, Position, Timestamp, TopicState};

use super::event::{Batch, ConnectionId, Try};
use crate::history::Name;
use crate::mutation::Mutation;
use crate::random::Random;

/// Messages that one read returns.
const READ_MAX: usize = 3;
/// Writes that may wait.
const QUEUE_MAX: usize = 16;

#[derive(Clone, Debug)]
pub(super) enum Write {
    Publish { name: Name, keyed: bool, ttl: Option<Duration> },
    SaveCursor { durable: usize, state: CursorState },
    DeadLetter { durable: usize, position: Position },
}

/// Whom to tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ticket {
    Nobody,
    Publisher(Try),
    NewCursor { durable: usize },
    LastCursor { durable: usize },
    Cursor { durable: usize, connection: ConnectionId, reserved: Offset },
    DeadLetter { durable: usize, connection: ConnectionId, offset: Offset },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Published(Position),
    Duplicate { first: Position, found: Found },
    Saved,
    Refused,
}

/// Where the first of two publishes with one key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    SameCommit,
    SameProcess,
    EarlierProcess,
}

/// The store takes no writes: it has failed, or too much waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused;

/// What a step of the store made known.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) outcomes: Vec<(Ticket, Outcome)>,
    /// What subscribers may see from now on.
    pub(super) appended: Vec<(Offset, Name)>,
    /// What became durable, for the history.
    pub(super) durable: Vec<Change>,
}

/// How long a message is worth delivering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Perishes {
    pub(super) published_at: Timestamp,
    pub(super) ttl: Duration,
}

/// One record of the log.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Message { offset: Offset, name: Name, keyed: bool, perishes: Option<Perishes> },
    Cursor { durable: usize, state: CursorState },
    DeadLetter { durable: usize, position: Position },
}

/// The contents of a log with all that belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) state: TopicState,
    pub(super) messages: BTreeMap<Offset, Name>,
    pub(super) perishable: BTreeMap<Offset, Perishes>,
    keys: BTreeMap<Name, Offset>,
    pub(super) cursors: BTreeMap<usize, CursorState>,
    letters: BTreeSet<(usize, Offset)>,
}

impl Disk {
    fn empty(epoch: Epoch) -> Self {
        Self {
            state: TopicState::empty(epoch),
            messages: BTreeMap::new(),
            perishable: BTreeMap::new(),
            keys: BTreeMap::new(),
            cursors: BTreeMap::new(),
            letters: BTreeSet::new(),
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Message { offset, name, keyed, perishes } => {
                self.state.head = *offset;
                self.messages.insert(*offset, *name);
                if let Some(perishes) = perishes {
                    self.perishable.insert(*offset, *perishes);
                }
                if *keyed {
                    self.keys.insert(*name, *offset);
                }
            }
            Change::Cursor { durable, state } => {
                self.cursors.insert(*durable, state.clone());
            }
            Change::DeadLetter { durable, position } => {
                self.letters.insert((*durable, position.offset));
            }
        }
    }

    fn trim(&mut self, first: Offset) {
        self.state.first = self.state.first.max(first);
        self.messages = self.messages.split_off(&first);
    }
}

/// One group commit.
#[derive(Debug, Default)]
struct Commit {
    changes: Vec<Change>,
    outcomes: Vec<(Ticket, Outcome)>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Writing(Commit),
    Syncing(Commit),
    Telling(Commit),
    /// A sync failed; of this commit, anything may be on the disk.
    Poisoned(Commit),
}

#[derive(Debug)]
pub(super) struct Store {
    mutation: Option<Mutation>,
    /// What survives a crash.
    disk: Disk,
    /// What was told: what readers see.
    told: Disk,
    queue: VecDeque<(Write, Ticket)>,
    phase: Phase,
    sync_fails: bool,
    /// Whether there is no space for messages and dead letters. Cursors replace one another.
    full: bool,
    /// The head when this process began.
    first_head: Offset,
}

impl Store {
    pub(super) fn new(mutation: Option<Mutation>, epoch: Epoch) -> Self {
        let disk = Disk::empty(epoch);
        Self {
            mutation,
            told: disk.clone(),
            disk,
            queue: VecDeque::new(),
            phase: Phase::Idle,
            sync_fails: false,
            full: false,
            first_head: Offset::ORIGIN,
        }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// What readers see.
    pub(super) const fn told(&self) -> &Disk {
        &self.told
    }

    pub(super) const fn is_poisoned(&self) -> bool {
        matches!(self.phase, Phase::Poisoned(_))
    }

    /// Whether something is written that is not synced, and whether something is synced that is
    /// not told.
    pub(super) const fn unsynced_and_untold(&self) -> (bool, bool) {
        let unsynced = matches!(self.phase, Phase::Writing(_) | Phase::Syncing(_));
        (unsynced, matches!(self.phase, Phase::Telling(_)))
    }

    pub(super) fn letter_waits(&self) -> bool {
        let letter = |change: &Change| matches!(change, Change::DeadLetter { .. });
        match &self.phase {
            Phase::Writing(commit) | Phase::Syncing(commit) | Phase::Telling(commit) => {
                commit.changes.iter().any(letter)
            }
            Phase::Idle | Phase::Poisoned(_) => false,
        }
    }

    pub(super) const fn fail_next_sync(&mut self) {
        self.sync_fails = true;
    }

    pub(super) const fn fill(&mut self) {
        self.full = true;
    }

    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    /// There is space again.
    pub(super) const fn free_space(&mut self) {
        self.full = false;
    }

    pub(super) const fn heal(&mut self) {
        self.sync_fails = false;
        self.full = false;
    }

    pub(super) fn submit(&mut self, write: Write, ticket: Ticket) -> Result<(), Refused> {
        let fits = match write {
            Write::Publish { .. } | Write::DeadLetter { .. } => !self.full,
            Write::SaveCursor { .. } => true,
        };
        if self.is_poisoned() || self.queue.len() >= QUEUE_MAX || !fits {
            return Err(Refused);
        }
        self.queue.push_back((write, ticket));
        Ok(())
    }

    /// Gathers all that waits into a commit, if there is any and none is under way.
    pub(super) fn begin(&mut self, wall: Timestamp) -> bool {
        if !matches!(self.phase, Phase::Idle) || self.queue.is_empty() {
            return false;
        }
        let mut commit = Commit::default();
        let mut placed: BTreeMap<Name, Offset> = BTreeMap::new();
        let mut head = self.disk.state.head;
        for (write, ticket) in std::mem::take(&mut self.queue) {
            let outcome = match write {
                Write::Publish { name, keyed, ttl } => {
                    match self.first_of(name, &placed).filter(|_| keyed) {
                        Some((offset, found)) => {
                            Outcome::Duplicate { first: self.at(offset), found }
                        }
                        None => {
                            head = head.next();
                            placed.insert(name, head);
                            let perishes = ttl.map(|ttl| Perishes { published_at: wall, ttl });
                            let offset = head;
                            commit.changes.push(Change::Message { offset, name, keyed, perishes });
                            Outcome::Published(self.at(head))
                        }
                    }
                }
                Write::SaveCursor { durable, state } => {
                    commit.changes.push(Change::Cursor { durable, state });
                    Outcome::Saved
                }
                Write::DeadLetter { durable, position } => {
                    commit.changes.push(Change::DeadLetter { durable, position });
                    Outcome::Saved
                }
            };
            commit.outcomes.push((ticket, outcome));
        }
        self.phase = Phase::Writing(commit);
        true
    }

    /// Where a publish with the key of `name` stands already.
    fn first_of(&self, name: Name, placed: &BTreeMap<Name, Offset>) -> Option<(Offset, Found)> {
        if let Some(offset) = self.disk.keys.get(&name) {
            let earlier = *offset <= self.first_head;
            let found = if earlier { Found::EarlierProcess } else { Found::SameProcess };
            return Some((*offset, found));
        }
        let in_batch = placed.get(&name).filter(|_| !self.is(Mutation::MissesKeyInBatch));
        in_batch.map(|offset| (*offset, Found::SameCommit))
    }

    const fn at(&self, offset: Offset) -> Position {
        Position { epoch: self.disk.state.epoch, offset }
    }

    /// The commit under way gets one phase further.
    pub(super) fn step(&mut self) -> Told {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => Told::default(),
            Phase::Writing(mut commit) => {
                let told = self.written(&mut commit);
                self.phase = Phase::Syncing(commit);
                told
            }
            Phase::Syncing(commit) => self.synced(commit),
            Phase::Telling(commit) => self.tell(commit),
            Phase::Poisoned(commit) => {
                self.phase = Phase::Poisoned(commit);
                Told::default()
            }
        }
    }

    /// What becomes known when a commit is written: nothing, unless on purpose.
    fn written(&mut self, commit: &mut Commit) -> Told {
        let mut told = Told::default();
        if self.is(Mutation::AnswersBeforeSync) {
            told.outcomes = std::mem::take(&mut commit.outcomes);
        }
        if self.is(Mutation::FansOutBeforeSync) {
            told.appended = self.show(commit);
        }
        told
    }

    fn synced(&mut self, mut commit: Commit) -> Told {
        let failed = std::mem::take(&mut self.sync_fails);
        if failed && self.is(Mutation::IgnoresFailedSync) {
            // The kernel has dropped the pages, and the next sync succeeds.
            self.phase = Phase::Telling(commit);
            return Told::default();
        }
        if failed {
            let waiting = std::mem::take(&mut self.queue).into_iter().map(|(_, ticket)| ticket);
            let outcomes = std::mem::take(&mut commit.outcomes).into_iter().map(|(t, _)| t);
            let outcomes = outcomes.chain(waiting).map(|ticket| (ticket, Outcome::Refused));
            let outcomes = outcomes.collect();
            self.phase = Phase::Poisoned(commit);
            return Told { outcomes, ..Told::default() };
        }
        for change in &commit.changes {
            self.disk.apply(change);
        }
        let durable = commit.changes.clone();
        self.phase = Phase::Telling(commit);
        Told { durable, ..Told::default() }
    }

    fn tell(&mut self, commit: Commit) -> Told {
        let mut appended = self.show(&commit);
        if self.is(Mutation::TellsCommitBackwards) {
            appended.reverse();
        }
        Told { outcomes: commit.outcomes, appended, durable: Vec::new() }
    }

    /// Readers see the commit; returns the messages they did not see before.
    fn show(&mut self, commit: &Commit) -> Vec<(Offset, Name)> {
        let mut appended = Vec::new();
        for change in &commit.changes {
            if let Change::Message { offset, name, .. } = change
                && *offset > self.told.state.head
            {
                appended.push((*offset, *name));
            }
            self.told.apply(change);
        }
        appended
    }

    /// Reads from `from` on, as far as it was told.
    pub(super) fn read(&self, from: Offset) -> Batch {
        let messages: Vec<_> =
            self.told.messages.range(from..).take(READ_MAX).map(|(o, n)| (*o, *n)).collect();
        let next = match messages.last() {
            Some((last, _)) if messages.len() == READ_MAX => last.next(),
            Some(_) | None => self.told.state.head.next(),
        };
        Batch { first_kept: self.told.state.first, messages, next }
    }

    /// Removes everything before `first`, which is at most one past the head.
    pub(super) fn trim(&mut self, first: Offset) {
        self.disk.trim(first);
        self.told.trim(first);
    }

    /// The process ends. Of what was written and not synced, the first part may have reached
    /// the disk; returns how much did.
    pub(super) fn crash(&mut self, random: &mut Random) -> Vec<Change> {
        self.queue.clear();
        self.sync_fails = false;
        let mut survived = Vec::new();
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Writing(mut commit)
            | Phase::Syncing(mut commit)
            | Phase::Poisoned(mut commit) => {
                let kept = random.below(commit.changes.len() as u64 + 1) as usize;
                let lost = commit.changes.split_off(kept);
                survived = commit.changes;
                for change in &survived {
                    self.disk.apply(change);
                }
                self.keep_keys_of(&lost);
            }
            Phase::Idle | Phase::Telling(_) => {}
        }
        if self.is(Mutation::ForgetsKeysAtRestart) {
            self.disk.keys.clear();
        }
        if self.is(Mutation::ReusesOffsetsAfterTrim) && self.disk.messages.is_empty() {
            self.disk.state = TopicState::empty(self.disk.state.epoch);
        }
        self.begin_process();
        survived
    }

    fn keep_keys_of(&mut self, lost: &[Change]) {
        for change in lost {
            if let Change::Message { offset, name, keyed: true, .. } = change
                && self.is(Mutation::KeyOutlivesMessage)
            {
                self.disk.keys.insert(*name, *offset);
            }
        }
    }

    /// The disk is lost; a new log takes its place.
    pub(super) fn lose(&mut self, epoch: Epoch) {
        let kept = self.is(Mutation::KeepsEpochAfterLoss);
        self.disk = Disk::empty(if kept { self.disk.state.epoch } else { epoch });
        self.begin_process();
    }

    fn begin_process(&mut self) {
        self.told = self.disk.clone();
        self.first_head = self.disk.state.head;
    }
}
