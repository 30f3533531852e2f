//! Directories as operators meet them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{PolicyTable, Topic};
use tidings_storage::conformance::Recorder;
use tidings_storage::{
    EmbeddedConfig, EmbeddedStore, OpenError, Recovered, Store, Submission, Ticket, Write,
};

fn config(directory: &Path) -> EmbeddedConfig {
    EmbeddedConfig { segment_bytes: 1024 * 1024, ..EmbeddedConfig::new(directory) }
}

fn open(directory: &Path) -> Result<(EmbeddedStore, Recovered), OpenError> {
    let observer = Arc::new(Recorder::default());
    EmbeddedStore::open(&config(directory), Arc::new(PolicyTable::default()), observer)
}

#[test]
fn a_second_server_is_refused_and_told_why() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(directory.path()).unwrap();
    let error = open(directory.path()).expect_err("it is open already");
    let text = error.to_string();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(text.contains(&directory.path().display().to_string()), "{text}");
    assert!(text.contains("another server"), "{text}");
    drop(store);
    open(directory.path()).unwrap();
}

#[test]
fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;

    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new/store");
    let (store, _) = open(&directory).unwrap();
    drop(store);
    let mut files = 0;
    let mut left = vec![directory];
    while let Some(path) = left.pop() {
        let mode = path.metadata().unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}", path.display());
        files += u32::from(path.is_file());
        if path.is_dir() {
            left.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(files >= 4, "{files}");
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a store").unwrap();
    let error = open(&file).expect_err("it is a file");
    assert!(error.to_string().contains("file"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a store");
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let small = EmbeddedConfig { segment_bytes: 1000, ..config(directory.path()) };
    let tight = EmbeddedConfig { log_bytes_max: 1024 * 1024, ..config(directory.path()) };
    for config in [small, tight] {
        let observer = Arc::new(Recorder::default());
        let error = EmbeddedStore::open(&config, Arc::default(), observer).expect_err("refused");
        assert!(matches!(error, OpenError::Config { .. }), "{error}");
    }
}

/// A directory copied while the server runs is what a kill leaves behind.
#[test]
fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let observer = Arc::clone(&recorder);
    let (store, _) =
        EmbeddedStore::open(&config(directory.path()), Arc::default(), observer).unwrap();
    for tag in 0..500 {
        let message = tidings_core::NewMessage::new(
            Topic::parse("a").unwrap(),
            tidings_core::Data::binary(bytes::Bytes::from(vec![tag as u8; 1000])),
        );
        let write =
            Write::Publish { message, durability: tidings_core::Durability::Sync, id: None };
        let ticket = Some(Ticket { lane: 0, tag });
        store.submit(vec![Submission { write, ticket }]).unwrap();
    }
    recorder.outcome(499);
    let copy = tempfile::tempdir().unwrap();
    copy_directory(directory.path(), copy.path());
    let (copied, recovered) = open(copy.path()).unwrap();
    assert!(recovered.unclean);
    assert_eq!((recovered.messages, recovered.topics), (500, 1));
    assert_eq!(recovered.damage, []);
    assert!(recovered.duration < Duration::from_secs(30));
    assert_eq!(copied.topic_state(&Topic::parse("a").unwrap()).head.get(), 500);
}

/// Copies what is in a directory, with what is below it. Where a store works in it, a file may be
/// gone by its turn, as a segment is that was being prepared and has its name now.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a temporary directory is writable");
    for entry in from.read_dir().expect("the directory is there") {
        let entry = entry.expect("the directory can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            match std::fs::copy(entry.path(), target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => {
                    copied.expect("a temporary directory is writable");
                }
            }
        }
    }
}
