//! `tidings serve` and tokens: who may do what.

use crate::program::{Server, succeed};

const CONFIGURATION: &str = r##"
[auth]
issuer = "tests"
audience = "tidings"

[[auth.keys]]
kid = "k1"
algorithm = "HS256"
secret_file = "DIRECTORY/secret"

[log]
format = "json"
"##;

fn server() -> Server {
    let mut server = Server::serve(CONFIGURATION);
    std::fs::write(server.path("secret"), "canary-6789abcdef0123456789abcdef\n").unwrap();
    server.start();
    server
}

fn token(server: &Server, user: &str, caps: &[&str]) -> String {
    let configuration = server.path("tidings.toml").display().to_string();
    let mut arguments = vec!["token", "-c", &configuration, "--user", user];
    for cap in caps {
        arguments.extend(["--cap", cap]);
    }
    succeed(&arguments).trim_end().to_owned()
}

#[test]
fn a_token_decides_who_may_do_what() {
    let mut server = server();
    let stderr = server.client_fails(1, &["pub", "room/1", "x"]);
    assert!(stderr.contains("token"), "{stderr}");
    let bob = token(&server, "bob", &["room/#:pub,sub,hist", "user/+:pub"]);
    server.client(&["pub", "room/1", "hello", "--token", &bob]);
    let stderr = server.client_fails(1, &["pub", "hall/1", "x", "--token", &bob]);
    assert!(stderr.contains("permission_denied"), "{stderr}");
    let line = server.client(&["history", "room/1", "--json", "--token", &bob]);
    assert!(line.contains("\"from\":\"bob\""), "{line}");
    // A token without capabilities reads its own inbox and nothing else.
    server.client(&["pub", "user/alice", "hello alice", "--token", &bob]);
    let alice = token(&server, "alice", &[]);
    let inbox = ["sub", "user/alice", "--durable", "d", "--raw", "--count", "1", "--token"];
    assert_eq!(server.client(&[&inbox[..], &[&alice]].concat()), "hello alice\n");
    let stderr = server.client_fails(1, &["sub", "room/1", "--token", &alice]);
    assert!(stderr.contains("permission_denied"), "{stderr}");
    // Another secret signs nothing that counts.
    std::fs::write(server.path("other"), "0123456789abcdef0123456789abcdef").unwrap();
    let other = server.path("other").display().to_string();
    let forged = succeed(&[
        "token",
        "--user",
        "bob",
        "--secret-file",
        &other,
        "--cap",
        "#:pub",
        "--kid",
        "k1",
    ]);
    server.client_fails(1, &["pub", "room/1", "x", "--token", forged.trim_end()]);
    assert!(server.stop().success());
    let log = server.stderr();
    assert!(!log.contains("canary") && !log.contains(&bob), "{log}");
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}
