//! Which topics there are, and how one stands.

use std::time::Duration;

use serde_json::{Value, json};
use tidings_core::Durability;
use tidings_server::{RunningServer, TopicSection};

use super::{ask, read, refuses, tell};
use crate::peer::{Peer, config, start};

async fn publish(server: &RunningServer, topics: &[String]) {
    for part in topics.chunks(1000) {
        let body = json!({"topics": part, "data": 1}).to_string();
        assert_eq!(tell(server, "POST", "/v1/broadcast", &body).await.0, 200);
    }
}

fn names(page: &Value) -> Vec<&str> {
    page["topics"].as_array().unwrap().iter().map(|t| t["topic"].as_str().unwrap()).collect()
}

/// All pages of a list.
async fn pages(server: &RunningServer, query: &str) -> Vec<Value> {
    let mut pages = vec![read(server, &format!("/v1/topics?{query}")).await];
    while let Some(cursor) = pages.last().unwrap()["cursor"].as_str() {
        let cursor = cursor.replace('#', "%23").replace('+', "%2B");
        pages.push(read(server, &format!("/v1/topics?{query}&cursor={cursor}")).await);
        assert!(pages.len() < 100, "the list ends");
    }
    pages
}

#[tokio::test]
async fn topics_are_listed_by_name_and_chosen() {
    let server = start(config()).await;
    let topics = ["room", "room/1", "room/1/x", "room/2", "room-2", "a", "zoo"].map(str::to_owned);
    publish(&server, &topics).await;
    publish(&server, &topics[..1]).await;
    let deliver_at = (crate::auth::now() + 600) * 1000;
    let later = json!({"topic": "a", "data": 1, "deliver_at": deliver_at}).to_string();
    assert_eq!(tell(&server, "POST", "/v1/publish", &later).await.0, 200);
    for (query, expected) in [
        ("", vec!["a", "room", "room-2", "room/1", "room/1/x", "room/2", "zoo"]),
        ("prefix=room/", vec!["room/1", "room/1/x", "room/2"]),
        ("prefix=ro", vec!["room", "room-2", "room/1", "room/1/x", "room/2"]),
        ("prefix=x", vec![]),
        ("match=room/%23", vec!["room", "room/1", "room/1/x", "room/2"]),
        ("match=room/%2B", vec!["room/1", "room/2"]),
        ("match=%2B/1/%23", vec!["room/1", "room/1/x"]),
        ("match=room/1", vec!["room/1"]),
        ("match=$scheduled", vec!["$scheduled"]),
        ("prefix=$", vec!["$scheduled"]),
    ] {
        for limit in [1, 2, 1000] {
            let pages = pages(&server, &format!("limit={limit}&{query}")).await;
            let found: Vec<_> = pages.iter().flat_map(names).collect();
            assert_eq!(found, expected, "{query}, {limit} a page");
            for page in &pages {
                assert!(names(page).len() <= limit);
                assert_eq!(page["total"], 8);
                assert_eq!(page["more"], json!(page["cursor"].is_string()));
            }
        }
    }
    let room = &read(&server, "/v1/topics?prefix=room&limit=1").await["topics"][0];
    assert_eq!(
        (&room["first"], &room["offset"], &room["messages"]),
        (&json!(1), &json!(2), &json!(2))
    );
    let history = read(&server, "/v1/history?topic=room").await;
    assert_eq!(room["epoch"], history["epoch"]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_request_looks_at_no_more_than_ten_thousand_topics() {
    let server = start(config()).await;
    let topics: Vec<_> = (0..12_000).map(|n| format!("room/{n:05}/a")).collect();
    publish(&server, &topics).await;
    publish(&server, &["room/11999/b".to_owned()]).await;
    let pages = pages(&server, "match=room/%2B/b").await;
    let found: Vec<_> = pages.iter().map(names).collect();
    assert_eq!(found, [vec![], vec!["room/11999/b"]]);
    assert_eq!(pages[0]["more"], true);
    server.shutdown().await;
}

#[tokio::test]
async fn bad_questions_about_topics_are_told_what_is_wrong() {
    let server = start(config()).await;
    let long = format!("/v1/topics?prefix={}", "x".repeat(256));
    refuses(
        &server,
        &[
            ("/v1/topics?limit=0", "`limit` is 0"),
            ("/v1/topics?limit=1001", "from 1 to 1000"),
            ("/v1/topics?limit=x", "limit"),
            ("/v1/topics?match=a/%23/b", "`match`"),
            ("/v1/topics?match=a&prefix=a", "not both"),
            ("/v1/topics?prefix=a/%23", "wildcards"),
            ("/v1/topics?cursor=%23", "`cursor`"),
            ("/v1/topics?page=2", "unknown field"),
            (&long, "longer than a topic"),
            ("/v1/topic", "missing field"),
            ("/v1/topic?topic=a/%23", "belong in a filter"),
            ("/v1/topic?topic=a&limit=1", "unknown field"),
        ],
    )
    .await;
    assert_eq!(ask(&server, "POST", "/v1/topics").await.0, 405);
    server.shutdown().await;
}

#[tokio::test]
async fn a_topic_tells_what_it_keeps_and_who_reads_it() {
    let mut config = config();
    let section = TopicSection::new("jobs/#".parse().unwrap());
    let memory = TopicSection::new("typing/#".parse().unwrap());
    config.topic = vec![
        TopicSection { attempts_max: 3, ack_timeout: Duration::from_secs(5), ..section },
        TopicSection { durability: Durability::Memory, ..memory },
    ];
    let server = start(config).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let published = peer.publish("jobs/1", json!(1)).await;
    for subscribe in
        [json!({"topic": "jobs/1"}), json!({"filter": "jobs/+"}), json!({"topic": "jobs/2"})]
    {
        assert!(peer.ask(json!({"subscribe": subscribe})).await["subscribed"].is_object());
    }
    let mut other = Peer::connect(server.public_addr()).await;
    let durable = json!({"topic": "jobs/1", "durable": "phone", "from": "first"});
    other.ask(json!({"subscribe": durable})).await;
    let mut member = Peer::connect(server.public_addr()).await;
    member.ask(json!({"subscribe": {"filter": "jobs/#", "group": "workers"}})).await;
    peer.publish("jobs/1", json!(2)).await;

    let topic = read(&server, "/v1/topic?topic=jobs/1").await;
    assert_eq!((&topic["messages"], &topic["offset"]), (&json!(2), &json!(2)), "{topic}");
    assert_eq!(topic["epoch"], published["epoch"]);
    let history = read(&server, "/v1/history?topic=jobs/1").await;
    assert_eq!(topic["last_at"], history["messages"][1]["at"]);
    assert_eq!(topic["subscribers"], 3, "one live, one by filter, one durable: {topic}");
    let policy = &topic["policy"];
    assert_eq!(
        (&policy["attempts_max"], &policy["ack_timeout"], &policy["durability"]),
        (&json!(3), &json!("5s"), &json!("sync"))
    );
    assert_eq!(policy.get("match"), None);
    let cursors = topic["cursors"].as_array().unwrap();
    assert_eq!((cursors.len(), &topic["cursors_more"]), (2, &json!(false)), "{topic}");
    assert_eq!((&cursors[0]["kind"], &cursors[0]["group"]), (&json!("group"), &json!("workers")));
    assert_eq!(cursors[0]["filter"], "jobs/#");
    let durable = &cursors[1];
    assert_eq!((&durable["kind"], &durable["user"]), (&json!("durable"), &json!("dev")));
    assert_eq!((&durable["durable"], &durable["pending"]), (&json!("phone"), &json!(2)));
    assert!(durable["saved_at"].is_u64() && durable["next"] == 1);

    for (empty, durability) in [("nobody/was/here", "sync"), ("typing/1", "memory")] {
        let topic = read(&server, &format!("/v1/topic?topic={empty}")).await;
        assert_eq!((&topic["messages"], &topic["last_at"]), (&json!(0), &Value::Null));
        assert_eq!((&topic["cursors"], &topic["subscribers"]), (&json!([]), &json!(0)));
        assert_eq!(topic["policy"]["durability"], durability);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_topic_names_a_hundred_of_its_cursors() {
    let server = start(config()).await;
    for n in 0..101 {
        let mut peer = Peer::connect(server.public_addr()).await;
        let subscribe = json!({"topic": "a", "durable": format!("d{n:03}")});
        assert!(peer.ask(json!({"subscribe": subscribe})).await["subscribed"].is_object());
    }
    let topic = read(&server, "/v1/topic?topic=a").await;
    assert_eq!(topic["cursors_more"], true);
    assert_eq!(topic["cursors"].as_array().unwrap().len(), 100);
    server.shutdown().await;
}
