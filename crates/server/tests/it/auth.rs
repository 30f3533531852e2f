//! Tokens, capabilities, API keys and origins.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tidings_server::Config;

use crate::peer::{Peer, config, http, raw, start};

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes!";

pub(crate) fn closed() -> Config {
    let mut config = config();
    config.auth.open = false;
    let section = format!(
        "[[keys]]\nalgorithm = \"HS256\"\nsecret = {SECRET:?}\n\
         [[api_keys]]\nname = \"orders\"\nkey = \"orders-key-of-thirty-two-bytes-and-more\"\n\
         caps = [{{ match = \"user/#\", ops = [\"pub\", \"hist\"] }}]\n"
    );
    config.auth = toml::from_str(&section).unwrap();
    config
}

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn token(claims: Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

pub(crate) fn claims(user: &str) -> Value {
    json!({"sub": user, "exp": now() + 600, "caps": [{"match": "room/#", "ops": ["pub", "sub"]}]})
}

pub(crate) async fn connect_with(
    server: &tidings_server::RunningServer,
    token: &str,
) -> (Peer, Value) {
    let mut peer = Peer::open(server.public_addr()).await;
    let reply = peer.ask(json!({"connect": {"token": token}})).await;
    (peer, reply)
}

#[tokio::test]
async fn a_token_says_who_and_what() {
    let server = start(closed()).await;
    let (mut alice, connected) = connect_with(&server, &token(claims("alice"))).await;
    assert_eq!(connected["connected"]["user"], "alice");
    alice.publish("room/1", json!(1)).await;
    for forbidden in [
        json!({"publish": {"topic": "other", "data": 1}}),
        json!({"subscribe": {"filter": "#"}}),
        json!({"subscribe": {"filter": "+/1"}}),
        json!({"subscribe": {"topic": "$dead-letters"}}),
        json!({"history": {"topic": "room/1"}}),
    ] {
        let reply = alice.ask(forbidden.clone()).await;
        assert_eq!(reply["error"]["code"], "permission_denied", "{forbidden}");
    }
    assert!(
        alice.ask(json!({"subscribe": {"filter": "room/+"}})).await.get("subscribed").is_some()
    );
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_without_caps_reads_its_own_inbox_and_nothing_else() {
    let server = start(closed()).await;
    let token = token(json!({"sub": "bob", "exp": now() + 600}));
    let (mut bob, _) = connect_with(&server, &token).await;
    let ask = json!({"subscribe": {"topic": "user/bob", "durable": "phone"}});
    assert!(bob.ask(ask).await.get("subscribed").is_some());
    for topic in ["user/alice", "room/1"] {
        let reply = bob.ask(json!({"subscribe": {"topic": topic}})).await;
        assert_eq!(reply["error"]["code"], "permission_denied", "{topic}");
    }
    server.shutdown().await;
}

/// A token with this header, signed with the secret by HMAC whatever the header says.
fn odd_token(header: &Value, claims: &Value, signature: &str) -> String {
    use base64::Engine as _;
    let part =
        |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[tokio::test]
async fn every_kind_of_bad_token_is_refused() {
    let server = start(closed()).await;
    let good = token(claims("alice"));
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let none = odd_token(&json!({"alg": "none", "typ": "JWT"}), &claims("alice"), "");
    let other_algorithm =
        odd_token(&json!({"alg": "RS256", "typ": "JWT"}), &claims("alice"), "AAAA");
    let huge = token(json!({"sub": "a", "exp": now() + 600, "junk": "x".repeat(9_000)}));
    let exp = now() + 600;
    let cut = good.rsplit_once('.').unwrap().0.to_owned();
    let refused = "unauthenticated";
    for (token, code, close, told) in [
        ("garbage".to_owned(), refused, 4000, "it has no dot in it"),
        (cut, refused, 4000, "it has 2 parts with dots"),
        (String::new(), refused, 4000, "not a JWT: it is empty"),
        (format!("Bearer {good}"), refused, 4000, "without `Bearer`"),
        ("a.b.c".to_owned(), refused, 4000, "its first part is not base64url"),
        (forged, refused, 4000, "signature does not verify"),
        (good[..good.len() - 2].to_owned(), refused, 4000, "a piece of the token is missing"),
        (none, refused, 4000, "an `alg` that the server knows"),
        (other_algorithm, refused, 4000, "`alg` RS256 and `kid` (none): sign it with one of"),
        (token(json!({"sub": "a"})), refused, 4000, "claim `exp` is missing or wrong"),
        (token(json!({"exp": exp})), refused, 4000, "claim `sub` is missing or wrong"),
        (
            token(json!({"sub": "$operator", "exp": exp})),
            refused,
            4000,
            "claim `sub` is missing or wrong: users that start with `$` are the server's",
        ),
        (token(json!({"sub": "a", "exp": "soon"})), refused, 4000, "`exp` and perhaps `iat`"),
        (
            token(json!({"sub": "a", "exp": exp, "caps": [{"match": "a#", "ops": []}]})),
            refused,
            4000,
            "claim `caps` is missing or wrong: `a#`",
        ),
        (huge, "bad_field", 4001, "token"),
        (token(json!({"sub": "a", "exp": now() - 600})), "token_expired", 4200, "a fresh one"),
        (
            token(json!({"sub": "a", "exp": exp + 300, "nbf": exp})),
            "token_expired",
            4200,
            "compare the clocks",
        ),
    ] {
        let (mut peer, reply) = connect_with(&server, &token).await;
        assert_eq!(reply["error"]["code"], code, "{told}: {reply}");
        let message = reply["error"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{told}: {message}");
        // Neither the token nor a part of it, whatever is wrong with it.
        let parts = token.split(['.', ' ']).filter(|part| part.len() > 6);
        for part in parts.chain([token.as_str()].into_iter().filter(|token| token.len() > 6)) {
            assert!(!message.contains(part), "{message}");
        }
        assert_eq!(peer.close_code().await, close, "{told}");
    }
    let mut peer = Peer::open(server.public_addr()).await;
    let reply = peer.ask(json!({"connect": {}})).await;
    assert_eq!(reply["error"]["code"], "unauthenticated", "no token at all");
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_of_one_of_several_keys_is_told_what_is_wrong_with_it() {
    let mut config = closed();
    let other = SECRET.replace('a', "b");
    let keys = format!(
        "[[keys]]\nalgorithm = \"HS256\"\nsecret = {SECRET:?}\n\
         [[keys]]\nalgorithm = \"HS256\"\nsecret = {other:?}\n"
    );
    config.auth = toml::from_str(&keys).unwrap();
    let server = start(config).await;
    let expired = token(json!({"sub": "a", "exp": now() - 600}));
    let (_, reply) = connect_with(&server, &expired).await;
    assert_eq!(reply["error"]["code"], "token_expired", "not the other key's fault: {reply}");
    server.shutdown().await;
}

#[tokio::test]
async fn audience_and_issuer_must_be_in_the_token_if_they_are_configured() {
    let with = |more: Value| {
        let mut claims = claims("alice");
        let (claims_map, more) = (claims.as_object_mut().unwrap(), more.as_object().unwrap());
        claims_map.extend(more.clone());
        token(claims)
    };
    let mut config = closed();
    config.auth.audience = Some("tidings".to_owned());
    config.auth.issuer = Some("https://login.example".to_owned());
    let server = start(config).await;
    for (more, claim, problem) in [
        (json!({"iss": "https://login.example"}), "aud", "the server's configuration asks for it"),
        (json!({"aud": "tidings"}), "iss", "the server's configuration asks for it"),
        (json!({"aud": [], "iss": "https://login.example"}), "aud", "it is not this server's"),
        (json!({"aud": "other", "iss": "https://login.example"}), "aud", "it is not this server's"),
        (json!({"aud": "tidings", "iss": "https://x"}), "iss", "it is not the configured issuer"),
    ] {
        let (_, reply) = connect_with(&server, &with(more)).await;
        assert_eq!(reply["error"]["code"], "unauthenticated", "{reply}");
        let message = reply["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("`{claim}`")) && message.contains(problem), "{message}");
    }
    let good = json!({"aud": ["other", "tidings"], "iss": "https://login.example"});
    let (_, connected) = connect_with(&server, &with(good)).await;
    assert_eq!(connected["connected"]["user"], "alice", "{connected}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_ends_with_its_token_unless_it_is_refreshed() {
    let mut config = closed();
    config.auth.leeway = std::time::Duration::ZERO;
    let server = start(config).await;
    let short = |user: &str| token(json!({"sub": user, "exp": now() + 2}));
    let (mut ends, _) = connect_with(&server, &short("alice")).await;
    let (mut stays, _) = connect_with(&server, &short("bob")).await;
    let other = stays.ask(json!({"refresh": {"token": token(claims("alice"))}})).await;
    assert_eq!(other["error"]["code"], "unauthenticated", "a token of another user");
    let fresh = stays.ask(json!({"refresh": {"token": token(claims("bob"))}})).await;
    assert!(fresh.get("refreshed").is_some(), "{fresh}");
    assert_eq!(ends.close_code().await, 4200);
    stays.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn services_publish_with_an_api_key() {
    let server = start(closed()).await;
    let publish = |key: &'static str, topic: &str| {
        let body = json!({"topic": topic, "data": {"order": 7}}).to_string();
        let address = server.public_addr();
        async move {
            let headers = [("x-api-key", key), ("content-type", "application/json")];
            http(address, "POST", "/v1/publish", &headers, &body).await
        }
    };
    const KEY: &str = "orders-key-of-thirty-two-bytes-and-more";
    let (status, _, body) = publish(KEY, "user/alice").await;
    assert_eq!(status, 200, "{body}");
    let (status, _, body) = publish(KEY, "room/1").await;
    assert_eq!(status, 403, "{body}");
    let (status, head, body) = publish("wrong", "user/alice").await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")));
    assert!(head.contains("\r\nwww-authenticate: bearer\r\n"), "{head}");
    server.shutdown().await;
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_before_the_upgrade() {
    let mut config = closed();
    config.server.allowed_origins = vec!["https://chat.example".to_owned()];
    let server = start(config).await;
    let ask = |origin: &str| {
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nhost: rt.example\r\norigin: {origin}\r\nupgrade: websocket\r\n\
             connection: upgrade, close\r\nsec-websocket-version: 12\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let address = server.public_addr();
        async move { raw(address, request.as_bytes()).await }
    };
    // The version is wrong on purpose: an allowed origin gets as far as being told so.
    assert!(ask("https://chat.example").await.contains("version 13"));
    for origin in ["https://chat.example.evil.io", "null", "http://chat.example"] {
        let answer = ask(origin).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("origin_denied"), "{origin}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_lists_of_origins_are_for_sockets_and_for_http_apart() {
    let mut config = closed();
    config.server.allowed_origins = vec!["https://socket.example".to_owned()];
    config.http.cors_origins = vec!["https://http.example".to_owned()];
    let server = start(config).await;
    let (socket, page) = ("https://socket.example", "https://http.example");
    for (origin, path, expected) in [
        // Without an upgrade or a token: an allowed origin gets as far as being told so.
        (socket, "/v1/ws", 400),
        (page, "/v1/ws", 403),
        (socket, "/v1/history?topic=a", 403),
        (page, "/v1/history?topic=a", 401),
    ] {
        let headers = [("origin", origin)];
        let (status, head, body) = http(server.public_addr(), "GET", path, &headers, "").await;
        assert_eq!(status, expected, "{origin} {path}: {body}");
        let is_named = head.contains("access-control-allow-origin");
        assert_eq!(is_named, expected == 401, "{origin} {path}: {head}");
        let key = if path == "/v1/ws" { "server.allowed_origins" } else { "http.cors_origins" };
        assert_eq!(body.contains(key), expected == 403, "{body}");
    }
    server.shutdown().await;
}

/// A server that knows one public key, the key pair's private half for signing, and its public
/// PEM.
async fn with_public_key(
    directory: &tempfile::TempDir,
    algorithm: &str,
    kind: &'static rcgen::SignatureAlgorithm,
) -> (tidings_server::RunningServer, String, String) {
    let pair = rcgen::KeyPair::generate_for(kind).unwrap();
    let file = directory.path().join("public.pem");
    std::fs::write(&file, pair.public_key_pem()).unwrap();
    let mut config = closed();
    let section = format!("[[keys]]\nalgorithm = {algorithm:?}\npublic_key_file = {file:?}\n");
    config.auth = toml::from_str(&section).unwrap();
    (start(config).await, pair.serialize_pem(), pair.public_key_pem())
}

#[tokio::test]
async fn tokens_of_every_public_key_algorithm_are_verified() {
    type Parse = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;
    let cases: [(&str, &'static rcgen::SignatureAlgorithm, Algorithm, Parse); 3] = [
        ("ES256", &rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256, EncodingKey::from_ec_pem),
        ("EdDSA", &rcgen::PKCS_ED25519, Algorithm::EdDSA, EncodingKey::from_ed_pem),
        ("RS256", &rcgen::PKCS_RSA_SHA256, Algorithm::RS256, EncodingKey::from_rsa_pem),
    ];
    for (name, kind, algorithm, parse) in cases {
        let directory = tempfile::tempdir().unwrap();
        let (server, private, public) = with_public_key(&directory, name, kind).await;
        let key = parse(private.as_bytes()).unwrap();
        let good = encode(&Header::new(algorithm), &claims("alice"), &key).unwrap();
        let (_, connected) = connect_with(&server, &good).await;
        assert_eq!(connected["connected"]["user"], "alice", "{name}: {connected}");
        // Another key of the same kind.
        let other = rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem();
        let other = parse(other.as_bytes()).unwrap();
        let forged = encode(&Header::new(algorithm), &claims("alice"), &other).unwrap();
        // The public key taken for a shared secret: the classic confusion.
        let secret = EncodingKey::from_secret(public.as_bytes());
        let confused = encode(&Header::new(Algorithm::HS256), &claims("alice"), &secret).unwrap();
        for (what, token) in [("forged", forged), ("confused", confused)] {
            let (_, reply) = connect_with(&server, &token).await;
            assert_eq!(reply["error"]["code"], "unauthenticated", "{name}, {what}: {reply}");
        }
        server.shutdown().await;
    }
}

#[tokio::test]
async fn an_operator_sends_a_user_away() {
    let server = start(closed()).await;
    let (mut alice, _) = connect_with(&server, &token(claims("alice"))).await;
    let (mut bob, _) = connect_with(&server, &token(claims("bob"))).await;
    let path = "/v1/users/alice/disconnect";
    let (status, _, _) = http(server.public_addr(), "POST", path, &[], "").await;
    assert_eq!(status, 404, "not for the public");
    let page = [("origin", "https://evil.example")];
    let (status, _, _) = http(server.operator_addr(), "POST", path, &page, "").await;
    assert_eq!(status, 403, "not for pages");
    alice.assert_quiet().await;
    let (status, _, _) = http(server.operator_addr(), "POST", path, &[], "").await;
    assert_eq!(status, 202);
    assert_eq!(alice.frame().await["goaway"]["reason"], "forbidden");
    assert_eq!(alice.close_code().await, 4002);
    bob.assert_quiet().await;
    server.shutdown().await;
}
