//! `tidings sub`: formats, signals, pipes.

use std::io::{BufRead, BufReader};

use crate::program::Server;

#[test]
fn json_lines_have_what_scripts_need() {
    let server = Server::dev();
    server.client(&["pub", "room/42", r#"{"n":1}"#]);
    let line = server.client(&["sub", "room/42", "--from", "first", "--count", "1", "--json"]);
    let message: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(message["topic"], "room/42");
    assert_eq!(message["offset"], 1);
    assert_eq!(message["attempt"], 1);
    assert_eq!(message["data"]["n"], 1);
    assert_eq!(message["id"].as_str().unwrap().len(), 26);
    assert!(message["at"].as_u64().unwrap() > 1_600_000_000_000, "{line}");
    // Its position is one to go on from.
    server.client(&["pub", "room/42", "next"]);
    let place = format!("{}:{}", message["epoch"].as_str().unwrap(), message["offset"]);
    let next = server.client(&["sub", "room/42", "--from", &place, "--count", "1", "--raw"]);
    assert_eq!(next, "next\n");
}

#[test]
fn a_filter_gets_all_its_topics() {
    let server = Server::dev();
    let mut listening = server.spawn("sub", &["sub", "room/#", "--json"]);
    let mut lines = BufReader::new(listening.stdout()).lines();
    // Live means from now on, so publish until the subscription stands.
    let mut found = Vec::new();
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            let _ = send.send(line);
        }
    });
    crate::program::wait_for("messages of both topics", || {
        server.client(&["pub", "room/1", "one"]);
        server.client(&["pub", "room/1/typing", "two"]);
        server.client(&["pub", "hall/1", "not this"]);
        found.extend(receive.try_iter());
        let has = |topic: &str| found.iter().any(|line: &String| line.contains(topic));
        (has("\"room/1\"") && has("\"room/1/typing\"")).then_some(())
    });
    assert!(!found.iter().any(|line| line.contains("hall/1")), "{found:?}");
    assert!(listening.stop().success());
}

#[test]
fn a_request_to_stop_is_a_success_and_loses_nothing() {
    let server = Server::dev();
    let mut listening = server.spawn("sub", &["sub", "a", "--durable", "d", "--raw"]);
    let mut lines = BufReader::new(listening.stdout()).lines();
    server.client(&["pub", "a", "one"]);
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    assert!(listening.stop().success());
    assert!(lines.next().is_none());
    server.client(&["pub", "a", "two"]);
    let raw = server.client(&["sub", "a", "--durable", "d", "--raw", "--count", "1"]);
    assert_eq!(raw, "two\n");
}

#[test]
fn a_reader_that_goes_away_costs_nothing() {
    let server = Server::dev();
    let mut listening = server.spawn("sub", &["sub", "a", "--durable", "d", "--raw"]);
    let mut lines = BufReader::new(listening.stdout());
    server.client(&["pub", "a", "one"]);
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(lines);
    server.client(&["pub", "a", "two"]);
    assert!(listening.wait().success(), "{}", listening.stderr());
    assert_eq!(listening.stderr(), "");
    // What could not be written was not acknowledged.
    let raw = server.client(&["sub", "a", "--durable", "d", "--raw", "--count", "1"]);
    assert_eq!(raw, "two\n");
}

#[test]
fn what_is_not_acknowledged_comes_again() {
    let server = Server::dev();
    server.client(&["pub", "a", "one"]);
    let peek = ["sub", "a", "--durable", "d", "--raw", "--count", "1", "--no-ack"];
    assert_eq!(server.client(&peek), "one\n");
    let take = ["sub", "a", "--durable", "d", "--json", "--count", "1"];
    let message: serde_json::Value = serde_json::from_str(&server.client(&take)).unwrap();
    assert_eq!(message["data"], "one");
    assert!(message["attempt"].as_u64().unwrap() >= 1, "{message}");
}

#[test]
fn a_second_subscriber_of_the_same_name_takes_over() {
    let server = Server::dev();
    let mut first = server.spawn("first", &["sub", "a", "--durable", "d", "--raw"]);
    let mut lines = BufReader::new(first.stdout()).lines();
    server.client(&["pub", "a", "one"]);
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    let second = server.spawn("second", &["sub", "a", "--durable", "d", "--raw", "--count", "1"]);
    assert_eq!(first.wait().code(), Some(1));
    assert!(first.stderr().contains("took the durable subscription over"), "{}", first.stderr());
    server.client(&["pub", "a", "two"]);
    assert_eq!(second.output(), "two\n");
}

/// More often than a message is tried: nothing may run out of attempts by waiting its turn.
#[test]
fn taking_one_at_a_time_gets_every_message() {
    let server = Server::dev();
    let file = server.path("lines");
    let lines: Vec<String> = (1..=12).map(|n| n.to_string()).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    server.client(&["pub", "a", "--file", &file.display().to_string()]);
    for line in lines {
        let raw = server.client(&["sub", "a", "--durable", "d", "--raw", "--count", "1"]);
        assert_eq!(raw.trim_end(), line);
    }
}
