//! `tidings dev`: the first minute.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::program::{Server, fail, finish, succeed, text, tidings};

#[test]
fn the_first_minute() {
    let mut server = Server::dev();
    let banner = crate::program::wait_for("the whole banner", || {
        let banner = std::fs::read_to_string(server.path("server.stdout")).unwrap();
        banner.contains("Ctrl-C here").then_some(banner)
    });
    for part in [
        &server.url(),
        &format!("http://127.0.0.1:{}/v1/publish", server.port),
        &format!("tidings sub room/42 --durable me --url {}", server.url()),
        "open to everybody on this machine, to nobody else",
        &format!("/console/#key={}", server.operator_key()),
    ] {
        assert!(banner.contains(part), "{part}: {banner}");
    }
    // What it says of messages works when pasted.
    for command in ["trace $(tidings pub room/42 hello", "dead-letters list"] {
        let line = banner.lines().find(|line| line.contains(command)).expect(command);
        let mut shell = std::process::Command::new("sh");
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_tidings")).parent().unwrap();
        let path = std::env::join_paths([binary, "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
        let output = finish(shell.arg("-ec").arg(line).env("PATH", path));
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    }
    // Online.
    let listening = server.spawn("sub", &["sub", "room/42", "--durable", "me", "--count", "2"]);
    server.client(&["pub", "room/42", r#"{"hello":"world"}"#]);
    let lines = listening.output();
    let line = lines.lines().last().unwrap();
    assert!(line.starts_with("room/42 #2  "), "{lines}");
    assert!(line.ends_with("  {\"hello\":\"world\"}"), "{lines}");
    // Offline, and the server restarts meanwhile.
    server.client(&["pub", "room/42", "one"]);
    server.client(&["pub", "room/42", "two"]);
    assert!(server.stop().success());
    server.start();
    let lines = server.client(&["sub", "room/42", "--durable", "me", "--count", "2", "--raw"]);
    assert_eq!(lines, "one\ntwo\n");
    // What was acknowledged does not come again.
    server.client(&["pub", "room/42", "three"]);
    let lines = server.client(&["sub", "room/42", "--durable", "me", "--count", "1", "--raw"]);
    assert_eq!(lines, "three\n");
}

#[test]
fn the_secret_stays_and_signs_tokens() {
    let server = Server::dev();
    let file = server.path("data/dev-secret");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let data = server.path("data").display().to_string();
    let arguments = ["token", "--user", "alice", "--cap", "room/#:sub", "--data", &data];
    let token = succeed(&arguments);
    let token = token.trim_end();
    // With a token one is who it says, also where nobody needs one.
    let refused = server.client_fails(1, &["pub", "room/1", "x", "--token", token]);
    assert!(refused.contains("permission_denied"), "{refused}");
    server.client(&["pub", "room/1", "hello"]);
    let arguments = ["sub", "room/1", "--from", "first", "--count", "1", "--raw", "--token", token];
    assert_eq!(server.client(&arguments), "hello\n");
}

#[test]
fn a_directory_has_one_server() {
    let first = Server::dev();
    let mut second = tidings();
    second.args(["dev", "--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--data"]);
    let output = finish(second.arg(first.path("data")));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&first.path("data").display().to_string()), "{stderr}");
    // The first goes on.
    first.client(&["pub", "a", "still here"]);
}

#[test]
fn a_port_in_use_is_told_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let stderr =
        fail(1, &["dev", "--data", &data, "--listen", &address, "--operator", "127.0.0.1:0"]);
    assert!(stderr.contains(&address), "{stderr}");
    assert!(stderr.contains("--listen 127.0.0.1:8010"), "{stderr}");
}

#[test]
fn dev_stays_on_loopback() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let stderr = fail(1, &["dev", "--data", &data, "--listen", "0.0.0.0:0"]);
    assert!(stderr.contains("auth.open lets everybody in"), "{stderr}");
}

#[test]
fn the_tour_plays_to_its_end() {
    let told = succeed(&["tour", "--fast"]);
    let trace = told.find("$ tidings trace 0").expect(&told);
    assert!(told[trace..].contains("acked by dev/phone"), "{told}");
    assert!(told[trace..].contains("Nothing was lost"), "{told}");
}

#[test]
fn dev_serves_the_chat_and_says_who_somebody_is() {
    let server = Server::dev();
    let page = ask(&server, "GET / HTTP/1.0\r\n", "");
    assert!(page.starts_with("HTTP/1.0 200"), "{page}");
    assert!(
        page.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{page}"
    );
    // A token lets its user into the chat, and nowhere else.
    let answer = ask_for_token(&server, r#"{"user":"alice"}"#);
    let body = answer.split("\r\n\r\n").last().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).expect(&answer);
    let token = body["token"].as_str().unwrap();
    server.client(&["pub", "chat/room/lobby/messages", "hi", "--token", token]);
    let refused = server.client_fails(1, &["pub", "room/1", "x", "--token", token]);
    assert!(refused.contains("permission_denied"), "{refused}");
    // What is no name is refused, with the reason.
    for body in [r#"{"user":""}"#, r##"{"user":"#"}"##, "{}", "alice"] {
        let answer = ask_for_token(&server, body);
        assert!(answer.starts_with("HTTP/1.0 400"), "{answer}");
        assert!(answer.contains("bad_field"), "{answer}");
    }
}

fn ask_for_token(server: &Server, body: &str) -> String {
    ask(server, "POST /dev/token HTTP/1.0\r\ncontent-type: application/json\r\n", body)
}

/// The whole answer to a request of HTTP/1.0, which ends with its connection.
fn ask(server: &Server, head: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(socket, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}
