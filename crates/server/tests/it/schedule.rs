//! Messages for later: published when due, once, also over a restart; listed; cancelled.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidings_server::{Config, RunningServer, Server};

use crate::auth::{claims, token};
use crate::peer::{Peer, config, http, metric, start};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn later(topic: &str, data: Value, in_ms: u64) -> Value {
    json!({"publish": {"topic": topic, "data": data, "deliver_at": now_ms() + in_ms}})
}

/// A message that is being published is as unknown to others as one that waits: what they are told
/// says nothing about other users.
#[tokio::test]
async fn users_see_and_cancel_their_own_and_no_other() {
    let server = start(crate::auth::closed()).await;
    let address = server.public_addr();
    let (alices, bobs) = (token(claims("alice")), token(claims("bob")));
    let (alices, bobs) = (format!("Bearer {alices}"), format!("Bearer {bobs}"));
    let ask = async |bearer: &str, method: &str, path: &str, body: &str| {
        let headers = [("authorization", bearer), ("content-type", "application/json")];
        let (status, _, body) = http(address, method, path, &headers, body).await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let mut ids = Vec::new();
    for (bearer, n) in [(&alices, 1), (&alices, 2), (&alices, 3), (&bobs, 4)] {
        let at = now_ms() + 600_000 + n;
        let body = json!({"topic": "room/1", "data": n, "deliver_at": at}).to_string();
        let (status, answer) = ask(bearer, "POST", "/v1/publish", &body).await;
        assert_eq!(status, 200, "{answer}");
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
    let listed = async |bearer: &str, query: &str| {
        let (status, body) = ask(bearer, "GET", &format!("/v1/scheduled{query}"), "").await;
        assert_eq!(status, 200, "{body}");
        let ids = body["scheduled"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        (ids, body["total"].clone(), body["cursor"].clone())
    };
    assert_eq!(listed(&bobs, "").await, (ids[3..].to_vec(), json!(1), Value::Null));
    let (first, total, cursor) = listed(&alices, "?limit=2").await;
    assert_eq!((&first[..], total), (&ids[..2], json!(3)));
    let next = format!("?limit=2&cursor={}", cursor.as_str().unwrap());
    assert_eq!(listed(&alices, &next).await.0, ids[2..3]);
    // Nobody else's, whatever is asked for; and what was never there looks the same.
    assert_eq!(ask(&bobs, "GET", "/v1/scheduled?user=alice", "").await.0, 400);
    let path = |id: &str| format!("/v1/scheduled/{id}");
    let (status, foreign) = ask(&bobs, "DELETE", &path(&ids[0]), "").await;
    let (_, unknown) = ask(&bobs, "DELETE", &path("01JD0M2Q8G00Z0000000000003"), "").await;
    assert_eq!((status, &foreign["detail"]), (404, &unknown["detail"]), "{foreign}");
    assert_eq!(listed(&alices, "").await.1, 3);
    assert_eq!(ask(&alices, "DELETE", &path(&ids[0]), "").await.0, 200);
    assert_eq!(ask(&alices, "DELETE", &path(&ids[0]), "").await.0, 404);
    assert_eq!(listed(&alices, "").await.0, ids[1..3]);
    for method_and_path in [("GET", "/v1/scheduled".to_owned()), ("DELETE", path(&ids[1]))] {
        let (status, _) = ask("Bearer none", method_and_path.0, &method_and_path.1, "").await;
        assert_eq!(status, 401);
    }
    assert_eq!(list(&server, "").await["total"], 3, "an operator sees all");
    server.shutdown().await;
}

async fn list(server: &RunningServer, query: &str) -> Value {
    let path = format!("/v1/scheduled{query}");
    let (status, _, body) = http(server.operator_addr(), "GET", &path, &[], "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn cancel(server: &RunningServer, id: &Value) -> (u16, String) {
    let path = format!("/v1/scheduled/{}", id.as_str().unwrap());
    let (status, _, body) = http(server.operator_addr(), "DELETE", &path, &[], "").await;
    (status, body)
}

#[tokio::test]
async fn a_message_for_later_comes_when_it_is_due_and_keeps_its_name() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(json!({"subscribe": {"filter": "room/#"}})).await;
    let late = peer.ask(later("room/1", json!("late"), 600)).await;
    let soon = peer.ask(later("room/1", json!("soon"), 300)).await;
    let past = json!({"publish": {"topic": "room/1", "data": "past", "deliver_at": now_ms() - 5}});
    // Its message may come before the reply.
    peer.send(json!({"id": 77, "publish": past["publish"]})).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let frame = peer.frame().await;
        if frame["message"].is_object() {
            let message = &frame["message"];
            seen.push((message["data"].clone(), message["id"].clone()));
            let due = [&soon, &late].into_iter().find(|r| r["scheduled"]["id"] == message["id"]);
            if let Some(due) = due {
                assert!(now_ms() >= due["scheduled"]["deliver_at"].as_u64().unwrap());
                assert_eq!(message["headers"], Value::Null, "nothing of the schedule shows");
                assert_eq!(message["from"], "dev");
            }
        } else {
            assert!(frame["published"].is_object(), "what is past is published at once: {frame}");
        }
    }
    let order: Vec<_> = seen.iter().map(|(data, _)| data.as_str().unwrap()).collect();
    assert_eq!(order, ["past", "soon", "late"]);
    assert_eq!(seen[1].1, soon["scheduled"]["id"]);
    assert_eq!(seen[2].1, late["scheduled"]["id"]);
    assert_eq!(list(&server, "").await["total"], 0);
    assert_eq!(metric(&server, "tidings_scheduled_published_total").await, 2.0);
    server.shutdown().await;
}

#[tokio::test]
async fn what_waits_is_listed_by_its_time_and_can_be_cancelled() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let topic = if n % 2 == 0 { "even/1" } else { "odd/1" };
        let reply = peer.ask(later(topic, json!(n), 60_000 - n * 1000)).await;
        ids.push(reply["scheduled"]["id"].clone());
    }
    let all = list(&server, "").await;
    let listed: Vec<_> = all["scheduled"].as_array().unwrap().iter().map(|s| &s["id"]).collect();
    assert_eq!(listed, ids.iter().rev().collect::<Vec<_>>(), "the next one first");
    assert_eq!(all["scheduled"][0]["user"], "dev");
    assert_eq!(list(&server, "?topic=odd/%2B").await["scheduled"].as_array().unwrap().len(), 2);
    assert_eq!(list(&server, "?user=nobody").await["scheduled"], json!([]));
    let page = list(&server, "?limit=3").await;
    let cursor = page["cursor"].as_str().unwrap();
    let rest = list(&server, &format!("?limit=3&cursor={cursor}")).await;
    assert_eq!(rest["scheduled"][1]["id"], ids[0]);
    assert_eq!(rest["cursor"], Value::Null);
    let (status, body) = cancel(&server, &ids[2]).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("even/1"));
    let (status, body) = cancel(&server, &ids[2]).await;
    assert_eq!((status, body.contains("not_found")), (404, true), "{body}");
    assert_eq!(list(&server, "").await["total"], 4);
    let (status, _, _) = http(server.operator_addr(), "GET", "/v1/scheduled?when=5", &[], "").await;
    assert_eq!(status, 400);
    server.shutdown().await;
}

