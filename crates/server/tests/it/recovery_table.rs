//! Coming back to a topic, case by case. The cases and their names are those of Centrifuge's table
//! of recovery, so that the two can be compared; where Tidings answers otherwise, the test says so.
//!
//! `from_a_position` has those who show where they were, `latest_only` those who ask for the last
//! message alone (`"from":"last"`), which needs no position and so cannot be refused one.

use std::time::Duration;

use serde_json::{Value, json};
use tidings_server::{RunningServer, TopicSection};

use crate::peer::{Peer, config, start};

mod from_a_damaged_log;

const TOPIC: &str = "log";

/// Oldest age of messages of a topic that expires.
const AGE: Duration = Duration::from_secs(1);

/// A topic with what is left of `published` messages, whose data are their offsets.
struct Log {
    server: RunningServer,
    writer: Peer,
    epoch: Value,
}

impl Log {
    async fn of(published: u64) -> Self {
        Self::kept(published, |_| ()).await
    }

    /// Only the last `most` are kept.
    async fn trimmed(published: u64, most: u64) -> Self {
        Self::kept(published, |section| section.retention_messages = Some(most)).await
    }

    /// Nothing is left of it.
    async fn expired(published: u64) -> Self {
        let mut log = Self::kept(published, |section| section.retention_age = AGE).await;
        loop {
            let reply = log.writer.ask(json!({"history": {"topic": TOPIC}})).await;
            if reply["history"]["first"] == published + 1 {
                assert_eq!(reply["history"]["offset"], published, "the head is remembered");
                return log;
            }
            tokio::time::sleep(AGE / 20).await;
        }
    }

    async fn kept(published: u64, retention: impl FnOnce(&mut TopicSection)) -> Self {
        let mut section = TopicSection::new(TOPIC.parse().unwrap());
        retention(&mut section);
        let mut config = config();
        config.topic = vec![section];
        let server = start(config).await;
        let mut writer = Peer::connect(server.public_addr()).await;
        let reply = writer.ask(json!({"history": {"topic": TOPIC}})).await;
        let epoch = reply["history"]["epoch"].clone();
        for n in 1..=published {
            writer.publish(TOPIC, json!(n)).await;
        }
        Self { server, writer, epoch }
    }

    /// Subscribes anew: the reply, and the data of all that comes at once.
    async fn subscribe(&self, with: Value) -> (Value, Vec<u64>) {
        let mut peer = Peer::connect(self.server.public_addr()).await;
        let mut subscribe = json!({"topic": TOPIC});
        subscribe.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        let reply = peer.ask(json!({ "subscribe": subscribe })).await;
        let place = reply["subscribed"].clone();
        assert_eq!(place["epoch"], self.epoch, "the position is always told: {reply}");
        let pending = place["pending"].as_u64().unwrap() as usize;
        let data = peer.data(pending).await;
        peer.assert_quiet().await;
        (place, data.iter().map(|n| n.as_u64().unwrap()).collect())
    }

    async fn after(&self, offset: u64) -> (Value, Vec<u64>) {
        self.subscribe(json!({"after": {"epoch": self.epoch, "offset": offset}})).await
    }

    async fn last(&self) -> (Value, Vec<u64>) {
        self.subscribe(json!({"from": "last"})).await
    }
}

fn assert_recovered((place, data): (Value, Vec<u64>), expected: impl IntoIterator<Item = u64>) {
    assert_eq!(place["recovered"], true, "{place}");
    assert_eq!(place.get("reason"), None);
    assert_eq!(data, expected.into_iter().collect::<Vec<_>>());
}

/// Not recovered, with a reason; then what is left, from the first on.
fn assert_reset(
    (place, data): (Value, Vec<u64>),
    reason: &str,
    left: impl IntoIterator<Item = u64>,
) {
    assert_eq!(place["recovered"], false, "{place}");
    assert_eq!(place["reason"], reason);
    assert_eq!(data, left.into_iter().collect::<Vec<_>>());
}

mod from_a_position {
    use super::*;

    #[tokio::test]
    async fn empty_stream() {
        assert_recovered(Log::of(0).await.after(0).await, []);
    }

    #[tokio::test]
    async fn from_position() {
        assert_recovered(Log::of(10).await.after(8).await, [9, 10]);
    }

    /// There a gap larger than a limit is not recovered. Here there is no such limit: the log is
    /// read page by page, at the reader's pace.
    #[tokio::test]
    async fn a_gap_larger_than_any_page() {
        assert_recovered(Log::of(1_200).await.after(3).await, 4..=1_200);
    }

    #[tokio::test]
    async fn from_position_that_is_already_gone() {
        assert_reset(Log::trimmed(20, 10).await.after(8).await, "trimmed", 11..=20);
    }

    /// The first message after the place is the earliest that is left: nothing is missing.
    #[tokio::test]
    async fn from_the_last_position_that_is_not_gone() {
        assert_recovered(Log::trimmed(20, 10).await.after(10).await, 11..=20);
    }

    #[tokio::test]
    async fn from_position_that_does_not_exist_yet() {
        assert_reset(Log::of(20).await.after(21).await, "ahead_of_head", 1..=20);
    }

    #[tokio::test]
    async fn same_position_with_nothing_new() {
        assert_recovered(Log::of(20).await.after(20).await, []);
    }

    #[tokio::test]
    async fn position_zero_of_a_whole_stream() {
        assert_recovered(Log::of(4).await.after(0).await, 1..=4);
    }

    #[tokio::test]
    async fn position_zero_of_a_stream_that_was_trimmed() {
        assert_reset(Log::trimmed(10, 4).await.after(0).await, "trimmed", 7..=10);
    }

