//! Measures what decision 0002 rests on: syncs of prewritten and growing files, durable publishes
//! with this log, and cursor saves with this log and with redb.
//!
//! `cargo run --release -p tidings-storage --example commit_bench [DIRECTORY]`

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_core::{
    CursorState, Data, Durability, DurableKey, Epoch, NewMessage, Offset, PolicyTable, Topic,
};
use tidings_storage::{
    Commit, CommitObserver, EmbeddedConfig, EmbeddedStore, Outcome, Store, Submission, Ticket,
    Write,
};

type Failure = Box<dyn std::error::Error>;

/// How long each figure is measured.
const MEASURED: Duration = Duration::from_secs(3);

fn main() -> Result<(), Failure> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    println!("| what | per second | p50 us | p99 us |\n|---|---|---|---|");
    // Interleaved, so that other work on the machine meets both alike.
    for _ in 0..2 {
        syncs(directory.path(), "4 KiB + fdatasync, prewritten file", 64 << 20)?;
        syncs(directory.path(), "4 KiB + fdatasync, growing file", 0)?;
    }
    for outstanding in [1, 64, 1024] {
        publishes(&directory.path().join(format!("p{outstanding}")), outstanding)?;
    }
    for saves in [1, 64, 1024] {
        cursors_here(&directory.path().join(format!("c{saves}")), saves)?;
        cursors_in_redb(&directory.path().join(format!("r{saves}")), saves)?;
    }
    recovery(directory.path())
}

/// How long a start takes over a million messages, after a kill and after a close.
fn recovery(parent: &Path) -> Result<(), Failure> {
    let (directory, copy) = (parent.join("full"), parent.join("copy"));
    // All of the log is read after the kill.
    let config = EmbeddedConfig { checkpoint_bytes: u64::MAX, ..EmbeddedConfig::new(&directory) };
    let meter = Arc::new(Meter::new(1000));
    let observer = Arc::clone(&meter);
    let (store, _) = EmbeddedStore::open(&config, Arc::default(), observer)?;
    for round in 0..1000 {
        let submissions = (0..1000).map(|tag| {
            let topic = Topic::parse(&format!("bench/{}", (round * 7 + tag) % 10_000));
            let data = Data::binary(Bytes::from_static(&[7; 128]));
            let message = NewMessage::new(topic.expect("a valid topic"), data);
            let write = Write::Publish { message, durability: Durability::Sync, id: None };
            Submission { write, ticket: Some(Ticket { lane: 0, tag }) }
        });
        store.submit(submissions.collect())?;
        let mut told = 0;
        while told < 1000 {
            told += meter.take().len();
        }
    }
    for dir in ["log", "checkpoint"] {
        std::fs::create_dir_all(copy.join(dir))?;
        for entry in directory.join(dir).read_dir()? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.join(dir).join(entry.file_name()))?;
        }
    }
    std::fs::copy(directory.join("META"), copy.join("META"))?;
    drop(store);
    for (what, place) in [("a kill", &copy), ("a close", &directory)] {
        let config = EmbeddedConfig::new(place);
        let (_, recovered) = EmbeddedStore::open(&config, Arc::default(), Arc::new(Meter::new(1)))?;
        println!("start after {what}: {recovered:?}");
    }
    Ok(())
}

fn report(what: &str, count: u64, elapsed: Duration, latencies: &mut [Duration]) {
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = (latencies.len() as f64 * part) as usize;
        latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    let rate = count as f64 / elapsed.as_secs_f64();
    println!("| {what} | {rate:.0} | {:.0} | {:.0} |", at(0.5), at(0.99));
}

fn syncs(directory: &Path, what: &str, prewritten: u64) -> Result<(), Failure> {
    let file = File::create(directory.join("syncs"))?;
    let page = [1; 4096];
    for position in (0..prewritten).step_by(1 << 20) {
        file.write_all_at(&vec![0; 1 << 20], position)?;
    }
    file.sync_all()?;
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < MEASURED {
        let position = latencies.len() as u64 * 4096;
        let position = if prewritten > 0 { position % prewritten } else { position };
        let before = Instant::now();
        file.write_all_at(&page, position)?;
        file.sync_data()?;
        latencies.push(before.elapsed());
    }
    report(what, latencies.len() as u64, started.elapsed(), &mut latencies);
    Ok(())
}

/// Counts outcomes and measures how long each took.
struct Meter {
    started: Instant,
    /// Microseconds after `started` when each tag was submitted.
    submitted: Vec<AtomicU64>,
    told: Mutex<(Vec<u64>, Vec<Duration>)>,
    changed: Condvar,
}