#[tokio::test]
async fn a_repeat_under_its_key_is_the_same_message() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(json!({"subscribe": {"topic": "a"}})).await;
    let at = now_ms() + 400;
    let publish = |topic: &str, at: u64| json!({"publish": {"topic": topic, "data": 1, "key": "k", "deliver_at": at}});
    let first = peer.ask(publish("a", at)).await;
    let again = peer.ask(publish("a", at + 60_000)).await;
    assert_eq!(again["scheduled"]["id"], first["scheduled"]["id"]);
    assert_eq!(again["scheduled"]["deliver_at"], first["scheduled"]["deliver_at"]);
    assert_eq!(again["scheduled"]["duplicate"], true);
    let elsewhere = peer.ask(publish("b", at + 60_000)).await;
    assert_eq!(elsewhere["scheduled"]["duplicate"], false, "another topic, another message");
    assert_eq!(peer.message().await["id"], first["scheduled"]["id"]);
    // Repeated when it is past: it was published under this key.
    let repeat = peer.ask(publish("a", at)).await;
    assert_eq!(repeat["published"]["id"], first["scheduled"]["id"], "{repeat}");
    assert_eq!(repeat["published"]["duplicate"], true);
    peer.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn the_schedule_has_limits() {
    let mut config = config();
    config.limits.scheduled_per_user = 2;
    let server = start(config).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let far = peer.ask(later("a", json!(1), 400 * 24 * 60 * 60 * 1000)).await;
    assert_eq!(far["error"]["code"], "bad_field", "{far}");
    for _ in 0..2 {
        let reply = peer.ask(later("a", json!(1), 60_000)).await;
        assert!(reply["scheduled"].is_object(), "{reply}");
    }
    let third = peer.ask(later("a", json!(1), 60_000)).await;
    assert_eq!(third["error"]["code"], "limit_reached");
    let id = list(&server, "").await["scheduled"][0]["id"].clone();
    assert_eq!(cancel(&server, &id).await.0, 200);
    assert!(peer.ask(later("a", json!(1), 60_000)).await["scheduled"].is_object());
    server.shutdown().await;
}

