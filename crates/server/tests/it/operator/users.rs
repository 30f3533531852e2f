//! Who is known, and what waits for them.

use serde_json::{Value, json};
use tidings_server::RunningServer;

use super::{read, refuses, tell};
use crate::auth::{closed, now, token};
use crate::peer::{Peer, start};

/// A connection of this user, who may do everything under `room`.
async fn connect(server: &RunningServer, user: &str, client: &str) -> Peer {
    let caps = json!([{"match": "room/#", "ops": ["pub", "sub"]}]);
    let token = token(json!({"sub": user, "exp": now() + 600, "caps": caps}));
    let mut peer = Peer::open(server.public_addr()).await;
    let connect = json!({"connect": {"token": token, "client": client}});
    assert!(peer.ask(connect).await["connected"].is_object());
    peer
}

async fn subscribe(peer: &mut Peer, topic: &str, durable: &str) {
    let subscribe = json!({"topic": topic, "durable": durable, "from": "first"});
    assert!(peer.ask(json!({"subscribe": subscribe})).await["subscribed"].is_object());
}

async fn publish(server: &RunningServer, topic: &str) {
    let body = json!({"topic": topic, "data": 1}).to_string();
    assert_eq!(tell(server, "POST", "/v1/publish", &body).await.0, 200);
}

/// Every page of a list, put together.
async fn all(server: &RunningServer, path: &str, list: &str, limit: usize) -> Vec<Value> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = read(server, &format!("{path}{separator}limit={limit}{cursor}")).await;
        let entries = page[list].as_array().unwrap();
        assert!(entries.len() <= limit, "{page}");
        found.extend(entries.iter().cloned());
        assert_eq!(page["more"], json!(page["cursor"].is_string()));
        assert!(found.len() < 1000, "the list ends");
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace(' ', "%20")),
            None => return found,
        }
    }
}

#[tokio::test]
async fn users_are_listed_by_name_with_what_waits_for_them() {
    let server = start(closed()).await;
    publish(&server, "room/1").await;
    publish(&server, "room/1").await;
    let mut phone = connect(&server, "bob", "phone").await;
    subscribe(&mut phone, "room/1", "phone").await;
    subscribe(&mut phone, "room/2", "phone").await;
    let _tablet = connect(&server, "bob", "tablet").await;
    let _alice = connect(&server, "alice", "phone").await;
    let _other = connect(&server, "al", "phone").await;
    let mut carol = connect(&server, "carol x", "phone").await;
    subscribe(&mut carol, "room/1", "phone").await;
    let before = now() * 1000;
    carol.close(1000).await;
    while read(&server, "/v1/users?prefix=carol").await["users"][0]["online"] == true {}

    for limit in [1, 2, 3, 4, 100] {
        for (query, expected) in [
            ("", vec!["al", "alice", "bob", "carol x"]),
            ("?prefix=", vec!["al", "alice", "bob", "carol x"]),
            ("?prefix=al", vec!["al", "alice"]),
            ("?prefix=ali", vec!["alice"]),
            ("?prefix=x", vec![]),
        ] {
            let users = all(&server, &format!("/v1/users{query}"), "users", limit).await;
            let names: Vec<_> = users.iter().map(|user| user["user"].as_str().unwrap()).collect();
            assert_eq!(names, expected, "{query}, {limit} a page");
        }
    }
    let users = all(&server, "/v1/users", "users", 100).await;
    let bob = &users[2];
    assert_eq!((&bob["online"], &bob["connections"]), (&json!(true), &json!(2)), "{bob}");
    assert_eq!((&bob["sessions"], &bob["pending"]), (&json!(2), &json!(2)), "{bob}");
    let carol = &users[3];
    assert_eq!((&carol["online"], &carol["connections"]), (&json!(false), &json!(0)), "{carol}");
    assert_eq!((&carol["sessions"], &carol["pending"]), (&json!(1), &json!(2)), "{carol}");
    assert!(carol["last_seen"].as_u64().unwrap() >= before - 1000, "{carol}");
    server.shutdown().await;
}

