//! Event streams that are read slowly, or that lag: what they cost, what they are told, what goes first.

use std::time::Duration;

use serde_json::json;
use tidings_server::TopicSection;

use crate::events::Events;
use crate::peer::{Peer, config, http, metric, start};
use crate::stream::{publish, short_memory, trimmed};

/// One that does not read: it costs one part, holds up nobody, and is told what it missed.
#[tokio::test]
async fn a_slow_client_is_served_from_the_log_and_told_what_was_trimmed() {
    const MESSAGES: u64 = 3_000;
    let server = start(config()).await;
    let address = server.public_addr();
    let mut slow = Events::open_narrow(address, "topic=flood").await;
    slow.expect("ready").await;
    let mut fast = Events::open(address, "topic=flood", &[]).await;
    fast.expect("ready").await;
    let mut peer = Peer::connect(address).await;
    let filler = "x".repeat(8_000);
    for n in 1..=MESSAGES {
        peer.publish("flood", json!([n, filler])).await;
        assert_eq!(fast.data(1).await[0][0], n, "others are not held up");
    }
    // 24 MB were published; what a client that reads nothing was given is what the buffers of its
    // socket hold and one part.
    let taken = metric(&server, "tidings_stream_deliveries_total").await as u64 - MESSAGES;
    assert!(taken < MESSAGES / 2, "{taken} messages were read for a client that takes none");
    for n in 1..=MESSAGES {
        assert_eq!(slow.data(1).await[0][0], n);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_slow_client_hears_of_what_was_trimmed_before_it_was_read() {
    let (server, mut peer) = short_memory().await;
    let address = server.public_addr();
    let mut slow = Events::open_narrow(address, "topic=short/1").await;
    slow.expect("ready").await;
    let filler = "x".repeat(30_000);
    for n in 1..=1000_u64 {
        peer.publish("short/1", json!([n, filler])).await;
    }
    trimmed(address, "short/1", 991).await;
    let (mut next, mut resets) = (1, 0);
    while next <= 1000 {
        let event = slow.next().await.unwrap();
        match event.kind.as_str() {
            "message" => {
                assert_eq!(event.data["offset"], next, "no gap that was not told");
                next += 1;
            }
            "reset" => {
                assert_eq!(event.data["reason"], "trimmed");
                let first = event.data["first"].as_u64().unwrap();
                assert!(first > next && event.id.is_some(), "{event:?}");
                (next, resets) = (first, resets + 1);
            }
            other => panic!("{other}"),
        }
    }
    assert!(resets > 0, "nothing was trimmed before it was read: publish more");
    server.shutdown().await;
}

/// Of a topic that spares slow readers all but the newest message.
#[tokio::test]
async fn a_slow_client_skips_to_the_newest_where_the_topic_asks_for_that() {
    const MESSAGES: u64 = 1_000;
    let mut config = config();
    let section =
        TopicSection { backlog_max: Some(1), ..TopicSection::new("ticker/#".parse().unwrap()) };
    config.topic = vec![section];
    let server = start(config).await;
    let address = server.public_addr();
    let mut slow = Events::open_narrow(address, "topic=ticker/1").await;
    slow.expect("ready").await;
    let mut fast = Events::open(address, "topic=ticker/1", &[]).await;
    fast.expect("ready").await;
    let mut peer = Peer::connect(address).await;
    let filler = "x".repeat(30_000);
    for n in 1..=MESSAGES {
        peer.publish("ticker/1", json!([n, filler])).await;
        assert_eq!(fast.data(1).await[0][0], n, "who keeps up gets everything");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (mut next, mut skipped) = (1, 0);
    while next <= MESSAGES {
        let event = slow.next().await.unwrap();
        if event.kind == "reset" {
            assert_eq!(event.data["reason"], "skipped");
            let first = event.data["first"].as_u64().unwrap();
            skipped += first - next;
            next = first;
        } else {
            assert_eq!(event.data["offset"], next, "no gap that was not told");
            next += 1;
        }
    }
    assert!(skipped > 0, "nothing was skipped: publish more");
    assert_eq!(metric(&server, "tidings_skipped_slow_total").await, skipped as f64);
    // What was asked for is not left out, however slowly it is read.
    let query = "topic=ticker/1&from=first";
    let mut patient = Events::open_narrow(address, query).await;
    patient.expect("ready").await;
    for n in 1..=MESSAGES {
        if n == 2 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(patient.data(1).await[0][0], n);
    }
    server.shutdown().await;
}

/// A burst is several parts, each behind the one before: that alone does not make a reader slow.
#[tokio::test]
async fn a_burst_is_not_skipped_for_a_client_that_keeps_up() {
    let mut config = config();
    let section =
        TopicSection { backlog_max: Some(1), ..TopicSection::new("ticker/#".parse().unwrap()) };
    config.topic = vec![section];
    let server = start(config).await;
    let address = server.public_addr();
    let mut fast = Events::open(address, "topic=ticker/1", &[]).await;
    fast.expect("ready").await;
    let filler = "x".repeat(15_000);
    let message = |n: u64| json!({"topic": "ticker/1", "data": [n, filler]});
    let body = json!({"messages": (1..=60).map(message).collect::<Vec<_>>()}).to_string();
    let json = ("content-type", "application/json");
    let (status, _, _) = http(address, "POST", "/v1/publish/batch", &[json], &body).await;
    assert_eq!(status, 200);
    for n in 1..=60_u64 {
        assert_eq!(fast.data(1).await[0][0], n);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn urgent_topics_overtake_in_a_stream_that_lags() {
    let mut config = config();
    let section = TopicSection {
        priority: tidings_core::Priority::Urgent,
        ..TopicSection::new("alarm".parse().unwrap())
    };
    config.topic = vec![section];
    let server = start(config).await;
    let address = server.public_addr();
    let mut peer = Peer::connect(address).await;
    let filler = "x".repeat(30_000);
    for n in 1..=100_u64 {
        peer.publish("bulky", json!([n, filler])).await;
    }
    publish(&mut peer, "alarm", 1..=1).await;
    let query = "topic=bulky&topic=alarm&from=first";
    let mut stream = Events::open(address, query, &[]).await;
    stream.expect("ready").await;
    let first = stream.expect("message").await;
    assert_eq!(first.data["topic"], "alarm", "before what was published earlier elsewhere");
    for n in 1..=100_u64 {
        assert_eq!(stream.data(1).await[0][0], n);
    }
    server.shutdown().await;
}
