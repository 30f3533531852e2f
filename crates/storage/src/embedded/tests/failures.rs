//! A failed write or sync ends writing for good; a full disk ends it until there is space.

use std::sync::{Arc, Condvar, Mutex};

use tidings_core::Durability;

use super::rig::{Plan, Rig, SEGMENT, eventually, publish, topic};
use crate::embedded::simulated_disk::{DiskFault, SimulatedDisk};
use crate::embedded::{EmbeddedConfig, EmbeddedStore};
use crate::store::{Commit, CommitObserver, Outcome, Store, StoreError, Submission};

/// Publishes until the store refuses; returns what was acknowledged, and why it refused.
fn publish_until_refused(rig: &mut Rig, most: usize) -> (Vec<u64>, Option<StoreError>) {
    let mut acknowledged = Vec::new();
    for n in 0..most {
        let write = publish("a", &format!("{n} {}", "x".repeat(500)), None, Durability::Sync);
        match rig.try_submit(vec![write]) {
            Ok(tags) => match rig.recorder.outcome(tags[0]) {
                Outcome::Published(message) => acknowledged.push(message.offset.get()),
                Outcome::Refused(error) => return (acknowledged, Some(error)),
                other => panic!("{other:?}"),
            },
            Err(error) => return (acknowledged, Some(error)),
        }
    }
    (acknowledged, None)
}

#[test]
fn after_a_failed_sync_or_write_nothing_is_acknowledged() {
    for fault in [DiskFault::Sync, DiskFault::Write] {
        for after in [0, 1, 5, 40] {
            let disk = SimulatedDisk::new(0);
            let mut rig = Plan::default().open(&disk);
            rig.publish("a", "before");
            disk.set_fault(fault, after);
            let (acknowledged, error) = publish_until_refused(&mut rig, 500);
            let error = error.expect("the fault comes before the end");
            assert!(matches!(error, StoreError::Poisoned { .. }), "{error:?}");
            assert!(!error.is_temporary());
            // The disk works again, but the store no longer trusts it.
            for _ in 0..3 {
                let (none, again) = publish_until_refused(&mut rig, 1);
                assert_eq!((none, again), (vec![], Some(error.clone())));
            }
            assert_eq!(rig.store.status().refusing, Some(error));
            // Reads go on, and show what was acknowledged.
            assert_eq!(rig.read("a").len(), 1 + acknowledged.len());
            drop(rig);
            let rig = Plan::default().open(&disk.after_power_loss(u64::from(after)));
            assert!(rig.recovered.unclean, "a poisoned store is not marked as closed");
            let kept = rig.read("a");
            assert!(acknowledged.iter().all(|offset| kept.contains_key(offset)));
        }
    }
}

/// After a sync that failed the system still shows what it could not write, and takes it for
/// written. What a process that is started then shows must outlast the power all the same.
#[test]
fn what_a_failed_sync_left_in_memory_is_written_again() {
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        let mut rig = Plan::default().open(&disk);
        rig.publish("a", "before");
        disk.set_fault(DiskFault::Sync, (seed % 5) as u32);
        publish_until_refused(&mut rig, 10);
        let after = disk.after_kill();
        let mut rig = Plan::default().open(&after);
        rig.publish("a", "after");
        let shown = rig.read("a");
        let rig = Plan::default().open(&after.after_power_loss(seed));
        assert_eq!(rig.recovered.damage, [], "seed {seed}");
        assert_eq!(rig.read("a"), shown, "seed {seed}");
    }
}

#[test]
fn all_who_wait_are_told_of_a_failed_sync() {
    let disk = SimulatedDisk::new(0);
    let mut rig = Plan::default().open(&disk);
    disk.set_fault(DiskFault::Sync, 0);
    let writes = (0..200).map(|n| publish("a", &n.to_string(), None, Durability::Sync));
    for tag in rig.submit(writes.collect()) {
        let outcome = rig.recorder.outcome(tag);
        assert!(
            matches!(
                outcome,
                Outcome::Refused(StoreError::Poisoned { operation: "fdatasync", .. })
            ),
            "{outcome:?}"
        );
    }
    assert!(rig.read("a").is_empty(), "no reader is ahead of the disk");
    assert_eq!(rig.head("a"), 0);
}

#[test]
fn a_full_disk_refuses_until_there_is_space() {
    let disk = SimulatedDisk::new(0);
    let mut rig = Plan::default().open(&disk);
    rig.publish("a", "before");
    eventually("the next segment", || disk.used() >= 2 * u64::from(SEGMENT));
    disk.set_capacity(disk.used());
    let (acknowledged, error) = publish_until_refused(&mut rig, 500);
    let error = error.expect("the disk is full before the end");
    assert!(matches!(error, StoreError::Full { .. }) && error.is_temporary(), "{error:?}");
    assert_eq!(rig.store.status().refusing, Some(error));
    assert_eq!(rig.read("a").len(), 1 + acknowledged.len());
    // What needs no disk goes on.
    let unlogged = rig.write(publish("m", "x", None, Durability::Memory));
    assert!(matches!(unlogged, Outcome::Published(_)), "{unlogged:?}");
    assert_eq!(rig.store.topics(std::ops::Bound::Unbounded, 10).len(), 1);
    disk.set_capacity(u64::MAX);
    eventually("writing goes on", || rig.store.status().refusing.is_none());
    rig.publish("a", "after");
    let expected = rig.read("a");
    assert_eq!(expected.len(), 2 + acknowledged.len());
    drop(rig);
    assert_eq!(Plan::default().open(&disk).read("a"), expected);
}

#[test]
fn the_log_keeps_to_the_size_it_may_have() {
    let disk = SimulatedDisk::new(0);
    let mut plan = Plan::default();
    plan.config.log_bytes_max = 4 * u64::from(SEGMENT);
    let mut rig = plan.open(&disk);
    let (acknowledged, error) = publish_until_refused(&mut rig, 1000);
    assert!(matches!(error, Some(StoreError::Full { .. })), "{error:?}");
    assert!(acknowledged.len() > 150);
    assert!(rig.store.status().disk_bytes <= plan.config.log_bytes_max);
}

/// An observer that waits until it may go on.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl CommitObserver for Gate {
    fn committed(&self, _commit: Commit) {
        let open = self.open.lock().unwrap();
        drop(self.changed.wait_while(open, |open| !*open).unwrap());
    }
}

#[test]
fn a_full_queue_refuses() {
    let gate = Arc::new(Gate::default());
    let config = EmbeddedConfig { queue_bytes_max: 10_000, ..Plan::default().config };
    let (store, _) = EmbeddedStore::open_on(
        Arc::new(SimulatedDisk::new(0)),
        &config,
        Arc::default(),
        Arc::clone(&gate) as Arc<dyn CommitObserver>,
        Arc::new(crate::clock::SystemClock),
    )
    .unwrap();
    let mut taken = 0;
    let refused = loop {
        let write = publish("a", &"x".repeat(500), None, Durability::Sync);
        match store.submit(vec![Submission { write, ticket: None }]) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1000, "the queue is bounded");
    };
    assert!(
        matches!(refused, StoreError::Overloaded { waiting_bytes, .. } if waiting_bytes <= 10_000)
    );
    assert!(refused.is_temporary());
    *gate.open.lock().unwrap() = true;
    gate.changed.notify_all();
    store.close();
    assert_eq!(store.topic_state(&topic("a")).head.get(), taken);
}
