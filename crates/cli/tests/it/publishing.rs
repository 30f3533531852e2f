//! `tidings pub` and `tidings history`.

use std::io::Write;
use std::process::Stdio;

use crate::program::{Process, Server, fail, finish, free_port, succeed, text, tidings};

#[test]
fn lines_are_text_and_json_on_demand() {
    let server = Server::dev();
    let file = server.path("lines");
    std::fs::write(&file, "plain \"quoted\"\n\n{\"a\": 1}\nno utf-8: \u{e9}\r\nlast").unwrap();
    let path = file.display().to_string();
    server.client(&["pub", "text", "--file", &path]);
    let raw = server.client(&["sub", "text", "--from", "first", "--count", "5", "--raw"]);
    assert_eq!(raw, std::fs::read_to_string(&file).unwrap() + "\n");
    let json = server.client(&["history", "text", "--json"]);
    let data: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["data"].clone())
        .collect();
    assert_eq!(data[1], "");
    assert_eq!(data[2], "{\"a\": 1}");

    std::fs::write(&file, "{\"a\": 1}\n[2]\nnot json\n4\n").unwrap();
    let stderr = server.client_fails(1, &["pub", "json", "--json", "--file", &path]);
    assert!(stderr.contains("line 3"), "{stderr}");
    assert!(stderr.contains("published 2 messages to json in "), "{stderr}");
    let raw = server.client(&["sub", "json", "--from", "first", "--count", "2", "--raw"]);
    assert_eq!(raw.replace(' ', ""), "{\"a\":1}\n[2]\n");
}

#[test]
fn bytes_that_are_no_text_come_out_as_they_went_in() {
    let server = Server::dev();
    let file = server.path("lines");
    std::fs::write(&file, b"\xff\xfe\x00\x01\n").unwrap();
    server.client(&["pub", "bytes", "--file", &file.display().to_string()]);
    let sub = ["sub", "bytes", "--from", "first", "--count", "1", "--raw", "--url"];
    let output = finish(tidings().args(sub).arg(server.url()));
    assert_eq!(output.stdout, b"\xff\xfe\x00\x01\n");
}

#[test]
fn headers_key_and_ttl_travel() {
    let server = Server::dev();
    let publish = ["pub", "a", "[1]", "--key", "k1", "--header", "trace=t1", "--ttl", "1h"];
    server.client(&publish);
    let again = server.client_stderr(&publish);
    assert!(again.contains("1 of them recognised as repeats"), "{again}");
    let lines = server.client(&["history", "a", "--json"]);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let message: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(message["headers"]["trace"], "t1");
    assert_eq!(message["data"], serde_json::json!([1]));
    assert_eq!(message["offset"], 1);
}

#[test]
fn what_was_published_has_an_id_to_follow() {
    let server = Server::dev();
    let id = server.client(&["pub", "room/1", "hello"]);
    let story = succeed(&["trace", id.trim_end(), "--operator", &server.operator_url()]);
    assert!(story.contains("published to room/1 #1"), "{story}");
    let objects = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let lines = server.client(&[&["pub", "room/1"], arguments].concat());
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for expected in [false, true] {
        let told = &objects(&["[1]", "--json", "--key", "k"])[0];
        assert_eq!((&told["topic"], &told["offset"]), (&"room/1".into(), &2.into()), "{told}");
        assert_eq!(told["duplicate"], expected, "{told}");
    }
    let waiting = &objects(&["[1]", "--json", "--delay", "1h"])[0];
    assert!(waiting["deliver_at"].is_u64() && waiting.get("offset").is_none(), "{waiting}");

    let file = server.path("lines");
    std::fs::write(&file, "[3]\n[4]\n[5]\n".repeat(2000)).unwrap();
    let file = file.display().to_string();
    assert_eq!(server.client(&["pub", "many", "--file", &file]), "");
    let told = server.client(&["pub", "many", "--file", &file, "--ids"]);
    let after = server.client(&["history", "many", "--limit", "0", "--json"]);
    let kept = after.lines().skip(6000).map(|line| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
    });
    assert!(told.lines().eq(kept), "the ids of the lines, in their order");
    assert_eq!(objects(&["--json", "--file", &file]).len(), 6000);
}

#[test]
fn a_reader_of_ids_that_goes_away_does_not_end_publishing() {
    let server = Server::dev();
    let file = server.path("lines");
    std::fs::write(&file, "x\n".repeat(20_000)).unwrap();
    let file = file.display().to_string();
    let mut publisher = server.spawn("pub", &["pub", "a", "--file", &file, "--ids"]);
    drop(publisher.stdout());
    assert!(publisher.wait().success(), "{}", publisher.stderr());
    assert!(publisher.stderr().contains("published 20000 messages"), "{}", publisher.stderr());
}

