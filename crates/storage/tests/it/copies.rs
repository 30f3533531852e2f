//! A data directory that was copied does not give offsets again that the original may have given.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_core::{
    Data, Durability, Epoch, NewMessage, Offset, PolicyTable, Position, Topic, TopicState,
};
use tidings_storage::conformance::Recorder;
use tidings_storage::{
    AdoptError, Arrival, EmbeddedConfig, EmbeddedStore, OpenError, Origin, Outcome, ReadFrom,
    ReadLimit, Recovered, Store, Submission, Ticket, Write, adopt,
};

use crate::directories::copy_directory;

/// A store in a directory, and who hears of its commits.
struct Opened {
    store: EmbeddedStore,
    recovered: Recovered,
    recorder: Arc<Recorder>,
    tag: u64,
}

fn open(directory: &Path) -> Opened {
    let config = EmbeddedConfig {
        segment_bytes: 1024 * 1024,
        // A checkpoint at every start, as soon as there is something in the log.
        checkpoint_bytes: 1,
        upkeep_interval: Duration::from_millis(1),
        ..EmbeddedConfig::new(directory)
    };
    let recorder = Arc::new(Recorder::default());
    let observer = Arc::clone(&recorder);
    let policies = Arc::new(PolicyTable::default());
    let (store, recovered) = EmbeddedStore::open(&config, policies, observer).unwrap();
    Opened { store, recovered, recorder, tag: 0 }
}

fn topic() -> Topic {
    Topic::parse("a").unwrap()
}

