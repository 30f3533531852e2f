//! A store written by format 1 opens and reads back exactly, for as long as there is a Tidings.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_core::{
    ContentType, CursorKey, CursorState, Data, Durability, DurableKey, Message, MessageId,
    NewMessage, Offset, PolicyTable, Retention, Session, Timestamp, Topic, TopicPolicy,
};
use tidings_storage::conformance::Recorder;
use tidings_storage::{
    EmbeddedConfig, EmbeddedStore, ManualClock, Outcome, ReadFrom, ReadLimit, Recovered, Store,
    Submission, Ticket, Write,
};

use crate::directories::copy_directory;

const START: Timestamp = Timestamp::from_ms(1_795_000_000_000);
const NODE: u16 = 7;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn fixture() -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("testdata/v1")
}

/// A store and who hears of its commits.
struct Opened {
    clock: Arc<ManualClock>,
    store: EmbeddedStore,
    recovered: Recovered,
    recorder: Arc<Recorder>,
}

fn open(directory: &Path, keep: Option<u64>) -> Opened {
    let config = EmbeddedConfig {
        segment_bytes: 1024 * 1024,
        node: NODE,
        upkeep_interval: Duration::from_millis(1),
        ..EmbeddedConfig::new(directory)
    };
    let age = Duration::from_secs(1_000_000_000);
    let retention = Retention { age, messages: keep, bytes: None };
    let policies =
        PolicyTable::new(Vec::new(), TopicPolicy { retention, ..TopicPolicy::default() });
    let recorder = Arc::new(Recorder::default());
    let observer = Arc::clone(&recorder);
    let clock = Arc::new(ManualClock::new(START));
    let time = Arc::clone(&clock);
    let (store, recovered) =
        EmbeddedStore::open_with_clock(&config, Arc::new(policies), observer, time).unwrap();
    Opened { clock, store, recovered, recorder }
}

impl Opened {
    fn write(&self, tag: u64, write: Write) -> Outcome {
        let ticket = Some(Ticket { lane: 0, tag });
        self.store.submit(vec![Submission { write, ticket }]).unwrap();
        self.recorder.outcome(tag)
    }

