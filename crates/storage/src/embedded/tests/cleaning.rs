//! Retention frees segments, quiet topics do not pin them, and checkpoints make both last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Durability, Retention};

use super::rig::{Plan, Rig, SEGMENT, eventually, publish};
use crate::embedded::OpenError;
use crate::embedded::simulated_disk::SimulatedDisk;
use crate::embedded::upkeep::{Checkpoints, Upkeep};
use crate::keep::Sweep;
use crate::store::{Outcome, Store};

const FEW: Retention =
    Retention { age: Duration::from_secs(3600), messages: Some(10), bytes: None };

/// Publishes about `segments` segments full.
fn flood(rig: &mut Rig, name: &str, segments: usize) {
    let data = "x".repeat(1000);
    for _ in 0..segments {
        let writes = (0..32).map(|_| publish(name, &data, None, Durability::Sync));
        let tags = rig.submit(writes.collect());
        rig.recorder.outcome(tags[31]);
    }
}

#[test]
fn trimmed_segments_are_used_again() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::with_upkeep(&[("busy", FEW)]);
    let mut rig = plan.open(&disk);
    for round in 0..20 {
        flood(&mut rig, "busy", 5);
        eventually("segments are given back", || rig.segments().len() <= 4);
        let files = disk.names().iter().filter(|name| name.ends_with(".seg")).count();
        assert!(files <= 9, "round {round}: {files} files");
    }
    assert!(rig.segments()[0] > 50, "{:?}", rig.segments());
    assert!(rig.store.status().disk_bytes <= 9 * u64::from(SEGMENT));
    eventually("trimming", || rig.read("busy").len() == 10);
    let expected = rig.read("busy");
    drop(rig);
    for seed in 0..5 {
        let rig = plan.open(&disk.after_power_loss(seed));
        assert_eq!(rig.recovered.damage, []);
        assert_eq!(rig.read("busy"), expected);
    }
}

#[test]
fn a_quiet_topic_does_not_pin_segments() {
    let disk = SimulatedDisk::new(0);
    // Upkeep rests meanwhile, so that each segment gets a message that is kept.
    let mut rig = Plan::default().open(&disk);
    let mut expected = BTreeMap::new();
    for n in 1..=40 {
        rig.publish("quiet", &format!("quiet {n}"));
        expected.insert(n, format!("quiet {n}"));
        flood(&mut rig, "busy", 1);
    }
    assert!(rig.segments().len() >= 40);
    drop(rig);
    let plan = Plan::with_upkeep(&[("busy", FEW)]);
    let mut rig = plan.open(&disk);
    // Others go on filling segments, a few in each round of upkeep.
    eventually("segments are emptied", || {
        flood(&mut rig, "busy", 3);
        eventually("trimming", || rig.read("busy").len() == 10);
        rig.segments().len() <= 16
    });
    assert_eq!(rig.read("quiet"), expected);
    assert_eq!(rig.publish("quiet", "quiet 41").offset.get(), 41);
    expected.insert(41, "quiet 41".to_owned());
    for seed in 0..10 {
        let rig = plan.open(&disk.after_power_loss(seed));
        assert_eq!(rig.recovered.damage, []);
        assert_eq!(rig.read("quiet"), expected);
    }
    drop(rig);
    let rig = plan.open(&disk);
    assert_eq!(rig.read("quiet"), expected);
    assert_eq!(rig.store.status().damaged, 0);
}

/// A message in each segment that is kept long, and a bound far below what it takes for a
/// checkpoint by the log's size alone: until there is one, no segment can be emptied.
#[test]
fn a_log_with_a_small_bound_goes_on() {
    let disk = SimulatedDisk::new(0);
    let mut plan = Plan::with_upkeep(&[("busy", FEW)]);
    plan.config.log_bytes_max = 16 * u64::from(SEGMENT);
    plan.config.checkpoint_bytes = 256 * 1024 * 1024;
    let mut rig = plan.open(&disk);
    let data = "x".repeat(1000);
    for n in 0..60 {
        for name in std::iter::once("quiet").chain(std::iter::repeat_n("busy", 25)) {
            // A publisher that is refused tries again, and is not refused for ever.
            eventually("there is space", || {
                matches!(
                    rig.write(publish(name, &data, None, Durability::Sync)),
                    Outcome::Published(_)
                )
            });
        }
        assert_eq!(rig.read("quiet").len(), n + 1);
    }
    assert!(rig.store.status().disk_bytes <= plan.config.log_bytes_max);
}

