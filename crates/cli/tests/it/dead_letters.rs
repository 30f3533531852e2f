//! `tidings dead-letters`: what an operator does with messages that were given up.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::program::{PATIENCE, Process, Server, finish, text, tidings, wait_for};

/// Jobs are given up after one delivery that was not acked in time.
const GIVES_UP: &str = r##"
[auth]
open = true
[[topic]]
match = "jobs/#"
attempts_max = 1
ack_timeout = "200ms"
"##;

/// Has `count` messages of `jobs/1` given up by `worker`.
fn bury(server: &Server, count: usize) {
    bury_large(server, count, 0);
}

/// The same with so many bytes more in each.
fn bury_large(server: &Server, count: usize, bytes: usize) {
    let filler = "x".repeat(bytes);
    let line = |n| match bytes {
        0 => format!("{{\"n\":{n}}}"),
        _ => format!("{{\"n\":{n},\"filler\":\"{filler}\"}}"),
    };
    let lines: Vec<_> = (0..count).map(line).collect();
    let file = server.path("jobs.txt");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let file = file.display().to_string();
    server.client(&["pub", "jobs/1", "--json", "--file", &file]);
    let mut worker = tidings();
    worker.args(["sub", "jobs/1", "--durable", "worker", "--no-ack", "--window", "512"]);
    worker.args(["--url", &server.url()]).stdout(Stdio::null());
    let worker = Process::start(worker, server.directory.path(), "worker");
    wait_for("the dead letters", || (list(server, &[]).len() == count).then_some(()));
    assert!(worker.stop().success());
}

/// A command for the operator's port, run to its end.
fn operate(server: &Server, arguments: &[&str], editor: Option<&str>) -> Output {
    let mut command = tidings();
    command.arg("dead-letters").args(arguments).env("TIDINGS_OPERATOR", server.operator_url());
    command.env_remove("VISUAL").env("TMPDIR", server.directory.path());
    if let Some(editor) = editor {
        command.env("EDITOR", editor);
    }
    finish(&mut command)
}

