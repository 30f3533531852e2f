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

#[tokio::test]
async fn a_bad_network_does_not_make_dead_letters() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut sender = Peer::connect(address).await;
    let mut first = Peer::connect(address).await;
    first.ask(durable("inbox")).await;
    drop(first);
    for n in 1..=10 {
        sender.publish("inbox", json!(n)).await;
    }
    // Four connections that end without an ack; the policy gives up after five attempts.
    for _ in 0..4 {
        let mut peer = Peer::connect(address).await;
        peer.ask(durable("inbox")).await;
        assert_eq!(peer.data(10).await.len(), 10);
    }
    let mut peer = Peer::connect(address).await;
    peer.ask(durable("inbox")).await;
    let attempts: Vec<_> = {
        let mut attempts = Vec::new();
        for _ in 0..10 {
            attempts.push(peer.message().await["attempt"].as_u64().unwrap());
        }
        attempts
    };
    assert_eq!(attempts[0], 5, "whatever made the subscriber fail, it was the first message");
    assert_eq!(attempts[1..], [2; 9], "the others were sent before, and did not fail");
    assert_eq!(metric(&server, "tidings_dead_letters_total").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn unsubscribing_and_subscribing_again_at_once_keeps_what_was_acked() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut peer = Peer::connect(address).await;
    let mut sender = Peer::connect(address).await;
    peer.ask(durable("t")).await;
    for n in 1..=6 {
        sender.publish("t", json!(n)).await;
        assert_eq!(peer.data(1).await, [n]);
    }
    // All in one message, so that the server sees them in one turn.
    let frames = [
        json!({"ack": {"sub": "t", "offset": 4}}),
        json!({"id": 101, "unsubscribe": {"sub": "t"}}),
        json!({"id": 102, "subscribe": {"topic": "t", "durable": "phone"}}),
    ];
    peer.send_text(&frames.map(|frame| frame.to_string()).join("\n")).await;
    assert!(peer.frame().await.get("unsubscribed").is_some());
    assert_eq!(peer.frame().await["subscribed"]["pending"], 2);
    assert_eq!(peer.data(2).await, [5, 6]);
    peer.assert_quiet().await;
    // The directory still knows who holds it.
    let mut other = Peer::connect(address).await;
    other.ask(durable("t")).await;
    assert_eq!(peer.frame().await["unsubscribed"]["reason"], "taken_over");
    assert_eq!(other.data(2).await, [5, 6]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_subscribe_that_waited_in_vain_is_answered() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let frames = [
        json!({"id": 101, "subscribe": {"topic": "t", "durable": "phone"}}),
        json!({"id": 102, "unsubscribe": {"sub": "t"}}),
        json!({"id": 103, "subscribe": {"topic": "t", "durable": "phone"}}),
    ];
    peer.send_text(&frames.map(|frame| frame.to_string()).join("\n")).await;
    let mut replies = Vec::new();
    for _ in 0..3 {
        replies.push(peer.frame().await);
    }
    let of = |id: u64| replies.iter().find(|reply| reply["id"] == id).unwrap();
    assert_eq!(of(101)["error"]["code"], "not_subscribed");
    assert!(of(102).get("unsubscribed").is_some());
    assert!(of(103).get("subscribed").is_some());
    server.shutdown().await;
}

#[tokio::test]
async fn a_user_cannot_make_cursors_without_end() {
    let mut config = config();
    config.limits.cursors_per_user = 3;
    let server = start(config).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    for n in 0..3 {
        let reply = peer.ask(durable(&format!("t/{n}"))).await;
        assert!(reply.get("subscribed").is_some(), "{reply}");
    }
    let reply = peer.ask(durable("t/3")).await;
    assert_eq!(reply["error"]["code"], "limit_reached");
    // One that exists is opened as before, and the refused one is held by nobody.
    peer.ask(json!({"unsubscribe": {"sub": "t/0"}})).await;
    assert!(peer.ask(durable("t/0")).await.get("subscribed").is_some());
    assert_eq!(peer.ask(durable("t/3")).await["error"]["code"], "limit_reached");
    server.shutdown().await;
}

#[tokio::test]
async fn a_dead_letter_that_nobody_takes_does_not_breed() {
    let mut config = config();
    config.topic = vec![topic_section("#", 1, Duration::from_secs(60))];
    let server = start(config).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(durable("jobs")).await;
    peer.ask(json!({"subscribe": {"topic": "$dead-letters", "durable": "undertaker"}})).await;
    let mut sender = Peer::connect(server.public_addr()).await;
    sender.publish("jobs", json!("poison")).await;
    peer.message().await;
    peer.send(json!({"nack": {"sub": "jobs", "offset": 1}})).await;
    assert_eq!(peer.message().await["topic"], "$dead-letters");
    peer.ask(json!({"nack": {"sub": "$dead-letters", "offset": 1, "dead": true}})).await;
    peer.assert_quiet().await;
    let place = peer.ask(json!({"history": {"topic": "$dead-letters"}})).await;
    assert_eq!(place["history"]["offset"], 1, "{place}");
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
