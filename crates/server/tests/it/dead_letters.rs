//! Messages that were given up: what is known of them, and what an operator does with them.

mod operating;
mod replaying;

use std::time::Duration;

use serde_json::{Value, json};
use tidings_server::{Config, TopicSection};

use crate::peer::{Peer, config, start};

/// Jobs are given up after `attempts_max` deliveries and come again at once.
fn jobs(attempts_max: u32, ack_timeout: Duration) -> Config {
    let mut section = TopicSection::new("jobs/#".parse().unwrap());
    section.attempts_max = attempts_max;
    section.ack_timeout = ack_timeout;
    section.backoff_base = Duration::from_millis(10);
    section.backoff_cap = Duration::from_millis(10);
    let mut config = config();
    config.topic = vec![section];
    config
}

fn nack(topic: &str, message: &Value, reason: &str) -> Value {
    json!({"nack": {"sub": topic, "offset": message["offset"], "reason": reason, "delay_ms": 1}})
}

async fn connect_as(address: std::net::SocketAddr, client: &str) -> Peer {
    let mut peer = Peer::open(address).await;
    peer.ask(json!({"connect": {"client": client}})).await;
    peer
}

#[tokio::test]
async fn a_dead_letter_tells_when_how_and_with_whom_each_attempt_ended() {
    let server = start(jobs(4, Duration::from_millis(300))).await;
    let address = server.public_addr();
    let mut graves = Peer::connect(address).await;
    graves.ask(json!({"subscribe": {"topic": "$dead-letters"}})).await;
    let mut sender = Peer::connect(address).await;
    let before = now();
    let published = sender.publish("jobs/1", json!("poison")).await;
    let work = json!({"subscribe": {"topic": "jobs/1", "durable": "w", "from": "first"}});

    // Nacked, then cut off; on the next connection left lying, then refused.
    let mut first = connect_as(address, "worker-1").await;
    first.ask(work.clone()).await;
    let message = first.message().await;
    first.send(nack("jobs/1", &message, "db down")).await;
    assert_eq!(first.message().await["attempt"], 2);
    drop(first);
    let mut second = connect_as(address, "worker-2").await;
    second.ask(work).await;
    assert_eq!(second.message().await["attempt"], 3);
    let message = second.message().await;
    assert_eq!(message["attempt"], 4);
    let dead = json!({"sub": "jobs/1", "offset": message["offset"], "dead": true, "reason": "no"});
    second.send(json!({"nack": dead})).await;

    let dead = graves.message().await;
    let headers = &dead["headers"];
    assert_eq!(headers["tidings-id"], published["id"]);
    assert_eq!(headers["tidings-gave-up"], "refused");
    assert_eq!(headers["tidings-reasons"], "db down; no");
    let history = headers["tidings-history"].as_str().unwrap();
    let history: Vec<Value> = serde_json::from_str(history).unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|a| (a["attempt"].clone(), a["client"].clone(), a["ended"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!(1), json!("worker-1"), json!("nacked")),
            (json!(2), json!("worker-1"), json!("connection_ended")),
            (json!(3), json!("worker-2"), json!("timed_out")),
            (json!(4), json!("worker-2"), json!("refused")),
        ]
    );
    let mut last = before;
    for attempt in &history {
        let (sent, ended) = (attempt["sent_at"].as_u64(), attempt["ended_at"].as_u64());
        assert!(last <= sent.unwrap() + 1 && sent <= ended, "{attempt} after {last}");
        last = ended.unwrap();
    }
    assert!(last <= now());
    let timed_out = &history[2];
    let waited = timed_out["ended_at"].as_u64().unwrap() - timed_out["sent_at"].as_u64().unwrap();
    assert!((300..5_000).contains(&waited), "{timed_out}");
    server.shutdown().await;
}

#[tokio::test]
async fn why_a_message_was_given_up_is_how_its_last_attempt_ended() {
    let server = start(jobs(1, Duration::from_secs(30))).await;
    let address = server.public_addr();
    let mut graves = Peer::connect(address).await;
    graves.ask(json!({"subscribe": {"topic": "$dead-letters"}})).await;
    let mut sender = Peer::connect(address).await;
    sender.publish("jobs/1", json!("poison")).await;
    for subscribe in [
        json!({"topic": "jobs/1", "durable": "w", "from": "first"}),
        json!({"topic": "jobs/1", "group": "g", "from": "first"}),
    ] {
        // It falls over with the message in its hands, and so the message is not sent again.
        let mut first = Peer::connect(address).await;
        first.ask(json!({"subscribe": subscribe})).await;
        first.message().await;
        drop(first);
        let mut second = Peer::connect(address).await;
        second.ask(json!({"subscribe": subscribe})).await;
        let dead = graves.message().await;
        let headers = &dead["headers"];
        let history = headers["tidings-history"].as_str().unwrap();
        let history: Vec<Value> = serde_json::from_str(history).unwrap();
        assert_eq!(history.last().unwrap()["ended"], "connection_ended", "{headers}");
        assert_eq!(headers["tidings-gave-up"], "connection_ended", "{headers}");
    }
    server.shutdown().await;
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}
