//! Plays the stories in `testdata/*.txt` against a real server, over real sockets.
//!
//! A story is blocks of what is done, `----`, and what each of those who take part then sees. Lines
//! that begin with `#` are for the reader. What differs from run to run has a name: `$message-1`,
//! `$epoch-1`, `$session-1`, `$place-1`, with which it can be used in later lines; every time of day
//! is `<time>`, and how long to wait before coming back `<wait>`. `UPDATE_EXPECT=1` rewrites what was seen, to be reviewed like any other change.
//!
//! `$half-a-minute-ago` and `$soon`, in ten minutes, are milliseconds since 1970.
//!
//! | line | what it does |
//! | --- | --- |
//! | `server KEY=VALUE…`, `topic KEY=VALUE…` | the configuration, in TOML; with `disk` messages are kept on it |
//! | `token NAME USER issued=AGE caps=FILTER:OPS…` | makes a token, `$NAME` from then on |
//! | `NAME opens` | opens a WebSocket |
//! | `NAME -> FRAME` | sends a frame |
//! | `NAME closes`, `NAME drops` | closes the connection properly, or is just gone |
//! | `NAME asks METHOD PATH [BODY] [as $TOKEN]` | an HTTP request; `operator` asks on the operator's port |
//! | `NAME waits METHOD PATH [as $TOKEN]` | the same without waiting for the answer |
//! | `NAME streams QUERY [after $PLACE]` | opens an event stream |
//! | `… TIME later` | lets time pass |
//! | `restart` | stops the server and starts it again |

mod actor;
mod names;
mod scene;
mod script;

use std::path::{Path, PathBuf};

use scene::Scene;
use script::Story;

#[tokio::test]
async fn every_story_is_told_as_it_happens() {
    let is_update = std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value != "0");
    let paths = stories();
    assert!(paths.len() >= 8, "testdata holds {} stories", paths.len());
    let mut tellings = tokio::task::JoinSet::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        tellings.spawn(async move {
            let told = tell(&text, is_update).await;
            (path, text, told)
        });
    }
    let mut wrong = Vec::new();
    while let Some(told) = tellings.join_next().await {
        let (path, text, told) = told.unwrap();
        match told {
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
            Ok(told) if told == text => {}
            Ok(told) if is_update => std::fs::write(&path, told).unwrap(),
            Ok(told) => wrong.push(format!("{}:\n{}", path.display(), difference(&text, &told))),
        }
    }
    let hint = "if the new text is right, rewrite with UPDATE_EXPECT=1";
    assert!(wrong.is_empty(), "{}\n{hint}", wrong.join("\n"));
}

#[tokio::test]
async fn a_story_that_is_not_understood_is_an_error() {
    for (text, expected) in [
        ("server\nphone jumps\n----\n", "line 2: `phone jumps`: unknown"),
        ("server\nphone -> {}\n----\n", "line 2: `phone` has no WebSocket"),
        (
            "server\nphone opens\nphone -> {\"a\":\"$b-1\"}\n----\n",
            "line 3: nothing is called `$b-1`",
        ),
        ("server no_such.key=1\nphone opens\n----\n", "line 2: the configuration:"),
        ("server\n… soon later\n----\n", "line 2: `soon` is no time"),
    ] {
        let error = tell(text, false).await.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn what_is_expected_wrongly_is_noticed() {
    let told = "server\npublic asks GET /v1/history?topic=a\n----\npublic <- 404 {}\n";
    assert_ne!(tell(told, false).await.as_deref(), Ok(told));
    let silent = "server\npublic asks GET /v1/history?topic=a\n----\n";
    assert_ne!(tell(silent, false).await.as_deref(), Ok(silent), "what nobody expected");
}

fn stories() -> Vec<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let entries = std::fs::read_dir(Path::new(&here).join("testdata")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut stories: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    stories.sort();
    stories
}

/// The story's text with what is seen when it is played.
async fn tell(text: &str, is_update: bool) -> Result<String, String> {
    let mut story = Story::parse(text);
    let mut scene = Scene::default();
    let last = story.blocks.len();
    for (index, block) in (1..).zip(&mut story.blocks) {
        for (number, line) in block.commands() {
            scene.act(line).await.map_err(|error| format!("line {number}: {error}"))?;
        }
        let expected = (!is_update).then_some(block.seen.as_slice());
        block.seen = scene.watch(expected, index == last).await;
    }
    scene.end().await;
    Ok(story.text())
}

/// The first lines that differ, and where.
fn difference(old: &str, new: &str) -> String {
    let mut lines = (1..).zip(old.lines().zip(new.lines()));
    match lines.find(|(_, (old, new))| old != new) {
        Some((line, (old, new))) => format!("  line {line}\n  - {old}\n  + {new}"),
        None => format!("  {} lines became {}", old.lines().count(), new.lines().count()),
    }
}