#[tokio::test]
async fn connections_are_counted_in_whatever_pages_users_are_listed() {
    let server = start(closed()).await;
    let mut peers = Vec::new();
    // Not in the order of names, over the connections of more than one shard.
    for n in [7, 2, 9, 4, 0, 5, 1, 8, 3, 6] {
        for client in 0..=n % 3 {
            peers.push(connect(&server, &format!("u{n}"), &client.to_string()).await);
        }
    }
    for limit in [1, 2, 3, 9, 10, 11] {
        let users = all(&server, "/v1/users", "users", limit).await;
        let told: Vec<_> = users.iter().map(|user| (&user["user"], &user["connections"])).collect();
        assert_eq!(told.len(), 10);
        for (n, told) in told.into_iter().enumerate() {
            assert_eq!(told, (&json!(format!("u{n}")), &json!(n % 3 + 1)), "{limit} a page");
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_user_tells_since_when_something_waits() {
    let server = start(closed()).await;
    publish(&server, "room/1").await;
    publish(&server, "room/1").await;
    let mut peer = connect(&server, "bob", "phone").await;
    subscribe(&mut peer, "room/2", "phone").await;
    subscribe(&mut peer, "room/1", "phone").await;
    let first = peer.message().await;
    let second = peer.message().await;
    let user = read(&server, "/v1/users/bob").await;
    let (one, two) = (&user["cursors"][0], &user["cursors"][1]);
    assert_eq!(one["oldest_pending_at"], first["at"], "{user}");
    assert_eq!((&two["pending"], &two["oldest_pending_at"]), (&json!(0), &Value::Null));
    assert_eq!(one["acked_at"], one["saved_at"]);
    let ack = json!({"ack": {"sub": "room/1", "offset": first["offset"]}});
    peer.send(ack).await;
    let moved = loop {
        let moved = read(&server, "/v1/users/bob").await["cursors"][0].take();
        if moved["pending"] == 1 {
            break moved;
        }
    };
    assert_eq!(moved["oldest_pending_at"], second["at"], "{moved}");
    server.shutdown().await;
}

#[tokio::test]
async fn subscriptions_of_all_users_are_listed_by_what_waits() {
    let server = start(closed()).await;
    for user in ["a", "b", "b b", "c"] {
        let mut peer = connect(&server, user, "phone").await;
        for topic in ["room/1", "room/2"] {
            subscribe(&mut peer, topic, "d 1").await;
        }
    }
    publish(&server, "room/2").await;
    let member = json!({"subscribe": {"filter": "room/#", "group": "workers"}});
    connect(&server, "z", "phone").await.ask(member).await;
    for limit in [1, 3, 8, 100] {
        let found = all(&server, "/v1/subscriptions", "subscriptions", limit).await;
        let told: Vec<_> =
            found.iter().map(|s| (s["user"].as_str().unwrap(), &s["topic"])).collect();
        let expected = ["a", "b", "b b", "c"].map(|user| [(user, "room/1"), (user, "room/2")]);
        assert_eq!(told.len(), 8, "groups are no user's: {found:?}");
        for (told, expected) in told.iter().zip(expected.as_flattened()) {
            assert_eq!((told.0, told.1.as_str().unwrap()), *expected);
        }
        let path = "/v1/subscriptions?pending_min=1";
        let waiting = all(&server, path, "subscriptions", limit).await;
        assert_eq!(waiting.len(), 4);
        for subscription in &waiting {
            assert_eq!(
                (&subscription["topic"], &subscription["pending"]),
                (&json!("room/2"), &json!(1))
            );
            assert_eq!(
                (&subscription["durable"], &subscription["next"]),
                (&json!("d 1"), &json!(1))
            );
            assert!(subscription["saved_at"].is_u64());
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn bad_questions_about_users_are_told_what_is_wrong() {
    let server = start(closed()).await;
    let long = format!("/v1/users?prefix={}", "x".repeat(129));
    refuses(
        &server,
        &[
            ("/v1/users?limit=0", "from 1 to 1000"),
            ("/v1/users?limit=1001", "from 1 to 1000"),
            ("/v1/users?prefix=%00", "`prefix`"),
            (&long, "`prefix`"),
            ("/v1/users?cursor=", "`cursor`"),
            ("/v1/users?user=a", "unknown field"),
            ("/v1/subscriptions?limit=0", "from 1 to 1000"),
            ("/v1/subscriptions?cursor=xyz", "`cursor`"),
            ("/v1/subscriptions?pending_min=-1", "pending_min"),
            ("/v1/subscriptions?user=a", "unknown field"),
        ],
    )
    .await;
    assert_eq!(read(&server, "/v1/users").await["users"], json!([]));
    assert_eq!(read(&server, "/v1/subscriptions").await["subscriptions"], json!([]));
    server.shutdown().await;
}
