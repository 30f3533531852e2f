//! The embedded store on its disk in memory: submitted, committed and told in batches.
//!
//! The making of the submissions is counted too, and so is what the disk in memory does to hold
//! the bytes; the kernel's part of a write is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_core::{
    ClientId, DedupKey, Durability, NewMessage, PolicyTable, Session, SessionId, Timestamp, UserId,
};
use tidings_storage::simulation::{SimulatedDisk, SteppedStore};
use tidings_storage::{
    Commit, CommitObserver, EmbeddedConfig, ManualClock, Outcome, Submission, Ticket, Write,
};

use crate::wire::new_message;

/// Writes in one commit.
pub(crate) const BATCH: u64 = 64;

/// Twice as many batches fit into the store's first segment, which is 1 MiB: making the next would
/// count for more than all of them.
pub(crate) const ROUNDS: u64 = 32;

const START: Timestamp = Timestamp::from_ms(1_795_000_000_000);

/// How the writes ended, counted.
#[derive(Debug, Default)]
struct Told {
    published: AtomicU64,
    duplicate: AtomicU64,
    saved: AtomicU64,
}

impl CommitObserver for Told {
    fn committed(&self, commit: Commit) {
        for committed in commit.outcomes {
            let count = match committed.outcome {
                Outcome::Published(_) => &self.published,
                Outcome::Duplicate { .. } => &self.duplicate,
                Outcome::Saved => &self.saved,
                Outcome::Refused(error) => panic!("the disk in memory takes everything: {error}"),
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Commits `rounds` batches of what `write` makes of the number of each; returns how many were
/// published, duplicate and saved.
fn commit(rounds: u64, write: impl Fn(u64) -> Write) -> [u64; 3] {
    let disk = SimulatedDisk::new(7);
    let config = EmbeddedConfig { segment_bytes: 8 * 1024 * 1024, ..EmbeddedConfig::new("log") };
    let clock = Arc::new(ManualClock::new(START));
    let opened = SteppedStore::open(&disk, &config, Arc::new(PolicyTable::default()), clock);
    let (mut store, _) = opened.expect("an empty disk can be opened");
    let told = Told::default();
    for round in 0..rounds {
        let submissions = (0..BATCH).map(|place| {
            let number = round * BATCH + place;
            Submission { write: write(number), ticket: Some(Ticket { lane: 0, tag: number }) }
        });
        store.store().submit(submissions.collect()).expect("the queue has room");
        store.commit(&told);
    }
    [told.published, told.duplicate, told.saved].map(AtomicU64::into_inner)
}

fn publish(message: NewMessage) -> Write {
    Write::Publish { message, durability: Durability::Sync, id: None }
}

fn keyed(message: &NewMessage, number: u64) -> NewMessage {
    let key = DedupKey::parse(&format!("c1-{number:08}")).expect("the key is valid");
    NewMessage { key: Some(key), ..message.clone() }
}

pub(crate) fn append(rounds: u64) {
    let message = new_message();
    let told = commit(rounds, |_| publish(message.clone()));
    assert_eq!(told, [rounds * BATCH, 0, 0], "every message is new");
}

pub(crate) fn append_with_key(rounds: u64) {
    let message = new_message();
    let told = commit(rounds, |number| publish(keyed(&message, number)));
    assert_eq!(told, [rounds * BATCH, 0, 0], "every key is new");
}

/// The lookup of a key that was seen, with all that is around it. The first batch, which appends, is
/// in both numbers of rounds that are compared.
pub(crate) fn publish_repeated(rounds: u64) {
    let message = new_message();
    let told = commit(rounds, |number| publish(keyed(&message, number % BATCH)));
    let repeated = (rounds - 1) * BATCH;
    assert_eq!(told, [BATCH, repeated, 0], "only the first batch is appended");
}

pub(crate) fn session_save(rounds: u64) {
    let user = UserId::parse("alice").expect("the user is valid");
    let client = ClientId::parse("phone").expect("the client is valid");
    let ids: Vec<_> = (0..BATCH)
        .map(|number| SessionId::parse(&format!("session-{number:016}")).expect("the id is valid"))
        .collect();
    let told = commit(rounds, |number| {
        Write::SaveSession(Arc::new(Session {
            id: ids[(number % BATCH) as usize].clone(),
            user: user.clone(),
            client: client.clone(),
            expires_at: START,
        }))
    });
    assert_eq!(told, [0, 0, rounds * BATCH], "every session is saved");
}