#[tokio::test]
async fn services_schedule_over_http() {
    let server = start(config()).await;
    let post = async |path: &str, body: Value| {
        let json = [("content-type", "application/json")];
        let body = body.to_string();
        let (status, _, body) = http(server.public_addr(), "POST", path, &json, &body).await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(json!({"subscribe": {"filter": "a/#"}})).await;
    let at = now_ms() + 300;
    let one = json!({"topic": "a/1", "data": 1, "key": "k", "deliver_at": at});
    let (status, first) = post("/v1/publish", one.clone()).await;
    assert_eq!(status, 200, "{first}");
    assert_eq!((&first["deliver_at"], &first["duplicate"]), (&json!(at), &json!(false)));
    let (_, again) = post("/v1/publish", one).await;
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    let many = json!({"messages": [
        {"topic": "a/2", "data": 2, "deliver_at": at + 60_000},
        {"topic": "a/3", "data": 3, "deliver_at": at + 400 * 86_400_000_u64},
        {"topic": "a/4", "data": 4},
    ]});
    let (_, results) = post("/v1/publish/batch", many).await;
    let results = &results["results"];
    assert!(results[0]["deliver_at"].is_number() && results[0]["offset"].is_null(), "{results}");
    assert_eq!(results[1]["error"]["code"], "bad_field");
    assert_eq!(results[2]["offset"], 1);
    assert_eq!(peer.message().await["data"], 4);
    assert_eq!(peer.message().await["id"], first["id"]);
    assert_eq!(list(&server, "").await["total"], 1);
    server.shutdown().await;
}

fn on_disk(directory: &std::path::Path) -> Config {
    let mut config = config();
    config.storage.directory = directory.to_owned();
    config
}

#[tokio::test]
async fn the_schedule_outlives_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(on_disk(directory.path())).await.unwrap();
    let mut peer = Peer::connect(server.public_addr()).await;
    let gone = peer.ask(later("a", json!("cancelled"), 700)).await;
    let missed = peer.ask(later("a", json!("due while nobody was there"), 500)).await;
    let kept = peer.ask(later("a", json!("due later"), 2_500)).await;
    let expired = json!({"publish":
        {"topic": "a", "data": "expired", "deliver_at": now_ms() + 200, "ttl_ms": 50}});
    assert_eq!(cancel(&server, &gone["scheduled"]["id"]).await.0, 200);
    assert!(peer.ask(expired).await["scheduled"].is_object());
    // The last one is scheduled so that it is due while the server is away.
    server.shutdown().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let server = Server::start(on_disk(directory.path())).await.unwrap();
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(json!({"subscribe": {"topic": "a", "from": "first"}})).await;
    assert_eq!(peer.message().await["id"], missed["scheduled"]["id"]);
    assert_eq!(peer.message().await["id"], kept["scheduled"]["id"]);
    peer.assert_quiet().await;
    assert_eq!(list(&server, "").await["total"], 0);
    server.shutdown().await;
    let server = Server::start(on_disk(directory.path())).await.unwrap();
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(json!({"subscribe": {"topic": "a", "from": "first"}})).await;
    assert_eq!(peer.data(2).await.len(), 2, "each once");
    peer.assert_quiet().await;
    server.shutdown().await;
}