impl Opened {
    /// Where a message is, new or as it was stored before under the same key.
    fn publish(&mut self, data: &str) -> Position {
        let content = Data::binary(Bytes::copy_from_slice(data.as_bytes()));
        let key = Some(data.parse().unwrap());
        let message = NewMessage { key, ..NewMessage::new(topic(), content) };
        let write = Write::Publish { message, durability: Durability::Sync, id: None };
        self.tag += 1;
        let ticket = Some(Ticket { lane: 0, tag: self.tag });
        self.store.submit(vec![Submission { write, ticket }]).unwrap();
        match self.recorder.outcome(self.tag) {
            Outcome::Published(message) => message.position(),
            Outcome::Duplicate { position, .. } => position,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> TopicState {
        self.store.topic_state(&topic())
    }

    fn epoch(&self) -> Epoch {
        self.state().epoch
    }

    fn texts(&self) -> Vec<String> {
        let limit = ReadLimit { messages: 1000, bytes: usize::MAX };
        let read = self.store.read(&topic(), ReadFrom::Offset(Offset::FIRST), limit).unwrap();
        let epochs: BTreeSet<_> = read.messages.iter().map(|message| message.epoch).collect();
        assert_eq!(epochs, [self.epoch()].into());
        let text = |data: &Data| String::from_utf8(data.bytes().to_vec()).unwrap();
        read.messages.iter().map(|message| text(&message.content.data)).collect()
    }
}

fn has_checkpoint(directory: &Path) -> bool {
    directory.join("checkpoint").read_dir().unwrap().next().is_some()
}

fn wait_for_checkpoint(directory: &Path) {
    let until = Instant::now() + Duration::from_secs(60);
    while !has_checkpoint(directory) {
        assert!(Instant::now() < until, "no checkpoint is made");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Copies file by file into the files that are there, as `cp -r backup/. data` does.
fn copy_over(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to.join("log")).unwrap();
    std::fs::remove_dir_all(to.join("checkpoint")).unwrap();
    copy_directory(from, to);
}

/// Removes everything and copies, as operators should.
fn copy_anew(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy_directory(from, to);
}

/// Half of the keys is in a checkpoint, half in the log behind it.
fn fill(directory: &Path) -> Opened {
    let mut opened = open(directory);
    opened.publish("one");
    drop(opened);
    let mut opened = open(directory);
    wait_for_checkpoint(directory);
    opened.publish("two");
    opened
}

fn check_restored(directory: &Path, old: Epoch) {
    let mut restored = open(directory);
    let new = restored.epoch();
    assert_eq!(restored.recovered.origin, Origin::Copied);
    assert_ne!(new, old);
    assert_eq!(restored.texts(), ["one", "two"]);
    let at = |offset| Position { epoch: new, offset: Offset::new(offset) };
    // What the copy has is recognised, where it can be read now; what was lost is not.
    assert_eq!(restored.publish("one"), at(1));
    assert_eq!(restored.publish("two"), at(2));
    assert_eq!(restored.publish("three, again"), at(3));
    drop(restored);
    let mut again = open(directory);
    assert_eq!((again.recovered.origin, again.epoch()), (Origin::Here, new));
    assert_eq!(again.publish("one"), at(1));
    assert_eq!(again.texts(), ["one", "two", "three, again"]);
}

#[test]
fn a_restored_backup_has_a_new_epoch() {
    for restore in [copy_anew, copy_over] {
        for is_running in [false, true] {
            let parent = tempfile::tempdir().unwrap();
            let (data, backup) = (parent.path().join("data"), parent.path().join("backup"));
            let running = fill(&data);
            let old = running.epoch();
            if is_running {
                copy_directory(&data, &backup);
                drop(running);
            } else {
                drop(running);
                copy_directory(&data, &backup);
            }
            let mut original = open(&data);
            assert_eq!((original.recovered.origin, original.epoch()), (Origin::Here, old));
            assert_eq!(original.publish("three").offset.get(), 3);
            drop(original);
            restore(&backup, &data);
            check_restored(&data, old);
        }
    }
}

#[test]
fn the_second_copy_of_meta_tells_as_well() {
    let parent = tempfile::tempdir().unwrap();
    let (data, backup) = (parent.path().join("data"), parent.path().join("backup"));
    let old = fill(&data).epoch();
    copy_directory(&data, &backup);
    std::fs::remove_file(backup.join("META")).unwrap();
    check_restored(&backup, old);
    std::fs::remove_file(data.join("META")).unwrap();
    let original = open(&data);
    assert_eq!((original.recovered.origin, original.epoch()), (Origin::Here, old));
}

#[test]
fn two_copies_do_not_share_an_epoch() {
    let parent = tempfile::tempdir().unwrap();
    let [data, first, second] = ["data", "first", "second"].map(|name| parent.path().join(name));
    let old = fill(&data).epoch();
    copy_directory(&data, &first);
    copy_directory(&data, &second);
    let epochs = BTreeSet::from([old, open(&first).epoch(), open(&second).epoch()]);
    assert_eq!(epochs.len(), 3);
}

#[test]
fn a_directory_that_is_renamed_keeps_its_epoch() {
    let parent = tempfile::tempdir().unwrap();
    let (data, renamed) = (parent.path().join("data"), parent.path().join("renamed"));
    let old = fill(&data).epoch();
    std::fs::rename(&data, &renamed).unwrap();
    let mut opened = open(&renamed);
    assert_eq!((opened.recovered.origin, opened.epoch()), (Origin::Here, old));
    assert_eq!(opened.publish("three").offset.get(), 3);
}

#[test]
fn what_is_said_to_be_moved_keeps_its_epoch() {
    let parent = tempfile::tempdir().unwrap();
    let (data, moved) = (parent.path().join("data"), parent.path().join("moved"));
    let old = fill(&data).epoch();
    copy_directory(&data, &moved);
    assert_eq!(adopt(&moved, Arrival::Moved).unwrap(), Origin::Copied);
    for _ in 0..2 {
        let opened = open(&moved);
        assert_eq!((opened.recovered.origin, opened.epoch()), (Origin::Here, old));
        drop(opened);
        assert_eq!(adopt(&moved, Arrival::Moved).unwrap(), Origin::Here);
    }
}

#[test]
fn a_copy_of_a_store_that_was_open_is_not_taken_for_moved() {
    let parent = tempfile::tempdir().unwrap();
    let (data, moved) = (parent.path().join("data"), parent.path().join("moved"));
    let running = fill(&data);
    copy_directory(&data, &moved);
    let error = adopt(&moved, Arrival::Moved).expect_err("the original goes on");
    assert!(matches!(error, AdoptError::NotClosed { .. }), "{error}");
    assert!(error.to_string().contains("stop the server"), "{error}");
    check_restored(&moved, running.epoch());
}

/// A snapshot of a whole disk brings back the files themselves, so only its operator knows.
#[test]
fn what_is_said_to_be_restored_has_a_new_epoch() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let old = fill(&data).epoch();
    assert_eq!(adopt(&data, Arrival::Restored).unwrap(), Origin::Here);
    // Saying it twice is saying it once.
    assert_eq!(adopt(&data, Arrival::Restored).unwrap(), Origin::Copied);
    check_restored(&data, old);
}

#[test]
fn a_directory_without_a_store_or_in_use_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    for arrival in [Arrival::Moved, Arrival::Restored] {
        let error = adopt(parent.path(), arrival).expect_err("nothing is there");
        assert!(matches!(error, AdoptError::NoStore { .. }), "{error}");
    }
    assert_eq!(parent.path().read_dir().unwrap().count(), 0, "nothing was made");
    let data = parent.path().join("data");
    let running = fill(&data);
    let error = adopt(&data, Arrival::Restored).expect_err("it is in use");
    assert!(matches!(error, AdoptError::Open(OpenError::Locked { .. })), "{error}");
    drop(running);
}
