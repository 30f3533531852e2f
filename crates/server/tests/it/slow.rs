//! A subscriber that does not read: it lags in the log, not in memory, and holds up nobody.

use std::time::Duration;

use serde_json::json;
use tidings_core::Durability;
use tidings_server::TopicSection;

use crate::peer::{Peer, config, metric, start};

const MESSAGES: usize = 3_000;
const BYTES: usize = 4_000;

#[tokio::test]
async fn a_slow_reader_falls_back_to_the_log_and_gets_everything() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut slow = Peer::connect(address).await;
    slow.ask(json!({"subscribe": {"topic": "flood"}})).await;
    let mut slow_filter = Peer::connect(address).await;
    slow_filter.ask(json!({"subscribe": {"filter": "flood/#"}})).await;
    let mut fast = Peer::connect(address).await;
    fast.ask(json!({"subscribe": {"topic": "flood"}})).await;
    let reading = tokio::spawn(async move { fast.data(MESSAGES).await.len() });
    let mut publisher = Peer::connect(address).await;
    let filler = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        publisher.publish("flood", json!([n, filler])).await;
    }
    assert_eq!(reading.await.unwrap(), MESSAGES, "others are not held up");
    for mut late in [slow, slow_filter] {
        for n in 0..MESSAGES {
            assert_eq!(late.message().await["data"][0], n);
        }
        late.publish("flood", json!(["end"])).await;
        assert_eq!(late.message().await["data"][0], "end", "back at the tail");
        // The other one gets this too; it is read by its own turn of the loop.
        if late.publish("other", json!(0)).await.is_null() {
            unreachable!("publish checks its reply");
        }
    }
    assert!(metric(&server, "tidings_catch_up_deliveries_total").await > 0.0);
    assert_eq!(metric(&server, "tidings_dropped_slow_total").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_kept_in_no_log_is_dropped_for_a_slow_reader_and_counted() {
    let mut config = config();
    let memory = TopicSection {
        durability: Durability::Memory,
        ..TopicSection::new("live/#".parse().unwrap())
    };
    config.topic = vec![memory];
    let server = start(config).await;
    let mut slow = Peer::connect(server.public_addr()).await;
    slow.ask(json!({"subscribe": {"topic": "live/1"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let filler = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        publisher.publish("live/1", json!([n, filler])).await;
    }
    let dropped = metric(&server, "tidings_dropped_slow_total").await as usize;
    assert!(dropped > 0, "nothing was dropped: raise MESSAGES");
    let kept = slow.data(MESSAGES - dropped).await;
    let numbers: Vec<_> = kept.iter().map(|data| data[0].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "in order, with a gap");
    publisher.publish("live/1", json!(["end"])).await;
    let end = tokio::time::timeout(Duration::from_secs(10), slow.message()).await.unwrap();
    assert_eq!(end["data"][0], "end");
    server.shutdown().await;
}