#[test]
fn a_message_for_later_comes_when_its_time_has_come_also_after_a_kill() {
    let mut server = Server::dev();
    let told = server.client_stderr(&["pub", "a", "tea", "--delay", "3s", "--order-key", "k9"]);
    assert!(told.starts_with("scheduled 1 message to a in "), "{told}");
    let id = told.split_once(", id ").and_then(|(_, rest)| rest.split_once(',')).unwrap().0;
    let past = server.client_stderr(&["pub", "a", "now", "--deliver-at", "1970-01-01T00:00:01Z"]);
    assert!(past.starts_with("published 1 message to a in "), "{past}");
    server.kill();
    server.start();
    let lines = server.client(&["sub", "a", "--from", "first", "--count", "2", "--json"]);
    let messages: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let data: Vec<_> = messages.iter().map(|message| message["data"].as_str().unwrap()).collect();
    assert_eq!(data, ["now", "tea"]);
    assert_eq!((&messages[1]["id"], &messages[1]["order_key"]), (&id.into(), &"k9".into()));
    assert_eq!(messages[0].get("order_key"), None);
}

#[test]
fn history_pages_through_everything() {
    let server = Server::dev();
    let file = server.path("lines");
    let lines: String = (1..=1200).map(|n| format!("line {n}\n")).collect();
    std::fs::write(&file, &lines).unwrap();
    server.client(&["pub", "long", "--file", &file.display().to_string()]);
    let all = server.client(&["history", "long", "--json", "--limit", "0"]);
    assert_eq!(all.lines().count(), 1200);
    let some = server.client(&["history", "long", "--json", "--limit", "700"]);
    assert_eq!(some.lines().count(), 700);
    let last: serde_json::Value = serde_json::from_str(some.lines().last().unwrap()).unwrap();
    let place = format!("{}:{}", last["epoch"].as_str().unwrap(), last["offset"]);
    let rest = server.client(&["history", "long", "--json", "--limit", "0", "--after", &place]);
    assert_eq!(format!("{some}{rest}"), all);
    let recent = server.client(&["history", "long", "--json", "--limit", "0", "--since", "1h"]);
    assert_eq!(recent, all);
    let human = server.client(&["history", "long", "--limit", "1"]);
    assert!(human.lines().next().is_some_and(|line| line.starts_with("long #1  ")), "{human}");
}

#[test]
fn a_publish_waits_for_a_server_that_comes_back() {
    let mut server = Server::dev();
    let mut command = tidings();
    command.args(["pub", "a", "-", "--url", &server.url()]).stdin(Stdio::piped());
    let mut publisher = Process::start(command, server.directory.path(), "pub");
    let mut stdin = publisher.stdin();
    writeln!(stdin, "before").unwrap();
    crate::program::wait_for("the first message", || {
        let lines = server.client(&["history", "a", "--json"]);
        (lines.lines().count() == 1).then_some(())
    });
    server.kill();
    writeln!(stdin, "meanwhile").unwrap();
    crate::program::wait_for("the publisher to notice", || {
        publisher.stderr().contains("coming back").then_some(())
    });
    server.start();
    writeln!(stdin, "after").unwrap();
    drop(stdin);
    assert!(publisher.wait().success(), "{}", publisher.stderr());
    assert!(publisher.stderr().contains("published 3 messages to a in "), "{}", publisher.stderr());
    let raw = server.client(&["sub", "a", "--from", "first", "--count", "3", "--raw"]);
    assert_eq!(raw, "before\nmeanwhile\nafter\n");
}

#[test]
fn an_interrupt_tells_what_was_acknowledged() {
    let server = Server::dev();
    let mut command = tidings();
    command.args(["pub", "a", "-", "--url", &server.url()]).stdin(Stdio::piped());
    let mut publisher = Process::start(command, server.directory.path(), "pub");
    let mut stdin = publisher.stdin();
    writeln!(stdin, "one\ntwo").unwrap();
    crate::program::wait_for("both messages", || {
        let lines = server.client(&["history", "a", "--json"]);
        (lines.lines().count() == 2).then_some(())
    });
    let stderr = server.path("pub.stderr");
    assert_eq!(publisher.stop().code(), Some(1));
    let stderr = std::fs::read_to_string(stderr).unwrap();
    assert!(stderr.contains("published 2 messages to a in "), "{stderr}");
    assert!(stderr.contains("interrupted after line 2"), "{stderr}");
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let url = format!("ws://127.0.0.1:{}/v1/ws", free_port());
    let stderr = fail(1, &["pub", "a", "x", "--url", &url, "--connect-timeout", "1s"]);
    assert!(stderr.contains("is the server running there?"), "{stderr}");
    assert!(stderr.contains("gave up after 1s"), "{stderr}");
}

#[test]
fn a_message_that_is_too_large_is_refused_with_its_line() {
    let server = Server::dev();
    let file = server.path("lines");
    std::fs::write(&file, format!("small\n{}\nafter\n", "x".repeat(70_000))).unwrap();
    let stderr = server.client_fails(1, &["pub", "a", "--file", &file.display().to_string()]);
    assert!(stderr.contains("line 2: "), "{stderr}");
    assert!(stderr.contains("published 1 message to a"), "{stderr}");
    assert_eq!(server.client(&["history", "a", "--json"]).lines().count(), 1);
}

impl Server {
    /// Runs a client command to its end, which must be a success; gives standard error.
    fn client_stderr(&self, arguments: &[&str]) -> String {
        let output = finish(tidings().args(arguments).args(["--url", &self.url()]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    }
}
