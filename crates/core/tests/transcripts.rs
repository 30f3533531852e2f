//! Runs the stories in `testdata/*.txt` against the machines of this crate.
//!
//! A story is blocks of commands, `----`, and what was observed, with times since its start.
//! Lines that begin with `#` are for the reader. The first command picks the machine: `resume` a
//! delivery window, `log` a live cursor, `group` a group with members, `accept` a connection, `keep`
//! presence, `calendar` a schedule, `queue` one with priorities. `UPDATE_EXPECT=1` rewrites what was
//! observed, to be reviewed like any other change.

#[path = "transcripts/connection.rs"]
mod connection;
#[path = "transcripts/delivery.rs"]
mod delivery;
#[path = "transcripts/group.rs"]
mod group;
#[path = "transcripts/live.rs"]
mod live;
#[path = "transcripts/presence.rs"]
mod presence;
#[path = "transcripts/schedule.rs"]
mod schedule;
#[path = "transcripts/story.rs"]
mod story;
#[path = "transcripts/waiting.rs"]
mod waiting;

use std::path::{Path, PathBuf};

use story::{Command, Machine, Story};

#[test]
fn every_story_is_told_as_it_happens() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value != "0");
    let mut wrong = Vec::new();
    let stories = stories();
    assert!(stories.len() >= 12, "testdata holds {} stories", stories.len());
    for path in stories {
        let text = std::fs::read_to_string(&path).expect("a listed story can be read");
        let told = tell(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if told == text {
            continue;
        }
        if update {
            std::fs::write(&path, told).expect("testdata can be written");
        } else {
            wrong.push(format!("{}:\n{}", path.display(), difference(&text, &told)));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nif the new text is right, rewrite with UPDATE_EXPECT=1",
        wrong.join("\n")
    );
}

#[test]
fn a_story_that_is_not_understood_is_an_error() {
    for (text, expected) in [
        (
            "acked 7\n----\n",
            "line 1: a story begins with `resume`, `log`, `group`, `accept`, `keep`, `calendar` or `queue`",
        ),
        ("resume cursor=7\n----\n", "line 1: `resume` needs `window=`"),
        ("log epoch=1 first=1 head=0\nfollows\n----\n", "line 2: unknown command `follows`"),
        ("log epoch=1 first=1 head=0 hat=1\n----\n", "line 1: `log` does not know `hat=`"),
        ("accept handshake=5 ping=1s pong=1s\n----\n", "line 1: `5` is not a duration"),
    ] {
        assert_eq!(tell(text), Err(expected.to_owned()));
    }
}

#[test]
fn what_is_expected_wrongly_is_noticed() {
    let text = "log epoch=1 first=1 head=0\n----\nsomething else\n";
    assert_ne!(tell(text).as_deref(), Ok(text));
}

fn stories() -> Vec<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells");
    let folder = Path::new(&here).join("testdata");
    let mut stories: Vec<_> = std::fs::read_dir(folder)
        .expect("testdata is part of the crate")
        .map(|entry| entry.expect("testdata can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    stories.sort();
    stories
}

/// The story's text with what is observed when its commands run.
fn tell(text: &str) -> Result<String, String> {
    let mut story = Story::parse(text);
    let mut machine: Option<Box<dyn Machine>> = None;
    for block in story.blocks_mut() {
        let mut observed = Vec::new();
        for (line, text) in block.commands() {
            let at = |error: String| format!("line {line}: {error}");
            let command = Command::parse(text).map_err(at)?;
            let running = match machine.take() {
                Some(running) => machine.insert(running),
                None => machine.insert(begin(&command).map_err(at)?),
            };
            running.run(&command, &mut observed).map_err(at)?;
            command.check_all_used().map_err(at)?;
        }
        block.observe(observed);
    }
    Ok(story.text())
}

fn begin(command: &Command) -> Result<Box<dyn Machine>, String> {
    match command.name() {
        "resume" => Ok(Box::new(delivery::Delivery::default())),
        "log" => Ok(Box::new(live::Live::default())),
        "group" => Ok(Box::new(group::Sharing::default())),
        "accept" => Ok(Box::new(connection::Life::default())),
        "keep" => Ok(Box::new(presence::Attendance::default())),
        "calendar" => Ok(Box::new(schedule::Later::default())),
        "queue" => Ok(Box::new(waiting::Waiting::default())),
        _ => Err(
            "a story begins with `resume`, `log`, `group`, `accept`, `keep`, `calendar` or `queue`"
                .to_owned(),
        ),
    }
}

/// The first lines that differ, and where.
fn difference(old: &str, new: &str) -> String {
    let mut lines = (1..).zip(old.lines().zip(new.lines()));
    match lines.find(|(_, (old, new))| old != new) {
        Some((line, (old, new))) => format!("  line {line}\n  - {old}\n  + {new}"),
        None => format!("  {} lines became {}", old.lines().count(), new.lines().count()),
    }
}
