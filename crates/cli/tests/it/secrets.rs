//! Nothing secret reaches the log, however much is logged.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::program::{Server, succeed};

const SECRET: &str = "canary-secret-of-thirty-two-bytes-at-least";
const API_KEY: &str = "canary-api-key-of-thirty-two-bytes-at-least";
const OPERATOR_KEY: &str = "canary-operator-key-of-thirty-two-bytes";
const PAYLOAD: &str = "canary-payload";

#[test]
fn tokens_keys_and_payloads_are_not_logged_at_any_level() {
    let configuration = format!(
        "[log]\nlevel = \"trace\"\n[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = {SECRET:?}\n\
         [[auth.api_keys]]\nname = \"service\"\nkey = {API_KEY:?}\n\
         caps = [{{ match = \"#\", ops = [\"pub\", \"hist\"] }}]\n\
         [auth]\noperator_key = {OPERATOR_KEY:?}\n"
    );
    let mut server = Server::serve(&configuration);
    server.start();
    let secret = server.path("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let secret = secret.display().to_string();
    let caps = ["--cap", "#:pub,sub,hist"];
    let token =
        succeed(&[&["token", "--user", "eve", "--secret-file", &secret], &caps[..]].concat());
    let token = token.trim();
    server.client(&["pub", "t", PAYLOAD, "--token", token]);
    server.client(&[
        "sub",
        "t",
        "--durable",
        "d",
        "--from",
        "first",
        "--count",
        "1",
        "--token",
        token,
    ]);
    let forged = format!("{token}x");
    server.client_fails(1, &["pub", "t", PAYLOAD, "--token", &forged]);
    let body = format!("{{\"topic\":\"t\",\"data\":\"{PAYLOAD}\"}}");
    let request = format!(
        "POST /v1/publish?token={token} HTTP/1.1\r\nhost: x\r\nx-api-key: {API_KEY}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let operator = format!("127.0.0.1:{}", server.operator_port);
    let asking = ["users", "eve", "--disconnect", "--operator", &operator, "--operator-key"];
    succeed(&[&asking[..], &[OPERATOR_KEY]].concat());
    assert!(server.stop().success());
    let log = server.stderr();
    assert!(log.contains("request"), "the log says something: {log}");
    let signature = token.rsplit('.').next().unwrap();
    for canary in [SECRET, API_KEY, OPERATOR_KEY, PAYLOAD, token, signature] {
        assert!(!log.contains(canary), "{canary} is in the log:\n{log}");
    }
}
