//! How the store begins, ends up after crashes, and is lost.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Epoch, Filter, Offset, PolicyTable, Retention, Timestamp, TopicPolicy};
use tidings_storage::simulation::{DiskLie, SimulatedDisk, SteppedStore};
use tidings_storage::{Clock, EmbeddedConfig, ManualClock, OpenError, Recovered};

use super::form::Forms;
use super::{Ear, Embedded, Running};
use crate::mutation::Mutation;
use crate::random::Random;
use crate::sometimes::{Coverage, Sometimes};
use crate::world::store::{Change, NotOpened, Opened, Power, View};

/// Longer than the wall clock is ever set forward.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Bytes of a segment before its first batch.
const SEGMENT_HEAD: usize = 4096;

/// Most crashes in a row while the store is opened.
const CRASHES_MAX: u32 = 3;

impl Embedded {
    pub(in crate::world::store) fn new(mutation: Option<Mutation>, epoch: Epoch) -> Self {
        let mut random = Random::new(epoch.get());
        let messages_max = random.between(4, 40);
        let config = EmbeddedConfig {
            segment_bytes: 1024 * random.between(6, 16) as u32,
            queue_bytes_max: 1024 * random.between(2, 8) as usize,
            dedup_window: FOR_EVER,
            cursor_expiry: FOR_EVER,
            checkpoint_bytes: random.between(1, 20_000),
            ..EmbeddedConfig::new("simulated")
        };
        let forms = Forms::new(mutation);
        let kept = if mutation == Some(Mutation::RetentionTakesOneMore) { 1 } else { 0 };
        let policies = policies(&forms, messages_max - kept);
        let mut embedded = Self {
            mutation,
            disk: SimulatedDisk::new(0),
            config,
            policies: Arc::new(policies),
            messages_max,
            clock: Arc::new(ManualClock::new(Timestamp::from_ms(0))),
            running: None,
            forms,
            view: View::empty(epoch),
            subscriptions: BTreeSet::new(),
            sessions: BTreeSet::new(),
            tags: 0,
            full: false,
            first_head: Offset::ORIGIN,
            coverage: Coverage::default(),
            random,
        };
        embedded.new_disk();
        embedded
    }

    fn new_disk(&mut self) {
        self.disk = SimulatedDisk::new(self.random.seed());
        self.full = false;
        let lies = [
            (Mutation::DiskSyncsNothing, DiskLie::SyncsNothing),
            (Mutation::DiskHidesFailedSyncs, DiskLie::HidesFailedSyncs),
            (Mutation::DiskForgetsNames, DiskLie::ForgetsNames),
        ];
        for (_, lie) in lies.into_iter().filter(|(mutation, _)| self.is(*mutation)) {
            self.disk.set_lie(lie);
        }
    }

    /// The log is lost, with the store's identity or without.
    pub(in crate::world::store) fn lose(&mut self, epoch: Epoch) {
        if self.random.chance(50) {
            self.new_disk();
        } else {
            let names = self.disk.names();
            for name in names.iter().filter(|name| name.contains('/')) {
                self.disk.delete(name);
            }
        }
        self.view = View::empty(epoch);
    }

    /// The next process opens the store; some end while they do.
    pub(in crate::world::store) fn open(&mut self, wall: Timestamp) -> Result<Opened, NotOpened> {
        self.clock.set(wall);
        if self.is(Mutation::CutsSyncedTail) {
            self.cut_tail();
        }
        let mut power = Power::Stayed;
        for _ in 0..CRASHES_MAX {
            if !self.random.chance(20) {
                break;
            }
            self.disk.end_after(self.random.below(40) as u32);
            let opened = self.try_open();
            self.coverage.met_if(self.disk.has_ended(), Sometimes::EndedInRecovery);
            drop(opened);
            match self.stop() {
                Power::Stayed => {}
                Power::Lost => power = Power::Lost,
            }
        }
        let (store, recovered) = match self.try_open() {
            Ok(opened) => opened,
            Err(OpenError::Io { source, .. }) => {
                let full = source.kind() == io::ErrorKind::StorageFull;
                self.coverage.met_if(full, Sometimes::NotOpenedOnFullDisk);
                return Err(NotOpened::Temporary(power));
            }
            Err(error) => return Err(NotOpened::ForGood(error.to_string())),
        };
        self.forms.process += 1;
        let ear = Ear::of(&self.disk);
        self.running = Some(Running::new(store, ear));
        self.look();
        self.first_head = self.view.state.head;
        if let Some(running) = &mut self.running {
            running.told_head = self.first_head;
        }
        self.note(&recovered);
        let damage = recovered.damage.iter().map(|damage| format!("{damage:?}")).collect();
        let kept_from = self.kept_from();
        Ok(Opened { power, kept_from: Some(kept_from), found: self.found(), damage })
    }

    fn try_open(&self) -> Result<(SteppedStore, Recovered), OpenError> {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        SteppedStore::open(&self.disk, &self.config, Arc::clone(&self.policies), clock)
    }

    fn note(&mut self, recovered: &Recovered) {
        self.coverage.met_if(recovered.cut_bytes > 0, Sometimes::TornTailCut);
        let segments = self.disk.names().into_iter().filter(|name| name.starts_with("log/"));
        self.coverage.met_if(segments.count() > 2, Sometimes::LogInSegments);
        let begins_later = !self.disk.names().iter().any(|name| name.ends_with("0000000001.seg"));
        self.coverage.met_if(begins_later, Sometimes::SegmentGivenBack);
    }

    /// What the policy lets the log begin with.
    fn kept_from(&self) -> Offset {
        let head = self.view.state.head.get();
        Offset::new(head.saturating_sub(self.messages_max)).next()
    }

    fn found(&self) -> Vec<Change> {
        let cursors = self.view.cursors.iter();
        let cursors = cursors
            .map(|(durable, state)| Change::Cursor { durable: *durable, state: state.clone() });
        let letters = self.view.letters.iter();
        let letters = letters.map(|(place, (durable, position))| Change::DeadLetter {
            place: *place,
            durable: *durable,
            position: *position,
        });
        cursors.chain(letters).collect()
    }

    /// Damages the last batch of the log, which looks like one that was never finished.
    fn cut_tail(&mut self) {
        let names = self.disk.names();
        let segments = names.iter().filter(|name| name.starts_with("log/")).rev();
        for name in segments {
            let mut bytes = self.disk.contents(name);
            let last = bytes.iter().rposition(|byte| *byte != 0);
            if let Some(last) = last.filter(|last| *last > SEGMENT_HEAD) {
                bytes[last] ^= 1;
                return self.disk.set_contents(name, bytes);
            }
        }
    }
}

impl Running {
    fn new(store: SteppedStore, ear: Arc<Ear>) -> Self {
        Self {
            store,
            ear,
            asked: std::collections::BTreeMap::new(),
            committing: false,
            untold: Vec::new(),
            changed: Vec::new(),
            told_head: Offset::ORIGIN,
            syncs_soon: false,
        }
    }
}

/// The log keeps so many messages, everything else for ever.
fn policies(forms: &Forms, messages: u64) -> PolicyTable {
    let for_ever = Retention { age: FOR_EVER, messages: None, bytes: None };
    let policy = |retention| TopicPolicy { retention, ..TopicPolicy::default() };
    let counted = policy(Retention { messages: Some(messages), ..for_ever });
    let filter = Filter::parse(forms.topic.as_str()).expect("a topic is a filter");
    PolicyTable::new(vec![(filter, counted)], policy(for_ever))
}
