//! `--output FILE`: every message once in a file, also when the subscriber is killed.
//!
//! Beside FILE lies FILE.position. It says how long FILE is up to and including a message, and
//! that message's position. The order makes it exact: append to FILE, write FILE.position,
//! acknowledge. A subscriber that is killed between the first two finds FILE too long and cuts
//! it; one killed between the last two gets messages again whose position it has recorded, and
//! drops them.
//!
//! FILE.position is one write of one page at most, which a kill cannot tear. Replacing it by
//! rename would survive more, but costs 2 ms on ext4 (it then writes the file out at once), for
//! every batch of messages. Nothing is synced to disk either: the pair survives a kill of the
//! process, not a power cut.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tidings_core::{Offset, Position, SubscriptionName, Topic};

/// A file that gets every message once.
#[derive(Debug)]
pub(crate) struct OutputFile {
    file: File,
    path: PathBuf,
    sidecar: File,
    sidecar_path: PathBuf,
    record: Record,
    place: Option<Position>,
    length: u64,
}

/// Length of FILE.position. A record is padded to it, so that a write replaces the whole file.
/// Names have at most 255 and 128 bytes, and JSON at most doubles them.
const RECORD_BYTES: usize = 1024;

/// What FILE.position holds, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    topic: String,
    durable: Option<String>,
    epoch: Option<String>,
    offset: u64,
    length: u64,
}

impl OutputFile {
    /// Opens or makes the file and takes up where its record says. What was written after the
    /// record is cut off: it will be delivered again.
    pub(crate) fn open(
        path: &Path,
        topic: &Topic,
        durable: Option<&SubscriptionName>,
    ) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        lock(&file, path)?;
        let sidecar_path = beside(path, ".position");
        let found = file.metadata()?.len();
        let fresh = Record {
            topic: topic.to_string(),
            durable: durable.map(ToString::to_string),
            epoch: None,
            offset: 0,
            length: found,
        };
        let mut sidecar = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&sidecar_path)
            .with_context(|| format!("cannot open {}", sidecar_path.display()))?;
        let damaged = || format!("{} is damaged; remove it to start over", sidecar_path.display());
        let record = read_record(&mut sidecar).with_context(damaged)?;
        let record = record.unwrap_or_else(|| fresh.clone());
        ensure!(
            (&record.topic, &record.durable) == (&fresh.topic, &fresh.durable),
            "{} belongs to {}: choose another --output, or remove {} to start over after what is there",
            path.display(),
            describe(&record),
            sidecar_path.display(),
        );
        ensure!(
            found >= record.length,
            "{} has {found} bytes, but {} were written: it was changed; remove {} to start over after what is there",
            path.display(),
            record.length,
            sidecar_path.display(),
        );
        if found > record.length {
            let cut = found - record.length;
            eprintln!("{}: cut {cut} bytes that an earlier run had not recorded", path.display());
            file.set_len(record.length)?;
        }
        let place = place_of(&record).with_context(damaged)?;
        let mut output = Self {
            file,
            path: path.to_owned(),
            sidecar,
            length: record.length,
            sidecar_path,
            record,
            place,
        };
        // From here on there is a record, so that a first write cut short by a kill is cut off.
        output.save()?;
        Ok(output)
    }

    /// The position of the last message in the file.
    pub(crate) const fn place(&self) -> Option<Position> {
        self.place
    }

    /// Whether the message at `position` is in the file already.
    pub(crate) fn has(&self, position: Position) -> bool {
        self.place.is_some_and(|at| at.epoch == position.epoch && position.offset <= at.offset)
    }

    /// Appends `lines`, of which `last` is the last message's position. After this returns they
    /// may be acknowledged.
    pub(crate) fn append(&mut self, lines: &[u8], last: Position) -> anyhow::Result<()> {
        self.file
            .write_all(lines)
            .with_context(|| format!("cannot write to {}", self.path.display()))?;
        self.length += lines.len() as u64;
        self.place = Some(last);
        self.save()
    }

    fn save(&mut self) -> anyhow::Result<()> {
        self.record.epoch = self.place.map(|place| place.epoch.to_string());
        self.record.offset = self.place.map_or(0, |place| place.offset.get());
        self.record.length = self.length;
        let mut text = serde_json::to_vec(&self.record)?;
        text.resize(RECORD_BYTES - 1, b' ');
        text.push(b'\n');
        self.sidecar
            .write_all_at(&text, 0)
            .with_context(|| format!("cannot write {}", self.sidecar_path.display()))
    }
}

