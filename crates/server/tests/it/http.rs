//! The HTTP interface: publish, batch, history, problems, CORS, and the operator's side.

use serde_json::{Value, json};

use crate::peer::{Peer, config, http, raw, start};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_publish_by_http_reaches_a_socket_and_repeats_are_recognised() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut reader = Peer::connect(address).await;
    reader.ask(json!({"subscribe": {"topic": "news"}})).await;
    let body = json!({"topic": "news", "data": {"a": 1}, "headers": {"h": "v"}}).to_string();
    let headers = [JSON, ("idempotency-key", "n-1")];
    let (status, head, first) = http(address, "POST", "/v1/publish", &headers, &body).await;
    assert_eq!(status, 200, "{first}");
    assert!(head.contains("x-request-id"));
    let (_, _, again) = http(address, "POST", "/v1/publish", &headers, &body).await;
    let (first, again): (Value, Value) =
        (serde_json::from_str(&first).unwrap(), serde_json::from_str(&again).unwrap());
    assert_eq!((&first["offset"], &first["duplicate"]), (&json!(1), &json!(false)));
    assert_eq!((&again["offset"], &again["duplicate"]), (&json!(1), &json!(true)));
    let message = reader.message().await;
    assert_eq!((&message["data"], &message["headers"]), (&json!({"a": 1}), &json!({"h": "v"})));
    reader.assert_quiet().await;
    server.shutdown().await;
}

/// W3C Trace Context: what came with a publish reaches the subscribers as it was.
#[tokio::test]
async fn a_trace_passes_through_unchanged() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let server = start(config()).await;
    let address = server.public_addr();
    let mut reader = Peer::connect(address).await;
    reader.ask(json!({"subscribe": {"topic": "t"}})).await;
    let headers = [JSON, ("traceparent", PARENT), ("tracestate", "vendor=1")];
    let traced = json!({"traceparent": PARENT, "tracestate": "vendor=1"});
    let own = json!({"traceparent": "own", "h": "v"});
    let mut with_header = traced.clone();
    with_header["h"] = json!("v");
    for (path, body, expected) in [
        ("/v1/publish", json!({"topic": "t", "data": 1}), &traced),
        ("/v1/publish", json!({"topic": "t", "data": 1, "headers": {"h": "v"}}), &with_header),
        ("/v1/publish", json!({"topic": "t", "data": 1, "headers": own}), &own),
        ("/v1/publish/batch", json!({"messages": [{"topic": "t", "data": 1}]}), &traced),
        ("/v1/broadcast", json!({"topics": ["t"], "data": 1}), &traced),
    ] {
        let (status, _, reply) = http(address, "POST", path, &headers, &body.to_string()).await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(&reader.message().await["headers"], expected, "{path} {body}");
    }
    let broken = [JSON, ("traceparent", "00-1-2-3"), ("tracestate", "vendor=1")];
    let body = json!({"topic": "t", "data": 1}).to_string();
    let (status, _, reply) = http(address, "POST", "/v1/publish", &broken, &body).await;
    assert_eq!(status, 200, "{reply}");
    assert!(reader.message().await.get("headers").is_none(), "a broken one counts as none");
    let mut publisher = Peer::connect(address).await;
    let publish = json!({"topic": "t", "data": 1, "headers": {"traceparent": PARENT}});
    publisher.ask(json!({"publish": publish})).await;
    assert_eq!(reader.message().await["headers"], json!({"traceparent": PARENT}));
    server.shutdown().await;
}

#[tokio::test]
async fn a_batch_has_one_result_per_message() {
    let server = start(config()).await;
    let body = json!({"messages": [
        {"topic": "a", "data": 1},
        {"topic": "a/#", "data": 2},
        {"topic": "a", "data": 3},
        {"topic": "$dead-letters", "data": 4},
    ]});
    let (status, _, body) =
        http(server.public_addr(), "POST", "/v1/publish/batch", &[JSON], &body.to_string()).await;
    assert_eq!(status, 200, "{body}");
    let reply: Value = serde_json::from_str(&body).unwrap();
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results[0]["offset"], 1);
    assert_eq!(results[1]["error"]["code"], "bad_topic");
    assert_eq!(results[2]["offset"], 2);
    assert_eq!(results[3]["error"]["code"], "permission_denied");
    server.shutdown().await;
}

#[tokio::test]
async fn history_is_read_in_pages() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut peer = Peer::connect(address).await;
    for n in 1..=25 {
        peer.publish("log", json!(n)).await;
    }
    let mut cursor = String::new();
    let mut seen = Vec::new();
    loop {
        let path = match cursor.as_str() {
            "" => "/v1/history?topic=log&limit=10".to_owned(),
            cursor => format!("/v1/history?topic=log&limit=10&cursor={cursor}"),
        };
        let (status, _, body) = http(address, "GET", &path, &[], "").await;
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        seen.extend(page["messages"].as_array().unwrap().iter().map(|m| m["data"].clone()));
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(seen, (1..=25).map(|n| json!(n)).collect::<Vec<_>>());
    let (status, _, body) = http(address, "GET", "/v1/history?topic=log&after=zz:3", &[], "").await;
    assert_eq!(status, 410, "{body}");
    let (status, _, body) = http(address, "GET", "/v1/history?topic=log&limt=3", &[], "").await;
    assert_eq!(status, 400, "{body}");
    server.shutdown().await;
}

