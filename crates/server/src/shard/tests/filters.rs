//! Filters, and subscriptions to topics that they cover.

use tidings_core::Filter;
use tidings_protocol::StartFrom;

use super::Rig;

/// A connection has the filter `jobs/#` and message 1 of `jobs/a`. Message 2 is stored, and before
/// the shard hears of it the connection subscribes to `jobs/a` itself. Returns what it got when
/// there were three.
async fn subscribes_meanwhile(others: usize, from: StartFrom, count: usize) -> Vec<u64> {
    let mut rig = Rig::start().await;
    let slot = rig.connect();
    rig.subscribe(slot, "jobs/#", StartFrom::New);
    for _ in 0..others {
        let other = rig.connect();
        rig.subscribe(other, "jobs/a", StartFrom::New);
    }
    rig.publish("jobs/a");
    assert_eq!(rig.offsets(slot, 1), [1]);
    rig.publish("jobs/a");
    rig.subscribe(slot, "jobs/a", from);
    rig.publish("jobs/a");
    rig.offsets(slot, count)
}

#[tokio::test]
async fn what_was_on_its_way_to_a_filter_is_delivered_though_its_topic_is_subscribed_meanwhile() {
    for others in 0..2 {
        for from in [StartFrom::New, StartFrom::Last] {
            let got = subscribes_meanwhile(others, from, 3).await;
            assert_eq!(got, [1, 2, 3], "{from:?}, {others} others");
        }
        let got = subscribes_meanwhile(others, StartFrom::First, 4).await;
        assert_eq!(got, [1, 1, 2, 3], "{others} others");
    }
}

/// The same, and the subscription to the topic is given up before the shard hears of message 2.
#[tokio::test]
async fn a_filter_gets_what_was_on_its_way_though_its_topic_was_subscribed_for_a_moment() {
    for others in 0..2 {
        let mut rig = Rig::start().await;
        let slot = rig.connect();
        rig.subscribe(slot, "jobs/#", StartFrom::New);
        for _ in 0..others {
            let other = rig.connect();
            rig.subscribe(other, "jobs/a", StartFrom::New);
        }
        rig.publish("jobs/a");
        assert_eq!(rig.offsets(slot, 1), [1]);
        rig.publish("jobs/a");
        rig.subscribe(slot, "jobs/a", StartFrom::New);
        rig.shard.unsubscribe(slot, None, &Filter::parse("jobs/a").unwrap());
        rig.publish("jobs/a");
        assert_eq!(rig.offsets(slot, 3), [1, 2, 3], "{others} others");
    }
}
