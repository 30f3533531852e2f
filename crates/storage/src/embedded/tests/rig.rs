//! A store on a simulated disk, with small segments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_core::{
    Data, Durability, Message, NewMessage, Offset, PolicyTable, Retention, Timestamp, Topic,
    TopicPolicy,
};

use crate::clock::{Clock, ManualClock};
use crate::conformance::Recorder;
use crate::embedded::simulated_disk::SimulatedDisk;
use crate::embedded::{EmbeddedConfig, EmbeddedStore, OpenError, Recovered};
use crate::store::{
    CommitObserver, Outcome, ReadBatch, ReadFrom, ReadLimit, Store, StoreError, Submission, Ticket,
    Write,
};

pub(super) const SEGMENT: u32 = 32 * 1024;

pub(super) fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

/// A store on a simulated disk. Everything public, to be changed by the tests.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) disk: SimulatedDisk,
    pub(super) store: EmbeddedStore,
    pub(super) recovered: Recovered,
    pub(super) recorder: Arc<Recorder>,
    tag: u64,
}

/// How a rig is set up.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) config: EmbeddedConfig,
    pub(super) policies: PolicyTable,
    pub(super) now: Timestamp,
}

impl Default for Plan {
    fn default() -> Self {
        let config = EmbeddedConfig {
            segment_bytes: SEGMENT,
            async_sync_interval: Duration::from_secs(3600),
            // Only a test that wants upkeep gets it.
            upkeep_interval: Duration::from_secs(3600),
            checkpoint_bytes: 4 * u64::from(SEGMENT),
            ..EmbeddedConfig::new("unused")
        };
        Self {
            config,
            policies: PolicyTable::default(),
            now: Timestamp::from_ms(1_795_000_000_000),
        }
    }
}

impl Plan {
    /// Upkeep all the time, with these rules.
    pub(super) fn with_upkeep(rules: &[(&str, Retention)]) -> Self {
        let rules = rules.iter().map(|(filter, retention)| {
            let policy = TopicPolicy { retention: *retention, ..TopicPolicy::default() };
            (filter.parse_filter(), policy)
        });
        let policies = PolicyTable::new(rules.collect(), TopicPolicy::default());
        let plan = Self::default();
        let upkeep_interval = Duration::from_millis(1);
        Self { config: EmbeddedConfig { upkeep_interval, ..plan.config }, policies, ..plan }
    }

    pub(super) fn try_open(&self, disk: &SimulatedDisk) -> Result<Rig, OpenError> {
        let recorder = Arc::new(Recorder::default());
        let clock = Arc::new(ManualClock::new(self.now));
        let (store, recovered) = EmbeddedStore::open_on(
            Arc::new(disk.clone()),
            &self.config,
            Arc::new(self.policies.clone()),
            Arc::clone(&recorder) as Arc<dyn CommitObserver>,
            clock as Arc<dyn Clock>,
        )?;
        Ok(Rig { disk: disk.clone(), store, recovered, recorder, tag: 0 })
    }

    pub(super) fn open(&self, disk: &SimulatedDisk) -> Rig {
        self.try_open(disk).unwrap()
    }
}

trait ParseFilter {
    fn parse_filter(&self) -> tidings_core::Filter;
}

impl ParseFilter for &str {
    fn parse_filter(&self) -> tidings_core::Filter {
        tidings_core::Filter::parse(self).unwrap()
    }
}

/// A publish of binary data.
pub(super) fn publish(name: &str, data: &str, key: Option<&str>, durability: Durability) -> Write {
    let data = Data::binary(Bytes::copy_from_slice(data.as_bytes()));
    let key = key.map(|key| key.parse().unwrap());
    let message = NewMessage { key, ..NewMessage::new(topic(name), data) };
    Write::Publish { message, durability, id: None }
}

pub(super) fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.content.data.bytes()).into_owned()
}

impl Rig {
    pub(super) fn try_submit(&mut self, writes: Vec<Write>) -> Result<Vec<u64>, StoreError> {
        let first = self.tag + 1;
        self.tag += writes.len() as u64;
        let submissions = writes.into_iter().zip(first..).map(|(write, tag)| {
            let ticket = Some(Ticket { lane: 0, tag });
            Submission { write, ticket }
        });
        self.store.submit(submissions.collect())?;
        Ok((first..=self.tag).collect())
    }

    pub(super) fn submit(&mut self, writes: Vec<Write>) -> Vec<u64> {
        self.try_submit(writes).unwrap()
    }

    pub(super) fn write(&mut self, write: Write) -> Outcome {
        let tag = self.submit(vec![write])[0];
        self.recorder.outcome(tag)
    }

    /// Publishes and waits; the message must be taken.
    pub(super) fn publish(&mut self, name: &str, data: &str) -> Arc<Message> {
        self.publish_as(name, data, Durability::Sync)
    }

    pub(super) fn publish_as(
        &mut self,
        name: &str,
        data: &str,
        durability: Durability,
    ) -> Arc<Message> {
        match self.write(publish(name, data, None, durability)) {
            Outcome::Published(message) => message,
            other => panic!("not published: {other:?}"),
        }
    }

    pub(super) fn messages(&self, name: &str) -> Vec<Arc<Message>> {
        self.read_all(name).messages
    }

    fn read_all(&self, name: &str) -> ReadBatch {
        let limit = ReadLimit { messages: usize::MAX, bytes: usize::MAX };
        self.store.read(&topic(name), ReadFrom::Offset(Offset::ORIGIN), limit).unwrap()
    }

    /// The offsets of a topic that readers are told were lost to damage, read `step` messages at a
    /// time.
    pub(super) fn told_damaged(&self, name: &str, step: usize) -> BTreeSet<u64> {
        let limit = ReadLimit { messages: step, bytes: usize::MAX };
        let (mut told, mut next) = (BTreeSet::new(), Offset::ORIGIN);
        loop {
            let from = ReadFrom::Offset(next);
            let batch = self.store.read(&topic(name), from, limit).unwrap();
            for (first, last) in batch.damaged.ranges() {
                assert!(next <= first && last < batch.next, "told of what was not read");
                for offset in first.get()..=last.get() {
                    assert!(told.insert(offset), "{offset} is told twice");
                }
            }
            if batch.next > batch.state.head {
                return told;
            }
            next = batch.next;
        }
    }

    /// What a topic keeps, by offset.
    pub(super) fn read(&self, name: &str) -> BTreeMap<u64, String> {
        let messages = self.messages(name);
        messages.iter().map(|message| (message.offset.get(), text(message))).collect()
    }

    pub(super) fn head(&self, name: &str) -> u64 {
        self.store.topic_state(&topic(name)).head.get()
    }

    /// The numbers of the segments there are.
    pub(super) fn segments(&self) -> Vec<u64> {
        self.store.shared.segments.ids().iter().map(|id| id.0).collect()
    }
}

/// Waits for something that happens in the background.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "did not happen: {what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}
