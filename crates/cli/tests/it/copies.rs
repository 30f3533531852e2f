//! A backup that is put back does not pass for the log that it was copied from.

use std::path::Path;

use crate::program::{Server, fail, succeed, wait_for};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The places (`EPOCH:OFFSET`) and texts of a topic's history.
fn history(server: &Server) -> Vec<(String, String)> {
    let lines = server.client(&["history", "a", "--json"]);
    let place = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let epoch = message["epoch"].as_str().unwrap();
        let text = message["data"].as_str().unwrap().to_owned();
        (format!("{epoch}:{}", message["offset"]), text)
    };
    lines.lines().map(place).collect()
}

/// A server whose data directory was copied after "two", with a durable subscriber that has taken
/// all there was, also "three", which only the original has.
fn with_backup() -> Server {
    let mut server = Server::dev();
    server.client(&["pub", "a", "one"]);
    server.client(&["pub", "a", "two"]);
    let taken = ["sub", "a", "--durable", "d", "--raw", "--count"];
    assert_eq!(server.client(&[&taken[..], &["2"]].concat()), "one\ntwo\n");
    assert!(server.stop().success());
    copy(&server.path("data"), &server.path("backup"));
    server.start();
    server.client(&["pub", "a", "three"]);
    assert_eq!(server.client(&[&taken[..], &["1"]].concat()), "three\n");
    server
}

fn restore(server: &Server) {
    std::fs::remove_dir_all(server.path("data")).unwrap();
    std::fs::rename(server.path("backup"), server.path("data")).unwrap();
}

#[test]
fn a_restored_backup_begins_a_new_epoch_and_everybody_is_told() {
    let mut server = with_backup();
    let before = history(&server);
    let old_place = before[2].0.clone();
    // One that stays through it all, another that comes back with its place.
    let mut stays = server.spawn("stays", &["sub", "a", "--from", &old_place, "--raw"]);
    server.client(&["pub", "a", "four"]);
    let mut line = String::new();
    let mut output = std::io::BufReader::new(stays.stdout());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "four\n");
    assert!(!server.stderr().contains("is a copy"), "{}", server.stderr());
    server.kill();
    restore(&server);
    server.start();
    assert!(server.stderr().contains("the data directory is a copy"), "{}", server.stderr());
    // Without a new epoch this would be offset 3 of the old one, for the second time.
    server.client(&["pub", "a", "other"]);
    let after = history(&server);
    let texts: Vec<_> = after.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["one", "two", "other"]);
    assert!(after[2].0.ends_with(":3"), "{after:?}");
    assert!(before.iter().all(|(place, _)| after.iter().all(|(other, _)| place != other)));
    let told = "a: the log was lost, rebuilt or restored; starting with #1";
    wait_for("the reset of the one that stays", || stays.stderr().contains(told).then_some(()));
    assert!(stays.stop().success());
    let refused = server.client_fails(1, &["history", "a", "--after", &old_place]);
    assert!(refused.contains("epoch_changed"), "{refused}");
    for place in [["--from", &old_place], ["--durable", "d"]] {
        let arguments = [&["sub", "a", "--raw", "--count", "3"][..], &place].concat();
        let back = server.spawn(place[0], &arguments);
        let stderr = server.path(&format!("{}.stderr", place[0]));
        assert_eq!(back.output(), "one\ntwo\nother\n");
        let stderr = std::fs::read_to_string(stderr).unwrap();
        assert!(stderr.contains(told), "{place:?}: {stderr}");
    }
    // Once is enough.
    assert!(server.stop().success());
    server.start();
    assert_eq!(history(&server), after);
    assert_eq!(server.stderr().matches("the data directory is a copy").count(), 1);
    server.client(&["pub", "a", "last"]);
    let next = server.client(&["sub", "a", "--durable", "d", "--count", "1", "--raw"]);
    assert_eq!(next, "last\n");
}

#[test]
fn a_move_that_is_said_to_be_one_is_noticed_by_nobody() {
    let mut server = with_backup();
    let before = history(&server);
    let data = server.path("data").display().to_string();
    let refused = fail(1, &["data", "moved", &data]);
    assert!(refused.contains("another server has the store"), "{refused}");
    server.kill();
    let moved = server.path("moved");
    copy(&server.path("data"), &moved);
    let refused = fail(1, &["data", "moved", &moved.display().to_string()]);
    assert!(refused.contains("was not closed"), "{refused}");
    server.start();
    assert!(server.stop().success());
    std::fs::remove_dir_all(&moved).unwrap();
    copy(&server.path("data"), &moved);
    let told = succeed(&["data", "moved", &moved.display().to_string()]);
    assert!(told.contains("goes on in its epoch"), "{told}");
    std::fs::remove_dir_all(server.path("data")).unwrap();
    std::fs::rename(&moved, server.path("data")).unwrap();
    server.start();
    assert_eq!(history(&server), before);
    assert!(!server.stderr().contains("is a copy"), "{}", server.stderr());
    server.client(&["pub", "a", "four"]);
    let next = server.client(&["sub", "a", "--durable", "d", "--count", "1", "--raw"]);
    assert_eq!(next, "four\n");
}

/// A snapshot of a volume brings the files themselves back.
#[test]
fn a_snapshot_that_is_said_to_be_one_begins_a_new_epoch() {
    let mut server = with_backup();
    let before = history(&server);
    assert!(server.stop().success());
    let data = server.path("data").display().to_string();
    let told = succeed(&["data", "restored", &data]);
    assert!(told.contains("new epoch"), "{told}");
    server.start();
    assert!(server.stderr().contains("the data directory is a copy"), "{}", server.stderr());
    let after = history(&server);
    assert!(before.iter().all(|(place, _)| after.iter().all(|(other, _)| place != other)));
    let refused = fail(1, &["data", "restored", &server.path("nothing").display().to_string()]);
    assert!(refused.contains("there is no store in"), "{refused}");
    assert!(!server.path("nothing").exists());
}
