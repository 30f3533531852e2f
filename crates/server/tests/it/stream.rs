//! Event streams: where they begin, what they say, how they resume and how they end.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tidings_core::Durability;
use tidings_server::{RunningServer, Server, TopicSection};

use crate::auth::{claims, closed, now, token};
use crate::events::Events;
use crate::peer::{Peer, config, http, metric, start};

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    range.map(|n| json!(n)).collect()
}

pub(crate) async fn publish(peer: &mut Peer, topic: &str, range: std::ops::RangeInclusive<u64>) {
    for n in range {
        peer.publish(topic, json!(n)).await;
    }
}

/// A token without `caps`: for the user's own inbox.
fn inbox(user: &str) -> Value {
    let mut claims = claims(user);
    claims.as_object_mut().unwrap().remove("caps");
    claims
}

/// Waits until a metric has a value; the test's own timeout is the bound.
async fn until(server: &RunningServer, name: &str, value: f64) {
    while metric(server, name).await != value {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stream_says_that_it_is_ready_and_then_every_message() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    publish(&mut peer, "a", 1..=3).await;
    let mut stream = Events::open(server.public_addr(), "topic=a&topic=b", &[]).await;
    assert_eq!(stream.status, 200);
    for header in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-store\r\n",
        "x-accel-buffering: no\r\n",
    ] {
        assert!(stream.head.contains(header), "{header} is not in {}", stream.head);
    }
    let retry = stream.any().await.unwrap().retry.expect("first, when to come back");
    assert!((1000..=4000).contains(&retry), "{retry}");
    let ready = stream.expect("ready").await;
    let topics = ready.data["topics"].as_array().unwrap();
    assert_eq!((&topics[0]["topic"], &topics[0]["offset"]), (&json!("a"), &json!(3)));
    assert_eq!((&topics[1]["topic"], &topics[1]["offset"]), (&json!("b"), &json!(0)));
    assert!(ready.id.is_some() && topics.iter().all(|topic| topic["pending"] == 0));
    let frame = {
        let mut reader = Peer::connect(server.public_addr()).await;
        reader.ask(json!({"subscribe": {"topic": "b"}})).await;
        peer.ask(json!({"publish": {
            "topic": "b", "data": {"x": "a\nb"}, "headers": {"h": "v"}, "content_type": "text/x",
        }}))
        .await;
        reader.message().await
    };
    let message = stream.expect("message").await;
    assert_eq!(message.data, frame, "the same as over a socket");
    assert!(message.id.is_some());
    until(&server, "tidings_streams", 1.0).await;
    assert_eq!(metric(&server, "tidings_stream_deliveries_total").await, 1.0);
    drop(stream);
    until(&server, "tidings_streams", 0.0).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_begins_where_it_is_asked_to() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut peer = Peer::connect(address).await;
    publish(&mut peer, "t", 1..=3).await;
    let (_, _, body) = http(address, "GET", "/v1/history?topic=t", &[], "").await;
    let history: Value = serde_json::from_str(&body).unwrap();
    let epoch = history["epoch"].as_str().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let after_three = history["messages"][2]["at"].as_u64().unwrap() + 1;
    publish(&mut peer, "t", 4..=5).await;
    for (query, expected) in [
        ("from=first".to_owned(), numbers(1..=6)),
        ("from=last".to_owned(), numbers(5..=6)),
        ("from=new".to_owned(), numbers(6..=6)),
        (String::new(), numbers(6..=6)),
        (format!("after={epoch}:2"), numbers(3..=6)),
        (format!("since={after_three}"), numbers(4..=6)),
        ("since=99999999999999".to_owned(), numbers(6..=6)),
    ] {
        let mut stream = Events::open(address, &format!("topic=t&{query}"), &[]).await;
        stream.expect("ready").await;
        let kept = stream.data(expected.len() - 1).await;
        assert_eq!(kept, expected[..expected.len() - 1], "{query}: what is kept");
    }
    // The sixth comes while the streams are open.
    let mut live = Vec::new();
    for query in ["", "&from=new", "&from=last", "&since=99999999999999"] {
        let mut stream = Events::open(address, &format!("topic=t{query}"), &[]).await;
        stream.expect("ready").await;
        live.push((stream, usize::from(query == "&from=last")));
    }
    publish(&mut peer, "t", 6..=6).await;
    for (mut stream, kept) in live {
        assert_eq!(stream.data(kept + 1).await.last(), Some(&json!(6)));
    }
    server.shutdown().await;
}