fn succeed(server: &Server, arguments: &[&str]) -> String {
    let output = operate(server, arguments, None);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn list(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let all = [&["list", "--limit", "0", "--json"], arguments].concat();
    succeed(server, &all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everything in the log of a topic.
fn history(server: &Server, topic: &str) -> Vec<Value> {
    let lines = server.client(&["history", topic, "--limit", "0", "--json"]);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn dead_letters_are_listed_shown_edited_replayed_and_purged() {
    let mut server = Server::serve(GIVES_UP);
    server.start();
    bury(&server, 5);
    let table = succeed(&server, &["list", "--limit", "2"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("OFFSET  WHEN"), "{table}");
    assert!(lines[1].contains("jobs/1 #1") && lines[1].contains("dev/worker"), "{table}");
    assert!(lines[1].ends_with("1 attempt  timed out"), "{table}");
    let logged = server.stderr();
    assert!(logged.contains("reason=\"timed_out\" subscription=dev/worker"), "{logged}");
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(list(&server, &["--topic", "jobs/+", "--reason", "timed_out"]).len(), 5);
    assert!(list(&server, &["--user", "nobody"]).is_empty());
    let shown = succeed(&server, &["show", "1"]);
    assert!(shown.contains("#1 to ") && shown.contains("timed out after 2"), "{shown}");
    assert!(shown.ends_with("{\n  \"n\": 0\n}\n"), "{shown}");

    // An editor that changes what it is given, one that does not, and one that breaks it.
    let editor = |name: &str, does: &str| {
        let file = server.path(name);
        std::fs::write(&file, format!("#!/bin/sh\n{does}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file.display().to_string()
    };
    let changes = editor("changes", "sed -i 's/0/\"fixed\"/' \"$1\"");
    let output = operate(&server, &["replay", "1", "--edit"], Some(&changes));
    assert!(text(&output.stdout).ends_with("as jobs/1 #6\n"), "{output:?}");
    let replayed = history(&server, "jobs/1").pop().unwrap();
    assert_eq!(replayed["data"]["n"], "fixed");
    assert_eq!(replayed["headers"]["tidings-durable"], "worker");
    let output = operate(&server, &["replay", "2", "--edit"], Some("true"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nothing was changed"), "{output:?}");
    let breaks = editor("breaks", "echo '{' > \"$1\"");
    let output = operate(&server, &["replay", "2", "--edit"], Some(&breaks));
    let told = text(&output.stderr);
    let kept = told.split("it is in ").nth(1).unwrap().split(':').next().unwrap();
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "{\n", "no work is lost");
    assert_eq!(list(&server, &[]).len(), 4);

    succeed(&server, &["replay", "2", "--data", "7", "--into", "repaired"]);
    assert_eq!(history(&server, "repaired")[0]["data"], 7);
    // Removing many wants to be meant.
    let output = operate(&server, &["purge", "--all"], None);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("--yes"), "{output:?}");
    assert_eq!(succeed(&server, &["purge", "3"]), "purged 1 dead letter\n");
    let all = ["purge", "--all", "--topic", "jobs/#", "--yes", "--json"];
    assert_eq!(succeed(&server, &all), "{\"failed\":0,\"purged\":2}\n");
    assert!(list(&server, &[]).is_empty());
    let output = operate(&server, &["show", "3"], None);
    assert!(text(&output.stderr).contains("(not_found)"), "{output:?}");
    assert!(server.stop().success());
    let output = operate(&server, &["list"], None);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("operator port?"), "{output:?}");
}

#[test]
fn a_trace_tells_what_became_of_a_message() {
    let mut server = Server::serve(GIVES_UP);
    server.start();
    bury(&server, 1);
    let id = history(&server, "jobs/1")[0]["id"].as_str().unwrap().to_owned();
    let trace = |arguments: &[&str]| {
        let mut command = tidings();
        command.args(["trace", &id, "--operator", &server.operator_url()]).args(arguments);
        let output = finish(&mut command);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let told = trace(&[]);
    let lines: Vec<_> = told.lines().map(str::trim).collect();
    assert_eq!(lines[0], id);
    assert!(lines[2].starts_with("+0 ms  published to jobs/1 #1, by dev"), "{told}");
    for part in ["sent to dev/worker on", "timed out: dev/worker", "dead letter 1 for dev/worker"] {
        assert_eq!(told.matches(part).count(), 1, "{part} in {told}");
    }
    assert!(told.contains("dev/worker: settled"), "{told}");
    let story: Value = serde_json::from_str(&trace(&["--json"])).unwrap();
    assert_eq!(story["dead_letters"][0]["gave_up"], "timed_out");
    // After a restart the log still tells, and the record says that it begins later.
    server.kill();
    server.start();
    let output = finish(tidings().args(["trace", &id, "--operator", &server.operator_url()]));
    let told = text(&output.stdout);
    assert!(told.contains("deliveries are recorded since"), "{told}");
    assert!(told.contains("dead letter 1 for dev/worker") && !told.contains("sent to"), "{told}");
}

/// Messages of 200 KB: of those that are replayed together, some are on disk and answered before the
/// others, and all before the first dead letter is removed. Five go at once: a kill that comes late
/// finds most of them not yet begun.
const LARGE: &str = r##"
[auth]
open = true
[limits]
message_bytes = "256KiB"
replays_per_second = 50
[[topic]]
match = "jobs/#"
attempts_max = 1
ack_timeout = "200ms"
"##;

/// Asks for what follows `position`, and returns when the first byte of the answer is there.
fn wait_for_the_next(server: &Server, position: &str) {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = format!("/v1/history?topic=jobs/1&after={position}&limit=1&wait_ms=60000");
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    socket.read_exact(&mut [0]).unwrap();
}

/// The promise of a replay: durable first, then removed; a second one is the same message. The server
/// is killed as soon as a replayed message is seen, until it happened at least twice that messages
/// were published and their dead letters not yet removed.
#[test]
fn a_kill_between_publish_and_removal_of_a_replay_loses_nothing_and_repeats_nothing() {
    const COUNT: usize = 60;
    let mut server = Server::serve(LARGE);
    server.start();
    bury_large(&server, COUNT, 200_000);
    let ids = |messages: &[Value]| -> BTreeSet<String> {
        messages.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    let before = ids(&history(&server, "jobs/1"));
    assert_eq!(before.len(), COUNT);
    let mut between = Vec::new();
    while between.iter().filter(|count| **count > 0).count() < 2 {
        let last = history(&server, "jobs/1").pop().unwrap();
        let position = format!("{}:{}", last["epoch"].as_str().unwrap(), last["offset"]);
        let mut command = tidings();
        command.args(["dead-letters", "replay", "--all", "--operator", &server.operator_url()]);
        command.stdout(Stdio::null());
        let replay = Process::start(command, server.directory.path(), "replay");
        wait_for_the_next(&server, &position);
        server.kill();
        drop(replay);
        server.start();
        let kept: BTreeSet<String> = list(&server, &[])
            .iter()
            .map(|letter| letter["message"]["id"].as_str().unwrap().to_owned())
            .collect();
        let replayed = ids(&history(&server, "jobs/1").split_off(COUNT));
        assert!(kept.union(&replayed).eq(&before), "each is in one place at least");
        between.push(kept.intersection(&replayed).count());
        assert!(!kept.is_empty(), "never killed between the two: {between:?}");
    }
    println!("published and not yet removed, by kill: {between:?}");
    succeed(&server, &["replay", "--all"]);
    assert!(list(&server, &[]).is_empty());
    let replays = history(&server, "jobs/1").split_off(COUNT);
    assert!(replays.iter().all(|message| message["headers"]["tidings-replay"].is_string()));
    assert_eq!((replays.len(), ids(&replays)), (COUNT, before), "each once");
}
