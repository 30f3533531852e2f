//! What keeping much costs: memory and time of many cursors, finding one message among many topics,
//! removing many messages. Each mode prints one line of figures; run each in a process of its own,
//! so that memory given back by one does not flatter the next.
//!
//!     cargo run --release -p tidings-storage --example keep_bench -- fill DIR 1000000
//!     cargo run --release -p tidings-storage --example keep_bench -- open DIR 1000000
//!     cargo run --release -p tidings-storage --example keep_bench -- idle DIR 1000000
//!     cargo run --release -p tidings-storage --example keep_bench -- find DIR 100000
//!     cargo run --release -p tidings-storage --example keep_bench -- remove DIR 100000
//!
//! DIR is made and must not exist, but for `open` and `idle`, which open what `fill` made; `idle` then
//! watches it for five minutes. Nothing is deleted. Times are CPU times, so that what else the machine does matters little. Linux only, for
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
/// How long an idle store is watched in steps of how long. Space that an earlier life freed is given
/// back after two checkpoints, one and two minutes after the start, and upkeep takes 100 s to look at
/// a million cursors once: the rest has room for both.
const WATCHED: Duration = Duration::from_secs(300);
const STEP: Duration = Duration::from_secs(1);
/// How long after a checkpoint was last seen to be made the store counts as idle.
const SETTLED: usize = 5;
/// How many lookups a mean is of.
const LOOKED_UP: usize = 10_000;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, directory, count] = &arguments[..] else {
        return Err("usage: keep_bench fill|open|idle|find|remove DIR COUNT".into());
    };
    let directory = Path::new(directory);
    if directory.exists() != ["open", "idle"].contains(&mode.as_str()) {
        return Err("`open` and `idle` open what `fill` made; others need a new directory".into());
    }
    let count = count.parse()?;
    match mode.as_str() {
        "fill" => fill(directory, count),
        "open" => open_cursors(directory, count).map(drop),
        "idle" => {
            let _store = open_cursors(directory, count)?;
            watch_idle(&directory.join("checkpoint"))
        }
        "find" => find(directory, count),
        "remove" => remove(directory, count),
        other => Err(format!("unknown mode {other}: fill, open, idle, find or remove").into()),
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

/// Which threads count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Threads {
    All,
    /// Without the one that measures.
    OfTheStore,
}

/// CPU time of threads so far, and how often they woke up.
fn spent(threads: Threads) -> Result<(Duration, u64), Failure> {
    let (mut nanos, mut wakeups) = (0, 0);
    let own = std::process::id().to_string();
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if threads == Threads::OfTheStore && path.ends_with(&own) {
            continue;
        }
        let text = std::fs::read_to_string(path.join("schedstat"))?;
        nanos += text.split(' ').next().ok_or("no time")?.parse::<u64>()?;
        let status = std::fs::read_to_string(path.join("status"))?;
        let count = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        wakeups += count.ok_or("no switches")?.trim().parse::<u64>()?;
    }
    Ok((Duration::from_nanos(nanos), wakeups))
}

/// CPU time of the process so far.
fn cpu() -> Result<Duration, Failure> {
    Ok(spent(Threads::All)?.0)
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

fn open_cursors(directory: &Path, count: u64) -> Result<EmbeddedStore, Failure> {
    let (before, cpu_before, started) = (memory()?, cpu()?, Instant::now());
    let (store, _) = open(directory)?;
    let (took, opened) = (started.elapsed(), cpu()?.saturating_sub(cpu_before));
    let each = memory()?.saturating_sub(before) as f64 / count as f64;
    let (page, middle) = (100, key(count / 2)?);
    let of = [CursorsOf::User(middle.user.clone()), CursorsOf::Topic(middle.topic)];
    let cpu_before = cpu()?;
    for n in 0..LOOKED_UP {
        let listed = store.cursors(&of[n % of.len()], None, page);
        assert_eq!(listed.len(), 1, "each user has one cursor, and each topic");
    }
    let listing = cpu()?.saturating_sub(cpu_before) / LOOKED_UP as u32;
    println!(
        "{count} cursors: {each:.0} bytes each, opened in {took:.1?} with {opened:.1?} of CPU, listing \
         one takes {listing:.1?}"
    );
    Ok(store)
}

/// What the store's threads do while nobody asks for anything, and apart from it what checkpoints
/// of the first minutes take.
fn watch_idle(checkpoints: &Path) -> Result<(), Failure> {
    let made = || -> Result<Vec<_>, Failure> {
        let entries: Result<Vec<_>, _> = std::fs::read_dir(checkpoints)?.collect();
        let mut names: Vec<_> = entries?.iter().map(std::fs::DirEntry::file_name).collect();
        names.sort();
        Ok(names)
    };
    let mut seen = made()?;
    let mut spent_at = vec![spent(Threads::OfTheStore)?];
    let mut changed_at = Vec::new();
    for step in 1..=WATCHED.as_secs() / STEP.as_secs() {
        std::thread::sleep(STEP);
        spent_at.push(spent(Threads::OfTheStore)?);
        let now = made()?;
        if now != seen {
            changed_at.push(step as usize);
            seen = now;
        }
    }
    let settled = changed_at.last().map_or(0, |last| last + SETTLED);
    let [.., (cpu_last, wakeups_last)] = spent_at[..] else { return Err("not watched".into()) };
    let (cpu_first, wakeups_first) = *spent_at.get(settled).ok_or("it did not settle")?;
    let seconds = (spent_at.len() - 1 - settled) as f64 * STEP.as_secs_f64();
    let steps = spent_at[settled..].windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0));
    println!(
        "checkpoints changed {changed_at:?} s after the start, with {:.1?} of CPU up to {settled} s; in \
         the {seconds} s after that: {:.3} ms of CPU and {:.2} wakeups a second, at most {:.1?} in one",
        cpu_first.saturating_sub(spent_at[0].0),
        (cpu_last.saturating_sub(cpu_first)).as_secs_f64() * 1000.0 / seconds,
        (wakeups_last - wakeups_first) as f64 / seconds,
        steps.max().unwrap_or_default(),
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
