//! A copy is known as one until its new epoch is on disk, and then for good.

use super::rig::Plan;
use crate::embedded::Origin;
use crate::embedded::simulated_disk::SimulatedDisk;
use crate::store::Store;

fn epoch(rig: &super::rig::Rig) -> tidings_core::Epoch {
    rig.store.topic_state(&super::rig::topic("a")).epoch
}

#[test]
fn the_epoch_of_a_copy_outlives_a_power_cut() {
    let (disk, plan) = (SimulatedDisk::new(0), Plan::default());
    let mut original = plan.open(&disk);
    original.publish("a", "1");
    for seed in 0..50 {
        let copy = disk.copied();
        let mut rig = plan.open(&copy);
        assert_eq!(rig.recovered.origin, Origin::Copied);
        let new = epoch(&rig);
        assert_ne!(new, epoch(&original));
        rig.publish("a", "2");
        let after = plan.open(&copy.after_power_loss(seed));
        assert_eq!((after.recovered.origin, epoch(&after)), (Origin::Here, new));
        assert_eq!(after.read("a").len(), 2);
    }
}

#[test]
fn a_copy_that_could_not_be_opened_is_still_one() {
    let (disk, plan) = (SimulatedDisk::new(0), Plan::default());
    let mut original = plan.open(&disk);
    original.publish("a", "1");
    // The first has no room for META, the others for META.copy and what follows.
    for room in [0, 100, 200, 400] {
        let copy = disk.copied();
        copy.set_capacity(copy.used() + room);
        drop(plan.try_open(&copy));
        copy.set_capacity(u64::MAX);
        let rig = plan.open(&copy);
        assert_ne!(epoch(&rig), epoch(&original), "room for {room} bytes");
    }
    let copy = disk.copied();
    copy.set_capacity(copy.used());
    plan.try_open(&copy).expect_err("there is no room for META");
    copy.set_capacity(u64::MAX);
    assert_eq!(plan.open(&copy).recovered.origin, Origin::Copied);
}
