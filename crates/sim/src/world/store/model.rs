//! A small model of a store with group commit: submitted, written, synced, told.
//!
//! A crash loses what was not synced, but for a part that happened to reach the disk. A failed
//! sync ends writing until the next start.

use std::collections::{BTreeMap, VecDeque};

use tidings_core::{Epoch, Offset, Position, Timestamp, TopicState};

use super::{Change, Found, Outcome, Perishes, READ_MAX, Refused, Ticket, Told, View, Write};
use crate::history::Name;
use crate::mutation::Mutation;
use crate::random::Random;
use crate::world::event::Batch;

/// Writes that may wait.
const QUEUE_MAX: usize = 16;

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
pub(in crate::world) struct Model {
    mutation: Option<Mutation>,
    /// What survives a crash.
    disk: View,
    /// The keys of what is on the disk.
    keys: BTreeMap<Name, Offset>,
    /// What was told: what readers see.
    told: View,
    queue: VecDeque<(Write, Ticket)>,
    phase: Phase,
    sync_fails: bool,
    /// Whether there is no space for messages and dead letters. Cursors replace one another.
    full: bool,
    /// The head when this process began.
    first_head: Offset,
}

impl Model {
    pub(super) fn new(mutation: Option<Mutation>, epoch: Epoch) -> Self {
        let disk = View::empty(epoch);
        Self {
            mutation,
            told: disk.clone(),
            disk,
            keys: BTreeMap::new(),
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
    pub(super) const fn told(&self) -> &View {
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
            Write::SaveCursor { .. } | Write::Purge { .. } | Write::SaveSession { .. } => true,
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
        let mut letters = self.disk.letters_head();
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
                    letters = letters.next();
                    let place = letters;
                    commit.changes.push(Change::DeadLetter { place, durable, position });
                    Outcome::Saved
                }
                Write::Purge { place } => {
                    commit.changes.push(Change::Purge { place });
                    Outcome::Saved
                }
                Write::SaveSession { name, session } => {
                    commit.changes.push(Change::Session { name, session });
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
        if let Some(offset) = self.keys.get(&name) {
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
            let outcomes = std::mem::take(&mut commit.outcomes).into_iter();
            let is_publish = |(ticket, _): &_| matches!(ticket, Ticket::Publisher(_));
            (told.outcomes, commit.outcomes) = outcomes.partition(is_publish);
        }
        if self.is(Mutation::FansOutBeforeSync) {
            let is_message = |change: &&Change| matches!(change, Change::Message { .. });
            let changes = commit.changes.iter().filter(is_message).cloned().collect();
            told.appended = self.show(&Commit { changes, ..Commit::default() });
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
        self.keep(&commit.changes);
        let durable = commit.changes.clone();
        self.phase = Phase::Telling(commit);
        Told { durable, ..Told::default() }
    }

    /// The disk has these.
    fn keep(&mut self, changes: &[Change]) {
        for change in changes {
            self.disk.apply(change);
            if let Change::Message { offset, name, keyed: true, .. } = change {
                self.keys.insert(*name, *offset);
            }
        }
    }

    fn tell(&mut self, commit: Commit) -> Told {
        let mut appended = self.show(&commit);
        if self.is(Mutation::TellsCommitBackwards) {
            appended.reverse();
        }
        Told { outcomes: commit.outcomes, appended, ..Told::default() }
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

    /// Removes the first `count` messages; returns the first offset kept, if that is another.
    pub(super) fn retain(&mut self, count: u64) -> Option<Offset> {
        let log = self.told.state;
        let first = log.first.plus(count).min(log.head.next());
        if first <= log.first {
            return None;
        }
        self.disk.trim(first);
        self.told.trim(first);
        Some(first)
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
                self.keep(&survived);
                self.keep_keys_of(&lost);
            }
            Phase::Idle | Phase::Telling(_) => {}
        }
        if self.is(Mutation::ForgetsKeysAtRestart) {
            self.keys.clear();
        }
        if self.is(Mutation::ForgetsSessionsAtRestart) {
            self.disk.sessions.clear();
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
                self.keys.insert(*name, *offset);
            }
        }
    }

    /// The disk is lost; a new log takes its place.
    pub(super) fn lose(&mut self, epoch: Epoch) {
        let kept = self.is(Mutation::KeepsEpochAfterLoss);
        self.disk = View::empty(if kept { self.disk.state.epoch } else { epoch });
        self.keys.clear();
        self.begin_process();
    }

    fn begin_process(&mut self) {
        self.told = self.disk.clone();
        self.first_head = self.disk.state.head;
    }
}
