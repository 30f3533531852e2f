//! `tidings users` and `tidings groups`: who is there, and sending somebody away.

use serde_json::Value;

use crate::program::{Server, fail, finish, succeed, text, tidings, wait_for};

/// What a command for the operator's port prints, with its address as the server takes it.
fn ask(server: &Server, arguments: &[&str]) -> String {
    let operator = format!("127.0.0.1:{}", server.operator_port);
    succeed(&[arguments, &["--operator", &operator]].concat())
}

fn json(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let lines = ask(server, &[arguments, &["--json"]].concat());
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_user_is_shown_disconnected_and_revoked() {
    let server = Server::dev();
    let data = server.path("data").display().to_string();
    let for_alice = ["token", "--user", "alice", "--cap", "#:pub,sub", "--data", &data];
    let token = succeed(&for_alice).trim_end().to_owned();
    assert_eq!(ask(&server, &["users", "alice"]), "alice is offline, and has no session here\n");

    let subscribe = ["sub", "jobs/1", "--durable", "phone", "--token", &token];
    let mut online = server.spawn("sub", &subscribe);
    wait_for("the subscription", || {
        let user = json(&server, &["users", "alice"]).remove(0);
        (user["connections"][0]["subscriptions"] == 1).then_some(())
    });
    let shown = ask(&server, &["users", "alice"]);
    assert!(shown.starts_with("alice is online\n\nCONNECTION  "), "{shown}");
    ask(&server, &["users", "alice", "--disconnect"]);
    assert_eq!(online.wait().code(), Some(1), "{}", online.stderr());
    server.client(&["pub", "jobs/1", "hello"]);
    let shown = wait_for("the cursor", || {
        let shown = ask(&server, &["users", "alice"]);
        shown.contains("\nphone ").then_some(shown)
    });
    assert!(shown.starts_with("alice is offline, last seen 2"), "{shown}");
    assert!(shown.contains("\nphone    jobs/1  1 "), "one message waits: {shown}");
    // The token is still good.
    let count = ["sub", "jobs/1", "--durable", "phone", "--count", "1", "--token", &token];
    server.client(&count);

    let kept = ask(&server, &["users", "alice", "--revoke", "--issued-by", "1h"]);
    assert!(kept.starts_with("tokens issued to alice by 2"), "{kept}");
    server.client(&["pub", "jobs/1", "hello", "--token", &token]);
    assert_eq!(json(&server, &["users", "alice", "--revoke"])[0]["user"], "alice");
    let refused = server.client_fails(1, &["pub", "jobs/1", "x", "--token", &token]);
    assert!(refused.contains("revoked"), "{refused}");
    fail(2, &["users", "alice", "--issued-by", "1h"]);
    fail(2, &["users", "alice", "--disconnect", "--revoke"]);
}

#[test]
fn a_name_is_no_path() {
    let server = Server::dev();
    let shown = ask(&server, &["users", "ev?e%2F"]);
    assert!(shown.starts_with("ev?e%2F is offline"), "{shown}");
}

#[test]
fn groups_are_listed_and_shown() {
    let server = Server::dev();
    let mut command = tidings();
    let operator = server.operator_url();
    let output = finish(command.args(["groups", "--operator", &operator]));
    assert_eq!((text(&output.stdout), output.status.code()), (String::new(), Some(0)));
    assert!(text(&output.stderr).contains("there are no groups"));

    let _member = server.spawn("sub", &["sub", "jobs/#", "--group", "workers", "--no-ack"]);
    wait_for("the group", || json(&server, &["groups"]).pop());
    server.client(&["pub", "jobs/1", "hello"]);
    wait_for("the delivery", || {
        let group = json(&server, &["groups"]).pop()?;
        (group["unacked"] == 1).then_some(())
    });
    let table = ask(&server, &["groups"]);
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with("workers  jobs/#  1    1        1        "), "{table}");
    let shown = ask(&server, &["groups", "workers", "--filter", "jobs/#"]);
    assert!(shown.starts_with("group workers of jobs/#: lag 1, 1 unacked\n"), "{shown}");
    assert!(shown.contains("  dev (") && shown.contains("  jobs/1  "), "{shown}");
    assert!(fail(1, &["groups", "nobody", "--operator", &operator]).contains("not_found"));
}

#[test]
fn a_configured_key_is_shown_by_flag_or_variable() {
    let key = "the-operators-key-of-thirty-two-bytes!";
    let mut server = Server::serve(&format!(
        "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
         [auth]\noperator_key = {key:?}\n"
    ));
    server.start();
    let operator = format!("127.0.0.1:{}", server.operator_port);
    let ask = ["groups", "--operator", &operator];
    let refused = fail(1, &ask);
    assert!(
        refused.contains("asks for its key") && refused.contains("--operator-key"),
        "{refused}"
    );
    fail(1, &[&ask[..], &["--operator-key", "wrong"]].concat());
    succeed(&[&ask[..], &["--operator-key", key]].concat());
    let with = |key: &str| finish(tidings().args(ask).env("TIDINGS_OPERATOR_KEY", key));
    assert!(with(key).status.success());
    // An empty variable is none.
    assert!(text(&with("").stderr).contains("asks for its key"));
    fail(2, &[&ask[..], &["--operator-key", "a\nb"]].concat());
}