/// The client is killed after every single event and comes back with what it has.
#[tokio::test]
async fn a_client_that_is_killed_at_every_event_misses_and_repeats_nothing() {
    const EACH: u64 = 40;
    let server = start(config()).await;
    let address = server.public_addr();
    let publisher = tokio::spawn(async move {
        let mut peer = Peer::connect(address).await;
        for n in 1..=EACH {
            peer.publish("a", json!(["a", n])).await;
            peer.publish("b", json!(["b", n])).await;
        }
    });
    let mut id: Option<String> = None;
    let mut seen = Vec::new();
    let mut lives = 0;
    while seen.len() < 2 * EACH as usize {
        let query = "topic=a&topic=b&from=first";
        let mut stream = Events::resume(address, query, id.as_deref()).await;
        lives += 1;
        // One life ends after `ready`, the next after the message that follows it.
        if stream.expect("ready").await.id.is_some() && lives % 2 == 0 {
            seen.push(stream.expect("message").await.data["data"].clone());
        }
        id = stream.last_id.clone();
    }
    publisher.await.unwrap();
    for topic in ["a", "b"] {
        let of_topic: Vec<_> = seen.iter().filter(|data| data[0] == topic).collect();
        let expected: Vec<_> = (1..=EACH).map(|n| json!([topic, n])).collect();
        assert_eq!(of_topic, expected.iter().collect::<Vec<_>>());
    }
    server.shutdown().await;
}

/// Streams are opened, at the same place and anew, while messages are committed as fast as they
/// come: each round meets the seam between what is read and what is heard of somewhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn history_and_live_meet_without_gap_or_repeat() {
    const ROUNDS: usize = 150;
    const BURST: u64 = 20;
    let server = start(config()).await;
    let address = server.public_addr();
    let mut peer = Peer::connect(address).await;
    let first = peer.publish("t", json!(0)).await;
    let epoch = first["epoch"].as_str().unwrap().to_owned();
    let mut head = first["offset"].as_u64().unwrap();
    for round in 0..ROUNDS {
        let until = head + BURST;
        let query = format!("topic=t&after={epoch}:{head}");
        let reader = tokio::spawn(async move {
            // Some begin before the burst, some within it, some after it.
            tokio::time::sleep(Duration::from_micros((round as u64 * 97) % 4000)).await;
            let mut stream = Events::open(address, &query, &[]).await;
            let mut offsets = Vec::new();
            while offsets.last() != Some(&until) {
                let event = stream.next().await.unwrap();
                if event.kind == "message" {
                    offsets.push(event.data["offset"].as_u64().unwrap());
                }
            }
            offsets
        });
        for n in 0..BURST {
            peer.publish("t", json!(n)).await;
        }
        let expected: Vec<_> = (head + 1..=until).collect();
        assert_eq!(reader.await.unwrap(), expected, "round {round}");
        head = until;
    }
    server.shutdown().await;
}

/// Of a topic that keeps ten messages, sometimes less than a batch while it is trimmed.
pub(crate) async fn short_memory() -> (RunningServer, Peer) {
    let mut config = config();
    let section = TopicSection {
        retention_messages: Some(10),
        ..TopicSection::new("short/#".parse().unwrap())
    };
    config.topic = vec![section];
    let server = start(config).await;
    let peer = Peer::connect(server.public_addr()).await;
    (server, peer)
}

#[tokio::test]
async fn a_place_that_was_trimmed_is_told_with_a_reset_until_it_was_heard() {
    let (server, mut peer) = short_memory().await;
    let address = server.public_addr();
    let query = "topic=short/1&topic=other&from=first";
    let mut stream = Events::open(address, query, &[]).await;
    publish(&mut peer, "short/1", 1..=1).await;
    stream.expect("ready").await;
    let id = stream.expect("message").await.id;
    drop(stream);
    publish(&mut peer, "short/1", 2..=100).await;
    trimmed(address, "short/1", 91).await;
    // Twice: whoever breaks off before `ready` shows the old cursor again.
    for _ in 0..2 {
        let mut stream = Events::resume(address, query, id.as_deref()).await;
        let reset = stream.expect("reset").await;
        assert_eq!(reset.id, None);
        assert_eq!(reset.data["sub"], "short/1");
        assert_eq!(reset.data["topic"], "short/1");
        assert_eq!(reset.data["reason"], "trimmed");
        assert_eq!((&reset.data["first"], &reset.data["offset"]), (&json!(91), &json!(100)));
    }
    let mut stream = Events::resume(address, query, id.as_deref()).await;
    stream.expect("reset").await;
    let ready = stream.expect("ready").await;
    assert_eq!(ready.data["topics"][0]["pending"], 10);
    assert_eq!(stream.data(10).await, numbers(91..=100));
    drop(stream);
    let mut again = Events::resume(address, query, ready.id.as_deref()).await;
    again.expect("ready").await;
    assert_eq!(again.data(10).await, numbers(91..=100), "heard once it was ready");
    server.shutdown().await;
}