/// The key of a cancelled message stays known: what is scheduled under it again would never come.
#[tokio::test]
async fn a_key_of_a_cancelled_message_is_refused_and_not_confirmed() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let one = json!({"topic": "a", "data": 1, "key": "k", "deliver_at": now_ms() + 60_000});
    let first = peer.ask(json!({"publish": one.clone()})).await;
    let id = first["scheduled"]["id"].clone();
    assert_eq!(cancel(&server, &id).await.0, 200);
    let again = peer.ask(json!({"publish": one.clone()})).await;
    assert_eq!(again["error"]["code"], "key_used", "{again}");
    assert!(again["error"]["message"].as_str().unwrap().contains(id.as_str().unwrap()));
    let json = [("content-type", "application/json")];
    let address = server.public_addr();
    let (status, _, body) = http(address, "POST", "/v1/publish", &json, &one.to_string()).await;
    assert_eq!((status, body.contains("key_used")), (409, true), "{body}");
    assert_eq!(list(&server, "").await["total"], 0);
    let mut other = one;
    other["key"] = json!("another key");
    assert!(peer.ask(json!({"publish": other})).await["scheduled"].is_object());
    assert_eq!(list(&server, "").await["total"], 1);
    server.shutdown().await;
}

#[tokio::test]
async fn more_is_due_together_than_the_queue_of_the_log_holds() {
    const COUNT: u64 = 100;
    let directory = tempfile::tempdir().unwrap();
    let mut config = on_disk(directory.path());
    config.storage.queue_bytes_max = "1MiB".parse().unwrap();
    config.storage.segment_bytes = "4MiB".parse().unwrap();
    let server = Server::start(config).await.unwrap();
    let mut peer = Peer::connect(server.public_addr()).await;
    let mut reader = Peer::connect(server.public_addr()).await;
    reader.ask(json!({"subscribe": {"topic": "a"}})).await;
    let at = now_ms() + 4_000;
    for n in 0..COUNT {
        let data = format!("{n} {}", "x".repeat(30_000));
        let publish = json!({"topic": "a", "data": data, "deliver_at": at});
        let reply = peer.ask(json!({"publish": publish})).await;
        assert!(reply["scheduled"].is_object(), "{reply}");
    }
    assert_eq!(list(&server, "").await["total"], COUNT, "none is due before all wait");
    for n in 0..COUNT {
        let message = reader.message().await;
        let number = message["data"].as_str().unwrap().split(' ').next();
        assert_eq!(number, Some(n.to_string().as_str()), "in their order");
    }
    reader.assert_quiet().await;
    assert_eq!(list(&server, "").await["total"], 0);
    server.shutdown().await;
}

