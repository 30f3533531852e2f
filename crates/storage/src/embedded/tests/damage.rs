//! Damage is noticed and named, never served, and takes nothing else with it.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::Durability;

use super::rig::{Plan, Rig, publish};
use crate::embedded::OpenError;
use crate::embedded::simulated_disk::{Random, SimulatedDisk};
use crate::store::Store;

const TOPICS: [&str; 3] = ["a", "b", "c/d"];

/// What a healthy disk keeps, by topic and offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents(BTreeMap<(String, u64), String>);

impl Contents {
    fn of(rig: &Rig) -> Self {
        let topics = TOPICS.iter().flat_map(|name| {
            rig.read(name).into_iter().map(|(offset, data)| (((*name).to_owned(), offset), data))
        });
        Self(topics.collect())
    }

    /// Every message that is there is one that was published, and how many are not there.
    fn missing_in(&self, found: &Self, seed: u64) -> usize {
        for (place, data) in &found.0 {
            assert_eq!(self.0.get(place), Some(data), "seed {seed}: wrong content at {place:?}");
        }
        self.0.len() - found.0.len()
    }

    /// Readers are told of everything that is not there, and of nothing that is or never was, but
    /// for what lies after the last message that was published. What lies before the first one kept
    /// is told as for any topic that was trimmed.
    fn check_told(&self, rig: &Rig, seed: u64, step: usize) {
        let found = Self::of(rig);
        for name in TOPICS {
            let of_topic = |contents: &Self| -> BTreeSet<u64> {
                let places = contents.0.keys().filter(|(topic, _)| topic == name);
                places.map(|(_, offset)| *offset).collect()
            };
            let (all, left) = (of_topic(self), of_topic(&found));
            let first = rig.store.topic_state(&super::rig::topic(name)).first.get();
            let missing: BTreeSet<u64> = (&all - &left).split_off(&first);
            let told = rig.told_damaged(name, step);
            let head = all.last().copied().unwrap_or_default();
            let told_within: BTreeSet<u64> = told.range(..=head).copied().collect();
            assert_eq!(told_within, missing, "seed {seed}: {name}");
        }
    }
}

/// A closed store of a few segments in batches of different sizes.
fn healthy() -> (SimulatedDisk, Contents) {
    let disk = SimulatedDisk::new(0);
    let mut random = Random::new(9);
    let mut rig = Plan::default().open(&disk);
    for n in 0..80 {
        let writes = (0..=random.below(8)).map(|m| {
            let data = format!("{n} {m} {}", "x".repeat(random.below(600)));
            let key = format!("{n} {m}");
            publish(TOPICS[random.below(3)], &data, Some(&key), Durability::Sync)
        });
        let tags = rig.submit(writes.collect());
        rig.recorder.outcome(tags[tags.len() - 1]);
    }
    let contents = Contents::of(&rig);
    drop(rig);
    (disk, contents)
}

fn files(disk: &SimulatedDisk, suffix: &str) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(suffix)).collect()
}

/// One flipped bit costs at most the record it is in, and is reported. `by_scan`: the whole log
/// is read when the store opens; otherwise damage is met by readers.
fn flip_bits(by_scan: bool, seeds: u64) {
    let (healthy, contents) = healthy();
    if by_scan {
        files(&healthy, ".ckpt").iter().for_each(|name| healthy.delete(name));
    }
    let segments = files(&healthy, ".seg");
    assert!(segments.len() >= 4);
    let mut hits = 0;
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        let disk = healthy.after_kill();
        let name = &segments[random.below(segments.len())];
        let mut bytes = disk.contents(name);
        let bit = random.below(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.set_contents(name, bytes);
        let rig = Plan::default().open(&disk);
        let missing = contents.missing_in(&Contents::of(&rig), seed);
        let reported = rig.store.status().damaged;
        assert!(missing <= 1, "seed {seed}: {missing} messages are gone");
        contents.check_told(&rig, seed, 1 + random.below(20));
        assert_eq!(reported, missing as u64, "seed {seed}: {name} bit {bit}");
        if by_scan && missing == 1 {
            let damage = &rig.recovered.damage;
            assert_eq!(damage.len(), 1, "seed {seed}");
            assert_eq!(&damage[0].file, name);
            let range = damage[0].position..damage[0].position + damage[0].bytes;
            assert!(range.contains(&(bit as u64 / 8)), "seed {seed}: {damage:?}");
        }
        hits += missing;
    }
    assert!(hits as u64 > seeds / 4, "only {hits} flips met a message");
}

#[test]
fn a_flipped_bit_is_met_by_readers() {
    flip_bits(false, 300);
}

#[test]
fn a_flipped_bit_is_met_by_recovery() {
    flip_bits(true, 300);
}

