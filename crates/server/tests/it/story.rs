//! The story of one message: what an operator is told of it.

use std::time::Duration;

use serde_json::{Value, json};
use tidings_server::{RunningServer, TopicSection};

use crate::peer::{Peer, config, http, start};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn ask(server: &RunningServer, id: &Value) -> (u16, Value) {
    let path = format!("/v1/messages/{}", id.as_str().unwrap());
    let (status, _, body) = http(server.operator_addr(), "GET", &path, &[], "").await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn story(server: &RunningServer, id: &Value) -> Value {
    let (status, story) = ask(server, id).await;
    assert_eq!(status, 200, "{story}");
    story
}

/// The story, once it has what is `wanted`: what was not answered yet may still be under way.
async fn story_with(server: &RunningServer, id: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        let story = story(server, id).await;
        if wanted(&story) {
            return story;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {:#}", story(server, id).await);
}

async fn worker(server: &RunningServer, client: &str, name: &str) -> Peer {
    let mut peer = Peer::open(server.public_addr()).await;
    peer.ask(json!({"connect": {"client": client}})).await;
    peer.ask(json!({"subscribe": {"topic": "jobs/1", "durable": name}})).await;
    peer
}

/// What happened to one subscription: (what, attempt, client).
fn events(story: &Value, durable: &str) -> Vec<(String, Option<u64>, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let events = story["events"].as_array().unwrap().iter();
    let theirs = events.filter(|event| event["durable"] == durable);
    theirs.map(|e| (text(&e["what"]), e["attempt"].as_u64(), text(&e["client"]))).collect()
}

fn event(what: &str, attempt: Option<u64>, client: &str) -> (String, Option<u64>, String) {
    (what.to_owned(), attempt, client.to_owned())
}

fn subscription<'s>(story: &'s Value, durable: &str) -> &'s Value {
    let subscriptions = story["subscriptions"].as_array().unwrap();
    let found = subscriptions.iter().find(|s| s["durable"] == durable);
    found.unwrap_or_else(|| panic!("no {durable} in {story:#}"))
}

#[tokio::test]
async fn the_story_of_a_message_that_one_acks_one_leaves_and_one_gives_up() {
    let mut config = config();
    let mut section = TopicSection::new("jobs/#".parse().unwrap());
    section.attempts_max = 2;
    config.topic = vec![section];
    let server = start(config).await;
    let mut acks = worker(&server, "desk", "acks").await;
    let mut leaves = worker(&server, "phone", "leaves").await;
    let mut fails = worker(&server, "robot", "fails").await;
    let mut sender = Peer::connect(server.public_addr()).await;
    let publish = json!({
        "topic": "jobs/1", "data": {"n": 1}, "headers": {"traceparent": TRACEPARENT},
        "order_key": "k", "ttl_ms": 600_000,
    });
    let id = sender.ask(json!({"publish": publish})).await["published"]["id"].clone();
    for peer in [&mut acks, &mut leaves, &mut fails] {
        assert_eq!(peer.message().await["id"], id);
    }
    acks.ask(json!({"ack": {"sub": "jobs/1", "offset": 1}})).await;
    let nack = json!({"sub": "jobs/1", "offset": 1, "reason": "no db", "delay_ms": 1});
    fails.send(json!({"nack": nack.clone()})).await;
    assert_eq!(fails.message().await["attempt"], 2);
    let told = story(&server, &id).await;
    assert_eq!(subscription(&told, "fails")["waiting"]["attempt"], 2, "{told:#}");
    assert_eq!(subscription(&told, "fails")["failed"][0]["reason"], "no db");
    fails.send(json!({"nack": nack})).await;
    drop(leaves);
    let told = story_with(&server, &id, |story| {
        let ends = |s: &str| events(story, s).last().map(|(what, ..)| what.clone());
        ends("fails").as_deref() == Some("given_up")
            && ends("leaves").as_deref() == Some("connection_ended")
            && subscription(story, "acks")["state"] == "settled"
    });
    let told = told.await;
    let published = &told["published"];
    assert_eq!((&published["from"], &published["topic"]), (&json!("dev"), &json!("jobs/1")));
    assert_eq!(
        (&published["traceparent"], &published["order_key"]),
        (&json!(TRACEPARENT), &json!("k"))
    );
    assert_eq!((&published["ttl_ms"], &published["expired"]), (&json!(600_000), &json!(false)));
    assert_eq!(published["bytes"], 7);
    assert!(published.get("data").is_none(), "the story does not tell what was said");
    assert_eq!(told["places"][0]["offset"], 1);
    assert_eq!(
        events(&told, "acks"),
        [event("sent", Some(1), "desk"), event("acked", None, "desk")]
    );
    assert_eq!(
        events(&told, "leaves"),
        [event("sent", Some(1), "phone"), event("connection_ended", Some(1), "phone")]
    );
    assert_eq!(
        events(&told, "fails"),
        [
            event("sent", Some(1), "robot"),
            event("nacked", Some(1), "robot"),
            event("sent", Some(2), "robot"),
            event("nacked", Some(2), "robot"),
            event("given_up", None, "robot"),
        ]
    );
    assert_eq!(subscription(&told, "leaves")["state"], "pending");
    let letter = &told["dead_letters"][0];
    assert_eq!(
        (&letter["durable"], &letter["history"][1]["reason"]),
        (&json!("fails"), &json!("no db"))
    );

    published_again(&server, &id, &letter["offset"], &mut fails).await;
    server.shutdown().await;
}

/// Published again, and acked by the one that had given it up.
async fn published_again(server: &RunningServer, id: &Value, letter: &Value, fails: &mut Peer) {
    let path = format!("/v1/dead-letters/{}/replay", letter);
    assert_eq!(http(server.operator_addr(), "POST", &path, &[], "").await.0, 200);
    let again = fails.message().await;
    assert_eq!((&again["id"], &again["offset"]), (id, &json!(2)));
    fails.ask(json!({"ack": {"sub": "jobs/1", "offsets": [2]}})).await;
    let told = story_with(server, id, |story| subscription(story, "fails")["state"] == "settled");
    let told = told.await;
    assert_eq!(events(&told, "fails").len(), 7);
    assert_eq!(events(&told, "fails")[6], event("acked", None, "robot"));
    assert_eq!(told["places"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&told["places"][1]["offset"], &told["places"][1]["replay_of"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(subscription(&told, "leaves")["offset"], 1, "the replay is not for it");
    assert_eq!(events(&told, "acks").len(), 2);
    assert!(told["dead_letters"].as_array().unwrap().is_empty());
    let (at, since) = (told["at"].as_u64().unwrap(), told["record_from"].as_u64().unwrap());
    assert!(since <= told["published"]["at"].as_u64().unwrap() && since <= at);
}

async fn member(server: &RunningServer, client: &str, sub: Value) -> Peer {
    let mut peer = Peer::open(server.public_addr()).await;
    peer.ask(json!({"connect": {"client": client}})).await;
    let reply = peer.ask(json!({"subscribe": sub})).await;
    assert!(reply.get("subscribed").is_some(), "{reply}");
    peer
}

/// What happened to one group: (what, attempt, client).
fn group_events(story: &Value) -> Vec<(&str, Option<u64>, Option<&str>)> {
    let events = story["events"].as_array().unwrap().iter();
    let theirs = events.filter(|event| event["group"] == "workers");
    theirs
        .map(|e| (e["what"].as_str().unwrap(), e["attempt"].as_u64(), e["client"].as_str()))
        .collect()
}

fn group_of(story: &Value) -> &Value {
    let subscriptions = story["subscriptions"].as_array().unwrap();
    let found = subscriptions.iter().find(|s| s["group"] == "workers");
    found.unwrap_or_else(|| panic!("no group in {story:#}"))
}

#[tokio::test]
async fn the_story_of_a_message_that_went_from_member_to_member() {
    for (shards, sub) in [(1, json!({"topic": "jobs/1"})), (4, json!({"filter": "jobs/#"}))] {
        let mut config = config();
        config.server.shards = shards;
        let mut section = TopicSection::new("jobs/#".parse().unwrap());
        section.attempts_max = 3;
        section.ack_timeout = Duration::from_millis(400);
        section.backoff_base = Duration::from_millis(20);
        config.topic = vec![section];
        let server = start(config).await;
        let name = sub.get("topic").or(sub.get("filter")).unwrap().clone();
        let mut sub = sub;
        sub["group"] = json!("workers");
        sub["window"] = json!(1);
        let mut dies = member(&server, "phone", sub.clone()).await;
        let mut sender = Peer::connect(server.public_addr()).await;
        let id = sender.publish("jobs/1", json!(1)).await["id"].clone();
        assert_eq!(dies.message().await["id"], id);
        let told = story(&server, &id).await;
        let waiting = group_of(&told);
        assert_eq!(
            (&waiting["client"], &waiting["waiting"]["attempt"]),
            (&json!("phone"), &json!(1))
        );
        let mut stays = member(&server, "desk", sub).await;
        drop(dies);
        assert_eq!(stays.message().await["attempt"], 2);
        // It says nothing; then that it cannot.
        assert_eq!(stays.message().await["attempt"], 3);
        let told = story(&server, &id).await;
        let ends: Vec<_> = group_of(&told)["failed"].as_array().unwrap().iter().collect();
        let ends: Vec<_> = ends.iter().map(|f| (&f["end"], &f["client"])).collect();
        assert_eq!(ends.len(), 2, "{told:#}");
        let nack = json!({"sub": name, "topic": "jobs/1", "offset": 1, "reason": "no db"});
        stays.send(json!({"nack": nack})).await;
        let given_up =
            |story: &Value| group_events(story).iter().any(|(what, ..)| *what == "given_up");
        let told = story_with(&server, &id, given_up).await;
        let (phone, desk) = (Some("phone"), Some("desk"));
        assert_eq!(
            group_events(&told),
            [
                ("sent", Some(1), phone),
                ("connection_ended", Some(1), phone),
                ("sent", Some(2), desk),
                ("timed_out", Some(2), desk),
                ("sent", Some(3), desk),
                ("nacked", Some(3), desk),
                ("given_up", None, None),
            ],
            "{shards} shards: {told:#}"
        );
        let letter = &told["dead_letters"][0];
        assert_eq!((&letter["group"], &letter["reasons"]), (&json!("workers"), &json!("no db")));
        let path = format!("/v1/dead-letters/{}/replay", letter["offset"]);
        assert_eq!(http(server.operator_addr(), "POST", &path, &[], "").await.0, 200);
        assert_eq!(stays.message().await["id"], id);
        let ack = json!({"sub": name, "topic": "jobs/1", "offsets": [2]});
        assert_eq!(stays.ask(json!({"ack": ack})).await["settled"]["count"], 1);
        let settled = |story: &Value| group_of(story)["state"] == "settled";
        let told = story_with(&server, &id, settled).await;
        assert_eq!(group_events(&told)[7..], [("sent", Some(1), desk), ("acked", None, desk)]);
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_cumulative_ack_counts_for_each_message_it_covers_and_for_no_other() {
    let server = start(config()).await;
    let mut peer = worker(&server, "desk", "w").await;
    let mut sender = Peer::connect(server.public_addr()).await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        ids.push(sender.publish("jobs/1", json!(n)).await["id"].clone());
        peer.message().await;
    }
    peer.ask(json!({"ack": {"sub": "jobs/1", "offset": 2}})).await;
    let (sent, acked) = (event("sent", Some(1), "desk"), event("acked", None, "desk"));
    for (id, expected) in ids.iter().zip([2, 2, 1]) {
        let told = story(&server, id).await;
        assert_eq!(events(&told, "w"), [sent.clone(), acked.clone()][..expected]);
    }
    assert_eq!(subscription(&story(&server, &ids[2]).await, "w")["state"], "pending");
    server.shutdown().await;
}

#[tokio::test]
async fn the_record_is_bounded_says_how_far_it_reaches_and_can_be_off() {
    for (events_max, expected, is_told) in [(0, 0, false), (2, 0, true), (1000, 2, true)] {
        let mut config = config();
        config.server.shards = 1;
        config.trace.events = events_max;
        let server = start(config).await;
        let mut peer = worker(&server, "desk", "w").await;
        let mut sender = Peer::connect(server.public_addr()).await;
        let first = sender.publish("jobs/1", json!(0)).await["id"].clone();
        // Times are told in milliseconds, give or take one.
        tokio::time::sleep(Duration::from_millis(20)).await;
        for n in 1..=5 {
            assert_eq!(peer.message().await["offset"], n);
            peer.ask(json!({"ack": {"sub": "jobs/1", "offset": n}})).await;
            sender.publish("jobs/1", json!(n)).await;
        }
        let told = story(&server, &first).await;
        assert_eq!(events(&told, "w").len(), expected, "{events_max}: {told:#}");
        assert_eq!(told.get("record_from").is_some(), is_told, "{events_max}: {told:#}");
        if events_max == 2 {
            let at = told["published"]["at"].as_u64();
            assert!(told["record_from"].as_u64() >= at, "nothing is not to be taken for never");
        }
        server.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_not_known_is_told_as_such() {
    let mut config = config();
    let mut short = TopicSection::new("jobs/#".parse().unwrap());
    short.retention_messages = Some(1);
    short.attempts_max = 1;
    config.topic = vec![short];
    let server = start(config).await;
    let (status, problem) = ask(&server, &json!("01JD0M2Q8G00Z0000000000003")).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    let (status, problem) = ask(&server, &json!("17")).await;
    assert_eq!((status, &problem["code"]), (400, &json!("bad_field")));
    // Its dead letter outlives a message.
    let mut peer = worker(&server, "desk", "w").await;
    let mut sender = Peer::connect(server.public_addr()).await;
    let id = sender.publish("jobs/1", json!(1)).await["id"].clone();
    peer.message().await;
    peer.send(json!({"nack": {"sub": "jobs/1", "offset": 1, "dead": true}})).await;
    story_with(&server, &id, |story| story["dead_letters"][0].is_object()).await;
    sender.publish("jobs/1", json!(2)).await;
    let told = story(&server, &id).await;
    assert_eq!(
        told["places"],
        json!([{
            "topic": "jobs/1", "offset": 1, "epoch": told["places"][0]["epoch"], "kept": false,
        }])
    );
    assert_eq!(told.get("published"), None);
    assert_eq!(told["dead_letters"][0]["gave_up"], "refused");
    // One that waits for its time is known too.
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let due = since_1970.as_millis() as u64 + 3_600_000;
    let later = json!({
        "topic": "jobs/2", "data": 1, "deliver_at": due, "order_key": "o", "headers": {"a": "b"},
        "ttl_ms": 1000,
    });
    let reply = sender.ask(json!({"publish": later})).await;
    let told = story(&server, &reply["scheduled"]["id"]).await;
    assert_eq!(told["deliver_at"], due, "{told:#}");
    assert_eq!((&told["places"], told.get("published")), (&json!([]), None), "{told:#}");
    let scheduled = &told["scheduled"];
    assert!(scheduled["at"].as_u64().unwrap() < due, "{told:#}");
    assert_eq!(
        *scheduled,
        json!({
            "topic": "jobs/2", "at": scheduled["at"], "deliver_at": due, "bytes": 1, "headers": 1,
            "from": "dev", "order_key": "o", "ttl_ms": 1000, "expired": false,
        })
    );
    server.shutdown().await;
}
