//! Many subscribers that are behind, and a log that is read for all of them.

use tidings_protocol::StartFrom;

use super::Rig;
use crate::disconnects::Loss;
use crate::shard::reads::UNDER_WAY_MAX;

const MESSAGES: u64 = 300;

/// So many subscribers that want all there is.
async fn laggards(count: usize) -> (Rig, Vec<u32>) {
    let mut rig = Rig::start().await;
    for _ in 0..MESSAGES {
        rig.publish("jobs/a");
    }
    // Nobody is at the tail to whom this is news.
    rig.turn_once();
    let slots: Vec<_> = (0..count).map(|_| rig.connect()).collect();
    for slot in &slots {
        rig.subscribe(*slot, "jobs/a", StartFrom::First);
    }
    (rig, slots)
}

#[tokio::test]
async fn what_many_lack_is_read_a_little_at_a_time_and_reaches_all() {
    let (mut rig, slots) = laggards(40).await;
    assert_eq!(rig.shard.reads.standing(), (UNDER_WAY_MAX, 40 - UNDER_WAY_MAX));
    for slot in slots {
        assert_eq!(rig.offsets(slot, 300), (1..=MESSAGES).collect::<Vec<_>>());
    }
    assert_eq!(rig.shard.reads.standing(), (0, 0));
}

#[tokio::test]
async fn nothing_is_read_for_who_is_gone() {
    let (mut rig, slots) = laggards(40).await;
    for slot in &slots[..39] {
        rig.shard.remove(*slot, Loss::PeerEnded);
    }
    // One of those under way is done: of all that waited one is still wanted.
    while rig.shard.reads.standing().1 == 40 - UNDER_WAY_MAX {
        rig.turn_once();
    }
    let (under_way, waiting) = rig.shard.reads.standing();
    assert!(under_way <= UNDER_WAY_MAX && waiting == 0, "{under_way}, {waiting}");
    assert_eq!(rig.offsets(slots[39], 300), (1..=MESSAGES).collect::<Vec<_>>());
}
