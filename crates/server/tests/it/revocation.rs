//! Tokens that are ended before their time.

use serde_json::json;
use tidings_server::{RunningServer, Server};

use crate::auth::{claims, closed, connect_with, now, token};
use crate::peer::{http, metric, start};

fn issued(user: &str, at: u64) -> String {
    let mut claims = claims(user);
    claims["iat"] = json!(at);
    token(claims)
}

async fn revoke(server: &RunningServer, user: &str, query: &str) -> (u16, String) {
    let path = format!("/v1/users/{user}/revoke{query}");
    let (status, _, body) = http(server.operator_addr(), "POST", &path, &[], "").await;
    (status, body)
}

#[tokio::test]
async fn what_was_issued_before_ends_and_what_comes_after_counts() {
    let server = start(closed()).await;
    let (old, fresh) = (issued("alice", now() - 60), issued("alice", now() - 10));
    let (mut lost_phone, _) = connect_with(&server, &old).await;
    let (mut laptop, _) = connect_with(&server, &fresh).await;
    let (mut dateless, _) = connect_with(&server, &token(claims("alice"))).await;
    let (mut bob, _) = connect_with(&server, &issued("bob", now() - 60)).await;
    let (status, body) =
        revoke(&server, "alice", &format!("?issued_by={}", (now() - 30) * 1000)).await;
    assert_eq!(status, 200, "{body}");
    for gone in [&mut lost_phone, &mut dateless] {
        assert_eq!(gone.frame().await["goaway"]["reason"], "forbidden");
        assert_eq!(gone.close_code().await, 4002);
    }
    for stays in [&mut laptop, &mut bob] {
        stays.assert_quiet().await;
    }
    let (mut refused, reply) = connect_with(&server, &old).await;
    assert_eq!(reply["error"]["code"], "token_revoked");
    assert_eq!(refused.close_code().await, 4000);
    let headers = [("authorization", &*format!("Bearer {old}"))];
    let (status, _, _) =
        http(server.public_addr(), "GET", "/v1/history?topic=a", &headers, "").await;
    assert_eq!(status, 401);
    let reply = laptop.ask(json!({"refresh": {"token": old}})).await;
    assert_eq!(reply["error"]["code"], "token_revoked");
    let (_, reply) = connect_with(&server, &fresh).await;
    assert!(reply["connected"].is_object(), "{reply}");
    // An earlier moment takes nothing back.
    assert_eq!(revoke(&server, "alice", "?issued_by=5").await.0, 200);
    assert_eq!(connect_with(&server, &old).await.1["error"]["code"], "token_revoked");
    assert_eq!(revoke(&server, "alice", "").await.0, 200, "by now");
    assert_eq!(connect_with(&server, &fresh).await.1["error"]["code"], "token_revoked");
    server.shutdown().await;
}

#[tokio::test]
async fn a_revocation_outlives_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = closed();
    config.storage.directory = directory.path().to_owned();
    let old = issued("alice", now() - 60);
    let server = Server::start(config.clone()).await.unwrap();
    assert!(connect_with(&server, &old).await.1["connected"].is_object());
    assert_eq!(revoke(&server, "alice", "").await.0, 200);
    server.shutdown().await;
    let server = Server::start(config).await.unwrap();
    assert_eq!(connect_with(&server, &old).await.1["error"]["code"], "token_revoked");
    assert!(connect_with(&server, &issued("bob", now() - 60)).await.1["connected"].is_object());
    server.shutdown().await;
}

#[tokio::test]
async fn only_an_operator_revokes_and_only_what_exists() {
    let server = start(closed()).await;
    let path = "/v1/users/alice/revoke";
    let (status, _, _) = http(server.public_addr(), "POST", path, &[], "").await;
    assert_eq!(status, 404, "not for the public");
    let page = [("origin", "https://evil.example")];
    let (status, _, body) = http(server.operator_addr(), "POST", path, &page, "").await;
    assert_eq!((status, body.contains("origin_denied")), (403, true), "{body}");
    for query in ["?issued_by=yesterday", "?issued_by=99999999999999999", "?before=1"] {
        let (status, body) = revoke(&server, "alice", query).await;
        assert_eq!((status, body.contains("bad_field")), (400, true), "{body}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_latest_revocation_of_a_user_is_all_that_is_kept() {
    let server = start(closed()).await;
    let before = (now() - 100) * 1000;
    for n in 0..5 {
        for user in ["alice", "bob"] {
            let (status, body) = revoke(&server, user, &format!("?issued_by={}", before + n)).await;
            assert_eq!(status, 200, "{body}");
        }
    }
    assert_eq!(metric(&server, "tidings_store_messages").await, 2.0);
    server.shutdown().await;
}
