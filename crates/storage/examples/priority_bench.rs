//! Measures what a priority buys: how long a durable publish takes while bulk publishes keep the
//! store's queue full, and what bulk still gets meanwhile.
//!
//! `cargo run --release -p tidings-storage --example priority_bench [DIRECTORY]`

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_core::{Data, Durability, NewMessage, Priority, Topic};
use tidings_storage::{
    Commit, CommitObserver, EmbeddedConfig, EmbeddedStore, Store, Submission, Ticket, Write,
};

type Failure = Box<dyn std::error::Error>;

/// Publishes measured for each line of the table.
const MEASURED: usize = 300;

/// The lane of the publishes that are measured.
const MEASURED_LANE: u32 = 1;

fn main() -> Result<(), Failure> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    println!("| published as | p50 ms | p99 ms | bulk per second meanwhile |\n|---|---|---|---|");
    for round in 0..3 {
        for priority in Priority::ALL {
            let name = format!("{round}-{}", priority.as_str());
            under_a_flood(&directory.path().join(name), priority)?;
        }
    }
    Ok(())
}

/// Counts bulk, and tells the one that is measured.
struct Observer {
    bulk: AtomicU64,
    measured: Mutex<SyncSender<()>>,
}

impl CommitObserver for Observer {
    fn committed(&self, commit: Commit) {
        let mut bulk = 0;
        for committed in commit.outcomes {
            match committed.ticket {
                Some(Ticket { lane: MEASURED_LANE, .. }) => {
                    let measured = self.measured.lock().expect("nobody panics with it");
                    let _ = measured.send(());
                }
                Some(_) | None => bulk += 1,
            }
        }
        self.bulk.fetch_add(bulk, Ordering::Relaxed);
    }
}

fn submission(topic: &str, bytes: usize, lane: u32) -> Submission {
    let topic = Topic::parse(topic).expect("a valid topic");
    let message = NewMessage::new(topic, Data::binary(Bytes::from(vec![7; bytes])));
    let write = Write::Publish { message, durability: Durability::Sync, id: None };
    Submission { write, ticket: Some(Ticket { lane, tag: 0 }) }
}

fn under_a_flood(directory: &std::path::Path, priority: Priority) -> Result<(), Failure> {
    let config = EmbeddedConfig { log_bytes_max: 8 << 30, ..EmbeddedConfig::new(directory) };
    let (sender, receiver) = sync_channel(1);
    let observer = Arc::new(Observer { bulk: AtomicU64::new(0), measured: Mutex::new(sender) });
    let (store, _) = EmbeddedStore::open(&config, Arc::default(), Arc::clone(&observer) as _)?;
    let store = Arc::new(store);
    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let piece = (0..64).map(|_| submission("report/1", 4096, 0)).collect();
                if store.submit_as(Priority::Bulk, piece).is_err() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        })
    };
    std::thread::sleep(Duration::from_millis(500));
    let (started, before) = (Instant::now(), observer.bulk.load(Ordering::Relaxed));
    let mut took = Vec::with_capacity(MEASURED);
    while took.len() < MEASURED && started.elapsed() < Duration::from_secs(20) {
        let at = Instant::now();
        if store.submit_as(priority, vec![submission("alarm/1", 128, MEASURED_LANE)]).is_ok() {
            receiver.recv()?;
            took.push(at.elapsed().as_secs_f64() * 1000.0);
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let bulk = observer.bulk.load(Ordering::Relaxed) - before;
    let rate = bulk as f64 / started.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    flood.join().map_err(|_| "the flood broke off")?;
    store.close();
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!("| {} | {:.2} | {:.2} | {rate:.0} |", priority.as_str(), at(0.5), at(0.99));
    Ok(())
}
