//! An unfinished last batch is cut, wherever it ends.

use tidings_core::Durability;

use super::rig::{Plan, publish};
use crate::embedded::simulated_disk::{Random, SimulatedDisk};

/// A disk with some batches, without the mark of a proper close, and where the last batch lies.
fn disk_with_last_batch(random: &mut Random) -> (SimulatedDisk, std::ops::Range<usize>) {
    let disk = SimulatedDisk::new(0);
    let mut rig = Plan::default().open(&disk);
    for n in 0..3 {
        rig.publish("a", &format!("kept {n}"));
    }
    let start = rig.store.shared.synced().position as usize;
    let writes = (0..3).map(|n| {
        publish("a", &format!("last {n} {}", "x".repeat(random.below(40))), None, Durability::Sync)
    });
    let tags = rig.submit(writes.collect());
    for tag in tags {
        rig.recorder.outcome(tag);
    }
    let end = rig.store.shared.synced().position as usize;
    // The store is dropped on its own disk; this one sees no close.
    (disk.after_kill(), start..end)
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let mut random = Random::new(1);
    let (whole, last) = disk_with_last_batch(&mut random);
    let name = "log/0000000001.seg";
    let bytes = whole.contents(name);
    assert_eq!(Plan::default().open(&whole.after_kill()).read("a").len(), 6);
    for cut in last.clone() {
        for filler in [0x00, 0xff] {
            let disk = whole.after_kill();
            let mut torn = bytes.clone();
            torn[cut..last.end].fill(filler);
            if torn == bytes {
                continue;
            }
            disk.set_contents(name, torn);
            check_cut(&disk, cut, &last);
        }
    }
}

fn check_cut(disk: &SimulatedDisk, cut: usize, last: &std::ops::Range<usize>) {
    let plan = Plan::default();
    let mut rig = plan.open(disk);
    assert_eq!(rig.recovered.damage, [], "cut at {cut}");
    if cut >= last.start + crate::embedded::batch::BATCH_HEAD {
        assert_eq!(rig.recovered.cut_bytes, last.len() as u64, "cut at {cut}");
    }
    let kept: Vec<String> = rig.read("a").into_values().collect();
    assert_eq!(kept, ["kept 0", "kept 1", "kept 2"], "cut at {cut}");
    // Offsets of the cut batch are not given to other messages if the batch can be told.
    let next = rig.publish("a", "new").offset.get();
    assert!((4..=7).contains(&next), "{next}");
    let expected = rig.read("a");
    let again = plan.open(&disk.after_kill());
    assert_eq!(again.recovered.cut_bytes, 0, "cut at {cut}");
    assert_eq!(again.read("a"), expected, "cut at {cut}");
}

/// What is left of a longer batch behind a shorter one must not come back.
#[test]
fn cut_records_do_not_come_back() {
    let mut random = Random::new(2);
    for _ in 0..50 {
        let (disk, last) = disk_with_last_batch(&mut random);
        let name = "log/0000000001.seg";
        let mut bytes = disk.contents(name);
        // The first record of the batch is damaged, the others are whole.
        bytes[last.start + crate::embedded::batch::BATCH_HEAD + 12] ^= 1;
        disk.set_contents(name, bytes);
        let plan = Plan::default();
        let mut rig = plan.open(&disk);
        rig.publish("b", "short");
        for round in 0..3 {
            rig = plan.open(&rig.disk.after_kill());
            assert_eq!(rig.read("a").len(), 3, "round {round}");
            assert_eq!(rig.recovered.cut_bytes, 0);
            rig.publish("b", "short");
        }
    }
}
