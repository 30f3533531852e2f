//! Overlapping live subscriptions of a reader that is slow: each message comes once and in order,
//! whichever of them it is for.

use serde_json::{Value, json};

use crate::peer::{Peer, config, start};

const MESSAGES: usize = 3_000;
const BYTES: usize = 4_000;

async fn flood(publisher: &mut Peer, topic: &str) {
    let filler = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        publisher.publish(topic, json!([n, filler])).await;
    }
}

/// A reader with `flood/#` and a second subscription is slow in one topic, catches up, and is slow
/// in another: nothing of the first one comes again.
async fn slow_twice(second: Value) {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut slow = Peer::connect(address).await;
    slow.ask(json!({"subscribe": {"filter": "flood/#"}})).await;
    let is_exact = second["topic"].is_string();
    if !is_exact {
        slow.ask(json!({"subscribe": second})).await;
    }
    let mut publisher = Peer::connect(address).await;
    flood(&mut publisher, "flood/1").await;
    for n in 0..MESSAGES {
        assert_eq!(slow.message().await["data"][0], n);
    }
    if is_exact {
        slow.ask(json!({"subscribe": second})).await;
    }
    for n in 0..5 {
        publisher.publish("flood/1", json!(["tail", n])).await;
        assert_eq!(slow.message().await["data"][1], n);
    }
    slow.assert_quiet().await;
    flood(&mut publisher, "flood/2").await;
    for n in 0..MESSAGES {
        let message = slow.message().await;
        assert_eq!(message["topic"], "flood/2", "came a second time");
        assert_eq!(message["data"][0], n);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_two_filters_caught_up_with_does_not_come_again() {
    slow_twice(json!({"filter": "+/1"})).await;
}

#[tokio::test]
async fn what_a_filter_caught_up_with_does_not_come_again_to_its_topic() {
    slow_twice(json!({"topic": "flood/1"})).await;
}

/// A reader that lags with `flood/#` subscribes to more of the same: all comes once, in order.
async fn joins_while_it_lags(second: Value) {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut slow = Peer::connect(address).await;
    slow.ask(json!({"subscribe": {"filter": "flood/#"}})).await;
    let mut publisher = Peer::connect(address).await;
    flood(&mut publisher, "flood/1").await;
    slow.send(json!({"id": 99, "subscribe": second})).await;
    let mut got = Vec::new();
    let mut published = 0;
    while got.len() < MESSAGES + published || published == 0 {
        let frame = slow.frame().await;
        if frame["id"] == 99 {
            // It still lags: these come after the rest.
            for n in 0..50 {
                publisher.publish("flood/1", json!([MESSAGES + n])).await;
            }
            published = 50;
        } else {
            got.push(frame["message"]["data"][0].as_u64().unwrap());
        }
    }
    let all: Vec<_> = (0..(MESSAGES + published) as u64).collect();
    assert!(got == all, "not each once and in order");
    slow.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_filter_that_joins_one_that_lags_goes_at_its_pace() {
    joins_while_it_lags(json!({"filter": "+/1"})).await;
}

#[tokio::test]
async fn a_topic_that_joins_a_filter_that_lags_goes_at_its_pace() {
    joins_while_it_lags(json!({"topic": "flood/1"})).await;
}

/// Of two subscriptions that lag, the second is given up: the first delivers what was left.
async fn given_up_while_it_lags(second: Value) {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut slow = Peer::connect(address).await;
    slow.ask(json!({"subscribe": {"filter": "flood/#"}})).await;
    slow.ask(json!({"subscribe": second})).await;
    let mut publisher = Peer::connect(address).await;
    flood(&mut publisher, "flood/1").await;
    let sub = second["topic"].as_str().or(second["filter"].as_str()).unwrap();
    slow.send(json!({"id": 99, "unsubscribe": {"sub": sub}})).await;
    let mut next = 0;
    while next < MESSAGES {
        let frame = slow.frame().await;
        if frame["id"] == 99 {
            assert!(next < MESSAGES, "it did not lag: raise MESSAGES");
        } else {
            assert_eq!(frame["message"]["data"][0], next);
            next += 1;
        }
    }
    publisher.publish("flood/1", json!(["end"])).await;
    assert_eq!(slow.message().await["data"][0], "end");
    slow.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_topic_given_up_lacks_comes_to_the_filter_that_matches_too() {
    given_up_while_it_lags(json!({"topic": "flood/1"})).await;
}

#[tokio::test]
async fn what_a_filter_given_up_lacks_comes_to_the_other_that_matches_too() {
    given_up_while_it_lags(json!({"filter": "+/1"})).await;
}
