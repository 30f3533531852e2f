//! Urgent topics overtake where messages wait, and bulk ones still move.

use std::time::Duration;

use serde_json::json;
use tidings_core::Priority;
use tidings_server::{Config, TopicSection};

use crate::peer::{Peer, config, start};

fn with_priorities() -> Config {
    let mut config = config();
    let section = |filter: &str, priority| TopicSection {
        priority,
        ..TopicSection::new(filter.parse().unwrap())
    };
    config.topic = vec![section("alarm/#", Priority::Urgent), section("report/#", Priority::Bulk)];
    config
}

#[tokio::test]
async fn an_alarm_overtakes_what_waits_for_a_slow_reader() {
    let server = start(with_priorities()).await;
    let mut slow = Peer::connect(server.public_addr()).await;
    slow.ask(json!({"subscribe": {"filter": "report/#"}})).await;
    slow.ask(json!({"subscribe": {"topic": "alarm/1"}})).await;
    slow.ask(json!({"subscribe": {"topic": "alarm/2", "durable": "pager"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let filler = "x".repeat(4_000);
    const REPORTS: usize = 3_000;
    for n in 0..REPORTS {
        publisher.publish("report/1", json!([n, filler])).await;
    }
    for n in 0..3 {
        publisher.publish("alarm/1", json!(["live", n])).await;
        publisher.publish("alarm/2", json!(["durable", n])).await;
    }
    let mut reports = 0;
    let mut before_alarm = Vec::new();
    let (mut live, mut durable) = (0, 0);
    while reports < REPORTS {
        let message = slow.message().await;
        match message["data"][0].as_str() {
            Some("live") => {
                assert_eq!(message["data"][1], live, "alarms keep their order");
                live += 1;
                before_alarm.push(reports);
            }
            Some("durable") => {
                assert_eq!(message["data"][1], durable);
                durable += 1;
                before_alarm.push(reports);
            }
            Some(_) | None => {
                assert_eq!(message["data"][0], reports, "and so do reports");
                reports += 1;
            }
        }
    }
    assert_eq!((live, durable), (3, 3));
    // What the socket's buffers took is gone before; what waited in the server is overtaken.
    let waited = REPORTS - before_alarm.iter().max().unwrap();
    println!("alarms came after {before_alarm:?} of {REPORTS} reports");
    assert!(waited > 50, "nothing was overtaken: {before_alarm:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn bulk_moves_under_a_rush_of_urgent_messages() {
    let server = start(with_priorities()).await;
    let mut reader = Peer::connect(server.public_addr()).await;
    reader.ask(json!({"subscribe": {"filter": "alarm/#"}})).await;
    reader.ask(json!({"subscribe": {"topic": "report/1"}})).await;
    let address = server.public_addr();
    let rush = tokio::spawn(async move {
        let mut publisher = Peer::connect(address).await;
        let filler = "x".repeat(4_000);
        for n in 0.. {
            publisher.publish("alarm/1", json!([n, filler])).await;
        }
    });
    let mut publisher = Peer::connect(server.public_addr()).await;
    for n in 0..100 {
        publisher.publish("report/1", json!(n)).await;
    }
    let mut reports = 0;
    let all = async {
        while reports < 100 {
            if reader.message().await["topic"] == "report/1" {
                reports += 1;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("bulk stands still");
    rush.abort();
    server.shutdown().await;
}
