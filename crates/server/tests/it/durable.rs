//! Durable subscriptions: offline, acks, redelivery, dead letters, takeover.

use std::time::Duration;

use serde_json::{Value, json};

use crate::peer::{Peer, config, metric, start};

fn durable(topic: &str) -> Value {
    json!({"subscribe": {"topic": topic, "durable": "phone"}})
}

#[tokio::test]
async fn what_was_published_while_offline_arrives_in_order() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut phone = Peer::connect(address).await;
    phone.ask(durable("user/alice")).await;
    drop(phone);
    let mut sender = Peer::connect(address).await;
    for n in 0..500 {
        sender.publish("user/alice", json!(n)).await;
    }
    let mut phone = Peer::connect(address).await;
    let reply = phone.ask(durable("user/alice")).await;
    assert_eq!(reply["subscribed"]["recovered"], true);
    assert_eq!(reply["subscribed"]["pending"], 500);
    for n in 0..500 {
        let message = phone.message().await;
        assert_eq!(message["data"], n);
        phone.send(json!({"ack": {"sub": "user/alice", "offset": message["offset"]}})).await;
    }
    phone.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn the_window_bounds_what_is_unacked() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    for n in 1..=10 {
        peer.publish("jobs", json!(n)).await;
    }
    let subscribe =
        json!({"subscribe": {"topic": "jobs", "durable": "w", "window": 3, "from": "first"}});
    peer.ask(subscribe).await;
    assert_eq!(peer.data(3).await, [1, 2, 3]);
    peer.assert_quiet().await;
    peer.send(json!({"ack": {"sub": "jobs", "offsets": [2]}})).await;
    assert_eq!(peer.data(1).await, [4]);
    peer.send(json!({"ack": {"sub": "jobs", "offset": 4}})).await;
    assert_eq!(peer.data(3).await, [5, 6, 7]);
    peer.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn what_was_acked_is_not_sent_to_the_next_connection() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut peer = Peer::connect(address).await;
    peer.ask(durable("t")).await;
    for n in 1..=5 {
        peer.publish("t", json!(n)).await;
    }
    // The replies and the deliveries share the connection; subscribe anew to count cleanly.
    peer.ask(json!({"ack": {"sub": "t", "offset": 2}})).await;
    peer.ask(json!({"ack": {"sub": "t", "offsets": [4]}})).await;
    drop(peer);
    let mut peer = Peer::connect(address).await;
    peer.ask(durable("t")).await;
    let (third, fifth) = (peer.message().await, peer.message().await);
    assert_eq!((&third["data"], &fifth["data"]), (&json!(3), &json!(5)));
    assert_eq!(
        (&third["attempt"], &fifth["attempt"]),
        (&json!(2), &json!(2)),
        "a redelivery says so"
    );
    peer.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_nacked_message_comes_again_and_then_becomes_a_dead_letter() {
    let mut config = config();
    config.topic = vec![topic_section("jobs/#", 2, Duration::from_secs(60))];
    let server = start(config).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(json!({"subscribe": {"topic": "$dead-letters"}})).await;
    peer.ask(json!({"subscribe": {"topic": "jobs/1", "durable": "w"}})).await;
    let mut sender = Peer::connect(server.public_addr()).await;
    sender.publish("jobs/1", json!("poison")).await;
    let first = peer.message().await;
    assert!(first.get("attempt").is_none());
    let nack = |delay: Option<u64>, reason: &str| {
        let mut nack = json!({"nack": {"sub": "jobs/1", "offset": 1, "reason": reason}});
        if let Some(delay) = delay {
            nack["nack"]["delay_ms"] = json!(delay);
        }
        nack
    };
    peer.send(nack(Some(10), "db down")).await;
    let second = peer.message().await;
    assert_eq!(second["attempt"], 2);
    peer.send(nack(None, "db still down")).await;
    let dead = peer.message().await;
    assert_eq!(dead["topic"], "$dead-letters");
    assert_eq!(dead["data"], "poison");
    let headers = &dead["headers"];
    assert_eq!(headers["tidings-topic"], "jobs/1");
    assert_eq!(headers["tidings-attempts"], "2");
    assert_eq!(headers["tidings-gave-up"], "nacked");
    assert_eq!(headers["tidings-reasons"], "db down; db still down");
    // The topic goes on.
    sender.publish("jobs/1", json!("fine")).await;
    assert_eq!(peer.data(1).await, ["fine"]);
    assert_eq!(metric(&server, "tidings_dead_letters_total").await, 1.0);
    server.shutdown().await;
}

#[tokio::test]
async fn an_unacked_message_comes_again_after_the_timeout() {
    let mut config = config();
    config.topic = vec![topic_section("#", 5, Duration::from_millis(150))];
    let server = start(config).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(durable("t")).await;
    let mut sender = Peer::connect(server.public_addr()).await;
    sender.publish("t", json!("x")).await;
    assert!(peer.message().await.get("attempt").is_none());
    assert_eq!(peer.message().await["attempt"], 2);
    peer.ask(json!({"ack": {"sub": "t", "offset": 1}})).await;
    peer.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_second_connection_takes_a_durable_subscription_over() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut first = Peer::connect(address).await;
    first.ask(durable("t")).await;
    let mut sender = Peer::connect(address).await;
    sender.publish("t", json!(1)).await;
    assert_eq!(first.data(1).await, [1]);
    first.ask(json!({"ack": {"sub": "t", "offset": 1}})).await;
    sender.publish("t", json!(2)).await;
    assert_eq!(first.data(1).await, [2]);
    // Whichever shards they are on: the second gets it, with the first's progress.
    for _ in 0..4 {
        let mut next = Peer::connect(address).await;
        next.ask(durable("t")).await;
        let told = first.frame().await;
        assert_eq!(told["unsubscribed"], json!({"sub": "t", "reason": "taken_over"}));
        assert_eq!(next.data(1).await, [2]);
        first = next;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_session_is_resumed_and_taken_over() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut first = Peer::open(address).await;
    let connected = first.ask(json!({"connect": {"client": "phone"}})).await;
    assert_eq!(connected["connected"]["resumed"], false);
    assert_eq!(connected["connected"]["client"], "phone");
    let session = connected["connected"]["session"].clone();
    let mut second = Peer::open(address).await;
    let connected = second.ask(json!({"connect": {"session": session}})).await;
    assert_eq!(connected["connected"]["resumed"], true);
    assert_eq!(connected["connected"]["client"], "phone");
    assert_eq!(first.frame().await["goaway"]["reason"], "taken_over");
    assert_eq!(first.close_code().await, 4003);
    let mut third = Peer::open(address).await;
    let connected = third.ask(json!({"connect": {"session": "gone"}})).await;
    assert_eq!(connected["connected"]["resumed"], false);
    server.shutdown().await;
}

fn topic_section(filter: &str, attempts: u32, timeout: Duration) -> tidings_server::TopicSection {
    tidings_server::TopicSection {
        ack_timeout: timeout,
        attempts_max: attempts,
        backoff_base: Duration::from_millis(20),
        ..tidings_server::TopicSection::new(filter.parse().unwrap())
    }
}
