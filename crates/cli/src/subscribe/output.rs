//! `--output FILE`: every message once in a file, also when the subscriber is killed.
//!
//! Beside FILE lies FILE.position. It says how long FILE is up to and including a message, and
//! that message's position. The order makes it exact: append to FILE, replace FILE.position by
//! rename, acknowledge. A subscriber that is killed between the first two finds FILE too long and
//! cuts it; one killed between the last two gets messages again whose position it has recorded,
//! and drops them.
//!
//! Nothing is synced to disk: the file survives a kill of the process, not a power cut.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tidings_core::{Offset, Position, SubscriptionName, Topic};

/// A file that gets every message once.
#[derive(Debug)]
pub(crate) struct OutputFile {
    file: File,
    path: PathBuf,
    sidecar: PathBuf,
    /// The next sidecar while it is written.
    draft: PathBuf,
    record: Record,
    place: Option<Position>,
    length: u64,
}

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
        let (sidecar, draft) = (beside(path, ".position"), beside(path, ".position.new"));
        let found = file.metadata()?.len();
        let fresh = Record {
            topic: topic.to_string(),
            durable: durable.map(ToString::to_string),
            epoch: None,
            offset: 0,
            length: found,
        };
        let record = match read_record(&sidecar)? {
            Some(record) => record,
            None => fresh.clone(),
        };
        ensure!(
            (&record.topic, &record.durable) == (&fresh.topic, &fresh.durable),
            "{} belongs to {}: choose another --output, or remove {} to start over after what is there",
            path.display(),
            describe(&record),
            sidecar.display(),
        );
        ensure!(
            found >= record.length,
            "{} has {found} bytes, but {} were written: it was changed; remove {} to start over after what is there",
            path.display(),
            record.length,
            sidecar.display(),
        );
        file.set_len(record.length)?;
        let place = place_of(&record).with_context(|| {
            format!("{} is damaged; remove it to start over", sidecar.display())
        })?;
        let mut output = Self {
            file,
            path: path.to_owned(),
            sidecar,
            draft,
            length: record.length,
            record,
            place,
        };
        output.file.seek(SeekFrom::End(0))?;
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
        let text = format!("{}\n", serde_json::to_string(&self.record)?);
        std::fs::write(&self.draft, text)
            .and_then(|()| std::fs::rename(&self.draft, &self.sidecar))
            .with_context(|| format!("cannot write {}", self.sidecar.display()))
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

fn read_record(sidecar: &Path) -> anyhow::Result<Option<Record>> {
    let text = match std::fs::read_to_string(sidecar) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", sidecar.display()));
        }
    };
    serde_json::from_str(&text)
        .map(Some)
        .with_context(|| format!("{} is damaged; remove it to start over", sidecar.display()))
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
        // A kill while the next record is written.
        std::fs::write(beside(&path, ".position.new"), b"{\"topic\":\"ro").unwrap();
        drop(open(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"before\none\n");
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
