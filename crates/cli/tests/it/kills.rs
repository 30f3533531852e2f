//! Every line once and in order, whoever is killed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::program::{Dice, Process, Server, tidings, wait_for};

const LINES: usize = 100_000;

const LAST: &str = "the end";

/// How often the subscriber and the server are killed.
const SUBSCRIBER_KILLS: u64 = 5;
const SERVER_KILLS: u64 = 2;

/// Longer lines of the sources are left out: a message has at most 64 KiB.
const LINE_BYTES_MAX: usize = 8 * 1024;

#[test]
fn every_line_once_and_in_order_through_kills() {
    let mut dice = Dice::new();
    let mut server = Server::dev();
    let mut lines = real_text();
    let expected: u64 = lines.iter().map(|line| line.len() as u64).sum();
    let mut publisher = publisher(&server);
    let stdin = publisher.stdin();
    let feeder = std::thread::spawn({
        let lines = lines.clone();
        move || feed(stdin, &lines)
    });
    let output = server.path("out");
    let length = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    // Kills happen when the output has grown to places drawn by lot.
    let mut kills: Vec<(u64, Victim)> = Vec::new();
    for _ in 0..SUBSCRIBER_KILLS {
        kills.push((dice.below(expected), Victim::Subscriber));
    }
    for _ in 0..SERVER_KILLS {
        kills.push((dice.below(expected / 2), Victim::Server));
    }
    kills.sort_by_key(|(at, _)| *at);
    let mut subscriber = subscriber(&server, &output);
    for (at, victim) in kills {
        wait_for("the output to grow", || (length(&output) >= at).then_some(()));
        std::thread::sleep(Duration::from_millis(dice.below(20)));
        match victim {
            Victim::Subscriber => {
                subscriber.kill();
                subscriber = self::subscriber(&server, &output);
            }
            Victim::Server => {
                server.kill();
                std::thread::sleep(Duration::from_millis(dice.below(300)));
                server.start();
            }
        }
    }
    feeder.join().unwrap();
    assert!(publisher.wait().success(), "{}", publisher.stderr());
    let summary = publisher.stderr();
    assert!(summary.contains(&format!("published {LINES} messages to load in ")), "{summary}");
    // A last message shows that the last subscriber lives, and has cut and caught up.
    server.client(&["pub", "load", LAST]);
    let all = expected + LAST.len() as u64 + 1;
    wait_for("the whole output", || (length(&output) >= all).then_some(()));
    assert!(subscriber.stop().success());
    lines.push(format!("{LAST}\n").into_bytes());
    compare(&std::fs::read(&output).unwrap(), &lines);
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    Subscriber,
    Server,
}

fn publisher(server: &Server) -> Process {
    let mut command = tidings();
    command.args(["pub", "load", "-", "--url", &server.url()]).stdin(Stdio::piped());
    Process::start(command, server.directory.path(), "pub")
}

fn subscriber(server: &Server, output: &Path) -> Process {
    let mut command = tidings();
    command.args(["sub", "load", "--durable", "d", "--raw", "--connect-timeout", "60s"]);
    command.args(["--window", "1024", "--url", &server.url(), "--output"]).arg(output);
    Process::start(command, server.directory.path(), "sub")
}

/// Spreads the lines over a few seconds, so that the kills fall into the publishing.
fn feed(mut stdin: std::process::ChildStdin, lines: &[Vec<u8>]) {
    for chunk in lines.chunks(LINES / 50) {
        stdin.write_all(&chunk.concat()).unwrap();
        std::thread::sleep(Duration::from_millis(40));
    }
}

fn compare(output: &[u8], lines: &[Vec<u8>]) {
    let mut rest = output;
    for (index, line) in lines.iter().enumerate() {
        let Some(after) = rest.strip_prefix(&line[..]) else {
            let found: Vec<u8> = rest.iter().copied().take(line.len() + 80).collect();
            panic!(
                "line {} should be {:?}, the output goes on with {:?}",
                index + 1,
                String::from_utf8_lossy(line),
                String::from_utf8_lossy(&found)
            );
        };
        rest = after;
    }
    assert!(rest.is_empty(), "{} bytes too many at the end", rest.len());
}

/// Lines of real text with their line breaks: sources of this project and of what it is built on.
fn real_text() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let root =
        Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells")).join("../..");
    for folder in ["crates", "docs", "xtask"] {
        source_files(&root.join(folder), &mut files);
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    if let Some(home) = home {
        source_files(&home.join("registry/src"), &mut files);
    }
    let mut lines = Vec::with_capacity(LINES);
    // Enough for every line to come up again and again if the sources are few.
    while lines.len() < LINES {
        for file in &files {
            let Ok(bytes) = std::fs::read(file) else { continue };
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                if line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX && lines.len() < LINES {
                    lines.push(line.to_vec());
                }
            }
            if lines.len() == LINES {
                break;
            }
        }
        assert!(!lines.is_empty(), "no source files in {}", root.display());
    }
    lines
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "md") {
            files.push(path);
        }
        // The first thousand have text enough.
        if files.len() > 1000 {
            return;
        }
    }
}
