//! What goes wrong, and how the world gets over it.

use std::time::Duration;

use tidings_core::{Epoch, Offset, Session};

use super::World;
use super::event::{Event, EventQueue, Process};
use super::store::{Change, Crashed, NotOpened, Power, Store, Ticket, Told, Write};
use crate::history::{Record, SessionRecord, Subscriber};
use crate::sometimes::Sometimes;

/// Longest time until a server is restarted whose store has failed.
pub(super) const RESTART_MAX: Duration = Duration::from_millis(500);

/// One thing that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    LiveDrops,
    DurableDrops,
    Crashes,
    Trims,
    SyncFails,
    FillsUp,
    LosesStore,
    ClockJumps,
    TabOpens,
}

impl Fault {
    pub(super) const ALL: [Self; 9] = [
        Self::LiveDrops,
        Self::DurableDrops,
        Self::Crashes,
        Self::Trims,
        Self::SyncFails,
        Self::FillsUp,
        Self::LosesStore,
        Self::ClockJumps,
        Self::TabOpens,
    ];

    /// How often it is picked, compared with the others.
    const fn weight(self) -> u64 {
        match self {
            Self::LiveDrops | Self::DurableDrops => 4,
            Self::Crashes | Self::Trims => 3,
            Self::FillsUp | Self::ClockJumps | Self::TabOpens => 2,
            Self::SyncFails | Self::LosesStore => 1,
        }
    }
}

impl World {
    /// One of the seed's faults happens, while it is still time for faults.
    pub(super) fn trouble(&mut self) {
        if !self.chaos() {
            self.store.heal();
            return;
        }
        let pause = Duration::from_millis(self.random.between(10, 250));
        self.after(pause, Event::Trouble);
        self.tend_store();
        let total: u64 = self.plan.faults.iter().map(|fault| fault.weight()).sum();
        let mut pick = self.random.below(total);
        for fault in self.plan.faults.clone() {
            if pick < fault.weight() {
                return self.happens(fault);
            }
            pick -= fault.weight();
        }
    }

    /// A real store has upkeep that never rests, and operators.
    fn tend_store(&mut self) {
        match self.store {
            Store::Model(_) => {}
            Store::Embedded(_) => {
                if self.random.chance(50) {
                    self.trim();
                }
                if self.server.up && self.random.chance(30) {
                    self.purge();
                }
            }
        }
    }

    fn happens(&mut self, fault: Fault) {
        self.trace.line(|| format!("          {fault:?}"));
        match fault {
            Fault::LiveDrops => {
                let client = self.random.index(self.live.len());
                self.live_drops(client);
            }
            Fault::DurableDrops => {
                let client = self.random.index(self.durable.len());
                self.durable_drops(client);
            }
            Fault::Crashes => self.crash(self.server.process, false),
            Fault::Trims => self.trim(),
            Fault::SyncFails => self.store.fail_next_sync(),
            Fault::FillsUp => {
                self.store.fill();
                let pause = Duration::from_millis(self.random.between(20, 400));
                self.after(pause, Event::SpaceFreed);
            }
            Fault::LosesStore => self.crash(self.server.process, true),
            Fault::ClockJumps => self.set_clock(),
            Fault::TabOpens => self.tab_opens(),
        }
    }

    /// Somebody sets the wall clock, by up to three hours. Deadlines know nothing of it.
    fn set_clock(&mut self) {
        const JUMP_MAX: u64 = 3 * 60 * 60 * 1_000;
        let by = self.random.below(JUMP_MAX).cast_signed();
        let back = self.random.chance(50);
        self.coverage.met_if(back, Sometimes::ClockSetBack);
        self.coverage.met_if(!back, Sometimes::ClockSetForward);
        let before = self.wall();
        self.clock_set += if back { -by } else { by };
        self.record_session(SessionRecord::ClockSet { at: self.now, before });
    }

    fn trim(&mut self) {
        let count = self.random.between(1, 5);
        if !self.server.up {
            return;
        }
        let was_poisoned = self.store.is_poisoned();
        if let Some(first) = self.store.retain(count, self.wall()) {
            self.record(Record::Trimmed { first });
        }
        let changed = self.store.changed();
        self.record_durable(changed);
        if !was_poisoned {
            // Upkeep has the writer write, too.
            self.restart_if_poisoned();
        }
        self.begin_commit();
    }

    /// An operator removes a dead letter.
    fn purge(&mut self) {
        let letter = self.store.told().letters.first_key_value();
        let Some((place, (durable, position))) = letter.map(|(place, letter)| (*place, *letter))
        else {
            return;
        };
        if self.submit(Write::Purge { place }, Ticket::Nobody).is_ok() {
            let subscriber = Subscriber::Durable(durable);
            self.record(Record::PurgeAsked { subscriber, position });
        }
    }

