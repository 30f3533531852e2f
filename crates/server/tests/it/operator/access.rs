//! Who may use the operator's port.

use serde_json::Value;
use tidings_server::{Config, Engine, RunningServer, Secret, Server};

use crate::peer::{config, http, start};

const KEY: &str = "the-operators-key-of-thirty-two-bytes!";

/// Status and code of an answer.
async fn code(
    server: &RunningServer,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
) -> (u16, String) {
    let (status, head, body) = http(server.operator_addr(), method, path, headers, "").await;
    assert_eq!(status == 401, head.contains("www-authenticate: bearer"), "{head}");
    let problem: Value = serde_json::from_str(&body).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

fn keyed() -> Config {
    let mut config = config();
    config.auth.operator_key = Some(Secret::new(KEY.to_owned()));
    config
}

#[tokio::test]
async fn a_configured_key_is_asked_for_everywhere_but_by_probes() {
    let server = start(keyed()).await;
    assert_eq!(server.operator_key().expose(), KEY);
    let shown = format!("Bearer {KEY}");
    for path in ["/metrics", "/v1/groups", "/v1/dead-letters", "/v1/scheduled", "/v1/users/a"] {
        let refused = (401, "unauthenticated".to_owned());
        assert_eq!(code(&server, ("GET", path), &[]).await, refused, "{path}");
        let wrong = [("authorization", "Bearer wrong")];
        assert_eq!(code(&server, ("GET", path), &wrong).await, refused, "{path}");
        let basic = [("authorization", "Basic dGlkaW5nczp3cm9uZw==")];
        assert_eq!(code(&server, ("GET", path), &basic).await, refused, "{path}");
        let right = [("authorization", shown.as_str())];
        assert_eq!(code(&server, ("GET", path), &right).await.0, 200, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(code(&server, ("GET", path), &[]).await.0, 200, "{path}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_page_of_the_port_changes_things_with_the_key_and_others_never() {
    for config in [config(), keyed()] {
        let server = start(config).await;
        let own = format!("http://{}", server.operator_addr());
        let shown = format!("Bearer {}", server.operator_key().expose());
        let key = ("authorization", shown.as_str());
        for ask in [("POST", "/v1/users/alice/disconnect"), ("GET", "/v1/groups")] {
            let page = |origin| [("origin", origin), ("sec-fetch-site", "same-origin")];
            let with_key = [&page(own.as_str())[..], &[key]].concat();
            assert!(code(&server, ask, &with_key).await.0 < 300, "{ask:?}");
            let without = code(&server, ask, &page(&own)).await;
            assert_eq!(without, (401, "unauthenticated".to_owned()), "{ask:?}");
            for foreign in ["https://evil.example", "http://127.0.0.1:1", "null"] {
                let refused = code(&server, ask, &[&page(foreign)[..], &[key]].concat()).await;
                assert_eq!(refused, (403, "origin_denied".to_owned()), "{ask:?} {foreign}");
            }
        }
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_key_that_the_server_made_is_for_pages_and_not_for_programs() {
    let server = start(config()).await;
    assert_eq!(code(&server, ("GET", "/metrics"), &[]).await.0, 200);
    let refused = (401, "unauthenticated".to_owned());
    for site in ["cross-site", "same-site", "same-origin"] {
        let page = [("sec-fetch-site", site)];
        assert_eq!(code(&server, ("GET", "/metrics"), &page).await, refused, "{site}");
    }
    let typed = [("sec-fetch-site", "none")];
    assert_eq!(code(&server, ("GET", "/metrics"), &typed).await.0, 200);
    // A second `Host` would be a bad request, so this one is written by hand.
    let rebound = b"GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let answer = crate::peer::raw(server.operator_addr(), rebound).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_key_that_the_server_made_stays_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut config = config();
        config.storage.directory = directory.path().join("data");
        let server = Server::builder(config).engine(Engine::Embedded).start().await.unwrap();
        keys.push(server.operator_key().expose().to_owned());
        server.shutdown().await;
    }
    assert_eq!(keys[0], keys[1]);
    let kept = std::fs::read_to_string(directory.path().join("data/operator-key")).unwrap();
    assert_eq!(kept.trim_end(), keys[0]);
}

#[tokio::test]
async fn an_unusable_key_file_is_told_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("operator-key"), "short\n").unwrap();
    let mut config = config();
    config.storage.directory = directory.path().to_owned();
    let started = Server::builder(config).engine(Engine::Embedded).start().await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("remove the file, and the server makes another"), "{error}");
}
