//! A store under test with an observer that remembers what it was told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_core::{Data, Durability, Message, NewMessage, Offset, PolicyTable};

use super::{Engine, LONG, START, Setup, topic};
use crate::clock::ManualClock;
use crate::store::{
    Commit, CommitObserver, Outcome, ReadBatch, ReadFrom, ReadLimit, Store, Submission, Ticket,
    Write,
};

/// How long a check waits for something that happens in another thread.
const PATIENCE: Duration = Duration::from_secs(30);

/// An observer that remembers outcomes by the tag of their ticket, in the order they came.
#[derive(Default)]
pub struct Recorder {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    by_tag: HashMap<u64, Outcome>,
    order: Vec<(Option<Ticket>, Outcome)>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Waits until `tag` was answered.
    pub fn outcome(&self, tag: u64) -> Outcome {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |told: &mut Told| !told.by_tag.contains_key(&tag);
        let waited = self.changed.wait_timeout_while(told, PATIENCE, waits);
        let (told, _) = waited.unwrap_or_else(PoisonError::into_inner);
        told.by_tag.get(&tag).cloned().unwrap_or_else(|| panic!("nobody was told about {tag}"))
    }

    /// What was told about `tag`, if anything was by now.
    pub fn outcome_by_now(&self, tag: u64) -> Option<Outcome> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.by_tag.get(&tag).cloned()
    }

    /// All that was told, in order.
    pub fn all(&self) -> Vec<(Option<Ticket>, Outcome)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).order.clone()
    }
}

impl CommitObserver for Recorder {
    fn committed(&self, commit: Commit) {
        // Gives whoever may tell out of turn the chance to.
        std::thread::yield_now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for committed in commit.outcomes {
            if let Some(ticket) = committed.ticket {
                told.by_tag.insert(ticket.tag, committed.outcome.clone());
            }
            told.order.push((committed.ticket, committed.outcome));
        }
        drop(told);
        self.changed.notify_all();
    }
}

/// A store under test.
pub struct Trial {
    engine: Box<dyn Engine>,
    setup: Setup,
    /// What was told, over all openings.
    pub recorder: Arc<Recorder>,
    /// The time.
    pub clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    tags: AtomicU64,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Trial {
    /// Opens a store that keeps messages as `policies` say.
    pub fn new(engine: Box<dyn Engine>, policies: PolicyTable) -> Self {
        Self::with(engine, policies, |_| {})
    }

    /// Opens a store with a changed setup.
    pub fn with(
        mut engine: Box<dyn Engine>,
        policies: PolicyTable,
        change: impl FnOnce(&mut Setup),
    ) -> Self {
        let recorder = Arc::new(Recorder::default());
        let clock = Arc::new(ManualClock::new(START));
        let mut setup = Setup {
            policies: Arc::new(policies),
            observer: Arc::clone(&recorder) as Arc<dyn CommitObserver>,
            clock: Arc::clone(&clock),
            dedup_window: LONG,
            dedup_keys_max: 1000,
            cursor_expiry: 30 * LONG,
            queue_bytes_max: 64 * 1024 * 1024,
        };
        change(&mut setup);
        let store = engine.open(setup.clone());
        Self { engine, setup, recorder, clock, store, tags: AtomicU64::new(1) }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.store.close();
        self.store = self.engine.open(self.setup.clone());
    }

    /// Whether its data outlive the store.
    pub fn lasting(&self) -> super::Lasting {
        self.engine.lasting()
    }

    /// Submits writes; returns their tags.
    pub fn submit(&self, writes: Vec<Write>) -> Vec<u64> {
        let count = writes.len() as u64;
        let first = self.tags.fetch_add(count, Ordering::Relaxed);
        let tags: Vec<u64> = (first..first + count).collect();
        let submissions = tags.iter().zip(writes).map(|(tag, write)| {
            let ticket = Some(Ticket { lane: 7, tag: *tag });
            Submission { write, ticket }
        });
        self.store.submit(submissions.collect()).expect("the queue has room for a check's writes");
        tags
    }

    /// Makes writes and waits for their outcomes.
    pub fn write(&self, writes: Vec<Write>) -> Vec<Outcome> {
        self.submit(writes).into_iter().map(|tag| self.recorder.outcome(tag)).collect()
    }

    /// Makes one write and waits for its outcome.
    pub fn write_one(&self, write: Write) -> Outcome {
        self.write(vec![write]).remove(0)
    }

    /// Publishes and waits; the message must be taken.
    pub fn publish(&self, name: &str, data: &str) -> Arc<Message> {
        published(self.write_one(publish(name, data)))
    }

    /// Reads everything a topic keeps.
    pub fn read_all(&self, name: &str) -> Vec<Arc<Message>> {
        self.read(name, ReadFrom::Offset(Offset::ORIGIN), usize::MAX).messages
    }

    /// Reads at most `messages` messages.
    pub fn read(&self, name: &str, from: ReadFrom, messages: usize) -> ReadBatch {
        let limit = ReadLimit { messages, bytes: usize::MAX };
        self.store.read(&topic(name), from, limit).expect("the check's store is sound")
    }
}

/// A write that publishes binary data with `Sync`.
pub(super) fn publish(name: &str, data: &str) -> Write {
    Write::Publish { message: message(name, data), durability: Durability::Sync, id: None }
}

/// A message of binary data.
pub(super) fn message(name: &str, data: &str) -> NewMessage {
    NewMessage::new(topic(name), Data::binary(Bytes::copy_from_slice(data.as_bytes())))
}

/// A write that publishes with a key.
pub(super) fn publish_keyed(name: &str, data: &str, key: &str) -> Write {
    let key = Some(key.parse().expect("the suite's keys are valid"));
    let message = NewMessage { key, ..message(name, data) };
    Write::Publish { message, durability: Durability::Sync, id: None }
}

/// The message, which must have been taken.
pub(super) fn published(outcome: Outcome) -> Arc<Message> {
    match outcome {
        Outcome::Published(message) => message,
        Outcome::Duplicate { .. } | Outcome::Saved | Outcome::Refused(_) => {
            panic!("not published: {outcome:?}")
        }
    }
}

/// The data as text.
pub(super) fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.content.data.bytes()).into_owned()
}

/// The data of all as text.
pub(super) fn texts(messages: &[Arc<Message>]) -> Vec<String> {
    messages.iter().map(|message| text(message)).collect()
}

/// Waits until something that happens in the background has happened.
pub(super) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "did not happen: {what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}
