//! The configuration in force.

use tidings_server::{Secret, TopicSection};

use super::read;
use crate::auth::closed;
use crate::peer::{http, start};

#[tokio::test]
async fn the_configuration_in_force_is_told_without_its_secrets() {
    let mut config = closed();
    config.limits.window_default = 7;
    config.topic = vec![TopicSection::new("room/#".parse().unwrap())];
    let server = start(config.clone()).await;
    let told = read(&server, "/v1/config").await["config"].take();
    assert_eq!(told["limits"]["window_default"], 7);
    assert_eq!(told["topic"][0]["match"], "room/#");
    assert_eq!(told["auth"]["keys"][0]["algorithm"], "HS256");
    assert_eq!(told["auth"]["keys"][0]["secret"], "***");
    assert_eq!(told["auth"]["api_keys"][0]["key"], "***");
    server.shutdown().await;

    let key = "canary-of-the-operator-of-32-bytes!";
    config.auth.operator_key = Some(Secret::new(key.to_owned()));
    let server = start(config).await;
    let shown = format!("Bearer {key}");
    let headers = [("authorization", shown.as_str())];
    let (status, _, body) = http(server.operator_addr(), "GET", "/v1/config", &headers, "").await;
    assert_eq!(status, 200);
    for secret in ["canary", "a-secret-of-at-least", "orders-key-of"] {
        assert!(!body.contains(secret), "{secret}: {body}");
    }
    server.shutdown().await;
}
