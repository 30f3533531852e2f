//! Power cuts and kills at random moments: what was acknowledged is there, once and in order.

use std::collections::BTreeMap;

use tidings_core::{CursorKey, CursorState, Durability, DurableKey, Offset};

use super::rig::{Plan, Rig, publish, topic};
use crate::embedded::simulated_disk::{Random, SimulatedDisk};
use crate::store::{Outcome, Store, Write};

/// What was told, and must be true after every crash.
#[derive(Debug, Default)]
struct Model {
    /// Topic and offset to data and key, of messages told with `Sync`.
    synced: BTreeMap<(String, u64), (String, String)>,
    /// Everything ever told at a place, by whatever durability.
    told: BTreeMap<(String, u64), String>,
    /// The largest cursor submitted, and the largest that was told and then followed by a sync.
    cursor_submitted: u64,
    cursor_synced: u64,
}

#[derive(Debug)]
enum Submitted {
    Publish { name: String, data: String, key: String, durability: Durability },
    Cursor(u64),
}

fn cursor_key() -> CursorKey {
    CursorKey::Durable(DurableKey {
        user: "alice".parse().unwrap(),
        name: "phone".parse().unwrap(),
        topic: topic("t/0"),
    })
}

/// Submits random writes in random portions.
fn submit_some(rig: &mut Rig, random: &mut Random, model: &mut Model) -> Vec<(u64, Submitted)> {
    let mut submitted = Vec::new();
    for _ in 0..random.below(12) {
        let (mut writes, mut what) = (Vec::new(), Vec::new());
        for _ in 0..=random.below(8) {
            if random.below(6) == 0 {
                model.cursor_submitted += 1;
                let next = model.cursor_submitted;
                let epoch = rig.store.topic_state(&topic("t/0")).epoch;
                let state = CursorState::at(epoch, Offset::new(next));
                writes.push(Write::SaveCursor { key: cursor_key(), state });
                what.push(Submitted::Cursor(next));
                continue;
            }
            let n = random.below(4);
            // The odd topics are not waited for.
            let durability = if matches!(n, 0 | 2) { Durability::Sync } else { Durability::Async };
            let (name, key) = (format!("t/{n}"), format!("{:x}", random.next()));
            let data = format!("{key} {}", "x".repeat(random.below(700)));
            writes.push(publish(&name, &data, Some(&key), durability));
            what.push(Submitted::Publish { name, data, key, durability });
        }
        submitted.extend(rig.submit(writes).into_iter().zip(what));
    }
    submitted
}

/// Notes what was told by now.
fn note(rig: &Rig, submitted: &[(u64, Submitted)], model: &mut Model) {
    let mut cursor_told = model.cursor_synced;
    for (tag, what) in submitted {
        let Some(outcome) = rig.recorder.outcome_by_now(*tag) else { continue };
        match (what, outcome) {
            (Submitted::Publish { name, data, key, durability }, Outcome::Published(message)) => {
                let place = (name.clone(), message.offset.get());
                let before = model.told.insert(place.clone(), data.clone());
                assert_eq!(before, None, "offset {place:?} was given twice");
                if *durability == Durability::Sync {
                    model.synced.insert(place, (data.clone(), key.clone()));
                    // What was told before it was synced with it.
                    model.cursor_synced = cursor_told;
                }
            }
            (Submitted::Cursor(next), Outcome::Saved) => cursor_told = *next,
            (what, outcome) => panic!("{what:?} was answered with {outcome:?}"),
        }
    }
}

fn check(rig: &mut Rig, model: &mut Model, seed: u64) {
    assert_eq!(rig.recovered.damaged_checkpoints, 0, "seed {seed}");
    for n in 0..4 {
        let name = format!("t/{n}");
        let kept = rig.read(&name);
        let damaged = rig.told_damaged(&name, 10);
        assert!(damaged.is_empty(), "seed {seed}: {name} {damaged:?} is told to be damaged");
        for ((_, offset), (data, _)) in
            model.synced.range((name.clone(), 0)..=(name.clone(), u64::MAX))
        {
            assert_eq!(kept.get(offset), Some(data), "seed {seed}: {name} {offset} is lost");
        }
        for (offset, data) in &kept {
            let told = model.told.entry((name.clone(), *offset)).or_insert_with(|| data.clone());
            assert_eq!(told, data, "seed {seed}: {name} {offset} has other content");
        }
        let mut texts: Vec<&String> = kept.values().collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), kept.len(), "seed {seed}: something is there twice");
    }
    let cursor = rig.store.cursor(&cursor_key()).map_or(0, |state| state.next.get());
    let range = model.cursor_synced..=model.cursor_submitted;
    assert!(range.contains(&cursor), "seed {seed}: cursor {cursor} is not in {range:?}");
    model.cursor_synced = cursor;
    // A few repeats must be recognised.
    let some: Vec<_> =
        model.synced.iter().rev().take(3).map(|(p, d)| (p.clone(), d.clone())).collect();
    for ((name, offset), (data, key)) in some {
        match rig.write(publish(&name, &data, Some(&key), Durability::Sync)) {
            Outcome::Duplicate { position, .. } => assert_eq!(position.offset.get(), offset),
            other => panic!("seed {seed}: stored twice: {other:?}"),
        }
    }
}

/// Crashes many times over; each crash is a power cut or a kill.
fn crash_again_and_again(seed: u64) {
    let mut random = Random::new(seed);
    let mut model = Model::default();
    let mut disk = SimulatedDisk::new(0);
    for _ in 0..6 {
        let mut plan = Plan::default();
        plan.config.upkeep_interval = std::time::Duration::from_micros(200);
        plan.config.checkpoint_bytes = 1 + random.below(100_000) as u64;
        let mut rig = plan.open(&disk);
        check(&mut rig, &mut model, seed);
        let submitted = submit_some(&mut rig, &mut random, &mut model);
        for _ in 0..random.below(2000) {
            std::thread::yield_now();
        }
        if random.below(3) == 0
            && let Some((tag, _)) = submitted.last()
        {
            rig.recorder.outcome(*tag);
        }
        // First what was told, then the crash: what is told in between does not count.
        note(&rig, &submitted, &mut model);
        disk = if random.below(4) == 0 {
            rig.disk.after_kill()
        } else {
            rig.disk.after_power_loss(random.next())
        };
    }
    let mut rig = Plan::default().open(&disk);
    check(&mut rig, &mut model, seed);
}

#[test]
fn what_was_acknowledged_survives_crashes() {
    for seed in 0..250 {
        crash_again_and_again(seed);
    }
}
