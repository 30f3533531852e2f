//! How commands end: by signals, by outputs that take no more, by what makes no sense.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use crate::program::{Process, Server, fail, free_port, text, tidings, wait_for};

#[test]
fn a_command_that_looks_for_its_server_can_be_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("ws://127.0.0.1:{}/v1/ws", free_port());
    for (arguments, code) in [(&["sub", "a"][..], Some(0)), (&["pub", "a", "x"], Some(1))] {
        let mut command = tidings();
        command.args(arguments).args(["--url", &url, "--connect-timeout", "1h"]);
        let mut process = Process::start(command, directory.path(), arguments[0]);
        wait_for("it to look", || process.stderr().contains("looking for").then_some(()));
        process.signal(rustix::process::Signal::TERM);
        assert_eq!(process.wait().code(), code, "{}", process.stderr());
    }
}

#[test]
fn an_interrupted_tour_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = tidings();
    command.arg("tour").stdout(Stdio::piped());
    let mut tour = Process::start(command, directory.path(), "tour");
    let mut lines = BufReader::new(tour.stdout()).lines();
    let start = lines.by_ref().find_map(|line| {
        let line = line.unwrap();
        line.contains("tidings dev").then_some(line)
    });
    let start = start.unwrap();
    let word_after = |flag: &str| {
        let mut words = start.split_whitespace().skip_while(|word| *word != flag).skip(1);
        words.next().unwrap().to_owned()
    };
    // The server listens when the next line is there.
    assert!(lines.next().unwrap().unwrap().contains("export TIDINGS_URL="));
    let (listen, data) = (word_after("--listen"), word_after("--data"));
    assert!(Path::new(&data).parent().unwrap().exists());
    tour.signal(rustix::process::Signal::INT);
    assert_eq!(tour.wait().code(), Some(130), "{}", tour.stderr());
    assert!(!Path::new(&data).parent().unwrap().exists());
    assert!(TcpStream::connect(&listen).is_err(), "the server is gone");
}

#[test]
fn an_output_that_takes_no_more_is_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let secret = secret.display().to_string();
    let token = ["token", "--user", "alice", "--secret-file", &secret];
    for arguments in [&["completions", "bash"][..], &token, &["tour", "--fast"]] {
        // Nobody reads.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = tidings().args(arguments).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        // The disk is full.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = tidings().args(arguments).stdout(full).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: cannot write to standard output: "), "{stderr}");
    }
}

#[test]
fn the_past_of_a_filter_is_refused() {
    for from in ["first", "Zr3:18"] {
        let stderr = fail(2, &["sub", "room/#", "--from", from]);
        assert!(stderr.contains("are for one topic"), "{stderr}");
    }
}

#[test]
fn errors_say_what_is_wrong_once() {
    let stderr = fail(1, &["pub", "a", "--json", "nonsense"]);
    assert_eq!(stderr.matches("is not one JSON value").count(), 1, "{stderr}");
    let server = Server::dev();
    server.client(&["pub", "a", "x"]);
    let mut first = server.spawn("sub", &["sub", "a", "--from", "Zr3:99", "--count", "1"]);
    let mut line = String::new();
    BufReader::new(first.stdout()).read_line(&mut line).unwrap();
    assert!(first.wait().success());
    assert!(first.stderr().contains("a: the log was lost, rebuilt or restored; starting with #1"));
}

#[test]
fn empty_variables_are_unset() {
    let server = Server::dev();
    let mut command = tidings();
    command.args(["history", "nowhere", "--url", &server.url()]).env("TIDINGS_TOKEN", "");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "nowhere: there are no messages\n");
}
