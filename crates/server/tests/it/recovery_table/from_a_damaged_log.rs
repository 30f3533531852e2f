//! A part of the log cannot be read while somebody comes back: damaged bytes are never served, the
//! rest is, and whoever misses something is told.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidings_server::{RunningServer, Server};

use super::TOPIC;
use crate::events::Events;
use crate::peer::{Peer, config, http, metric};

const MESSAGES: u64 = 600;
/// Two that lie together, and one beside the end.
const BAD: [u64; 3] = [300, 301, 599];

/// A server over a log of which some messages are damaged.
struct Log {
    server: RunningServer,
    directory: TempDir,
    epoch: String,
}

impl Log {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config();
        config.storage.directory = directory.path().join("data");
        let server = Server::builder(config).start().await.unwrap();
        let mut writer = Peer::connect(server.public_addr()).await;
        let mut epoch = json!(null);
        for n in 1..=MESSAGES {
            epoch = writer.publish(TOPIC, json!(text(n))).await["epoch"].clone();
        }
        let log = Self { server, directory, epoch: epoch.as_str().unwrap().to_owned() };
        BAD.iter().for_each(|n| damage(&log.data(), &text(*n)));
        log
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    async fn reader(&self) -> Peer {
        Peer::connect(self.server.public_addr()).await
    }

    /// What a reader of everything after `after` gets: offsets, and where it goes on after damage.
    fn expected(&self, after: u64) -> Vec<Told> {
        let told = |n: u64| match n {
            300 | 599 => None,
            301 => Some(Told::Damaged { first: 302 }),
            n => Some(Told::Message(n)),
        };
        let last = [Told::Damaged { first: 600 }, Told::Message(600)];
        (after + 1..600).filter_map(told).chain(last).collect()
    }
}

#[derive(Debug, PartialEq)]
enum Told {
    Message(u64),
    Damaged { first: u64 },
}

impl Told {
    fn message(message: &Value) -> Self {
        let offset = message["offset"].as_u64().unwrap();
        assert_eq!(message["data"], text(offset));
        Self::Message(offset)
    }

    fn reset(reset: &Value) -> Self {
        assert_eq!((&reset["reason"], &reset["offset"]), (&json!("damaged"), &json!(MESSAGES)));
        Self::Damaged { first: reset["first"].as_u64().unwrap() }
    }

    fn frame(frame: &Value) -> Self {
        match frame.get("message") {
            Some(message) => Self::message(message),
            None => Self::reset(&frame["reset"]),
        }
    }
}

fn text(n: u64) -> String {
    format!("message number {n} of many")
}

/// Flips a bit of `text` wherever a file of the log has it.
fn damage(directory: &Path, text: &str) {
    let mut found = 0;
    for entry in std::fs::read_dir(directory.join("log")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        if let Some(at) = at {
            bytes[at] ^= 1;
            // In place, as a disk would: the server has the file open.
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&bytes[at..=at], at as u64).unwrap();
            found += 1;
        }
    }
    assert_eq!(found, 1, "the message is in one file");
}

#[tokio::test]
async fn a_live_subscription_is_told_of_what_cannot_be_read() {
    let log = Log::start().await;
    let mut reader = log.reader().await;
    for after in [10, 299, 300, 301] {
        let position = json!({"epoch": log.epoch, "offset": after});
        let reply = reader.ask(json!({"subscribe": {"topic": TOPIC, "after": position}})).await;
        assert_eq!(reply["subscribed"]["recovered"], true, "{reply}");
        for expected in log.expected(after) {
            assert_eq!(Told::frame(&reader.frame().await), expected, "after {after}");
        }
        reader.assert_quiet().await;
        reader.ask(json!({"unsubscribe": {"sub": TOPIC}})).await;
    }
    assert!(metric(&log.server, "tidings_store_damaged").await >= 3.0);
    log.server.shutdown().await;
}

