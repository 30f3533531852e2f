//! One message to many topics by one HTTP request.

use serde_json::{Value, json};
use tidings_server::{ApiKey, CapsEntry, Server};

use crate::peer::{Peer, config, http, start};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn broadcast(address: std::net::SocketAddr, body: &Value) -> (u16, Value) {
    let (status, _, text) =
        http(address, "POST", "/v1/broadcast", &[JSON], &body.to_string()).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_broadcast_reaches_every_topic_and_each_result_stands_for_itself() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut reader = Peer::connect(address).await;
    reader.ask(json!({"subscribe": {"filter": "room/#"}})).await;
    let body = json!({
        "topics": ["room/1", "room/#", "room/2", "$dead-letters"],
        "data": {"text": "closing soon"}, "headers": {"h": "v"},
    });
    let (status, reply) = broadcast(address, &body).await;
    assert_eq!(status, 200, "{reply}");
    let results = reply["results"].as_array().unwrap();
    assert_eq!((&results[0]["topic"], &results[0]["offset"]), (&json!("room/1"), &json!(1)));
    assert_eq!(results[1]["error"]["code"], "bad_topic");
    assert_eq!((&results[2]["topic"], &results[2]["offset"]), (&json!("room/2"), &json!(1)));
    assert_eq!(results[3]["error"]["code"], "permission_denied");
    for topic in ["room/1", "room/2"] {
        let message = reader.message().await;
        assert_eq!((&message["topic"], &message["headers"]), (&json!(topic), &json!({"h": "v"})));
        assert_eq!(message["data"], json!({"text": "closing soon"}));
    }
    reader.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_repeated_broadcast_is_recognised_in_each_topic() {
    let server = start(config()).await;
    let address = server.public_addr();
    let key = ("idempotency-key", "b-1");
    for (topics, duplicates) in
        [(json!(["a", "b"]), vec![false, false]), (json!(["b", "c", "a"]), vec![true, false, true])]
    {
        let body = json!({"topics": topics, "data": 1}).to_string();
        let (_, _, text) = http(address, "POST", "/v1/broadcast", &[JSON, key], &body).await;
        let reply: Value = serde_json::from_str(&text).unwrap();
        let told = reply["results"].as_array().unwrap().iter();
        let told: Vec<_> = told.map(|result| result["duplicate"].as_bool().unwrap()).collect();
        assert_eq!(told, duplicates, "{reply}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_broadcast_that_is_wrong_as_a_whole_writes_nothing() {
    let server = start(config()).await;
    let address = server.public_addr();
    let many: Vec<_> = (0..1001).map(|n| format!("t/{n}")).collect();
    for (body, code) in [
        (json!({"topics": ["a", "b", "a"], "data": 1}), "bad_field"),
        (json!({"topics": [], "data": 1}), "bad_field"),
        (json!({"topics": many, "data": 1}), "bad_field"),
        (json!({"topics": ["a", "b"]}), "bad_field"),
        (json!({"topic": "a", "data": 1}), "unknown_field"),
    ] {
        let (status, reply) = broadcast(address, &body).await;
        assert_eq!((status, &reply["code"]), (400, &json!(code)), "{reply}");
    }
    let (_, _, text) = http(address, "GET", "/v1/history?topic=a", &[], "").await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["offset"], 0);
    server.shutdown().await;
}

#[tokio::test]
async fn each_topic_of_a_broadcast_needs_the_capability() {
    let mut config = config();
    config.auth.open = false;
    let key = "a-key-of-at-least-32-bytes-in-all";
    let caps: CapsEntry = toml::from_str("match = \"jobs/#\"\nops = [\"pub\", \"hist\"]").unwrap();
    config.auth.api_keys = vec![ApiKey {
        name: "billing".parse().unwrap(),
        key: Some(tidings_server::Secret::new(key.to_owned())),
        key_file: None,
        caps: vec![caps],
    }];
    let server = start(config).await;
    let body = json!({"topics": ["jobs/1", "room/1", "jobs/2"], "data": 1}).to_string();
    let headers = [JSON, ("x-api-key", key)];
    let (status, _, text) =
        http(server.public_addr(), "POST", "/v1/broadcast", &headers, &body).await;
    assert_eq!(status, 200, "{text}");
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["results"][0]["offset"], 1);
    assert_eq!(reply["results"][1]["error"]["code"], "permission_denied");
    assert_eq!(reply["results"][2]["offset"], 1);
    server.shutdown().await;
}

/// 1 000 topics with 60 KB each are far more than the queue of writes holds.
#[tokio::test]
async fn a_broadcast_larger_than_the_write_queue_is_written_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.storage.directory = directory.path().join("data");
    config.storage.queue_bytes_max = tidings_server::ByteSize::from_mib(1);
    let server = Server::start(config).await.unwrap();
    let topics: Vec<_> = (0..1000).map(|n| format!("t/{n}")).collect();
    let body = json!({"topics": topics, "data": "x".repeat(60_000)});
    let (status, reply) = broadcast(server.public_addr(), &body).await;
    assert_eq!(status, 200);
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results.len(), 1000);
    for (n, result) in results.iter().enumerate() {
        let expected = (json!(format!("t/{n}")), json!(1));
        assert_eq!((&result["topic"], &result["offset"]), (&expected.0, &expected.1), "{result}");
    }
    server.shutdown().await;
}