    /// Has a cursor and a session forgotten that were kept for long.
    fn forget(&self, tag: u64) {
        let (key, state) = cursor("forgotten");
        let expired = Session { expires_at: START, ..session("forgotten") };
        let config = EmbeddedConfig::new("unused");
        self.clock.set(Timestamp::from_ms(START.as_ms() - config.cursor_expiry.as_millis() as u64));
        self.write(tag, Write::SaveCursor { key: key.clone(), state });
        self.write(tag + 1, Write::SaveSession(expired.clone().into()));
        self.clock.set(START);
        let until = Instant::now() + Duration::from_secs(30);
        while self.store.cursor(&key).is_some() || self.store.session(&expired.id).is_some() {
            assert!(Instant::now() < until, "nothing is forgotten");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn read(&self, topic: &str) -> Vec<Arc<Message>> {
        let limit = ReadLimit { messages: 1000, bytes: usize::MAX };
        let from = ReadFrom::Offset(Offset::FIRST);
        self.store.read(&topic.parse().unwrap(), from, limit).unwrap().messages
    }
}

/// Message `n` of the fixture: between them they use every field.
fn content(n: u64) -> NewMessage {
    let topic: Topic = ["plain", "with/headers", "Zürich/Halle 3"][n as usize % 3].parse().unwrap();
    let text = format!("{{\"n\":{n}}}");
    match n % 3 {
        0 => NewMessage::new(topic, Data::binary(Bytes::from(text))),
        1 => NewMessage {
            headers: [("n".to_owned(), n.to_string()), (String::new(), "ü".to_owned())].into(),
            content_type: ContentType::parse("application/json"),
            ..NewMessage::new(topic, Data::json(Bytes::from(text)))
        },
        _ => NewMessage {
            sender: Some("alice".parse().unwrap()),
            key: Some(format!("key-{n}").parse().unwrap()),
            ttl: Some(Duration::new(n, 5)),
            ..NewMessage::new(topic, Data::json(Bytes::from(text)))
        },
    }
}

fn cursor(name: &str) -> (CursorKey, CursorState) {
    let key = CursorKey::Durable(DurableKey {
        user: "alice".parse().unwrap(),
        name: name.parse().unwrap(),
        topic: "plain".parse().unwrap(),
    });
    let state = CursorState {
        settled: vec![(Offset::new(4), Offset::new(6))],
        attempts: vec![(Offset::new(2), 3)],
        ..CursorState::at(tidings_core::Epoch::new(9), Offset::new(2))
    };
    (key, state)
}

fn session(id: &str) -> Session {
    Session {
        id: id.parse().unwrap(),
        user: "alice".parse().unwrap(),
        client: "phone".parse().unwrap(),
        expires_at: START.plus(DAY),
    }
}

/// Writes the fixture anew: a checkpoint, and log after it, left by a kill.
fn write_fixture(directory: &Path) {
    let source = tempfile::tempdir().unwrap();
    for life in 0..2 {
        let opened = open(source.path(), None);
        let durability = if life == 0 { Durability::Sync } else { Durability::Async };
        for n in life * 30..(life + 1) * 30 {
            opened.write(n, Write::Publish { message: content(n), durability, id: None });
        }
        let (key, state) = cursor(&format!("phone-{life}"));
        opened.write(100, Write::SaveCursor { key: key.clone(), state });
        opened.write(101, Write::SaveSession(session(&format!("s{life}")).into()));
        let (gone, state) = cursor("gone");
        opened.write(102, Write::SaveCursor { key: gone.clone(), state });
        opened.write(103, Write::DeleteCursor { key: gone });
        opened.write(104, Write::SaveSession(session("gone").into()));
        opened.write(105, Write::DeleteSession(session("gone").id));
        opened.forget(106);
        if life == 1 {
            copy_directory(source.path(), directory);
        }
    }
    // Unused zeros need not be kept in the repository.
    for entry in directory.join("log").read_dir().unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // The last record may end in zeros.
        bytes.truncate(used.next_multiple_of(512));
        if used <= 4096 {
            std::fs::remove_file(path).unwrap();
        } else {
            std::fs::write(path, bytes).unwrap();
        }
    }
    std::fs::remove_file(directory.join("LOCK")).unwrap();
}

fn check(opened: &Opened) {
    assert_eq!(opened.recovered.damage, []);
    assert_eq!(opened.recovered.cut_bytes, 0);
    assert_eq!(opened.recovered.messages, 60);
    for (n, topic) in ["plain", "with/headers", "Zürich/Halle 3"].iter().enumerate() {
        let messages = opened.read(topic);
        assert_eq!(messages.len(), 20);
        for (m, message) in messages.iter().enumerate() {
            let number = 3 * m as u64 + n as u64;
            let (life, count) = (1 + number / 30, number % 30);
            assert_eq!(message.content, content(number));
            assert_eq!(message.offset, Offset::new(m as u64 + 1));
            assert_eq!(message.published_at, START);
            assert_eq!(message.id, MessageId::new(START.as_ms(), NODE, life << 44 | count));
        }
    }
    for life in 0..2 {
        let (key, state) = cursor(&format!("phone-{life}"));
        assert_eq!(opened.store.cursor(&key), Some(state));
        let session = session(&format!("s{life}"));
        assert_eq!(opened.store.session(&session.id), Some(session));
    }
    for name in ["gone", "forgotten"] {
        assert_eq!(opened.store.cursor(&cursor(name).0), None);
        assert_eq!(opened.store.session(&session(name).id), None);
    }
}

/// With `TIDINGS_WRITE_FIXTURE` set, the fixture is written first if its directory is missing:
/// only ever for a new format, in a directory of its own.
#[test]
fn format_1_reads_back_exactly() {
    if std::env::var_os("TIDINGS_WRITE_FIXTURE").is_some() && !fixture().exists() {
        write_fixture(&fixture());
    }
    let copy = tempfile::tempdir().unwrap();
    copy_directory(&fixture(), copy.path());
    let opened = open(copy.path(), None);
    assert!(opened.recovered.unclean);
    assert_eq!(opened.recovered.segments_read, 1);
    check(&opened);
    // Keys of the checkpoint and of the log after it are known.
    for n in [2, 59] {
        let repeated =
            Write::Publish { message: content(n), durability: Durability::Sync, id: None };
        let outcome = opened.write(n, repeated);
        let Outcome::Duplicate { position, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(position.offset.get(), n / 3 + 1);
    }
    drop(opened);
    check(&open(copy.path(), None));
    assert_eq!(open(copy.path(), Some(5)).read("plain").len(), 5);
}
