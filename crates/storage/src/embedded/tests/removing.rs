//! Removed messages stay removed through crashes, checkpoints and cleaning, and give their space
//! back.

use std::collections::BTreeMap;

use tidings_core::{Durability, Offset, OrderKey};

use super::rig::{Plan, Rig, eventually, publish, topic};
use crate::embedded::simulated_disk::{Random, SimulatedDisk};
use crate::store::{Outcome, Store, Write};

fn remove(name: &str, offset: u64) -> Write {
    Write::Remove { topic: topic(name), offset: Offset::new(offset) }
}

/// Publishes 32 messages of 1000 bytes to `name`.
fn flood(rig: &mut Rig, name: &str) {
    let writes = (0..32).map(|_| publish(name, &"x".repeat(1000), None, Durability::Sync));
    let tags = rig.submit(writes.collect());
    rig.recorder.outcome(tags[31]);
}

/// Makes what was written so far last.
fn sync(rig: &mut Rig) {
    rig.publish("sync", "x");
}

#[test]
fn segments_are_used_again_when_all_in_them_is_removed() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::with_upkeep(&[]);
    let mut rig = plan.open(&disk);
    for round in 0..20 {
        for _ in 0..5 {
            flood(&mut rig, "a");
        }
        let head = rig.head("a");
        let mut offsets: Vec<u64> = rig.read("a").into_keys().collect();
        // Newest first, so that nothing is trimmed from the front.
        offsets.reverse();
        rig.submit(offsets.into_iter().map(|offset| remove("a", offset)).collect());
        sync(&mut rig);
        assert_eq!((rig.read("a").len(), rig.head("a")), (0, head));
        eventually("segments are given back", || rig.segments().len() <= 5);
        assert!(disk.names().iter().filter(|name| name.ends_with(".seg")).count() <= 10, "{round}");
    }
    drop(rig);
    let mut rig = plan.open(&disk);
    assert_eq!((rig.head("a"), rig.store.topic_state(&topic("a")).first.get()), (3200, 3201));
    assert_eq!(rig.publish("a", "next").offset.get(), 3201);
}

/// Cleaning moves what is left while more of it is removed, and everything is read back.
fn remove_while_cleaning(seed: u64) {
    let mut random = Random::new(seed);
    let mut disk = SimulatedDisk::new(0);
    let mut plan = Plan::with_upkeep(&[]);
    plan.config.checkpoint_bytes = 20_000;
    let mut expected: BTreeMap<u64, String> = BTreeMap::new();
    for _ in 0..4 {
        let mut rig = plan.open(&disk);
        assert_eq!(rig.read("a"), expected, "seed {seed}");
        assert_eq!(rig.store.count_messages(&topic("a")), expected.len() as u64, "seed {seed}");
        for _ in 0..6 {
            for _ in 0..random.below(40) {
                let data = format!("{} {}", random.next(), "x".repeat(random.below(2000)));
                let message = rig.publish("a", &data);
                expected.insert(message.offset.get(), data);
            }
            // Most of it, so that segments are worth emptying.
            let gone: Vec<u64> =
                expected.keys().copied().filter(|_| random.below(4) != 0).collect();
            for offset in &gone {
                expected.remove(offset);
            }
            let mut gone: Vec<_> = gone.into_iter().map(|offset| remove("a", offset)).collect();
            for _ in 0..random.below(3) {
                gone.push(remove("a", 1 + random.below(300) as u64 % (rig.head("a") + 2)));
            }
            for write in &gone {
                if let Write::Remove { offset, .. } = write {
                    expected.remove(&offset.get());
                }
            }
            rig.submit(gone);
            flood(&mut rig, "other");
            assert_eq!(rig.read("a"), expected, "seed {seed}");
            assert_eq!(rig.store.count_messages(&topic("a")), expected.len() as u64, "seed {seed}");
        }
        assert_eq!(rig.store.status().damaged, 0, "seed {seed}");
        disk = match random.below(3) {
            0 => rig.disk.after_kill(),
            1 => rig.disk.after_power_loss(random.next()),
            _ => {
                drop(rig);
                disk
            }
        };
    }
}

#[test]
fn what_is_removed_does_not_come_back() {
    for seed in 0..60 {
        remove_while_cleaning(seed);
    }
}

/// A message is published elsewhere and removed here in one submission: after a power cut it is in
/// one place at least.
#[test]
fn a_message_that_is_carried_over_is_always_somewhere() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(0);
        let plan = Plan::default();
        let mut rig = plan.open(&disk);
        for n in 1..=20 {
            rig.publish("dead", &n.to_string());
        }
        for n in 1..=20 {
            let key = n.to_string();
            // Larger than a batch now and then, so that the two are written apart.
            let durability =
                if random.below(2) == 0 { Durability::Sync } else { Durability::Async };
            let data = format!("{n} {}", "x".repeat(random.below(12_000)));
            rig.submit(vec![publish("alive", &data, Some(&key), durability), remove("dead", n)]);
        }
        for _ in 0..random.below(2000) {
            std::thread::yield_now();
        }
        let rig = plan.open(&disk.after_power_loss(seed));
        let alive = rig.read("alive");
        let alive: Vec<&str> = alive.values().filter_map(|data| data.split(' ').next()).collect();
        let dead = rig.read("dead");
        for n in 1..=20u64 {
            let is_somewhere = dead.contains_key(&n) || alive.contains(&n.to_string().as_str());
            assert!(is_somewhere, "seed {seed}: {n} is lost");
        }
    }
}

/// Neither who cancelled it nor a checkpoint may know more than the disk.
#[test]
fn a_removal_is_told_and_seen_only_once_it_lasts() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::default();
    let mut rig = plan.open(&disk);
    rig.publish_as("alive", "the first of a topic is synced anyway", Durability::Async);
    for n in 1..=10 {
        rig.publish("dead", &n.to_string());
    }
    for n in 1..=10 {
        let publish = publish("alive", &n.to_string(), None, Durability::Async);
        let tags = rig.submit(vec![publish, remove("dead", n)]);
        let outcome = rig.recorder.outcome(tags[1]);
        assert!(matches!(outcome, Outcome::Saved), "{outcome:?}");
        for seed in 0..5 {
            let after = plan.open(&disk.after_power_loss(seed));
            assert_eq!(after.read("dead").len() as u64, 10 - n, "seed {seed}");
            assert_eq!(after.read("alive").len() as u64, 1 + n, "seed {seed}");
        }
    }
}

/// Everything a message carries comes along when its segment is emptied.
#[test]
fn a_moved_message_is_the_same() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::with_upkeep(&[]);
    let mut rig = plan.open(&disk);
    let id = tidings_core::MessageId::new(7, 8, 9);
    let mut write = publish("a", "kept", Some("key"), Durability::Sync);
    if let Write::Publish { message, id: given, .. } = &mut write {
        message.order_key = OrderKey::parse("account 7").ok();
        *given = Some(id);
    }
    let Outcome::Published(told) = rig.write(write) else { panic!("not published") };
    for _ in 0..4 {
        flood(&mut rig, "b");
    }
    rig.submit((1..=128).map(|offset| remove("b", offset)).collect());
    let first = |rig: &Rig| rig.store.shared.index().live().keys().next().map(|id| id.0);
    eventually("the first segment is emptied", || {
        flood(&mut rig, "c");
        first(&rig) > Some(1)
    });
    assert_eq!(rig.messages("a"), std::slice::from_ref(&told));
    drop(rig);
    let rig = plan.open(&disk);
    assert_eq!(rig.messages("a"), [told]);
}