/// One at a time they would be scattered over as many segments again by what others write.
#[test]
fn what_is_left_in_many_segments_is_moved_together() {
    let disk = SimulatedDisk::new(0);
    let mut plan = Plan::with_upkeep(&[("busy", FEW)]);
    // The rounds are the test's own.
    plan.config.upkeep_interval = Duration::from_secs(3600);
    let mut rig = plan.open(&disk);
    for n in 1..=40 {
        rig.publish("quiet", &format!("quiet {n}"));
        flood(&mut rig, "busy", 1);
    }
    let expected = rig.read("quiet");
    let pinned = |rig: &Rig| rig.store.shared.index().live().len();
    assert!(pinned(&rig) >= 40);
    let sweep = Sweep::new(plan.config.cursor_expiry);
    let shared = Arc::clone(&rig.store.shared);
    let mut upkeep =
        Upkeep::new(shared, Checkpoints::default(), plan.config.checkpoint_bytes, sweep);
    upkeep.round(&mut || {});
    assert!(pinned(&rig) <= 5, "{:?}", rig.store.shared.index().live());
    // Two checkpoints later nothing needs the old ones.
    for _ in 0..2 {
        flood(&mut rig, "busy", 1);
        upkeep.round(&mut || {});
    }
    assert!(rig.segments().len() <= 8, "{:?}", rig.segments());
    assert_eq!(rig.read("quiet"), expected);
    assert_eq!(plan.open(&disk.after_kill()).read("quiet"), expected);
}

/// A disk where checkpoints were made and segments given back.
fn disk_with_checkpoints() -> (SimulatedDisk, BTreeMap<u64, String>) {
    let disk = SimulatedDisk::new(0);
    let mut rig = Plan::with_upkeep(&[("busy", FEW)]).open(&disk);
    flood(&mut rig, "busy", 20);
    eventually("segments are given back", || rig.segments()[0] > 5);
    for n in 0..10 {
        rig.publish("other", &n.to_string());
    }
    let expected = rig.read("other");
    (disk.after_kill(), expected)
}

fn checkpoints(disk: &SimulatedDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(".ckpt")).collect()
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let (disk, expected) = disk_with_checkpoints();
    let found = checkpoints(&disk);
    assert_eq!(found.len(), 2, "{found:?}");
    let newest = disk.contents(&found[1]);
    for position in [0, 30, 60, newest.len() / 2, newest.len() - 1] {
        let disk = disk.after_kill();
        let mut damaged = newest.clone();
        damaged[position] ^= 4;
        disk.set_contents(&found[1], damaged);
        let mut rig = Plan::default().open(&disk);
        assert_eq!(rig.recovered.damaged_checkpoints, 1);
        assert_eq!(rig.read("other"), expected);
        assert_eq!(rig.publish("other", "next").offset.get(), 11);
        drop(rig);
        // Closing made a new one.
        let rig = Plan::default().open(&disk);
        assert_eq!(rig.recovered.damaged_checkpoints, 0);
        assert_eq!(rig.read("other").len(), 11);
    }
}

#[test]
fn without_a_whole_checkpoint_the_rest_of_the_log_is_not_taken_for_all_of_it() {
    let (disk, _) = disk_with_checkpoints();
    let before = disk.names();
    for name in checkpoints(&disk) {
        let mut damaged = disk.contents(&name);
        damaged.truncate(damaged.len() / 2);
        disk.set_contents(&name, damaged);
    }
    let error = Plan::default().try_open(&disk).expect_err("nothing to go on from");
    assert!(matches!(error, OpenError::Checkpoint { .. }), "{error:?}");
    for name in checkpoints(&disk) {
        disk.delete(&name);
    }
    let error = Plan::default().try_open(&disk).expect_err("nothing to go on from");
    assert!(matches!(error, OpenError::Checkpoint { .. }), "{error:?}");
    // Nothing was deleted on the way.
    assert!(before.iter().filter(|n| n.ends_with(".seg")).all(|n| disk.names().contains(n)));
}
