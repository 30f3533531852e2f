//! Who is on a topic: lists, events, and nobody who is not there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_core::Durability;
use tidings_server::{Config, RunningServer, TopicSection};

use crate::auth::{claims, closed, connect_with, token};
use crate::peer::{Peer, config, http, metric, start};

/// Long enough for every announcement that is on its way.
const ANNOUNCED: Duration = Duration::from_millis(600);

fn keeping(mut config: Config) -> Config {
    let section = TopicSection { presence: true, ..TopicSection::new("room/#".parse().unwrap()) };
    config.topic = vec![section];
    config.limits.presence_grace = Duration::from_secs(2);
    config
}

/// A connection of this client on a topic.
async fn on(server: &RunningServer, client: &str, topic: &str) -> Peer {
    let mut peer = named(server, client).await;
    subscribe(&mut peer, json!({"topic": topic})).await;
    peer
}

async fn named(server: &RunningServer, client: &str) -> Peer {
    let mut peer = Peer::open(server.public_addr()).await;
    let reply = peer.ask(json!({"connect": {"client": client}})).await;
    assert_eq!(reply["connected"]["client"], client);
    peer
}

async fn subscribe(peer: &mut Peer, body: Value) {
    let reply = peer.ask(json!({"subscribe": body})).await;
    assert!(reply.get("subscribed").is_some(), "{reply}");
}

/// A connection that is told of `room/1`, and has been told of itself.
async fn watcher(server: &RunningServer) -> Peer {
    let mut peer = named(server, "watcher").await;
    subscribe(&mut peer, json!({"topic": "room/1", "presence": true})).await;
    peer
}

fn clients(members: &Value) -> Vec<String> {
    let members = members.as_array().unwrap().iter();
    members.map(|member| member["client"].as_str().unwrap().to_owned()).collect()
}

async fn list(peer: &mut Peer, topic: &str) -> Vec<String> {
    let reply = peer.ask(json!({"presence": {"topic": topic}})).await;
    assert_eq!(reply["present"]["topic"], topic, "{reply}");
    clients(&reply["present"]["members"])
}

/// The next event: who joined and who left.
async fn event(peer: &mut Peer) -> (Vec<String>, Vec<String>) {
    let frame = peer.frame().await;
    let presence = &frame["presence"];
    assert_eq!(presence["topic"], "room/1", "{frame}");
    assert!(presence.get("reset").is_none(), "{frame}");
    (clients(&presence["joined"]), clients(&presence["left"]))
}

fn joined(client: &str) -> (Vec<String>, Vec<String>) {
    (vec![client.to_owned()], vec![])
}

fn left(client: &str) -> (Vec<String>, Vec<String>) {
    (vec![], vec![client.to_owned()])
}

#[tokio::test]
async fn everybody_with_a_subscription_to_the_topic_is_listed_once() {
    let server = start(keeping(config())).await;
    let _live = on(&server, "live", "room/1").await;
    let mut durable = named(&server, "durable").await;
    subscribe(&mut durable, json!({"topic": "room/1", "durable": "d"})).await;
    let _again = on(&server, "live", "room/1").await;
    let mut wildcard = named(&server, "wildcard").await;
    subscribe(&mut wildcard, json!({"filter": "room/#"})).await;
    let _elsewhere = on(&server, "elsewhere", "room/2").await;
    assert_eq!(list(&mut wildcard, "room/1").await, ["durable", "live"]);
    let reply = wildcard.ask(json!({"presence": {"topic": "room/1"}})).await;
    let present = &reply["present"];
    assert_eq!(present["total"], 2);
    assert_eq!(present["members"][0]["user"], "dev", "{present}");
    assert!(present["members"][0]["since"].as_u64().unwrap() > 1_700_000_000_000);
    let (status, _, body) =
        http(server.public_addr(), "GET", "/v1/presence?topic=room/1", &[], "").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), *present);
    assert_eq!(list(&mut wildcard, "room/nobody").await, Vec::<String>::new());
    assert_eq!(metric(&server, "tidings_presence_members").await, 3.0);
    server.shutdown().await;
}

