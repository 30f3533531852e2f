//! `tidings serve` from the outside: TLS, signals, HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::program::{Server, fail, succeed, wait_for};

const KEY: &str = r#"
[[auth.keys]]
algorithm = "HS256"
secret = "0123456789abcdef0123456789abcdef"
"#;

#[test]
fn messages_travel_over_tls() {
    let tls =
        "[tls]\ncertificate_file = \"DIRECTORY/cert.pem\"\nkey_file = \"DIRECTORY/key.pem\"\n";
    let mut server = Server::serve(&format!("{tls}{KEY}"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(server.path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(server.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    server.start();
    let configuration = server.path("tidings.toml").display().to_string();
    let token = succeed(&["token", "-c", &configuration, "--user", "bob", "--cap", "#:pub,sub"]);
    let certificate = server.path("cert.pem").display().to_string();
    let url = format!("wss://localhost:{}/v1/ws", server.port);
    let known = ["--token", token.trim_end(), "--url", &url, "--ca-file", &certificate];
    succeed(&[&["pub", "a", "over TLS"], &known[..]].concat());
    let sub = ["sub", "a", "--from", "first", "--count", "1", "--raw"];
    assert_eq!(succeed(&[&sub, &known[..]].concat()), "over TLS\n");
    // Nobody is spoken to whose certificate is not vouched for, nor in plain text.
    let unknown = ["--token", token.trim_end(), "--url", &url];
    let stderr = fail(1, &[&["pub", "a", "x"], &unknown[..]].concat());
    assert!(stderr.contains("--ca-file"), "{stderr}");
    assert!(!stderr.contains("gave up"), "at once: {stderr}");
    let stderr = server.client_fails(1, &["pub", "a", "x", "--connect-timeout", "1s"]);
    assert!(stderr.contains("use wss://"), "{stderr}");
}

#[test]
fn a_hang_up_is_told_to_have_no_effect() {
    let mut server = Server::serve(KEY);
    server.start();
    server.signal(Signal::HUP);
    wait_for("the log to tell", || server.stderr().contains("SIGHUP is ignored").then_some(()));
    assert!(server.stop().success());
}

#[test]
fn a_publish_by_http_reaches_a_subscriber() {
    let server = Server::dev();
    // What the banner of `dev` suggests with curl.
    let body = r#"{"topic":"room/42","data":{"hello":"curl"}}"#;
    let mut socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(
        socket,
        "POST /v1/publish HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let raw = server.client(&["sub", "room/42", "--from", "first", "--count", "1", "--raw"]);
    assert_eq!(raw, "{\"hello\":\"curl\"}\n");
}
