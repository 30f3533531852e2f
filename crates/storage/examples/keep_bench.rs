//! What keeping much costs: memory and time of many cursors, finding one message among many topics,
//! removing many messages. Each mode prints one line of figures; run each in a process of its own,
//! so that memory given back by one does not flatter the next.
//!
//!     cargo run --release -p tidings-storage --example keep_bench -- fill DIR 1000000
//!     cargo run --release -p tidings-storage --example keep_bench -- cursors DIR 1000000
//!     cargo run --release -p tidings-storage --example keep_bench -- find DIR 100000
//!     cargo run --release -p tidings-storage --example keep_bench -- remove DIR 100000
//!
//! DIR is made and must not exist, but for `cursors`, which opens what `fill` made. Nothing is
//! deleted. Times are CPU times, so that what else the machine does matters little. Linux only, for
//! `/proc`.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_core::{
    CursorState, Data, Durability, DurableKey, Epoch, MessageId, NewMessage, Offset, PolicyTable,
    Topic,
};
use tidings_storage::{
    Commit, CommitObserver, CursorsOf, EmbeddedConfig, EmbeddedStore, Outcome, Store, Submission,
    Ticket, Write,
};

type Failure = Box<dyn std::error::Error>;

/// Writes submitted at once.
const PORTION: u64 = 1000;
/// How long an idle store is watched.
const WATCHED: Duration = Duration::from_secs(10);
/// How many lookups a mean is of.
const LOOKED_UP: usize = 10_000;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, directory, count] = &arguments[..] else {
        return Err("usage: keep_bench fill|cursors|find|remove DIR COUNT".into());
    };
    let directory = Path::new(directory);
    if directory.exists() != (mode == "cursors") {
        return Err("`cursors` opens what `fill` made; the others need a new directory".into());
    }
    let count = count.parse()?;
    match mode.as_str() {
        "fill" => fill(directory, count),
        "cursors" => cursors(directory, count),
        "find" => find(directory, count),
        "remove" => remove(directory, count),
        other => Err(format!("unknown mode {other}: fill, cursors, find or remove").into()),
    }
}

/// Counts outcomes, and remembers the ids of messages.
#[derive(Default)]
struct Told {
    inner: Mutex<(u64, Vec<MessageId>)>,
    changed: Condvar,
}

impl CommitObserver for Told {
    fn committed(&self, commit: Commit) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for committed in commit.outcomes {
            inner.0 += 1;
            match committed.outcome {
                Outcome::Published(message) => inner.1.push(message.id),
                Outcome::Saved => {}
                Outcome::Duplicate { .. } | Outcome::Refused(_) => {
                    panic!("unexpected: {:?}", committed.outcome)
                }
            }
        }
        drop(inner);
        self.changed.notify_all();
    }
}

impl Told {
    fn wait_for(&self, count: u64) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(inner, |inner| inner.0 < count);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn open(directory: &Path) -> Result<(EmbeddedStore, Arc<Told>), Failure> {
    let told = Arc::new(Told::default());
    let observer = Arc::clone(&told) as Arc<dyn CommitObserver>;
    let policies = Arc::new(PolicyTable::default());
    let (store, _) = EmbeddedStore::open(&EmbeddedConfig::new(directory), policies, observer)?;
    Ok((store, told))
}

/// Submits `count` writes in portions and waits for all outcomes.
fn write_all(
    store: &EmbeddedStore,
    told: &Told,
    count: u64,
    write: impl Fn(u64) -> Result<Write, Failure>,
) -> Result<(), Failure> {
    let before = told.inner.lock().unwrap_or_else(PoisonError::into_inner).0;
    let mut done = 0;
    while done < count {
        let portion = done..(done + PORTION).min(count);
        done = portion.end;
        let submissions: Result<Vec<_>, Failure> = portion
            .map(|n| {
                let ticket = Some(Ticket { lane: 0, tag: n });
                Ok(Submission { write: write(n)?, ticket })
            })
            .collect();
        store.submit(submissions?)?;
        told.wait_for(before + done);
    }
    Ok(())
}

/// The process's own memory, bytes.
fn memory() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib: u64 = line.ok_or("no Private_Dirty")?.trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// CPU time of the process so far.
fn cpu() -> Result<Duration, Failure> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().ok_or("no time")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// How often its threads woke up.
fn wakeups() -> Result<u64, Failure> {
    let mut wakeups = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let count = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        wakeups += count.ok_or("no switches")?.trim().parse::<u64>()?;
    }
    Ok(wakeups)
}

