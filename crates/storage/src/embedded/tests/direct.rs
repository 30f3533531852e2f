//! Messages that are kept nowhere go round the writer.

use tidings_core::Durability;

use super::rig::{Plan, Rig, eventually, publish};
use crate::embedded::simulated_disk::SimulatedDisk;

impl Rig {
    /// Whether a message that is kept nowhere is told by the time its submission returns.
    fn tells_at_once(&mut self) -> bool {
        let tags = self.submit(vec![publish("m", "x", None, Durability::Memory)]);
        self.recorder.outcome_by_now(tags[0]).is_some()
    }
}

#[test]
fn what_is_kept_nowhere_is_told_before_its_submission_returns() {
    let mut rig = Plan::default().open(&SimulatedDisk::new(0));
    assert!((0..1_000).all(|_| rig.tells_at_once()));
    // One with a key is for the writer, and holds up those behind it until it is told.
    rig.write(publish("m", "x", Some("k"), Durability::Memory));
    let rig = std::cell::RefCell::new(rig);
    eventually("the writer has told it", || rig.borrow_mut().tells_at_once());
    let mut rig = rig.into_inner();
    assert!((0..1_000).all(|_| rig.tells_at_once()));
}
