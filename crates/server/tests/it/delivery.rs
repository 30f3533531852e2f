//! Live delivery: order, resume, filters, overlap.

use serde_json::json;

use crate::peer::{Peer, config, start};

#[tokio::test]
async fn a_subscriber_gets_what_is_published_after_it_subscribed() {
    let server = start(config()).await;
    let mut bob = Peer::connect(server.public_addr()).await;
    let mut alice = Peer::connect(server.public_addr()).await;
    alice.publish("room/1", json!("before")).await;
    let subscribed = bob.ask(json!({"subscribe": {"topic": "room/1"}})).await;
    assert_eq!(subscribed["subscribed"]["offset"], 1);
    assert_eq!(subscribed["subscribed"]["recovered"], true);
    for n in 0..100 {
        alice.publish("room/1", json!({"n": n})).await;
    }
    for n in 0..100 {
        let message = bob.message().await;
        assert_eq!(message["data"], json!({"n": n}));
        assert_eq!(message["offset"], n + 2);
        assert_eq!(message["from"], "dev");
        assert!(message.get("attempt").is_none());
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_position_is_told_even_when_there_is_no_message() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let reply = peer.ask(json!({"subscribe": {"topic": "empty"}})).await;
    let place = &reply["subscribed"];
    assert_eq!((&place["offset"], &place["first"]), (&json!(0), &json!(1)));
    let epoch = place["epoch"].clone();
    // The first message comes in the epoch that was told.
    let published = peer.publish("empty", json!(1)).await;
    assert_eq!(published["epoch"], epoch);
    server.shutdown().await;
}

#[tokio::test]
async fn a_live_subscriber_resumes_from_its_position() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let mut epoch = json!(null);
    for n in 1..=300 {
        epoch = peer.publish("log", json!(n)).await["epoch"].clone();
    }
    let after = json!({"epoch": epoch, "offset": 250});
    let reply = peer.ask(json!({"subscribe": {"topic": "log", "after": after}})).await;
    assert_eq!(reply["subscribed"]["recovered"], true);
    assert_eq!(reply["subscribed"]["pending"], 50);
    let expected: Vec<_> = (251..=300).map(|n| json!(n)).collect();
    assert_eq!(peer.data(50).await, expected);
    server.shutdown().await;
}

