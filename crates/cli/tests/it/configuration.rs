//! `tidings config` and what `serve` refuses.

use crate::program::{fail, finish, succeed, tidings};

const KEY: &str =
    "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

#[test]
fn the_default_configuration_and_a_key_are_sound() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidings.toml");
    let default = succeed(&["config", "default"]);
    std::fs::write(&file, &default).unwrap();
    let path = file.display().to_string();
    let stderr = fail(1, &["config", "check", &path]);
    assert!(stderr.contains("nobody could connect: add an [[auth.keys]]"), "{stderr}");
    assert!(stderr.contains(&path), "{stderr}");
    std::fs::write(&file, default + KEY).unwrap();
    assert_eq!(succeed(&["config", "check", &path]), format!("{path} is sound\n"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidings.toml");
    std::fs::write(&file, "[server]\nlisen = \"127.0.0.1:1\"\nshards = \"${SHARDS}\"\n").unwrap();
    let path = file.display().to_string();
    let stderr = fail(1, &["serve", "-c", &path]);
    for part in [
        &format!("{path}:2: server.lisen: unknown key; did you mean `listen`?"),
        &format!("{path}:3: server.shards"),
        "the environment variable SHARDS is not set",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn a_variable_of_the_environment_is_named_when_it_is_wrong() {
    let output = finish(tidings().arg("serve").env("TIDINGS_SERVER__SHARDS", "many"));
    let stderr = crate::program::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("TIDINGS_SERVER__SHARDS: server.shards = \"many\""), "{stderr}");
}

#[test]
fn every_key_has_a_variable_and_a_place_in_the_documentation() {
    let variables = succeed(&["config", "env"]);
    let page = succeed(&["config", "doc"]);
    assert!(variables.lines().count() > 30, "{variables}");
    for line in variables.lines() {
        let name = line.split_whitespace().next().unwrap();
        let key = name.strip_prefix("TIDINGS_").unwrap().to_lowercase();
        let last = key.rsplit("__").next().unwrap();
        assert!(page.contains(last), "{name}");
    }
}

#[test]
fn usage_errors_are_told_apart() {
    fail(2, &["publish"]);
    fail(2, &["pub", "room/#", "x"]);
    let stderr = fail(2, &["sub", "room/#", "--durable", "me"]);
    assert!(stderr.contains("--durable is for one topic"), "{stderr}");
    let stderr = fail(2, &["sub", "room/#", "--output", "file"]);
    assert!(stderr.contains("--output is for one topic"), "{stderr}");
    let group = ["sub", "room/#", "--group", "g"];
    for from in ["last", "Zr3:18"] {
        let stderr = fail(2, &[&group[..], &["--from", from]].concat());
        assert!(stderr.contains("start with first or new"), "{stderr}");
    }
    for more in [["--durable", "me"], ["--output", "file"]] {
        let stderr = fail(2, &[&["sub", "room/1", "--group", "g"], &more[..]].concat());
        assert!(stderr.contains("cannot be used with"), "{stderr}");
    }
    let stderr = fail(2, &[&group[..], &["--presence"]].concat());
    assert!(stderr.contains("--presence is for one topic"), "{stderr}");
    let stderr = fail(2, &["sub", "room/1", "--presence", "--raw"]);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
    for which in ["replay", "purge"] {
        let stderr = fail(2, &["dead-letters", which, "--topic", "jobs/#"]);
        assert!(stderr.contains("--all"), "{stderr}");
    }
    let stderr = fail(2, &["dead-letters", "show", "abc"]);
    assert!(stderr.contains("a dead letter is named by its offset"), "{stderr}");
    let later = ["pub", "room/1", "x", "--deliver-at", "tomorrow"];
    let stderr = fail(2, &later);
    assert!(stderr.contains("write one such as 2026-11-18T11:06:40Z"), "{stderr}");
    let stderr = fail(2, &["pub", "room/1", "x", "--delay", "1s", "--deliver-at", "0"]);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
    let stderr = fail(2, &["pub", "room/1", "-", "--key", "k"]);
    assert!(stderr.contains("--key is for one message"), "{stderr}");
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(&["completions", shell]);
        assert!(script.contains("tidings") && script.contains("history"), "{shell}");
    }
}