fn lock(file: &File, path: &Path) -> anyhow::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            bail!("another subscriber writes to {}; choose another --output", path.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// The record; `None` if the file is new, or was made by a subscriber killed right after.
fn read_record(sidecar: &mut File) -> anyhow::Result<Option<Record>> {
    let mut text = String::new();
    sidecar.read_to_string(&mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&text)?))
}

fn place_of(record: &Record) -> anyhow::Result<Option<Position>> {
    let Some(epoch) = &record.epoch else { return Ok(None) };
    Ok(Some(Position { epoch: epoch.parse()?, offset: Offset::new(record.offset) }))
}

fn describe(record: &Record) -> String {
    match &record.durable {
        Some(name) => format!("topic {} with --durable {name}", record.topic),
        None => format!("topic {} without --durable", record.topic),
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::Epoch;

    use super::*;

    fn open(path: &Path) -> anyhow::Result<OutputFile> {
        let name = SubscriptionName::parse("phone").unwrap();
        OutputFile::open(path, &Topic::parse("room/42").unwrap(), Some(&name))
    }

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch::new(7), offset: Offset::new(offset) }
    }

    #[test]
    fn goes_on_where_it_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut output = open(&path).unwrap();
        assert_eq!(output.place(), None);
        output.append(b"one\ntwo\n", at(2)).unwrap();
        drop(output);
        let mut output = open(&path).unwrap();
        assert_eq!(output.place(), Some(at(2)));
        assert!(output.has(at(2)) && output.has(at(1)) && !output.has(at(3)));
        output.append(b"three\n", at(3)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
    }

    #[test]
    fn what_was_written_but_not_recorded_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        std::fs::write(&path, b"before\n").unwrap();
        drop(open(&path).unwrap());
        // A kill after the first write and before its record.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"one\ntw").unwrap();
        let mut output = open(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"before\n");
        output.append(b"one\n", at(1)).unwrap();
        drop(output);
        drop(open(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"before\none\n");
        // A kill between making the record's file and writing it.
        File::create(beside(&path, ".position")).unwrap();
        assert_eq!(open(&path).unwrap().place(), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"before\none\n");
    }

    #[test]
    fn the_longest_names_fit_the_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let topic = Topic::parse(&"\\".repeat(255)).unwrap();
        let name = SubscriptionName::parse(&"\"".repeat(128)).unwrap();
        let last = Position { epoch: Epoch::new(u64::MAX), offset: Offset::new(u64::MAX) };
        let mut output = OutputFile::open(&path, &topic, Some(&name)).unwrap();
        output.append(b"x\n", last).unwrap();
        drop(output);
        assert_eq!(OutputFile::open(&path, &topic, Some(&name)).unwrap().place(), Some(last));
    }

    #[test]
    fn another_epoch_is_another_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut output = open(&directory.path().join("out")).unwrap();
        output.append(b"one\n", at(9)).unwrap();
        let rebuilt = Position { epoch: Epoch::new(8), offset: Offset::new(1) };
        assert!(!output.has(rebuilt));
    }

    #[test]
    fn refuses_what_would_mix_or_lose() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut output = open(&path).unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("another subscriber writes"));
        output.append(b"one\n", at(1)).unwrap();
        drop(output);
        let other = Topic::parse("room/43").unwrap();
        let error = OutputFile::open(&path, &other, None).unwrap_err().to_string();
        assert!(error.contains("belongs to topic room/42 with --durable phone"), "{error}");
        File::create(&path).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("has 0 bytes, but 4 were written"), "{error}");
        std::fs::write(beside(&path, ".position"), "{").unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("is damaged"));
    }
}