    /// The server ends, with everything it had in memory; it comes back a little later.
    pub(super) fn crash(&mut self, process: Process, lost: bool) {
        if !self.server.up || self.server.process != process {
            return;
        }
        let (unsynced, untold) = self.store.unsynced_and_untold();
        self.coverage.met_if(unsynced, Sometimes::CrashedWithUnsynced);
        self.coverage.met_if(untold, Sometimes::CrashedBeforeTold);
        self.coverage.met_if(self.store.letter_waits(), Sometimes::CrashedBeforeDeadLetter);
        let Crashed { told, power } = self.store.crash(&mut self.random);
        self.coverage.met_if(!told.durable.is_empty(), Sometimes::UnsyncedSurvived);
        self.last_words(told);
        self.record_power(power);
        self.record(Record::Killed { process: process.0, at: self.now });
        self.server.stop();
        self.tabs_close();
        for client in 0..self.live.len() {
            self.live_drops(client);
        }
        for client in 0..self.durable.len() {
            self.durable_drops(client);
        }
        let pause = Duration::from_millis(self.random.between(10, 300));
        self.after(pause, Event::Restart { lost });
    }

    pub(super) fn restart(&mut self, lost: bool) {
        if lost {
            self.coverage.met(Sometimes::StoreLost);
            let epoch = Epoch::new(self.random.seed());
            self.store.lose(epoch);
            self.record(Record::LogLost);
        }
        let opened = match self.store.open(self.wall()) {
            Ok(opened) => opened,
            Err(NotOpened::Temporary(power)) => {
                self.record_power(power);
                let pause = Duration::from_millis(self.random.between(10, 100));
                return self.after(pause, Event::Restart { lost: false });
            }
            Err(NotOpened::ForGood(why)) => {
                self.record(Record::NotOpened { why });
                // Nothing comes after that.
                self.queue = EventQueue::default();
                return;
            }
        };
        self.record_power(opened.power);
        if let Some(first) = opened.kept_from {
            self.record(Record::Trimmed { first });
        }
        self.record_durable(opened.found);
        for what in opened.damage {
            self.record(Record::Damaged { what });
        }
        self.server.start(self.store.told().state.head);
        self.record_log();
        self.record_sessions();
    }

    /// What the store told in its last moment: answers may be on their way already.
    fn last_words(&mut self, told: Told) {
        self.record_durable(told.durable);
        for (ticket, outcome) in told.outcomes {
            match ticket {
                Ticket::Publisher(request) => self.publish_done(request, outcome),
                Ticket::Nobody
                | Ticket::NewCursor { .. }
                | Ticket::LastCursor { .. }
                | Ticket::Cursor { .. }
                | Ticket::DeadLetter { .. }
                | Ticket::Session { .. } => {}
            }
        }
    }

    /// Whether the power went goes into the history, with the last process that wrote before.
    fn record_power(&mut self, power: Power) {
        match power {
            Power::Stayed => {}
            Power::Lost => {
                let last = self.server.process.0;
                let process = if self.server.up { last } else { last.saturating_sub(1) };
                self.record(Record::PowerLost { process });
            }
        }
    }

    /// Whoever runs the server restarts it after a failed sync.
    pub(super) fn restart_if_poisoned(&mut self) {
        if self.store.is_poisoned() {
            self.coverage.met(Sometimes::SyncFailed);
            let most = RESTART_MAX.as_millis() as u64;
            let pause = Duration::from_millis(self.random.between(50, most));
            let process = self.server.process;
            self.after(pause, Event::Crash { process });
        }
    }

    /// What the log holds goes into the history.
    pub(super) fn record_log(&mut self) {
        let told = self.store.told();
        let messages: Vec<(Offset, _)> = told.messages.iter().map(|(o, n)| (*o, *n)).collect();
        let state = told.state;
        let letters = told
            .letters
            .iter()
            .map(|(place, (durable, position))| (*place, Subscriber::Durable(*durable), *position));
        let letters = letters.collect();
        self.record(Record::LogFound { state, messages });
        self.record(Record::LettersFound { letters });
    }

    /// What became durable of cursors, sessions and dead letters goes into the history.
    pub(super) fn record_durable(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Message { .. } => {}
                Change::Cursor { durable, state } => {
                    let subscriber = Subscriber::Durable(durable);
                    self.record(Record::CursorSaved { subscriber, state });
                }
                Change::DeadLetter { place: _, durable, position } => {
                    self.coverage.met(Sometimes::DeadLettered);
                    let subscriber = Subscriber::Durable(durable);
                    self.record(Record::DeadLettered { subscriber, position });
                }
                Change::Purge { place } => self.record(Record::Purged { place }),
                Change::Session { name: session, session: Session { expires_at, .. } } => {
                    self.record_session(SessionRecord::Stored { session, expires_at });
                }
            }
        }
    }
}