#[test]
fn after_damage_no_offset_is_given_twice() {
    let (healthy, contents) = healthy();
    files(&healthy, ".ckpt").iter().for_each(|name| healthy.delete(name));
    let segments = files(&healthy, ".seg");
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let disk = healthy.after_kill();
        // A page of a segment is gone.
        let name = &segments[random.below(segments.len() - 1)];
        let mut bytes = disk.contents(name);
        let start = 4096 + random.below(bytes.len() - 8192);
        bytes[start..start + 4096].fill(0);
        disk.set_contents(name, bytes);
        let mut rig = Plan::default().open(&disk);
        let left = Contents::of(&rig);
        let missing = contents.missing_in(&left, seed);
        assert_eq!(
            rig.recovered.damaged_records,
            missing as u64,
            "seed {seed}: {:?} {name} {start} {:?}",
            rig.recovered,
            healthy.names()
        );
        contents.check_told(&rig, seed, 7);
        for name in TOPICS {
            let next = rig.publish(name, "new").offset.get();
            assert!(
                !contents.0.contains_key(&(name.to_owned(), next)),
                "seed {seed}: {name} {next}"
            );
        }
        let after = Contents::of(&rig);
        let told = TOPICS.map(|name| rig.told_damaged(name, 7));
        drop(rig);
        // Now from a checkpoint, which was made when the store was closed.
        assert!(!files(&disk, ".ckpt").is_empty());
        let rig = Plan::default().open(&disk);
        assert_eq!(Contents::of(&rig), after, "seed {seed}");
        assert_eq!(TOPICS.map(|name| rig.told_damaged(name, 7)), told, "seed {seed}");
    }
}

#[test]
fn what_lay_in_a_segment_that_is_gone_is_told() {
    let (healthy, contents) = healthy();
    for name in files(&healthy, ".seg").iter().rev().skip(1) {
        let disk = healthy.after_kill();
        disk.delete(name);
        let rig = Plan::default().open(&disk);
        assert!(contents.missing_in(&Contents::of(&rig), 0) > 0, "{name}");
        contents.check_told(&rig, 0, 10);
    }
}

/// Changes something in a directory, as a bad disk or a careless operator might.
fn mutate(disk: &SimulatedDisk, random: &mut Random) {
    let names = disk.names();
    let name = &names[random.below(names.len())];
    let mut bytes = disk.contents(name);
    match random.below(7) {
        0 => disk.delete(name),
        1 => {
            bytes.truncate(random.below(bytes.len() + 1));
            disk.set_contents(name, bytes);
        }
        2 => {
            let other = &names[random.below(names.len())];
            let contents = disk.contents(other);
            disk.set_contents(other, bytes);
            disk.set_contents(name, contents);
        }
        3 => {
            bytes.extend((0..random.below(5000)).map(|_| 0xAB));
            disk.set_contents(name, bytes);
        }
        4 if !bytes.is_empty() => {
            let start = random.below(bytes.len());
            let end = (start + random.below(4096)).min(bytes.len());
            bytes[start..end].fill(if random.below(2) == 0 { 0 } else { 0xff });
            disk.set_contents(name, bytes);
        }
        5 if !bytes.is_empty() => {
            // A piece of the file lies somewhere else in it, too.
            let (from, to) = (random.below(bytes.len()), random.below(bytes.len()));
            let length = random.below(2000).min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + length, to);
            disk.set_contents(name, bytes);
        }
        _ if !bytes.is_empty() => {
            for _ in 0..=random.below(20) {
                let bit = random.below(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            disk.set_contents(name, bytes);
        }
        _ => {}
    }
}

#[test]
fn any_directory_opens_or_is_refused_with_a_reason() {
    let (healthy, contents) = healthy();
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let disk = healthy.after_kill();
        for _ in 0..=random.below(3) {
            mutate(&disk, &mut random);
        }
        match Plan::default().try_open(&disk) {
            Ok(mut rig) => {
                opened += 1;
                contents.missing_in(&Contents::of(&rig), seed);
                rig.publish("a", "goes on");
            }
            Err(
                OpenError::Identity { .. }
                | OpenError::OtherStore { .. }
                | OpenError::Checkpoint { .. },
            ) => refused += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(opened > 300 && refused > 5, "{opened} opened, {refused} refused");
}

#[test]
fn one_copy_of_meta_is_enough() {
    let (healthy, contents) = healthy();
    for name in ["META", "META.copy"] {
        let disk = healthy.after_kill();
        let mut bytes = disk.contents(name);
        bytes[30] ^= 1;
        disk.set_contents(name, bytes);
        let rig = Plan::default().open(&disk);
        assert_eq!(Contents::of(&rig), contents);
    }
    healthy.delete("META");
    healthy.delete("META.copy");
    let error = Plan::default().try_open(&healthy).expect_err("nothing can be verified");
    assert!(matches!(error, OpenError::Identity { .. }), "{error:?}");
}

#[test]
fn a_log_that_is_gone_begins_a_new_epoch() {
    let (disk, _) = healthy();
    let before = Plan::default().open(&disk).store.topic_state(&super::rig::topic("a"));
    for name in disk.names() {
        if name.ends_with(".seg") || name.ends_with(".ckpt") {
            disk.delete(&name);
        }
    }
    let mut rig = Plan::default().open(&disk);
    let message = rig.publish("a", "first again");
    assert_eq!(message.offset.get(), 1);
    assert_ne!(message.epoch, before.epoch);
}