/// Smaller segments, or a smaller queue, may not take any more what was scheduled before.
#[tokio::test]
async fn what_is_refused_for_good_stays_on_the_schedule_and_holds_up_nobody() {
    for queue in ["4MiB", "1MiB"] {
        let directory = tempfile::tempdir().unwrap();
        let mut roomy = on_disk(directory.path());
        roomy.limits.message_bytes = "2MiB".parse().unwrap();
        roomy.limits.frame_bytes = "4MiB".parse().unwrap();
        roomy.http.body_bytes = "4MiB".parse().unwrap();
        roomy.storage.segment_bytes = "8MiB".parse().unwrap();
        roomy.storage.queue_bytes_max = "8MiB".parse().unwrap();
        let server = Server::start(roomy.clone()).await.unwrap();
        let mut peer = Peer::connect(server.public_addr()).await;
        let at = now_ms() + 1_500;
        let large = json!({"topic": "a", "data": "x".repeat(1_500_000), "deliver_at": at});
        let large = peer.ask(json!({"publish": large})).await["scheduled"]["id"].clone();
        for n in 0..3 {
            let small = json!({"topic": "a", "data": n, "deliver_at": at});
            assert!(peer.ask(json!({"publish": small})).await["scheduled"].is_object());
        }
        server.shutdown().await;
        let mut tight = on_disk(directory.path());
        tight.limits.message_bytes = "256KiB".parse().unwrap();
        tight.storage.segment_bytes = "1MiB".parse().unwrap();
        tight.storage.queue_bytes_max = queue.parse().unwrap();
        let server = Server::start(tight).await.unwrap();
        let mut reader = Peer::connect(server.public_addr()).await;
        reader.ask(json!({"subscribe": {"topic": "a", "from": "first"}})).await;
        for n in 0..3 {
            assert_eq!(reader.message().await["data"], n);
        }
        let left = list(&server, "").await;
        assert_eq!((&left["total"], &left["scheduled"][0]["id"]), (&json!(1), &large), "{queue}");
        let refused = metric(&server, "tidings_scheduled_refused_total").await;
        assert!((1.0..=4.0).contains(&refused), "{refused} tries");
        server.shutdown().await;
        let server = Server::start(roomy).await.unwrap();
        let mut reader = Peer::connect(server.public_addr()).await;
        reader.ask(json!({"subscribe": {"topic": "a", "from": "first"}})).await;
        for n in 0..3 {
            assert_eq!(reader.message().await["data"], n);
        }
        assert_eq!(reader.message().await["id"], large, "with room for it, it comes");
        server.shutdown().await;
    }
}

/// How late messages are is printed, not judged: `--no-capture` shows it.
#[tokio::test]
async fn among_many_that_wait_the_due_ones_come() {
    const WAITING: usize = 100_000;
    let mut config = config();
    config.limits.scheduled_per_user = 200_000;
    let server = start(config).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    for start in (0..WAITING).step_by(1000) {
        for n in start..start + 1000 {
            let at = now_ms() + 3_600_000 + (n as u64 * 7919) % 1_000_000;
            let publish = json!({"topic": format!("far/{}", n % 100), "data": n, "deliver_at": at});
            peer.send(json!({"id": n % 1000 + 1, "publish": publish})).await;
        }
        for _ in 0..1000 {
            assert!(peer.frame().await["scheduled"].is_object());
        }
    }
    let mut reader = Peer::connect(server.public_addr()).await;
    reader.ask(json!({"subscribe": {"topic": "near"}})).await;
    let first = now_ms() + 300;
    for n in 0..200 {
        let publish = json!({"topic": "near", "data": n, "deliver_at": first + n * 5});
        assert!(peer.ask(json!({"publish": publish})).await["scheduled"].is_object());
    }
    let mut late = Vec::new();
    for n in 0..200 {
        assert_eq!(reader.message().await["data"], n, "in the order of their times");
        late.push(now_ms() - (first + n * 5));
    }
    late.sort_unstable();
    println!(
        "{WAITING} wait; late by p50 {} ms, p99 {} ms, max {} ms",
        late[100], late[198], late[199]
    );
    assert_eq!(metric(&server, "tidings_scheduled").await, WAITING as f64);
    server.shutdown().await;
}
