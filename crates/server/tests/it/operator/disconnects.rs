//! Why connections ended.

use serde_json::{Value, json};
use tidings_server::RunningServer;

use super::{ask, read, refuses};
use crate::auth::{claims, closed, connect_with, token};
use crate::peer::{Peer, start};

async fn alice(server: &RunningServer) -> Peer {
    connect_with(server, &token(claims("alice"))).await.0
}

/// What is told once this many connections have ended.
async fn after(server: &RunningServer, count: usize) -> Value {
    loop {
        let told = read(server, "/v1/disconnects").await;
        if told["kept"].as_u64().unwrap() as usize >= count {
            return told;
        }
    }
}

#[tokio::test]
async fn the_latest_ends_are_told_with_their_reason() {
    let server = start(closed()).await;
    let started = read(&server, "/v1/node").await["started_at"].as_u64().unwrap();
    alice(&server).await.close(1000).await;
    alice(&server).await.close_saying(3001, "signed out").await;
    after(&server, 2).await;
    drop(alice(&server).await);
    after(&server, 3).await;
    let mut sent_away = alice(&server).await;
    assert_eq!(ask(&server, "POST", "/v1/users/alice/disconnect").await.0, 202);
    assert_eq!(sent_away.close_code().await, 4002);
    let mut stranger = Peer::open(server.public_addr()).await;
    stranger.ask(json!({"connect": {"token": "x"}})).await;
    assert_eq!(stranger.close_code().await, 4000);

    let told = after(&server, 5).await;
    let found: Vec<_> = told["disconnects"].as_array().unwrap().iter().collect();
    let expected = [
        (json!(null), json!(4000), "unauthenticated", "server"),
        (json!("alice"), json!(4002), "forbidden", "server"),
        (json!("alice"), json!(null), "peer_ended", "network"),
        (json!("alice"), json!(3001), "signed out", "client"),
        (json!("alice"), json!(1000), "normal", "client"),
    ];
    assert_eq!((found.len(), &told["kept"]), (5, &json!(5)), "{told}");
    for (end, (user, code, reason, by)) in found.iter().zip(expected) {
        assert_eq!((&end["user"], &end["code"], &end["node"]), (&user, &code, &json!("n1")));
        assert_eq!((&end["reason"], &end["by"]), (&json!(reason), &json!(by)), "{end}");
        assert_eq!(end["client"].is_string(), user != Value::Null, "{end}");
        assert_eq!(end["lasted_ms"].is_u64(), user != Value::Null, "{end}");
        assert!(end["at"].as_u64().unwrap() >= started, "{end}");
    }
    let since = told["since"].as_u64().unwrap();
    assert!(since <= started, "every end since the start is kept: {told}");

    for (query, count) in [
        ("user=alice", 4),
        ("user=bob", 0),
        ("reason=forbidden", 1),
        ("user=alice&reason=signed%20out", 1),
        ("user=alice&reason=unauthenticated", 0),
        ("user=alice&limit=2", 2),
    ] {
        let told = read(&server, &format!("/v1/disconnects?{query}")).await;
        assert_eq!(told["disconnects"].as_array().unwrap().len(), count, "{query}: {told}");
        assert_eq!(told["kept"], 5);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn bad_questions_about_ends_are_told_what_is_wrong() {
    let server = start(closed()).await;
    refuses(
        &server,
        &[
            ("/v1/disconnects?limit=0", "from 1 to 1000"),
            ("/v1/disconnects?limit=1001", "from 1 to 1000"),
            ("/v1/disconnects?user=", "`user`"),
            ("/v1/disconnects?code=1000", "unknown field"),
        ],
    )
    .await;
    assert_eq!(read(&server, "/v1/disconnects").await["disconnects"], json!([]));
    server.shutdown().await;
}
