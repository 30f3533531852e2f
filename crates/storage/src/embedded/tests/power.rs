//! What a power cut may take back is never given again.

use tidings_core::{CursorKey, CursorState, Durability, DurableKey, Offset};

use super::rig::{Plan, publish, topic};
use crate::embedded::simulated_disk::SimulatedDisk;
use crate::embedded::writer::UNSYNCED_RECORDS_MAX;
use crate::store::{Outcome, Store, Write};

#[test]
fn offsets_nobody_waited_for_are_skipped_after_a_power_cut() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::default();
    let mut rig = plan.open(&disk);
    for n in 0..5 {
        rig.publish_as("unwaited", &n.to_string(), Durability::Async);
    }
    rig.publish("waited", "x");
    for n in 5..8 {
        rig.publish_as("unwaited", &n.to_string(), Durability::Async);
    }
    let killed = plan.open(&disk.after_kill());
    assert_eq!(killed.head("unwaited"), 8, "a kill takes nothing back");
    for seed in 0..20 {
        let after = disk.after_power_loss(seed);
        let mut rig = plan.open(&after);
        assert!(rig.recovered.unclean);
        assert!(rig.read("unwaited").len() >= 5);
        // At most an unfinished batch is skipped in other topics.
        assert!(rig.publish("waited", "y").offset.get() <= 2 + 3);
        let next = rig.publish_as("unwaited", "new", Durability::Async).offset.get();
        assert!(next > UNSYNCED_RECORDS_MAX, "{next}");
        // Once is enough.
        drop(rig);
        let rig = plan.open(&after);
        assert_eq!(rig.head("unwaited"), next);
    }
}

#[test]
fn a_store_that_was_closed_skips_nothing() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::default();
    let mut rig = plan.open(&disk);
    rig.publish_as("unwaited", "x", Durability::Async);
    drop(rig);
    let rig = plan.open(&disk.after_power_loss(1));
    assert!(!rig.recovered.unclean);
    assert_eq!((rig.head("unwaited"), rig.read("unwaited").len()), (1, 1));
}

/// Whoever waits for the disk does so also when the message is there already.
#[test]
fn a_repeated_publish_that_waits_has_the_first_one_synced() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::default();
    let mut rig = plan.open(&disk);
    rig.publish_as("a", "the first of a topic is synced anyway", Durability::Async);
    rig.write(publish("a", "x", Some("k"), Durability::Async));
    let outcome = rig.write(publish("a", "x", Some("k"), Durability::Sync));
    assert!(matches!(outcome, Outcome::Duplicate { .. }), "{outcome:?}");
    for seed in 0..20 {
        assert_eq!(plan.open(&disk.after_power_loss(seed)).read("a").len(), 2, "seed {seed}");
    }
}

/// Where a subscription begins is told only when no power cut can move it.
#[test]
fn the_first_cursor_of_a_subscription_is_on_disk_when_it_is_told() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::default();
    let mut rig = plan.open(&disk);
    let key = CursorKey::Durable(DurableKey {
        user: "alice".parse().unwrap(),
        name: "phone".parse().unwrap(),
        topic: topic("a"),
    });
    let epoch = rig.store.topic_state(&topic("a")).epoch;
    let state = CursorState::at(epoch, Offset::FIRST);
    rig.write(Write::SaveCursor { key: key.clone(), state: state.clone() });
    for seed in 0..20 {
        let rig = plan.open(&disk.after_power_loss(seed));
        assert_eq!(rig.store.cursor(&key), Some(state.clone()), "seed {seed}");
    }
}

#[test]
fn async_writes_are_synced_within_the_interval() {
    let disk = SimulatedDisk::new(0);
    let mut plan = Plan::default();
    plan.config.async_sync_interval = std::time::Duration::from_millis(1);
    let mut rig = plan.open(&disk);
    // The first of a topic is synced at once, the next one by the interval.
    rig.publish_as("unwaited", "1", Durability::Async);
    rig.publish_as("unwaited", "2", Durability::Async);
    let end = rig.store.shared.synced().next;
    super::rig::eventually("the sync", || {
        plan.open(&disk.after_power_loss(3)).read("unwaited").len() == 2
    });
    assert!(rig.store.shared.synced().next.batch >= end.batch);
}

/// What was lost before anybody waited for it is no damage, also where a segment begins.
#[test]
fn unsynced_batches_across_segments_are_cut_without_alarm() {
    for seed in 0..150 {
        let disk = SimulatedDisk::new(0);
        let plan = Plan::default();
        let mut rig = plan.open(&disk);
        rig.publish("waited", "x");
        for n in 0..20 + seed % 13 {
            rig.publish_as("unwaited", &format!("{n} {}", "x".repeat(2000)), Durability::Async);
        }
        let after = disk.after_power_loss(seed);
        let mut rig = plan.open(&after);
        assert_eq!(rig.recovered.damage, [], "seed {seed}");
        let kept: Vec<u64> = rig.read("unwaited").into_keys().collect();
        assert_eq!(kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "a prefix is kept");
        rig.publish("waited", "y");
        for _ in 0..20 {
            rig.publish_as("unwaited", &"y".repeat(2000), Durability::Async);
        }
        let (expected, waited) = (rig.read("unwaited"), rig.read("waited"));
        drop(rig);
        let rig = plan.open(&after);
        assert_eq!(rig.recovered.damage, [], "seed {seed}");
        assert_eq!((rig.read("unwaited"), rig.read("waited")), (expected, waited), "seed {seed}");
    }
}
