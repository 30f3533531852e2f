//! What the public port has for topics, on the operator's: as somebody who may do everything.

use serde_json::{Value, json};
use tidings_server::TopicSection;

use super::{ask, read, refuses, tell};
use crate::auth::{claims, closed, connect_with, token};
use crate::events::Events;
use crate::peer::{http, start};

#[tokio::test]
async fn an_operator_publishes_and_reads_without_a_token() {
    let server = start(closed()).await;
    let publish = r#"{"topic":"room/1","data":{"n":1},"key":"k"}"#;
    let (status, published) = tell(&server, "POST", "/v1/publish", publish).await;
    assert_eq!((status, &published["offset"]), (200, &json!(1)), "{published}");
    let (_, repeated) = tell(&server, "POST", "/v1/publish", publish).await;
    assert_eq!(repeated["duplicate"], true);
    let batch = r#"{"messages":[{"topic":"a","data":1},{"topic":"$dead-letters","data":2}]}"#;
    let (_, batch) = tell(&server, "POST", "/v1/publish/batch", batch).await;
    assert_eq!(batch["results"][0]["offset"], 1);
    assert!(batch["results"][1]["error"].is_object(), "what is the server's own stays so: {batch}");
    let broadcast = r#"{"topics":["a","b"],"data":3}"#;
    let (_, broadcast) = tell(&server, "POST", "/v1/broadcast", broadcast).await;
    assert_eq!(broadcast["results"][0]["offset"], 2);

    let history = read(&server, "/v1/history?topic=room/1").await;
    assert_eq!(history["messages"][0]["from"], "$operator");
    assert_eq!(history["messages"][0]["data"], json!({"n": 1}));
    let waiting = read(&server, "/v1/history?topic=c&wait_ms=10").await;
    assert_eq!(waiting["messages"], json!([]));
    for own in ["$dead-letters", "$scheduled", "$revocations"] {
        let history = read(&server, &format!("/v1/history?topic={own}")).await;
        assert_eq!(history["topic"], own);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn an_operator_follows_topics() {
    let server = start(closed()).await;
    let mut stream = Events::open(server.operator_addr(), "topic=room/1&topic=a", &[]).await;
    assert_eq!(stream.status, 200, "{}", stream.head);
    stream.expect("ready").await;
    let (mut alice, _) = connect_with(&server, &token(claims("alice"))).await;
    alice.publish("room/1", json!("hello")).await;
    let message = stream.expect("message").await;
    assert_eq!((&message.data["from"], &message.data["data"]), (&json!("alice"), &json!("hello")));
    server.shutdown().await;
}

#[tokio::test]
async fn an_operator_sees_who_is_on_a_topic() {
    let mut config = closed();
    let section = TopicSection::new("room/+".parse().unwrap());
    config.topic = vec![TopicSection { presence: true, ..section }];
    let server = start(config).await;
    let (mut alice, _) = connect_with(&server, &token(claims("alice"))).await;
    alice.ask(json!({"subscribe": {"topic": "room/1"}})).await;
    let present = read(&server, "/v1/presence?topic=room/1").await;
    assert_eq!((&present["total"], &present["members"][0]["user"]), (&json!(1), &json!("alice")));
    server.shutdown().await;
}

#[tokio::test]
async fn the_operators_key_is_nothing_to_the_public_port() {
    let server = start(closed()).await;
    let shown = format!("Bearer {}", server.operator_key().expose());
    for path in ["/v1/history?topic=a", "/v1/scheduled", "/v1/topics"] {
        let headers = [("authorization", shown.as_str())];
        let (status, _, body) = http(server.public_addr(), "GET", path, &headers, "").await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        let expected = if path == "/v1/topics" { 404 } else { 401 };
        assert_eq!(status, expected, "{path}: {problem}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn bad_requests_are_told_as_on_the_public_port() {
    let server = start(closed()).await;
    refuses(
        &server,
        &[
            ("/v1/history?topic=a/%23", "belong in a filter"),
            ("/v1/history?topic=a&limit=0", "`limit`"),
            ("/v1/history?topic=a&wait_ms=60001", "`wait_ms`"),
            ("/v1/stream", "topic"),
            ("/v1/presence?topic=", "topic"),
        ],
    )
    .await;
    assert_eq!(tell(&server, "POST", "/v1/publish", "{").await.0, 400);
    let large = format!("{{\"topic\":\"a\",\"data\":\"{}\"}}", "x".repeat(3 << 20));
    assert_eq!(tell(&server, "POST", "/v1/publish", &large).await.0, 413);
    assert_eq!(ask(&server, "GET", "/v1/publish").await.0, 405);
    server.shutdown().await;
}