/// Retention works in the background.
pub(crate) async fn trimmed(address: SocketAddr, topic: &str, first: u64) {
    loop {
        let path = format!("/v1/history?topic={topic}&limit=1");
        let (_, _, body) = http(address, "GET", &path, &[], "").await;
        if serde_json::from_str::<Value>(&body).unwrap()["first"] == first {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_cursor_of_another_life_or_from_the_future_is_a_reset() {
    let (server, mut peer) = short_memory().await;
    let address = server.public_addr();
    publish(&mut peer, "t", 1..=3).await;
    let (_, _, body) = http(address, "GET", "/v1/history?topic=t", &[], "").await;
    let epoch = serde_json::from_str::<Value>(&body).unwrap()["epoch"].clone();
    let ahead = format!("{}:9", epoch.as_str().unwrap());
    for (after, reason) in [("zz:2", "epoch_changed"), (&*ahead, "ahead_of_head")] {
        let mut stream = Events::open(address, &format!("topic=t&after={after}"), &[]).await;
        let reset = stream.expect("reset").await;
        assert_eq!((&reset.data["reason"], &reset.data["epoch"]), (&json!(reason), &epoch));
        stream.expect("ready").await;
        assert_eq!(stream.data(3).await, numbers(1..=3), "what is left comes from the start");
    }
    assert_eq!(metric(&server, "tidings_resets_total").await, 2.0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_is_alive() {
    let mut config = config();
    config.limits.ping_interval = Duration::from_secs(1);
    config.limits.pong_timeout = Duration::from_secs(1);
    let server = start(config).await;
    let mut stream = Events::open(server.public_addr(), "topic=a", &[]).await;
    stream.expect("ready").await;
    for _ in 0..2 {
        assert!(stream.any().await.unwrap().is_comment);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_its_user() {
    let mut config = closed();
    config.auth.leeway = Duration::ZERO;
    config.auth.token_in_query = true;
    let server = start(config).await;
    let address = server.public_addr();
    let mut short = inbox("alice");
    short["exp"] = json!(now() + 2);
    let (short, long) = (token(short), token(inbox("alice")));
    let bearer = format!("Bearer {short}");
    let mut expiring =
        Events::open(address, "topic=user/alice", &[("authorization", &bearer)]).await;
    assert_eq!(expiring.status, 200, "{}", expiring.head);
    let query = format!("topic=user/alice&token={long}");
    let mut in_query = Events::open(address, &query, &[]).await;
    assert_eq!(in_query.status, 200);
    let bob = format!("topic=user/bob&token={}", token(inbox("bob")));
    let mut bob = Events::open(address, &bob, &[]).await;
    for stream in [&mut expiring, &mut in_query, &mut bob] {
        stream.expect("ready").await;
    }
    let goaway = expiring.expect("goaway").await;
    assert_eq!(goaway.data, json!({"reason": "token_expired"}));
    assert!(expiring.any().await.is_none(), "the last thing that is said");
    let operator = server.operator_addr();
    let (status, _, _) = http(operator, "POST", "/v1/users/alice/disconnect", &[], "").await;
    assert_eq!(status, 202);
    assert_eq!(in_query.expect("goaway").await.data, json!({"reason": "forbidden"}));
    assert!(in_query.any().await.is_none());
    // A revocation ends what its tokens let in, and they let nobody in any more.
    let (status, _, _) = http(operator, "POST", "/v1/users/bob/revoke", &[], "").await;
    assert_eq!(status, 200);
    assert_eq!(bob.expect("goaway").await.data, json!({"reason": "forbidden"}));
    let again = format!("topic=user/bob&token={}", token(inbox("bob")));
    let mut again = Events::open(address, &again, &[]).await;
    assert_eq!((again.status, &again.problem().await["code"]), (401, &json!("token_revoked")));
    server.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_with_the_reason() {
    let mut config = closed();
    config.topic = vec![TopicSection {
        durability: Durability::Memory,
        ..TopicSection::new("user/alice/live/#".parse().unwrap())
    }];
    let server = start(config).await;
    let bearer = format!("Bearer {}", token(inbox("alice")));
    let alice = [("authorization", bearer.as_str())];
    for (query, headers, status, code) in [
        ("topic=user/alice", &[][..], 401, "unauthenticated"),
        ("topic=user/alice&token=a.b.c", &[], 401, "unauthenticated"),
        ("topic=user/bob", &alice, 403, "permission_denied"),
        ("topic=user/alice&topic=user/bob", &alice, 403, "permission_denied"),
        ("topic=user/alice/live/1", &alice, 501, "unsupported"),
        ("topic=user/alice/%2B", &alice, 400, "bad_topic"),
        ("topic=user/alice&after=AAAA", &alice, 400, "bad_field"),
        ("topic=user/alice&form=new", &alice, 400, "unknown_field"),
    ] {
        let mut stream = Events::open(server.public_addr(), query, headers).await;
        let problem = stream.problem().await;
        assert_eq!((stream.status, &problem["code"]), (status, &json!(code)), "{query} {problem}");
    }
    assert_eq!(metric(&server, "tidings_streams").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn there_is_a_bound_on_streams() {
    let mut config = config();
    config.http.streams_max = 2;
    let server = start(config).await;
    let address = server.public_addr();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = Events::open(address, "topic=a", &[]).await;
        stream.expect("ready").await;
        streams.push(stream);
    }
    let mut refused = Events::open(address, "topic=a", &[]).await;
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("\r\nretry-after: "), "{}", refused.head);
    assert_eq!(refused.problem().await["code"], "limit_reached");
    streams.pop();
    until(&server, "tidings_streams", 1.0).await;
    let mut next = Events::open(address, "topic=a", &[]).await;
    next.expect("ready").await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_drain_ends_streams_and_says_when_to_come_back() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut stream = Events::open(address, "topic=a", &[]).await;
    stream.expect("ready").await;
    let began = std::time::Instant::now();
    let (goaway, retry) = tokio::join!(
        async {
            let retry = stream.any().await.unwrap().retry.expect("when to come back");
            let goaway = stream.expect("goaway").await;
            assert!(stream.any().await.is_none());
            (goaway, retry)
        },
        server.shutdown()
    )
    .0;
    assert_eq!(goaway.data["reason"], "draining");
    assert_eq!(goaway.data["retry_after_ms"], retry);
    assert!(began.elapsed() < Duration::from_secs(2), "the drain did not wait for its deadline");
}

#[tokio::test]
async fn a_page_on_the_list_may_read_a_stream() {
    let mut config = config();
    config.http.cors_origins = vec!["https://app.example".to_owned()];
    let server = start(config).await;
    let address = server.public_addr();
    let page = [("origin", "https://app.example")];
    let stream = Events::open(address, "topic=a", &page).await;
    assert!(stream.head.contains("access-control-allow-origin: https://app.example\r\n"));
    let evil = Events::open(address, "topic=a", &[("origin", "https://evil.example")]).await;
    assert_eq!(evil.status, 403);
    server.shutdown().await;
}

/// The cursor outlives the server: it names positions in the log.
#[tokio::test]
async fn a_stream_resumes_after_a_restart_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.storage.directory = directory.path().join("data");
    let server = Server::start(config.clone()).await.unwrap();
    let mut peer = Peer::connect(server.public_addr()).await;
    let query = "topic=a&topic=b&from=first";
    let mut stream = Events::open(server.public_addr(), query, &[]).await;
    publish(&mut peer, "a", 1..=5).await;
    stream.expect("ready").await;
    assert_eq!(stream.data(3).await, numbers(1..=3));
    let id = stream.last_id.clone();
    drop(stream);
    server.shutdown().await;
    let server = Server::start(config).await.unwrap();
    let mut stream = Events::resume(server.public_addr(), query, id.as_deref()).await;
    stream.expect("ready").await;
    assert_eq!(stream.data(2).await, numbers(4..=5));
    server.shutdown().await;
}