#[tokio::test]
async fn those_who_watch_are_told_who_joins_and_leaves() {
    let server = start(keeping(config())).await;
    let mut watcher = watcher(&server).await;
    let bob = on(&server, "bob", "room/1").await;
    let mut eve = on(&server, "eve", "room/1").await;
    let both: Vec<String> = vec!["bob".to_owned(), "eve".to_owned()];
    assert_eq!(event(&mut watcher).await, (both, vec![]));
    // A proper goodbye and an `unsubscribe` are told without delay.
    let before = Instant::now();
    bob.close(1000).await;
    assert_eq!(event(&mut watcher).await, left("bob"));
    eve.ask(json!({"unsubscribe": {"sub": "room/1"}})).await;
    assert_eq!(event(&mut watcher).await, left("eve"));
    assert!(before.elapsed() < Duration::from_millis(1900), "{:?}", before.elapsed());
    // The end of watching is the end of events.
    watcher.ask(json!({"unsubscribe": {"sub": "room/1"}})).await;
    let _late = on(&server, "late", "room/1").await;
    tokio::time::sleep(ANNOUNCED).await;
    watcher.assert_quiet().await;
    server.shutdown().await;
}

/// Nothing but the presence itself wakes the shard that announces.
#[tokio::test]
async fn an_event_comes_soon_whichever_shard_it_is_of() {
    let server = start(keeping(config())).await;
    let mut watcher = watcher(&server).await;
    let mut others = Vec::new();
    for client in ["a", "b", "c", "d"] {
        others.push((client, named(&server, client).await));
    }
    // What connecting wrote has been told to every shard by then.
    tokio::time::sleep(ANNOUNCED).await;
    for (client, other) in &mut others {
        for body in [json!({"topic": "room/1"}), json!({"topic": "room/1", "durable": "d"})] {
            subscribe(other, body).await;
            let soon = tokio::time::timeout(Duration::from_secs(2), event(&mut watcher));
            assert_eq!(soon.await.expect("soon"), joined(client));
            other.ask(json!({"unsubscribe": {"sub": "room/1"}})).await;
            let soon = tokio::time::timeout(Duration::from_secs(2), event(&mut watcher));
            assert_eq!(soon.await.expect("soon"), left(client));
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_broken_connection_that_comes_back_was_never_away() {
    let server = start(keeping(config())).await;
    let bob = on(&server, "bob", "room/1").await;
    let mut watcher = watcher(&server).await;
    // The socket ends without a goodbye; then a page is loaded anew.
    drop(bob);
    let bob = on(&server, "bob", "room/1").await;
    bob.close(1001).await;
    assert_eq!(list(&mut watcher, "room/1").await, ["bob", "watcher"]);
    let bob = on(&server, "bob", "room/1").await;
    tokio::time::sleep(Duration::from_secs(2) + ANNOUNCED).await;
    watcher.assert_quiet().await;
    // This time nobody comes back.
    drop(bob);
    assert_eq!(event(&mut watcher).await, left("bob"));
    assert_eq!(list(&mut watcher, "room/1").await, ["watcher"]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_session_that_is_taken_over_does_not_flicker() {
    let server = start(keeping(config())).await;
    let mut watcher = watcher(&server).await;
    let mut old = Peer::open(server.public_addr()).await;
    let connected = old.ask(json!({"connect": {"client": "bob"}})).await;
    subscribe(&mut old, json!({"topic": "room/1", "durable": "d"})).await;
    assert_eq!(event(&mut watcher).await, joined("bob"));
    let mut new = Peer::open(server.public_addr()).await;
    let session = &connected["connected"]["session"];
    let resumed = new.ask(json!({"connect": {"session": session}})).await;
    assert_eq!(resumed["connected"]["resumed"], true, "{resumed}");
    assert_eq!(old.close_code().await, 4003);
    tokio::time::sleep(ANNOUNCED).await;
    subscribe(&mut new, json!({"topic": "room/1", "durable": "d"})).await;
    tokio::time::sleep(Duration::from_secs(2) + ANNOUNCED).await;
    watcher.assert_quiet().await;
    assert_eq!(list(&mut watcher, "room/1").await, ["bob", "watcher"]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_ghost_is_found_by_its_silence() {
    let mut config = keeping(config());
    config.limits.ping_interval = Duration::from_secs(1);
    config.limits.pong_timeout = Duration::from_millis(200);
    config.limits.presence_grace = Duration::from_millis(100);
    let server = start(config).await;
    // Its socket stays open, and nothing comes from it any more.
    let ghost = on(&server, "ghost", "room/1").await;
    let mut watcher = watcher(&server).await;
    assert_eq!(list(&mut watcher, "room/1").await, ["ghost", "watcher"]);
    let started = Instant::now();
    while list(&mut watcher, "room/1").await.len() > 1 {
        assert!(started.elapsed() < Duration::from_secs(10), "the ghost is still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(started.elapsed() > Duration::from_millis(500), "{:?}", started.elapsed());
    drop(ghost);
    server.shutdown().await;
}

#[tokio::test]
async fn a_user_that_is_sent_away_is_gone_at_once() {
    let server = start(keeping(config())).await;
    let mut bob = on(&server, "bob", "room/1").await;
    server.disconnect(&"dev".parse().unwrap());
    assert_eq!(bob.frame().await["goaway"]["reason"], "forbidden");
    let mut asker = named(&server, "asker").await;
    assert_eq!(list(&mut asker, "room/1").await, Vec::<String>::new());
    server.shutdown().await;
}

#[tokio::test]
async fn a_thousand_joins_are_few_frames_that_add_up_to_the_truth() {
    const CROWD: usize = 100;
    const ROUNDS: usize = 10;
    let server = start(keeping(config())).await;
    let mut watcher = watcher(&server).await;
    let mut view: BTreeSet<String> = list(&mut watcher, "room/1").await.into_iter().collect();
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        crowd.push(named(&server, &format!("c{number:03}")).await);
    }
    let started = Instant::now();
    for round in 0..ROUNDS {
        for (number, peer) in crowd.iter_mut().enumerate() {
            subscribe(peer, json!({"topic": "room/1"})).await;
            // After the last round every third one stays.
            if round < ROUNDS - 1 || number % 3 != 0 {
                peer.ask(json!({"unsubscribe": {"sub": "room/1"}})).await;
            }
        }
    }
    let took = started.elapsed();
    tokio::time::sleep(ANNOUNCED).await;
    watcher.send(json!({"ping": {}})).await;
    let mut frames = 0;
    loop {
        let frame = watcher.frame().await;
        if frame.get("pong").is_some() {
            break;
        }
        frames += 1;
        let presence = &frame["presence"];
        assert!(presence.get("reset").is_none(), "{frame}");
        view.extend(clients(&presence["joined"]));
        for gone in clients(&presence["left"]) {
            view.remove(&gone);
        }
    }
    let most = took.as_millis() as usize / 200 + 2;
    assert!((1..=most).contains(&frames), "{frames} frames in {took:?}");
    let truth: BTreeSet<_> = list(&mut watcher, "room/1").await.into_iter().collect();
    assert_eq!(view, truth);
    assert_eq!(truth.len(), CROWD.div_ceil(3) + 1);
    assert!(metric(&server, "tidings_presence_changes").await >= (CROWD * ROUNDS) as f64);
    assert_eq!(metric(&server, "tidings_presence_events_total").await, frames as f64);
    server.shutdown().await;
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_told_that_it_missed_something() {
    let mut config = keeping(config());
    let flood = TopicSection {
        durability: Durability::Memory,
        ..TopicSection::new("flood".parse().unwrap())
    };
    config.topic.push(flood);
    config.limits.outbound_bytes = "16KiB".parse().unwrap();
    let server = start(config).await;
    let mut watcher = watcher(&server).await;
    subscribe(&mut watcher, json!({"topic": "flood"})).await;
    let mut publisher = named(&server, "publisher").await;
    let filler = "x".repeat(10_000);
    while metric(&server, "tidings_dropped_slow_total").await == 0.0 {
        for _ in 0..100 {
            publisher.publish("flood", json!(filler)).await;
        }
    }
    let _bob = on(&server, "bob", "room/1").await;
    tokio::time::sleep(ANNOUNCED).await;
    assert_eq!(metric(&server, "tidings_presence_missed_total").await, 1.0);
    loop {
        let frame = watcher.frame().await;
        if frame.get("message").is_none() {
            assert_eq!(frame["presence"]["reset"], true, "{frame}");
            break;
        }
    }
    assert_eq!(list(&mut watcher, "room/1").await, ["bob", "watcher"]);
    let _eve = on(&server, "eve", "room/1").await;
    assert_eq!(event(&mut watcher).await, joined("eve"));
    server.shutdown().await;
}

#[tokio::test]
async fn whom_there_is_no_room_for_is_counted() {
    let mut config = keeping(config());
    config.limits.presence_members_per_topic = 1;
    let server = start(config).await;
    let first = on(&server, "first", "room/1").await;
    let mut second = on(&server, "second", "room/1").await;
    let reply = second.ask(json!({"presence": {"topic": "room/1"}})).await;
    assert_eq!(clients(&reply["present"]["members"]), ["first"]);
    assert_eq!(reply["present"]["total"], 2);
    assert_eq!(metric(&server, "tidings_presence_unlisted").await, 1.0);
    second.close(1000).await;
    first.close(1000).await;
    let mut third = on(&server, "third", "room/1").await;
    assert_eq!(list(&mut third, "room/1").await, ["third"]);
    assert_eq!(metric(&server, "tidings_presence_unlisted").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn who_may_not_see_others_does_not() {
    let server = start(keeping(closed())).await;
    let (mut blind, _) = connect_with(&server, &token(claims("blind"))).await;
    for request in [
        json!({"presence": {"topic": "room/1"}}),
        json!({"subscribe": {"topic": "room/1", "presence": true}}),
    ] {
        let reply = blind.ask(request.clone()).await;
        assert_eq!(reply["error"]["code"], "permission_denied", "{request}");
    }
    let mut seeing = claims("alice");
    seeing["caps"] = json!([{"match": "#", "ops": ["sub", "pub", "pres"]}]);
    let seeing = token(seeing);
    let (mut alice, _) = connect_with(&server, &seeing).await;
    for request in [
        json!({"presence": {"topic": "elsewhere"}}),
        json!({"subscribe": {"topic": "elsewhere", "presence": true}}),
    ] {
        let reply = alice.ask(request.clone()).await;
        assert_eq!(reply["error"]["code"], "unsupported", "{request}");
    }
    let ask = async |topic: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let path = format!("/v1/presence?topic={topic}");
        http(server.public_addr(), "GET", &path, &headers, "").await.0
    };
    assert_eq!(ask("room/1", &seeing).await, 200);
    assert_eq!(ask("room/1", &token(claims("blind"))).await, 403);
    assert_eq!(ask("elsewhere", &seeing).await, 501);
    assert_eq!(ask("a/%2B", &seeing).await, 400);
    assert_eq!(ask("room/1", "nonsense").await, 401);
    // A fresh token without it ends what it allowed.
    subscribe(&mut alice, json!({"topic": "room/1", "presence": true})).await;
    subscribe(&mut alice, json!({"topic": "room/2"})).await;
    alice.send(json!({"id": 99, "refresh": {"token": token(claims("alice"))}})).await;
    let ended = alice.frame().await;
    assert_eq!(ended["unsubscribed"], json!({"sub": "room/1", "reason": "forbidden"}), "{ended}");
    assert!(alice.frame().await.get("refreshed").is_some());
    server.shutdown().await;
}

#[tokio::test]
async fn an_operator_sees_whether_a_user_is_online() {
    let server = start(keeping(closed())).await;
    let describe = async |user: &str| {
        let path = format!("/v1/users/{user}");
        let (status, _, body) = http(server.operator_addr(), "GET", &path, &[], "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    assert_eq!(describe("alice").await["online"], false);
    let (mut alice, _) = connect_with(&server, &token(claims("alice"))).await;
    subscribe(&mut alice, json!({"topic": "room/1"})).await;
    let (_laptop, _) = connect_with(&server, &token(claims("alice"))).await;
    let (_bob, _) = connect_with(&server, &token(claims("bob"))).await;
    let online = describe("alice").await;
    assert_eq!((&online["online"], &online["connections_total"]), (&json!(true), &json!(2)));
    assert_eq!(online["connections"][0]["node"], "n1", "{online}");
    let connections = online["connections"].as_array().unwrap().iter();
    let mut subscriptions: Vec<_> =
        connections.map(|one| one["subscriptions"].as_u64().unwrap()).collect();
    subscriptions.sort_unstable();
    assert_eq!(subscriptions, [0, 1], "{online}");
    alice.close(1000).await;
    assert_eq!(describe("alice").await["connections_total"], 1);
    server.shutdown().await;
}

#[tokio::test]
async fn an_operator_sees_what_waits_for_a_user_who_is_away() {
    let server = start(config()).await;
    let describe = async || {
        let (_, _, body) = http(server.operator_addr(), "GET", "/v1/users/dev", &[], "").await;
        serde_json::from_str::<Value>(&body).unwrap()
    };
    assert_eq!(describe().await["last_seen"], Value::Null);
    let mut phone = Peer::open(server.public_addr()).await;
    let reply = phone.ask(json!({"connect": {"client": "phone"}})).await;
    let session = reply["connected"]["session"].as_str().unwrap().to_owned();
    phone.ask(json!({"subscribe": {"topic": "user/dev", "durable": "phone"}})).await;
    for n in 0..3 {
        phone.ask(json!({"publish": {"topic": "user/dev", "data": n}})).await;
    }
    phone.ask(json!({"ack": {"sub": "user/dev", "offset": 1}})).await;
    phone.close(1000).await;
    let away = loop {
        let described = describe().await;
        if described["online"] == false && described["cursors"][0]["pending"] == 2 {
            break described;
        }
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let last_seen = u128::from(away["last_seen"].as_u64().unwrap());
    assert!(now.as_millis() - last_seen < 60_000, "{away}");
    assert_eq!(away["sessions"][0]["client"], "phone");
    assert!(!away.to_string().contains(&session), "a session's id is a secret");
    let cursor = &away["cursors"][0];
    assert_eq!((&cursor["durable"], &cursor["topic"]), (&json!("phone"), &json!("user/dev")));
    assert_eq!(cursor["next"], 2);
    server.shutdown().await;
}

/// A crash must find the session of whoever is connected, however quiet the connection is.
#[tokio::test]
async fn a_session_that_is_held_is_saved_anew_before_it_expires() {
    let mut config = config();
    config.limits.session_expiry = Duration::from_secs(1);
    let server = start(config).await;
    let expires_at = async || {
        let (_, _, body) = http(server.operator_addr(), "GET", "/v1/users/dev", &[], "").await;
        let described: Value = serde_json::from_str(&body).unwrap();
        described["sessions"][0]["expires_at"].as_u64()
    };
    let _quiet = named(&server, "phone").await;
    let first = loop {
        if let Some(first) = expires_at().await {
            break first;
        }
    };
    // It expires after a second; the server pings after twenty-five.
    let begin = Instant::now();
    while expires_at().await.is_none_or(|at| at <= first) {
        assert!(begin.elapsed() < Duration::from_secs(10), "it is not saved anew");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.shutdown().await;
}
