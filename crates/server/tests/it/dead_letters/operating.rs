//! Dead letters in an operator's hands.

use serde_json::{Value, json};
use tidings_server::RunningServer;

use super::{connect_as, jobs, now};
use crate::events::Events;
use crate::peer::{Peer, http, metric, start};

/// A server whose jobs are given up at once.
pub(super) async fn server() -> RunningServer {
    start(jobs(1, std::time::Duration::from_secs(60))).await
}

pub(super) async fn ask(
    server: &RunningServer,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    let json = [("content-type", "application/json")];
    let (status, _, body) = http(server.operator_addr(), method, path, &json, body).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

pub(super) async fn get(server: &RunningServer, path: &str) -> Value {
    let (status, body) = ask(server, "GET", path, "").await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

pub(super) async fn post(server: &RunningServer, path: &str, body: &str) -> Value {
    let (status, answer) = ask(server, "POST", path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Takes the next message of `topic` and gives it up.
pub(super) async fn bury(worker: &mut Peer, topic: &str, reason: &str) {
    let message = worker.message().await;
    assert_eq!(message["topic"], topic, "{message}");
    let nack = json!({"sub": topic, "offset": message["offset"], "reason": reason, "dead": true});
    worker.ask(json!({"nack": nack})).await;
}

pub(super) async fn worker(server: &RunningServer, topic: &str, name: &str) -> Peer {
    let mut worker = connect_as(server.public_addr(), "worker").await;
    worker.ask(json!({"subscribe": {"topic": topic, "durable": name}})).await;
    worker
}

/// Offsets of the dead letters in a list, once there are `count`.
pub(super) async fn listed(server: &RunningServer, query: &str, count: usize) -> Vec<u64> {
    for _ in 0..200 {
        let list = get(server, &format!("/v1/dead-letters{query}")).await;
        let letters = list["dead_letters"].as_array().unwrap();
        if letters.len() == count {
            return letters.iter().map(|l| l["offset"].as_u64().unwrap()).collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("not {count} dead letters for {query}: {}", get(server, "/v1/dead-letters").await);
}

#[tokio::test]
async fn dead_letters_are_listed_filtered_paged_and_shown() {
    let server = server().await;
    let mut sender = Peer::connect(server.public_addr()).await;
    let deaths = [("jobs/a", "db down"), ("jobs/b", "bad input"), ("jobs/a", "db slow")];
    for (count, (topic, reason)) in (1..).zip(deaths) {
        let mut worker = worker(&server, topic, "w").await;
        let publish =
            json!({"topic": topic, "data": {"n": 1}, "headers": {"k": "v"}, "ttl_ms": 600_000});
        sender.ask(json!({"publish": publish})).await;
        bury(&mut worker, topic, reason).await;
        listed(&server, "", count).await;
        worker.ask(json!({"unsubscribe": {"sub": topic}})).await;
    }
    assert_eq!(listed(&server, "", 3).await, [1, 2, 3]);
    for (query, expected) in [
        ("?topic=jobs/a", vec![1, 3]),
        ("?topic=jobs/%2B", vec![1, 2, 3]),
        ("?topic=other/%23", vec![]),
        ("?reason=db", vec![1, 3]),
        ("?reason=refused&topic=jobs/b", vec![2]),
        ("?durable=w", vec![1, 2, 3]),
        ("?durable=x", vec![]),
        ("?group=w", vec![]),
        ("?until=1000", vec![]),
        ("?since=1000", vec![1, 2, 3]),
    ] {
        assert_eq!(listed(&server, query, expected.len()).await, expected, "{query}");
    }
    let later = format!("?since={}", now() + 60_000);
    assert!(listed(&server, &later, 0).await.is_empty());
    let first = get(&server, "/v1/dead-letters?topic=jobs/a&limit=1").await;
    assert_eq!((&first["more"], &first["kept"]), (&json!(true), &json!(3)));
    let next = format!("?topic=jobs/a&limit=1&cursor={}", first["cursor"].as_str().unwrap());
    assert_eq!(listed(&server, &next, 1).await, [3]);

    let shown = get(&server, "/v1/dead-letters/1").await;
    assert_eq!(shown["data"], json!({"n": 1}));
    assert_eq!(shown["headers"], json!({"k": "v"}));
    assert_eq!((&shown["topic"], &shown["durable"]), (&json!("jobs/a"), &json!("w")));
    assert_eq!(
        (&shown["message"]["offset"], &shown["message"]["ttl_ms"]),
        (&json!(1), &json!(600_000))
    );
    assert_eq!((&shown["gave_up"], &shown["reasons"]), (&json!("refused"), &json!("db down")));
    assert_eq!(shown["history"][0]["client"], "worker");
    server.shutdown().await;
}

#[tokio::test]
async fn a_replay_goes_to_the_subscription_that_gave_up_and_to_nobody_else() {
    let server = server().await;
    let address = server.public_addr();
    let mut failing = worker(&server, "jobs/a", "failing").await;
    let mut sound = connect_as(address, "sound").await;
    sound.ask(json!({"subscribe": {"topic": "jobs/a", "durable": "sound"}})).await;
    let mut live = Peer::connect(address).await;
    live.ask(json!({"subscribe": {"topic": "jobs/a"}})).await;
    let mut filter = Peer::connect(address).await;
    filter.ask(json!({"subscribe": {"filter": "jobs/#"}})).await;
    let mut absent = connect_as(address, "absent").await;
    absent.ask(json!({"subscribe": {"topic": "jobs/a", "durable": "absent"}})).await;
    absent.ask(json!({"unsubscribe": {"sub": "jobs/a"}})).await;
    let mut stream = Events::open(address, "topic=jobs/a", &[]).await;
    stream.expect("ready").await;
    let mut sender = Peer::connect(address).await;
    let published = sender.publish("jobs/a", json!("x")).await;
    bury(&mut failing, "jobs/a", "not now").await;
    assert_eq!(stream.expect("message").await.data["data"], "x");
    for peer in [&mut sound, &mut live, &mut filter] {
        assert_eq!(peer.message().await["data"], "x");
    }
    sound.ask(json!({"ack": {"sub": "jobs/a", "offset": 1}})).await;
    listed(&server, "", 1).await;

    let answer = post(&server, "/v1/dead-letters/1/replay", "").await;
    assert_eq!((&answer["id"], &answer["offset"]), (&published["id"], &json!(2)), "its own id");
    let again = failing.message().await;
    assert_eq!((&again["id"], &again["offset"]), (&published["id"], &json!(2)));
    assert_eq!(again["headers"]["tidings-replay"], "1");
    assert_eq!(again["from"], json!("dev"));
    // Everybody else: nothing, and the next message as if there had been nothing between.
    sender.publish("jobs/a", json!("y")).await;
    for peer in [&mut sound, &mut live, &mut filter] {
        let next = peer.message().await;
        assert_eq!((&next["data"], &next["offset"]), (&json!("y"), &json!(3)));
    }
    assert_eq!(stream.expect("message").await.data["data"], "y");
    // Those who read it later as well: the log is read for them.
    absent.ask(json!({"subscribe": {"topic": "jobs/a", "durable": "absent"}})).await;
    assert_eq!(absent.data(2).await, ["x", "y"]);
    let mut late = Peer::connect(address).await;
    late.ask(json!({"subscribe": {"topic": "jobs/a", "from": "first"}})).await;
    assert_eq!(late.data(2).await, ["x", "y"]);
    // The one that was sent it settles it like any other.
    failing.ask(json!({"ack": {"sub": "jobs/a", "offset": 3}})).await;
    drop(failing);
    let mut failing = connect_as(address, "worker").await;
    let reply = failing.ask(json!({"subscribe": {"topic": "jobs/a", "durable": "failing"}})).await;
    assert_eq!(reply["subscribed"]["pending"], 0);
    // History shows everything, and the dead letter is gone.
    let history = sender.ask(json!({"history": {"topic": "jobs/a"}})).await;
    assert_eq!(history["history"]["messages"].as_array().unwrap().len(), 3);
    assert_eq!(ask(&server, "GET", "/v1/dead-letters/1", "").await.0, 404);
    assert_eq!(ask(&server, "POST", "/v1/dead-letters/1/replay", "").await.0, 404);
    assert_eq!(metric(&server, "tidings_dead_letters_replayed_total").await, 1.0);
    assert_eq!(metric(&server, "tidings_dead_letters_kept").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_replay_can_be_edited_and_sent_to_all_and_may_die_again() {
    let server = server().await;
    let mut failing = worker(&server, "jobs/a", "failing").await;
    let mut live = Peer::connect(server.public_addr()).await;
    live.ask(json!({"subscribe": {"topic": "jobs/a"}})).await;
    let mut sender = Peer::connect(server.public_addr()).await;
    let published = sender.publish("jobs/a", json!("x")).await;
    bury(&mut failing, "jobs/a", "no").await;
    live.message().await;
    listed(&server, "", 1).await;
    let edit = r#"{"data": {"fixed": true}, "headers": {"why": "typo"}, "to": "all"}"#;
    assert_eq!(post(&server, "/v1/dead-letters/1/replay", edit).await["to"], "all");
    let message = live.message().await;
    assert_eq!(message["data"], json!({"fixed": true}));
    let headers = &message["headers"];
    assert_eq!((&headers["why"], &headers["tidings-replay"]), (&json!("typo"), &json!("1")));
    assert_eq!(
        (&headers["tidings-topic"], &headers["tidings-offset"]),
        (&json!("jobs/a"), &json!("1"))
    );
    assert_eq!(headers.get("tidings-durable"), None, "it is for everybody");
    assert_eq!(message["id"], published["id"]);
    // It fails again: that is a dead letter again, of the same message.
    bury(&mut failing, "jobs/a", "still no").await;
    assert_eq!(listed(&server, "", 1).await, [2]);
    let shown = get(&server, "/v1/dead-letters/2").await;
    assert_eq!(
        (&shown["message"]["id"], &shown["headers"]),
        (&published["id"], &json!({"why": "typo"}))
    );
    // Another topic: whoever reads that.
    live.ask(json!({"subscribe": {"topic": "repaired"}})).await;
    post(&server, "/v1/dead-letters/2/replay", r#"{"topic": "repaired"}"#).await;
    assert_eq!(live.message().await["topic"], "repaired");
    live.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn many_are_replayed_and_purged_in_pieces() {
    let server = server().await;
    let mut sender = Peer::connect(server.public_addr()).await;
    let mut failing = worker(&server, "jobs/a", "failing").await;
    let mut other = worker(&server, "jobs/b", "failing").await;
    for n in 0..25 {
        sender.publish("jobs/a", json!(n)).await;
        bury(&mut failing, "jobs/a", "no").await;
    }
    listed(&server, "", 25).await;
    for n in 0..5 {
        sender.publish("jobs/b", json!(n)).await;
        bury(&mut other, "jobs/b", "no").await;
    }
    listed(&server, "", 30).await;
    let mut path = "/v1/dead-letters/replay?topic=jobs/a&limit=10".to_owned();
    let mut replayed = Vec::new();
    loop {
        let answer = post(&server, &path, "").await;
        assert_eq!(answer["failed"], 0, "{answer}");
        replayed.push(answer["replayed"].as_u64().unwrap());
        if answer["more"] == false {
            break;
        }
        let cursor = answer["cursor"].as_str().unwrap();
        path = format!("/v1/dead-letters/replay?topic=jobs/a&limit=10&cursor={cursor}");
    }
    assert_eq!(replayed, [10, 10, 5]);
    let expected: Vec<_> = (0..25).map(|n| json!(n)).collect();
    assert_eq!(failing.data(25).await, expected, "in their order");
    assert_eq!(listed(&server, "", 5).await, (26..=30).collect::<Vec<_>>());
    assert_eq!(post(&server, "/v1/dead-letters/purge?topic=jobs/b&limit=3", "").await["purged"], 3);
    assert_eq!(ask(&server, "DELETE", "/v1/dead-letters/29", "").await.0, 204);
    assert_eq!(post(&server, "/v1/dead-letters/purge?all=true", "").await["purged"], 1);
    listed(&server, "", 0).await;
    assert_eq!(metric(&server, "tidings_dead_letters_purged_total").await, 5.0);
    server.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_replayed_stays_and_says_why() {
    let mut config = jobs(1, std::time::Duration::from_secs(60));
    let mut fleeting = tidings_server::TopicSection::new("fleeting".parse().unwrap());
    fleeting.durability = tidings_core::Durability::Memory;
    config.topic.push(fleeting);
    let server = start(config).await;
    let mut sender = Peer::connect(server.public_addr()).await;
    let mut failing = worker(&server, "jobs/a", "failing").await;
    sender.publish("jobs/a", json!(1)).await;
    bury(&mut failing, "jobs/a", "no").await;
    listed(&server, "", 1).await;
    let replay = "/v1/dead-letters/1/replay";
    for (path, body, status, code) in [
        (replay, r#"{"topic": "fleeting"}"#, 501, "unsupported"),
        (replay, r#"{"topic": "$dead-letters"}"#, 403, "permission_denied"),
        (replay, r#"{"topic": "a/+"}"#, 400, "bad_topic"),
        (replay, r#"{"topic": "b", "to": "subscription"}"#, 400, "bad_field"),
        (replay, r#"{"to": "everybody"}"#, 400, "bad_field"),
        (replay, r#"{"date": 1}"#, 400, "unknown_field"),
        (replay, r#"{"key": "k"}"#, 400, "unknown_field"),
        (replay, r#"{"headers": {"tidings-replay": "1"}}"#, 400, "bad_field"),
        (replay, r"[1]", 400, "bad_frame"),
        ("/v1/dead-letters/x/replay", "", 400, "bad_field"),
        ("/v1/dead-letters/replay", "", 400, "bad_field"),
        ("/v1/dead-letters/purge", "", 400, "bad_field"),
        ("/v1/dead-letters/purge?all=true&topic=a", "", 400, "bad_field"),
        ("/v1/dead-letters/purge?topic=a/%23/b", "", 400, "bad_field"),
        ("/v1/dead-letters/purge?all=true&cursor=x", "", 400, "bad_field"),
        ("/v1/dead-letters/purge?all=true&cursor=Zr3:1:1", "", 410, "epoch_changed"),
        ("/v1/dead-letters/purge?al=true", "", 400, "bad_field"),
    ] {
        let (got, answer) = ask(&server, "POST", path, body).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{path} {body}: {answer}");
    }
    let large = json!({"data": "x".repeat(70_000)}).to_string();
    assert_eq!(ask(&server, "POST", replay, &large).await.1["code"], "too_large");
    let page = [("origin", "http://evil.example")];
    let (status, ..) =
        http(server.operator_addr(), "DELETE", "/v1/dead-letters/1", &page, "").await;
    assert_eq!(status, 403, "web pages change nothing");
    // Clients cannot make a message for one subscription alone.
    let forged = json!({"topic": "jobs/a", "data": 1, "headers": {"tidings-replay": "1"}});
    let reply = sender.ask(json!({"publish": forged})).await;
    assert_eq!(reply["error"]["code"], "bad_field", "{reply}");
    let (status, _) = {
        let json = [("content-type", "application/json")];
        let body = forged.to_string();
        let (status, _, body) =
            http(server.public_addr(), "POST", "/v1/publish", &json, &body).await;
        (status, body)
    };
    assert_eq!(status, 400);
    assert_eq!(listed(&server, "", 1).await, [1], "it is still there");
    server.shutdown().await;
}

#[tokio::test]
async fn two_replays_at_once_publish_one_message() {
    let server = server().await;
    let mut sender = Peer::connect(server.public_addr()).await;
    let mut failing = worker(&server, "jobs/a", "failing").await;
    for round in 1..=10u64 {
        sender.publish("jobs/a", json!(round)).await;
        bury(&mut failing, "jobs/a", "no").await;
        let offset = listed(&server, "", 1).await[0];
        let path = format!("/v1/dead-letters/{offset}/replay");
        let (one, two) =
            tokio::join!(ask(&server, "POST", &path, ""), ask(&server, "POST", &path, ""));
        let done = [&one, &two].into_iter().filter(|(status, _)| *status == 200).count();
        assert!(done >= 1, "{one:?} {two:?}");
        assert_eq!(failing.message().await["data"], json!(round));
        failing.assert_quiet().await;
        failing.ask(json!({"ack": {"sub": "jobs/a", "offset": 2 * round}})).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_group_gave_up_goes_back_to_that_group_alone() {
    let server = server().await;
    let address = server.public_addr();
    let member = async |group: &str| {
        let mut peer = connect_as(address, group).await;
        peer.ask(json!({"subscribe": {"topic": "jobs/a", "group": group}})).await;
        peer
    };
    let (mut workers, mut others) = (member("workers").await, member("others").await);
    let mut durable = worker(&server, "jobs/a", "w").await;
    let mut sender = Peer::connect(address).await;
    let id = sender.publish("jobs/a", json!("x")).await["id"].clone();
    for peer in [&mut others, &mut durable] {
        assert_eq!(peer.message().await["data"], "x");
    }
    bury(&mut workers, "jobs/a", "no").await;
    let offset = listed(&server, "?group=workers", 1).await[0];
    assert!(listed(&server, "?durable=w", 0).await.is_empty());
    let shown = get(&server, &format!("/v1/dead-letters/{offset}")).await;
    assert_eq!(
        (&shown["filter"], &shown["history"][0]["client"]),
        (&json!("jobs/a"), &json!("workers"))
    );
    assert_eq!(shown["history"][0]["reason"], "no");
    post(&server, &format!("/v1/dead-letters/{offset}/replay"), "").await;
    assert_eq!(workers.message().await["id"], id);
    sender.publish("jobs/a", json!("y")).await;
    for peer in [&mut others, &mut durable] {
        assert_eq!(peer.message().await["data"], "y", "and nothing before it");
    }
    // And what a durable subscription gave up is not for groups.
    let again = durable_dies(&server, &mut durable).await;
    post(&server, &format!("/v1/dead-letters/{again}/replay"), "").await;
    assert_eq!(durable.message().await["data"], "y");
    sender.publish("jobs/a", json!("z")).await;
    for peer in [&mut others, &mut durable] {
        assert_eq!(peer.message().await["data"], "z");
    }
    server.shutdown().await;
}

/// Has the durable subscription give its second message up.
async fn durable_dies(server: &RunningServer, durable: &mut Peer) -> u64 {
    let nack = json!({"sub": "jobs/a", "offset": 3, "dead": true});
    durable.ask(json!({"nack": nack})).await;
    listed(server, "?durable=w", 1).await[0]
}