/// It goes on behind the damage, and is told once: not again when what lies before it comes again.
#[tokio::test]
async fn a_durable_subscription_is_told_once_and_goes_on() {
    let log = Log::start().await;
    let mut reader = log.reader().await;
    reader.ask(json!({"subscribe": {"topic": TOPIC, "durable": "phone", "window": 20}})).await;
    let (mut got, mut damaged) = (Vec::new(), Vec::new());
    while got.len() < MESSAGES as usize - BAD.len() + 1 {
        let frame = reader.frame().await;
        match Told::frame(&frame) {
            Told::Message(298) if frame["message"].get("attempt").is_none() => {
                got.push(298);
                let nack = json!({"sub": TOPIC, "offset": 298, "delay_ms": 300});
                reader.send(json!({ "nack": nack })).await;
            }
            Told::Message(offset) => {
                got.push(offset);
                reader.send(json!({"ack": {"sub": TOPIC, "offsets": [offset]}})).await;
            }
            Told::Damaged { first } => damaged.push(first),
        }
    }
    assert_eq!(got.iter().filter(|offset| **offset == 298).count(), 2);
    got.sort_unstable();
    got.dedup();
    let whole: Vec<u64> = (1..=MESSAGES).filter(|n| !BAD.contains(n)).collect();
    assert_eq!((got, damaged), (whole, vec![302, 600]));
    reader.assert_quiet().await;
    log.server.shutdown().await;
}

#[tokio::test]
async fn the_members_of_a_group_are_told() {
    let log = Log::start().await;
    let mut member = log.reader().await;
    member.ask(json!({"subscribe": {"topic": TOPIC, "group": "workers", "window": 1024}})).await;
    let (mut got, mut damaged) = (Vec::new(), Vec::new());
    while got.len() < MESSAGES as usize - BAD.len() {
        match Told::frame(&member.frame().await) {
            Told::Message(offset) => got.push(offset),
            Told::Damaged { first } => damaged.push(first),
        }
    }
    got.sort_unstable();
    let whole: Vec<u64> = (1..=MESSAGES).filter(|n| !BAD.contains(n)).collect();
    assert_eq!((got, damaged), (whole, vec![302, 600]));
    log.server.shutdown().await;
}

#[tokio::test]
async fn a_stream_is_told_and_goes_on_behind_it() {
    let log = Log::start().await;
    let from = format!("topic={TOPIC}&after={}:297", log.epoch);
    let mut stream = Events::open(log.server.public_addr(), &from, &[]).await;
    stream.expect("ready").await;
    let mut cursor = None;
    for expected in log.expected(297) {
        let event = stream.next().await.unwrap();
        let told = match event.kind.as_str() {
            "message" => Told::message(&event.data),
            _ => Told::reset(&event.data),
        };
        if told == (Told::Damaged { first: 302 }) {
            cursor = event.id;
        }
        assert_eq!(told, expected);
    }
    // Who comes back with the cursor of the notice is not told again.
    let topic = format!("topic={TOPIC}");
    let mut again = Events::resume(log.server.public_addr(), &topic, cursor.as_deref()).await;
    again.expect("ready").await;
    assert_eq!(Told::message(&again.expect("message").await.data), Told::Message(302));
    log.server.shutdown().await;
}

/// Page by page, over the socket and over HTTP: a part with damage before its last message says so,
/// and no other does.
#[tokio::test]
async fn history_says_that_something_is_left_out() {
    let log = Log::start().await;
    let address = log.server.public_addr();
    let mut reader = log.reader().await;
    for (after, limit, whole) in [
        (297, 1, true),
        (297, 2, true),
        (299, 1, false),
        (300, 1, false),
        (301, 5, true),
        (298, 2, false),
        (597, 1, true),
        (598, 1, false),
    ] {
        let position = json!({"epoch": log.epoch, "offset": after});
        let ask = json!({"history": {"topic": TOPIC, "after": position, "limit": limit}});
        let reply = reader.ask(ask).await;
        assert_eq!(reply["history"]["recovered"], whole, "after {after}, at most {limit}");
        let path = format!("/v1/history?topic={TOPIC}&after={}:{after}&limit={limit}", log.epoch);
        let (status, _, body) = http(address, "GET", &path, &[], "").await;
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(page["recovered"], whole, "after {after}, at most {limit}");
        // What the next page begins with is told by it.
        let cursor = page["cursor"].as_str().unwrap();
        let path = format!("/v1/history?topic={TOPIC}&cursor={cursor}&limit=1");
        let (_, _, body) = http(address, "GET", &path, &[], "").await;
        let next: Value = serde_json::from_str(&body).unwrap();
        let last = page["messages"].as_array().unwrap().last().unwrap()["offset"].as_u64().unwrap();
        assert_eq!(next["recovered"], !matches!(last, 299 | 598), "after {last}");
    }
    log.server.shutdown().await;
}
