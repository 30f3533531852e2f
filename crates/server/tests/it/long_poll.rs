//! History requests that wait for a message.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_core::Durability;
use tidings_server::{RunningServer, TopicSection};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::auth::{claims, closed, now, token};
use crate::peer::{Peer, config, http, metric, start};

async fn history(address: SocketAddr, query: &str) -> (u16, Value) {
    let (status, _, body) = http(address, "GET", &format!("/v1/history?{query}"), &[], "").await;
    (status, serde_json::from_str(&body).unwrap())
}

/// Waits until so many requests wait; the test's own timeout is the bound.
async fn until_waiting(server: &RunningServer, count: f64) {
    while metric(server, "tidings_waiting_polls").await != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_request_waits_for_the_next_message_and_no_longer() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut peer = Peer::connect(address).await;
    peer.publish("t", json!(1)).await;
    let (_, page) = history(address, "topic=t&wait_ms=60000").await;
    assert_eq!(page["messages"][0]["data"], 1, "what is there is not waited for");
    let query = format!("topic=t&wait_ms=60000&cursor={}", page["cursor"].as_str().unwrap());
    let waiting = tokio::spawn(async move { history(address, &query).await });
    until_waiting(&server, 1.0).await;
    peer.publish("elsewhere", json!(0)).await;
    peer.publish("t/below", json!(0)).await;
    assert_eq!(metric(&server, "tidings_waiting_polls").await, 1.0, "other topics wake nobody");
    peer.publish("t", json!(2)).await;
    let (status, page) = waiting.await.unwrap();
    assert_eq!((status, &page["messages"][0]["data"]), (200, &json!(2)), "{page}");
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    assert_eq!(metric(&server, "tidings_waiting_polls").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn an_answer_without_messages_goes_on_later() {
    let mut config = config();
    config.http.request_timeout = Duration::from_secs(1);
    let server = start(config).await;
    let address = server.public_addr();
    let began = Instant::now();
    // Longer than other requests may take.
    let (status, page) = history(address, "topic=t&wait_ms=1500").await;
    assert_eq!((status, &page["messages"]), (200, &json!([])), "{page}");
    assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
    let mut peer = Peer::connect(address).await;
    peer.publish("t", json!(1)).await;
    let query = format!("topic=t&wait_ms=9000&cursor={}", page["cursor"].as_str().unwrap());
    assert_eq!(history(address, &query).await.1["messages"][0]["data"], 1);
    server.shutdown().await;
}

/// Publishes and polls without a pause: each message is answered once, whichever side was first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn polling_by_cursor_gets_every_message_once() {
    const MESSAGES: u64 = 400;
    let server = start(config()).await;
    let address = server.public_addr();
    let publisher = tokio::spawn(async move {
        let mut peer = Peer::connect(address).await;
        for n in 1..=MESSAGES {
            peer.publish("t", json!(n)).await;
            if n % 7 == 0 {
                tokio::time::sleep(Duration::from_micros(n * 13 % 3000)).await;
            }
        }
    });
    let mut seen = Vec::new();
    let mut query = "topic=t&wait_ms=60000".to_owned();
    while seen.len() < MESSAGES as usize {
        let (status, page) = history(address, &query).await;
        assert_eq!(status, 200, "{page}");
        let messages = page["messages"].as_array().unwrap();
        assert!(!messages.is_empty(), "it waits for as long as it takes");
        seen.extend(messages.iter().map(|message| message["data"].as_u64().unwrap()));
        query = format!("topic=t&wait_ms=60000&cursor={}", page["cursor"].as_str().unwrap());
    }
    assert_eq!(seen, (1..=MESSAGES).collect::<Vec<_>>());
    publisher.await.unwrap();
    server.shutdown().await;
}

#[tokio::test]
async fn a_thousand_wait_and_are_all_answered() {
    const WAITERS: u64 = 1000;
    let server = start(config()).await;
    let address = server.public_addr();
    let mut waiters = JoinSet::new();
    for n in 0..WAITERS {
        waiters.spawn(async move {
            let topic = if n % 10 == 0 { format!("own/{n}") } else { "hot".to_owned() };
            history(address, &format!("topic={topic}&wait_ms=60000")).await
        });
    }
    until_waiting(&server, WAITERS as f64).await;
    let mut peer = Peer::connect(address).await;
    let began = Instant::now();
    peer.publish("hot", json!("hot")).await;
    assert!(began.elapsed() < Duration::from_secs(2), "publishing does not wait for waiters");
    until_waiting(&server, WAITERS as f64 / 10.0).await;
    for n in (0..WAITERS).step_by(10) {
        peer.publish(&format!("own/{n}"), json!(n)).await;
    }
    let mut hot = 0;
    while let Some(answer) = waiters.join_next().await {
        let (status, page) = answer.unwrap();
        assert_eq!(status, 200, "{page}");
        let message = &page["messages"][0];
        hot += u64::from(message["data"] == "hot");
        assert!(
            message["topic"] == "hot" || message["topic"] == format!("own/{}", message["data"])
        );
    }
    assert_eq!(hot, WAITERS * 9 / 10);
    assert_eq!(metric(&server, "tidings_waiting_polls").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn what_waiting_cannot_mend_is_told_at_once() {
    let mut config = config();
    config.topic = vec![TopicSection {
        durability: Durability::Memory,
        ..TopicSection::new("live/#".parse().unwrap())
    }];
    let server = start(config).await;
    let address = server.public_addr();
    Peer::connect(address).await.publish("t", json!(1)).await;
    for (query, status, code) in [
        ("topic=t&wait_ms=60001", 400, "bad_field"),
        ("topic=t&wait_ms=soon", 400, "bad_field"),
        ("topic=t&after=zz:1&wait_ms=60000", 410, "epoch_changed"),
        ("topic=live/1&wait_ms=60000", 501, "unsupported"),
    ] {
        let (got, problem) = history(address, query).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{query}: {problem}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn there_is_a_bound_on_who_waits_and_who_leaves_makes_room() {
    let mut config = config();
    config.http.streams_max = 1;
    let server = start(config).await;
    let address = server.public_addr();
    let mut leaving = TcpStream::connect(address).await.unwrap();
    let request = "GET /v1/history?topic=t&wait_ms=60000 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    leaving.write_all(request.as_bytes()).await.unwrap();
    until_waiting(&server, 1.0).await;
    let path = "/v1/history?topic=t&wait_ms=60000";
    let (status, head, body) = http(address, "GET", path, &[], "").await;
    assert_eq!(status, 429, "{body}");
    assert!(head.contains("\r\nretry-after: ") && body.contains("limit_reached"), "{head}{body}");
    let (status, _) = history(address, "topic=t").await;
    assert_eq!(status, 200, "who does not wait is answered");
    drop(leaving);
    until_waiting(&server, 0.0).await;
    let waiting = tokio::spawn(async move { history(address, "topic=t&wait_ms=60000").await });
    until_waiting(&server, 1.0).await;
    Peer::connect(address).await.publish("t", json!(1)).await;
    assert_eq!(waiting.await.unwrap().0, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn who_waits_is_told_of_a_drain_and_of_being_sent_away() {
    let server = start(closed()).await;
    let (address, operator) = (server.public_addr(), server.operator_addr());
    let ask = |user: &'static str, seconds: u64| async move {
        let mut claims = claims(user);
        claims.as_object_mut().unwrap().remove("caps");
        claims["exp"] = json!(now() + seconds);
        let bearer = format!("Bearer {}", token(claims));
        let path = format!("/v1/history?topic=user/{user}&wait_ms=60000");
        let headers = [("authorization", bearer.as_str())];
        let (status, head, body) = http(address, "GET", &path, &headers, "").await;
        (status, head, serde_json::from_str::<Value>(&body).unwrap())
    };
    let alice = tokio::spawn(ask("alice", 600));
    let bob = tokio::spawn(ask("bob", 600));
    until_waiting(&server, 2.0).await;
    let (status, _, _) = http(operator, "POST", "/v1/users/alice/disconnect", &[], "").await;
    assert_eq!(status, 202);
    let (status, _, problem) = alice.await.unwrap();
    assert_eq!((status, &problem["code"]), (403, &json!("permission_denied")));
    server.shutdown().await;
    let (status, head, problem) = bob.await.unwrap();
    assert_eq!((status, &problem["code"]), (503, &json!("draining")));
    assert!(head.contains("\r\nretry-after: "), "{head}");
}

#[tokio::test]
async fn nobody_waits_longer_than_the_token_counts() {
    let mut config = closed();
    config.auth.leeway = Duration::ZERO;
    let server = start(config).await;
    let mut claims = claims("alice");
    claims.as_object_mut().unwrap().remove("caps");
    claims["exp"] = json!(now() + 2);
    let bearer = format!("Bearer {}", token(claims));
    let began = Instant::now();
    let path = "/v1/history?topic=user/alice&wait_ms=60000";
    let headers = [("authorization", bearer.as_str())];
    let (status, _, body) = http(server.public_addr(), "GET", path, &headers, "").await;
    assert_eq!(status, 200, "{body}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    server.shutdown().await;
}