impl Meter {
    fn new(tags: usize) -> Self {
        Self {
            started: Instant::now(),
            submitted: (0..tags).map(|_| AtomicU64::new(0)).collect(),
            told: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn stamp(&self, tag: u64) {
        self.submitted[tag as usize].store(self.now(), Ordering::Relaxed);
    }

    /// Waits for tags that were answered.
    fn take(&self) -> Vec<u64> {
        let told = self.told.lock().expect("nobody panicked");
        let mut told =
            self.changed.wait_while(told, |told| told.0.is_empty()).expect("nobody panicked");
        std::mem::take(&mut told.0)
    }
}

impl CommitObserver for Meter {
    fn committed(&self, commit: Commit) {
        let now = self.now();
        let mut told = self.told.lock().expect("nobody panicked");
        for committed in commit.outcomes {
            assert!(!matches!(committed.outcome, Outcome::Refused(_)), "{:?}", committed.outcome);
            let tag = committed.ticket.expect("every submission has one").tag;
            let submitted = self.submitted[tag as usize].load(Ordering::Relaxed);
            told.0.push(tag);
            told.1.push(Duration::from_nanos(now - submitted));
        }
        drop(told);
        self.changed.notify_one();
    }
}

/// Keeps `outstanding` writes waiting all the time.
fn keep_busy(
    directory: &Path,
    what: &str,
    outstanding: u64,
    write: impl Fn(u64) -> Write,
) -> Result<(), Failure> {
    let meter = Arc::new(Meter::new(outstanding as usize));
    let config = EmbeddedConfig::new(directory);
    let policies = Arc::new(PolicyTable::default());
    let observer = Arc::clone(&meter);
    let (store, _) = EmbeddedStore::open(&config, policies, observer)?;
    let submit = |tags: &[u64]| {
        let submissions = tags.iter().map(|tag| {
            meter.stamp(*tag);
            Submission { write: write(*tag), ticket: Some(Ticket { lane: 0, tag: *tag }) }
        });
        store.submit(submissions.collect())
    };
    submit(&(0..outstanding).collect::<Vec<_>>())?;
    // The first segment is small; what is measured is the steady state.
    let warm = Instant::now() + Duration::from_millis(500);
    while Instant::now() < warm {
        submit(&meter.take())?;
    }
    meter.told.lock().expect("nobody panicked").1.clear();
    let (started, before) = (Instant::now(), store.status());
    while started.elapsed() < MEASURED {
        submit(&meter.take())?;
    }
    let elapsed = started.elapsed();
    let after = store.status();
    let mut latencies = std::mem::take(&mut meter.told.lock().expect("nobody panicked").1);
    let count = latencies.len() as u64;
    report(what, count, elapsed, &mut latencies);
    let syncs = after.syncs - before.syncs;
    println!("|   of it: syncs | {:.0} | | |", syncs as f64 / elapsed.as_secs_f64());
    Ok(())
}

fn publishes(directory: &Path, outstanding: u64) -> Result<(), Failure> {
    let data = Bytes::from(vec![7; 128]);
    let topics: Vec<Topic> =
        (0..16).map(|n| Topic::parse(&format!("bench/{n}"))).collect::<Result<_, _>>()?;
    keep_busy(
        directory,
        &format!("128 B `Sync` publishes, {outstanding} outstanding"),
        outstanding,
        |tag| {
            let topic = topics[tag as usize % topics.len()].clone();
            let message = NewMessage::new(topic, Data::binary(data.clone()));
            Write::Publish { message, durability: Durability::Sync, id: None }
        },
    )
}

fn key(n: u64) -> Result<DurableKey, Failure> {
    Ok(DurableKey {
        user: format!("user-{n}").parse()?,
        name: "phone".parse()?,
        topic: Topic::parse("bench/cursors")?,
    })
}

/// Cursor saves, each time together with one `Sync` publish: what makes them durable here.
fn cursors_here(directory: &Path, saves: u64) -> Result<(), Failure> {
    let keys: Vec<DurableKey> = (0..saves).map(key).collect::<Result<_, _>>()?;
    let meter = Arc::new(Meter::new(1));
    let policies = Arc::new(PolicyTable::default());
    let observer = Arc::clone(&meter);
    let (store, _) = EmbeddedStore::open(&EmbeddedConfig::new(directory), policies, observer)?;
    let topic = Topic::parse("bench/cursors")?;
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < MEASURED {
        let round = latencies.len() as u64;
        let mut submissions: Vec<Submission> = keys
            .iter()
            .map(|key| {
                let state = CursorState::at(Epoch::new(1), Offset::new(round));
                Submission {
                    write: Write::SaveCursor { key: key.clone().into(), state },
                    ticket: None,
                }
            })
            .collect();
        let message = NewMessage::new(topic.clone(), Data::binary(Bytes::new()));
        let write = Write::Publish { message, durability: Durability::Sync, id: None };
        submissions.push(Submission { write, ticket: Some(Ticket { lane: 0, tag: 0 }) });
        let before = Instant::now();
        store.submit(only_last_answers(submissions, &meter))?;
        meter.take();
        latencies.push(before.elapsed());
    }
    let count = latencies.len() as u64 * saves;
    report(
        &format!("cursors, {saves} per commit, this log"),
        count,
        started.elapsed(),
        &mut latencies,
    );
    Ok(())
}

/// The meter wants a ticket on each submission.
fn only_last_answers(mut submissions: Vec<Submission>, meter: &Meter) -> Vec<Submission> {
    meter.stamp(0);
    for submission in &mut submissions {
        submission.ticket = Some(Ticket { lane: 0, tag: 0 });
    }
    submissions
}

const CURSORS: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("cursors");

fn cursors_in_redb(path: &Path, saves: u64) -> Result<(), Failure> {
    let keys: Vec<String> = (0..saves).map(|n| format!("user-{n}/phone/bench/cursors")).collect();
    let database = redb::Database::create(path)?;
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < MEASURED {
        let round = latencies.len() as u64;
        let before = Instant::now();
        let mut write = database.begin_write()?;
        write.set_durability(redb::Durability::Immediate)?;
        {
            let mut table = write.open_table(CURSORS)?;
            for key in &keys {
                table.insert(key.as_str(), [round.to_le_bytes(), [0; 8]].as_flattened())?;
            }
        }
        write.commit()?;
        latencies.push(before.elapsed());
    }
    let count = latencies.len() as u64 * saves;
    report(&format!("cursors, {saves} per commit, redb"), count, started.elapsed(), &mut latencies);
    Ok(())
}