    #[tokio::test]
    async fn from_an_older_position_of_an_expired_stream() {
        assert_reset(Log::expired(10).await.after(8).await, "trimmed", []);
    }

    #[tokio::test]
    async fn from_the_same_position_of_an_expired_stream() {
        assert_recovered(Log::expired(10).await.after(10).await, []);
    }

    #[tokio::test]
    async fn another_epoch() {
        let log = Log::of(5).await;
        let other = log.subscribe(json!({"after": {"epoch": "zz", "offset": 5}})).await;
        assert_reset(other, "epoch_changed", 1..=5);
    }

    /// Between two pages of history the log was lost: the second page is refused rather than
    /// taken from another log at the same offset.
    #[tokio::test]
    async fn the_epoch_changes_between_pages() {
        let mut before = Log::of(4).await;
        let page = json!({"history": {"topic": TOPIC, "limit": 2}});
        assert_eq!(before.writer.ask(page).await["history"]["more"], true);
        let mut now = Log::of(4).await;
        let after = json!({"epoch": before.epoch, "offset": 2});
        let reply = now.writer.ask(json!({"history": {"topic": TOPIC, "after": after}})).await;
        assert_eq!(reply["error"]["code"], "epoch_changed", "{reply}");
        assert_reset(now.subscribe(json!({ "after": after })).await, "epoch_changed", 1..=4);
    }

    /// What is published while a subscriber comes back reaches it once and in its place.
    #[tokio::test]
    async fn publishing_while_recovering() {
        const OLD: u64 = 600;
        const ALL: u64 = 900;
        let mut log = Log::of(OLD).await;
        let after = json!({"epoch": log.epoch, "offset": 10});
        let mut readers = Vec::new();
        for _ in 0..6 {
            let mut peer = Peer::connect(log.server.public_addr()).await;
            let subscribe = json!({"subscribe": {"topic": TOPIC, "after": after}});
            readers.push(tokio::spawn(async move {
                let reply = peer.ask(subscribe).await;
                assert_eq!(reply["subscribed"]["recovered"], true);
                let data = peer.data(ALL as usize - 10).await;
                assert_eq!(data, (11..=ALL).map(|n| json!(n)).collect::<Vec<_>>());
                peer.assert_quiet().await;
            }));
        }
        for n in OLD + 1..=ALL {
            log.writer.publish(TOPIC, json!(n)).await;
        }
        for reader in readers {
            reader.await.unwrap();
        }
    }

    /// A filter has no single position, so it takes none: refused, not ignored.
    #[tokio::test]
    async fn a_filter_with_a_position_is_refused() {
        let mut log = Log::of(3).await;
        let after = json!({"epoch": log.epoch, "offset": 1});
        let reply = log.writer.ask(json!({"subscribe": {"filter": "log/#", "after": after}})).await;
        assert_eq!(reply["error"]["code"], "bad_field", "{reply}");
        assert_eq!(reply["error"]["temporary"], false);
    }

    /// A running subscription that retention overtakes is told, and goes on with what is left.
    #[tokio::test]
    async fn trimmed_while_it_reads() {
        let mut log = Log::trimmed(0, 50).await;
        let mut slow = Peer::connect(log.server.public_addr()).await;
        slow.ask(json!({"subscribe": {"topic": TOPIC, "from": "first"}})).await;
        let filler = "x".repeat(20_000);
        // More than sockets and the connection's bound take while the reader sleeps.
        for n in 1..=1_500 {
            log.writer.publish(TOPIC, json!([n, filler])).await;
        }
        let (mut next, mut resets) = (1, 0);
        while next <= 1_500 {
            let frame = slow.frame().await;
            if let Some(reset) = frame.get("reset") {
                assert_eq!(reset["reason"], "trimmed");
                let first = reset["first"].as_u64().unwrap();
                assert!(first > next, "told a gap that is none: {reset}, next was {next}");
                next = first;
                resets += 1;
            } else {
                assert_eq!(frame["message"]["offset"], next, "a gap that was not told");
                next += 1;
            }
        }
        assert!(resets > 0, "nothing was trimmed before it was read: publish more");
    }
}

mod latest_only {
    use super::*;

    #[tokio::test]
    async fn empty_stream() {
        assert_recovered(Log::of(0).await.last().await, []);
    }

    #[tokio::test]
    async fn of_a_stream_with_messages() {
        assert_recovered(Log::of(10).await.last().await, [10]);
    }

    #[tokio::test]
    async fn a_gap_larger_than_any_page() {
        assert_recovered(Log::of(1_200).await.last().await, [1_200]);
    }

    #[tokio::test]
    async fn of_a_stream_whose_start_is_gone() {
        assert_recovered(Log::trimmed(20, 1).await.last().await, [20]);
    }

    /// Nothing is left to start with, and the head is still told.
    #[tokio::test]
    async fn of_an_expired_stream() {
        let (place, data) = Log::expired(10).await.last().await;
        assert_eq!((&place["offset"], &place["first"]), (&json!(10), &json!(11)));
        assert_recovered((place, data), []);
    }

    /// Who comes back gets the last message again: no position is shown that says it was seen.
    #[tokio::test]
    async fn coming_back_with_nothing_new() {
        let log = Log::of(10).await;
        assert_recovered(log.last().await, [10]);
        assert_recovered(log.last().await, [10]);
    }

    /// Asking for both would leave open which counts: refused.
    #[tokio::test]
    async fn together_with_a_position() {
        let mut log = Log::of(2).await;
        let after = json!({"epoch": log.epoch, "offset": 1});
        let subscribe = json!({"topic": TOPIC, "after": after, "from": "last"});
        let reply = log.writer.ask(json!({ "subscribe": subscribe })).await;
        assert_eq!(reply["error"]["code"], "bad_field", "{reply}");
    }
}