#[tokio::test]
async fn history_and_live_meet_without_gap_or_repeat() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut publisher = Peer::connect(address).await;
    for n in 1..=2_000 {
        publisher.send(json!({"id": n, "publish": {"topic": "seam", "data": n}})).await;
        if n % 200 == 0 {
            for _ in 0..200 {
                publisher.frame().await;
            }
        }
    }
    // Subscribers join while more is being published.
    let publishing = tokio::spawn(async move {
        for n in 2_001..=4_000 {
            publisher.publish("seam", json!(n)).await;
        }
    });
    let mut readers = Vec::new();
    for _ in 0..8 {
        readers.push(tokio::spawn(async move {
            let mut peer = Peer::connect(address).await;
            peer.ask(json!({"subscribe": {"topic": "seam", "from": "first"}})).await;
            for n in 1..=4_000 {
                assert_eq!(peer.message().await["data"], json!(n));
            }
        }));
    }
    publishing.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_position_that_is_no_use_is_told() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let epoch = peer.publish("log", json!(1)).await["epoch"].clone();
    for (after, reason) in [
        (json!({"epoch": "zz", "offset": 1}), "epoch_changed"),
        (json!({"epoch": epoch, "offset": 9}), "ahead_of_head"),
    ] {
        let reply = peer.ask(json!({"subscribe": {"topic": "log", "after": after}})).await;
        assert_eq!(reply["subscribed"]["recovered"], false);
        assert_eq!(reply["subscribed"]["reason"], reason);
        assert_eq!(reply["subscribed"]["first"], 1);
        assert_eq!(peer.data(1).await, [json!(1)]);
        peer.ask(json!({"unsubscribe": {"sub": "log"}})).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn filters_match_and_overlapping_subscriptions_get_a_message_once() {
    let server = start(config()).await;
    let mut reader = Peer::connect(server.public_addr()).await;
    for sub in [
        json!({"topic": "home/kitchen/light"}),
        json!({"filter": "home/+/light"}),
        json!({"filter": "home/#"}),
    ] {
        let reply = reader.ask(json!({ "subscribe": sub })).await;
        assert!(reply.get("subscribed").is_some(), "{reply}");
    }
    let mut writer = Peer::connect(server.public_addr()).await;
    for topic in ["home/kitchen/light", "garden/light", "home/hall/light", "home"] {
        writer.publish(topic, json!(topic)).await;
    }
    assert_eq!(reader.data(3).await, ["home/kitchen/light", "home/hall/light", "home"]);
    reader.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_repeated_key_is_one_message() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let publish = json!({"publish": {"topic": "once", "data": 1, "key": "k-1"}});
    let first = peer.ask(publish.clone()).await;
    let again = peer.ask(publish).await;
    assert_eq!(first["published"]["duplicate"], false);
    assert_eq!(again["published"]["duplicate"], true);
    assert_eq!(again["published"]["offset"], first["published"]["offset"]);
    assert_eq!(again["published"]["id"], first["published"]["id"]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_read_for_a_subscription_that_is_gone_serves_no_other() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let mut epoch = json!(null);
    for n in 1..=400 {
        epoch = peer.publish("log", json!(n)).await["epoch"].clone();
    }
    let frames = [
        json!({"id": 901, "subscribe": {"topic": "log", "after": {"epoch": epoch, "offset": 99}}}),
        json!({"id": 902, "unsubscribe": {"sub": "log"}}),
        json!({"id": 903, "subscribe": {"topic": "log", "from": "first"}}),
    ];
    peer.send_text(&frames.map(|frame| frame.to_string()).join("\n")).await;
    for id in 901..=903 {
        assert_eq!(peer.frame().await["id"], id);
    }
    assert_eq!(peer.data(400).await, (1..=400).map(|n| json!(n)).collect::<Vec<_>>());
    peer.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_newcomer_does_not_push_others_off_the_tail() {
    let mut config = config();
    config.server.shards = 1;
    let server = start(config).await;
    let address = server.public_addr();
    let mut steady = Peer::connect(address).await;
    steady.ask(json!({"subscribe": {"topic": "busy"}})).await;
    let mut publisher = Peer::connect(address).await;
    let mut visitor = Peer::connect(address).await;
    let visits = tokio::spawn(async move {
        for _ in 0..300 {
            visitor.ask(json!({"subscribe": {"topic": "busy"}})).await;
            visitor.ask(json!({"unsubscribe": {"sub": "busy"}})).await;
        }
    });
    for n in 1..=1_000 {
        publisher.publish("busy", json!(n)).await;
    }
    assert_eq!(steady.data(1_000).await, (1..=1_000).map(|n| json!(n)).collect::<Vec<_>>());
    visits.await.unwrap();
    let reads = crate::peer::metric(&server, "tidings_catch_up_reads_total").await;
    assert_eq!(reads, 0.0, "everybody was at the tail all the time");
    server.shutdown().await;
}

#[tokio::test]
async fn a_late_subscriber_may_start_with_the_last_message() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    // Nothing to start with: the first one to come.
    let reply = peer.ask(json!({"subscribe": {"topic": "gauge/2", "from": "last"}})).await;
    assert_eq!(reply["subscribed"]["pending"], 0);
    let mut writer = Peer::connect(server.public_addr()).await;
    for n in 1..=5 {
        writer.publish("gauge/1", json!(n)).await;
    }
    let reply = peer.ask(json!({"subscribe": {"topic": "gauge/1", "from": "last"}})).await;
    assert_eq!(reply["subscribed"]["pending"], 1);
    assert_eq!(peer.data(1).await, [5]);
    writer.publish("gauge/1", json!(6)).await;
    writer.publish("gauge/2", json!("first")).await;
    assert_eq!(peer.data(2).await, [json!(6), json!("first")]);
    let durable = json!({"subscribe": {"topic": "gauge/1", "durable": "d", "from": "last"}});
    assert_eq!(writer.ask(durable).await["subscribed"]["pending"], 1);
    assert_eq!(writer.data(1).await, [6]);
    server.shutdown().await;
}