/// The `n`-th cursor: a phone that reads its user's inbox.
fn key(n: u64) -> Result<DurableKey, Failure> {
    Ok(DurableKey {
        user: format!("user-{n:07}").parse()?,
        name: "phone".parse()?,
        topic: Topic::parse(&format!("inbox/user-{n:07}"))?,
    })
}

fn fill(directory: &Path, count: u64) -> Result<(), Failure> {
    let (store, told) = open(directory)?;
    write_all(&store, &told, count, |n| {
        let state = CursorState::at(Epoch::new(1), Offset::new(n + 1));
        Ok(Write::SaveCursor { key: key(n)?.into(), state })
    })?;
    // The second life gives back the log of the first, so that the third finds nothing to do.
    store.close();
    drop(store);
    let (store, _) = open(directory)?;
    std::thread::sleep(Duration::from_secs(3));
    drop(store);
    Ok(())
}

fn cursors(directory: &Path, count: u64) -> Result<(), Failure> {
    let (before, cpu_before) = (memory()?, cpu()?);
    let (store, _) = open(directory)?;
    let opened = cpu()?.saturating_sub(cpu_before);
    let each = memory()?.saturating_sub(before) as f64 / count as f64;
    std::thread::sleep(Duration::from_secs(2));
    let (cpu_before, wakeups_before) = (cpu()?, wakeups()?);
    std::thread::sleep(WATCHED);
    let seconds = WATCHED.as_secs_f64();
    let idle = cpu()?.saturating_sub(cpu_before).as_secs_f64() * 1000.0 / seconds;
    let woken = (wakeups()? - wakeups_before) as f64 / seconds;
    let (page, middle) = (100, key(count / 2)?);
    let of = [CursorsOf::User(middle.user.clone()), CursorsOf::Topic(middle.topic)];
    let cpu_before = cpu()?;
    for n in 0..LOOKED_UP {
        let listed = store.cursors(&of[n % of.len()], None, page);
        assert_eq!(listed.len(), 1, "each user has one cursor, and each topic");
    }
    let listing = cpu()?.saturating_sub(cpu_before) / LOOKED_UP as u32;
    println!(
        "{count} cursors: {each:.0} bytes each, opened with {opened:.1?} of CPU, idle {idle:.2} ms of \
         CPU and {woken:.1} wakeups a second, listing one takes {listing:.1?}"
    );
    Ok(())
}

fn message(topic: &str) -> Result<Write, Failure> {
    let data = Data::binary(Bytes::from_static(&[7; 128]));
    let message = NewMessage::new(Topic::parse(topic)?, data);
    Ok(Write::Publish { message, durability: Durability::Sync, id: None })
}

/// Ten messages in each of so many topics; then messages are looked for.
fn find(directory: &Path, topics: u64) -> Result<(), Failure> {
    let (store, told) = open(directory)?;
    let count = 10 * topics;
    write_all(&store, &told, count, |n| message(&format!("t/{}", n % topics)))?;
    let ids = told.inner.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
    let mut times = Vec::new();
    for n in 0..100 {
        let id = ids[n * (ids.len() / 100)];
        let started = Instant::now();
        let found = store.find(id)?;
        times.push(started.elapsed());
        assert_eq!(found.map(|message| message.id), Some(id));
    }
    times.sort_unstable();
    let unknown = MessageId::new(1, 0, 0);
    let started = Instant::now();
    assert_eq!(store.find(unknown)?, None);
    let missed = started.elapsed();
    println!(
        "{count} messages in {topics} topics: found in {:.1?} (median), {:.1?} (longest); of another \
         time: {missed:.1?}",
        times[50], times[99]
    );
    Ok(())
}

/// So many messages of one topic, removed in an order without order.
fn remove(directory: &Path, count: u64) -> Result<(), Failure> {
    let (store, told) = open(directory)?;
    write_all(&store, &told, count, |_| message("dead"))?;
    let topic = Topic::parse("dead")?;
    let (cpu_before, started) = (cpu()?, Instant::now());
    write_all(&store, &told, count, |n| {
        // 61 803 has no divisor in common with powers of ten.
        let offset = Offset::new(n * 61_803 % count + 1);
        Ok(Write::Remove { topic: topic.clone(), offset })
    })?;
    let (taken, elapsed) = (cpu()?.saturating_sub(cpu_before), started.elapsed());
    assert_eq!(store.status().messages, 0, "take a power of ten");
    println!(
        "{count} messages removed: {:.2?} of CPU each, {elapsed:.1?} in all",
        taken / u32::try_from(count)?
    );
    Ok(())
}
