//! Groups with wildcards: topics that were there, and topics that come later.

use serde_json::json;

use super::{Worker, member, settle, share};
use crate::peer::{Peer, config, start};

#[tokio::test]
async fn a_filter_gets_what_was_there_and_what_comes_in_new_topics() {
    let server = start(config()).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    for topic in ["jobs/1", "jobs/2", "other"] {
        publisher.publish(topic, json!(topic)).await;
    }
    let mut worker = Worker::connect(server.public_addr()).await;
    let reply = worker.ask(share("jobs/#", 8)).await["subscribed"].clone();
    assert_eq!(reply, json!({"sub": "jobs/#", "pending": 2}));
    let mut topics = Vec::new();
    for _ in 0..2 {
        let message = worker.message().await;
        topics.push(message["topic"].clone());
        settle(&mut worker, "jobs/#", &message).await;
    }
    topics.sort_by_key(ToString::to_string);
    assert_eq!(topics, ["jobs/1", "jobs/2"]);
    for topic in ["jobs/3", "other", "jobs/1"] {
        publisher.publish(topic, json!(topic)).await;
    }
    // Order is that of each topic: a new one waits for its first cursor, so it may come second.
    let mut topics = Vec::new();
    for _ in 0..2 {
        let message = worker.message().await;
        assert_eq!(message["sub"], "jobs/#");
        topics.push(message["topic"].clone());
        settle(&mut worker, "jobs/#", &message).await;
    }
    topics.sort_by_key(ToString::to_string);
    assert_eq!(topics, ["jobs/1", "jobs/3"]);
    let missing = worker.ask(json!({"ack": {"sub": "jobs/#", "offsets": [1]}})).await;
    assert_eq!(missing["error"]["code"], "bad_field", "{missing}");
    server.shutdown().await;
}

#[tokio::test]
async fn from_new_leaves_the_past_out_and_a_cursor_counts_more() {
    let server = start(config()).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    publisher.publish("jobs/1", json!("past")).await;
    let from_new =
        json!({"subscribe": {"filter": "jobs/#", "group": "workers", "from": "new", "window": 8}});
    let mut worker = Worker::connect(server.public_addr()).await;
    let reply = worker.ask(from_new.clone()).await["subscribed"].clone();
    assert_eq!(reply["pending"], 0, "{reply}");
    publisher.publish("jobs/1", json!("present")).await;
    let message = worker.message().await;
    assert_eq!(message["data"], "present");
    settle(&mut worker, "jobs/#", &message).await;
    worker.ask(json!({"unsubscribe": {"sub": "jobs/#"}})).await;
    // While nobody is there: the group's cursor says what is new.
    publisher.publish("jobs/1", json!("meanwhile")).await;
    let mut worker = Worker::connect(server.public_addr()).await;
    worker.ask(from_new).await;
    assert_eq!(worker.message().await["data"], "meanwhile");
    server.shutdown().await;
}

#[tokio::test]
async fn two_groups_of_one_name_get_everything_each() {
    let server = start(config()).await;
    let mut wide = member(server.public_addr(), "jobs/#", 8).await;
    let mut narrow = member(server.public_addr(), "jobs/1", 8).await;
    let mut both = member(server.public_addr(), "+/1", 8).await;
    both.ask(json!({"subscribe": {"topic": "jobs/1"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    publisher.publish("jobs/1", json!("a")).await;
    assert_eq!(wide.message().await["sub"], "jobs/#");
    assert_eq!(narrow.message().await["sub"], "jobs/1");
    // A live subscription of the same connection has its own copy, without `sub`.
    let (one, two) = (both.message().await, both.message().await);
    let subs = [one.get("sub").is_some(), two.get("sub").is_some()];
    assert!(subs.contains(&true) && subs.contains(&false), "{one} {two}");
    server.shutdown().await;
}

#[tokio::test]
async fn more_topics_than_are_held_at_once_are_all_served() {
    let topics = tidings_core::limits::GROUP_TOPICS_MAX + 200;
    let server = start(config()).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    for n in 0..topics {
        publisher.publish(&format!("jobs/{n}"), json!(n)).await;
    }
    let mut worker = member(server.public_addr(), "jobs/#", 500).await;
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < topics {
        let message = worker.message().await;
        assert!(message.get("attempt").is_none(), "{message}");
        assert!(seen.insert(message["data"].as_u64().unwrap()), "twice: {message}");
        worker.send(super::ack("jobs/#", &message)).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn topics_that_are_always_busy_do_not_starve_the_others() {
    const TOPICS: usize = 3_000;
    const BUSY: usize = tidings_core::limits::GROUP_TOPICS_MAX + 200;
    let server = start(config()).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    // In the order of their names the busy ones come first.
    let name = |n: usize| format!("jobs/{n:04}");
    for n in 0..TOPICS {
        let messages = if n < BUSY { 3 } else { 1 };
        for k in 1..=messages {
            publisher.publish(&name(n), json!([n, k])).await;
        }
    }
    let mut worker = member(server.public_addr(), "jobs/#", 500).await;
    let mut served = vec![0; TOPICS];
    let mut delivered = 0;
    while served.contains(&0) {
        let message = worker.message().await;
        assert!(message.get("attempt").is_none(), "{message}");
        let n = message["data"][0].as_u64().unwrap() as usize;
        served[n] += 1;
        assert_eq!(message["data"][1], served[n], "in order, none twice, none left out: {message}");
        if n < BUSY {
            // There is always more.
            publisher.publish(&name(n), json!([n, served[n] + 3])).await;
        }
        worker.send(super::ack("jobs/#", &message)).await;
        delivered += 1;
        let left = served.iter().filter(|served| **served == 0).count();
        assert!(delivered < 100_000, "{left} topics were not served once");
    }
    server.shutdown().await;
}
