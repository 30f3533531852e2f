//! `tidings scheduled`: what waits for its time, and taking it off.

use serde_json::Value;

use crate::program::{Server, finish, text, tidings};

/// Standard output, standard error and code of a command for the operator's port.
fn operate(server: &Server, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = tidings();
    command.arg("scheduled").args(arguments).env("TIDINGS_OPERATOR", server.operator_url());
    let output = finish(&mut command);
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn what_waits_is_listed_and_cancelled() {
    let server = Server::dev();
    let (out, told, code) = operate(&server, &["list"]);
    assert_eq!((out.as_str(), code), ("", Some(0)));
    assert!(told.contains("no such message"), "{told}");
    for (topic, delay) in [("room/2", "2h"), ("room/1", "1h"), ("other", "3h")] {
        server.client(&["pub", topic, "tea?", "--delay", delay]);
    }
    let (out, _, _) = operate(&server, &["list", "--json", "--limit", "0"]);
    let waiting: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let topics: Vec<_> = waiting.iter().map(|one| one["topic"].as_str().unwrap()).collect();
    assert_eq!(topics, ["room/1", "room/2", "other"], "the next one first");
    let (out, told, _) = operate(&server, &["list", "--topic", "room/#", "--limit", "1"]);
    let id = waiting[0]["id"].as_str().unwrap();
    assert!(out.starts_with(&format!("{id}  due 2")), "{out}");
    assert!(out.ends_with("  to room/1, by dev\n") && told.contains("--limit 0"), "{out} {told}");
    assert!(operate(&server, &["list", "--user", "nobody"]).0.is_empty());

    let (out, _, code) = operate(&server, &["cancel", id]);
    assert_eq!((out.starts_with(&format!("cancelled {id}  due ")), code), (true, Some(0)), "{out}");
    let (_, told, code) = operate(&server, &["cancel", id]);
    assert_eq!((told.contains("not_found"), code), (true, Some(1)), "{told}");
    assert_eq!(operate(&server, &["list"]).0.lines().count(), 2);
    assert_eq!(server.metric("tidings_scheduled_cancelled_total"), 1.0);
}