#[tokio::test]
async fn errors_are_problems_with_a_code() {
    let server = start(config()).await;
    let address = server.public_addr();
    for (method, path, content_type, body, expected) in [
        ("GET", "/nowhere", "", String::new(), (404, "not_found")),
        ("GET", "/v1/publish", "", String::new(), (405, "method_not_allowed")),
        ("POST", "/v1/publish", "application/json", "{".to_owned(), (400, "bad_frame")),
        ("POST", "/v1/publish", "text/plain", "{}".to_owned(), (415, "unsupported_media_type")),
        (
            "POST",
            "/v1/publish",
            "application/json",
            r#"{"topic":"+","data":1}"#.to_owned(),
            (400, "bad_topic"),
        ),
        (
            "POST",
            "/v1/publish",
            "application/json",
            format!("\"{}\"", "x".repeat(3 << 20)),
            (413, "too_large"),
        ),
        ("GET", "/v1/ws", "", String::new(), (400, "bad_frame")),
    ] {
        let (status, head, text) =
            http(address, method, path, &[("content-type", content_type)], &body).await;
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(
            (status, problem["code"].as_str()),
            (expected.0, Some(expected.1)),
            "{path} {text}"
        );
        assert!(head.contains("application/problem+json"), "{head}");
        assert_eq!(problem["status"], status);
        assert!(problem["request_id"].is_string());
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_405_says_which_methods_are_taken() {
    let server = start(config()).await;
    let address = server.public_addr();
    for (method, path, allowed) in [
        ("GET", "/v1/publish", "post"),
        ("PUT", "/v1/history", "get,head"),
        ("POST", "/v1/ws", "get"),
    ] {
        let (status, head, body) = http(address, method, path, &[], "").await;
        assert_eq!(status, 405, "{method} {path}: {body}");
        assert!(head.contains(&format!("\r\nallow: {allowed}\r\n")), "{method} {path}: {head}");
        assert!(body.contains("method_not_allowed"), "{method} {path}: {body}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_too_large() {
    let server = start(config()).await;
    let send = |framing: &str, body: &str| {
        let request = format!(
            "POST /v1/publish HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{framing}\r\n\r\n{body}"
        );
        let address = server.public_addr();
        async move { raw(address, request.as_bytes()).await }
    };
    let broken = send("transfer-encoding: chunked", "5\r\n{\"top\r\nno length\r\n").await;
    assert!(broken.starts_with("HTTP/1.1 400") && broken.contains("bad_frame"), "{broken}");
    let large = send(&format!("content-length: {}", 3 << 20), &"x".repeat(3 << 20)).await;
    assert!(large.starts_with("HTTP/1.1 413") && large.contains("too_large"), "{large}");
    server.shutdown().await;
}

#[tokio::test]
async fn pages_on_the_list_may_use_http() {
    let mut config = config();
    config.http.cors_origins = vec!["https://app.example".to_owned()];
    let server = start(config).await;
    let address = server.public_addr();
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let (status, head, _) = http(address, "OPTIONS", "/v1/publish", &preflight, "").await;
    assert_eq!(status, 204);
    assert!(head.contains("access-control-allow-origin: https://app.example"), "{head}");
    let foreign = [("origin", "https://evil.example"), JSON];
    let body = r#"{"topic":"a","data":1}"#;
    let (status, head, _) = http(address, "POST", "/v1/publish", &foreign, body).await;
    assert_eq!(status, 403);
    assert!(!head.contains("access-control-allow-origin"));
    server.shutdown().await;
}

#[tokio::test]
async fn the_operator_sees_life_readiness_and_metrics() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.publish("t", json!(1)).await;
    let operator = server.operator_addr();
    let (status, _, _) = http(operator, "GET", "/livez", &[], "").await;
    assert_eq!(status, 200);
    let (status, _, body) = http(operator, "GET", "/readyz", &[], "").await;
    assert_eq!(status, 200, "{body}");
    let (_, _, text) = http(operator, "GET", "/metrics", &[], "").await;
    for line in [
        "tidings_connections 1",
        "tidings_store_appended 1",
        "tidings_store_writable 1",
        "tidings_errors_total{code=\"bad_frame\"} 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let (status, _, _) = http(server.public_addr(), "GET", "/metrics", &[], "").await;
    assert_eq!(status, 404, "metrics are the operator's");
    server.shutdown().await;
}

#[tokio::test]
async fn history_has_the_same_rules_as_over_a_socket() {
    let mut config = config();
    config.topic = vec![tidings_server::TopicSection {
        durability: tidings_core::Durability::Memory,
        ..tidings_server::TopicSection::new("live/#".parse().unwrap())
    }];
    let server = start(config).await;
    let address = server.public_addr();
    for (query, status, code) in [
        ("topic=t&limit=0", 400, "bad_field"),
        ("topic=t&limit=501", 400, "bad_field"),
        ("topic=live/1", 501, "unsupported"),
    ] {
        let (got, _, body) = http(address, "GET", &format!("/v1/history?{query}"), &[], "").await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{query}: {body}");
    }
    let mut peer = Peer::connect(address).await;
    let reply = peer.ask(json!({"history": {"topic": "live/1"}})).await;
    assert_eq!(reply["error"]["code"], "unsupported");
    server.shutdown().await;
}

/// What they say is held against this server's routes and answers in `docs/api/test`.
#[tokio::test]
async fn what_programs_can_ask_is_described_to_whoever_asks() {
    let server = start(crate::auth::closed()).await;
    for (path, name, version) in
        [("/openapi.json", "openapi", "3.1.0"), ("/asyncapi.json", "asyncapi", "3.0.0")]
    {
        let (status, head, body) = http(server.public_addr(), "GET", path, &[], "").await;
        assert_eq!(status, 200, "{body}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let document: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(document[name], version);
    }
    server.shutdown().await;
}
