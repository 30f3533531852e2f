//! Why a store does not open, and what recovery found.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a store does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error(
        "another server has the store in {directory} open: stop it, or give this one another directory"
    )]
    Locked {
        /// Which directory.
        directory: String,
    },
    /// A file operation failed.
    #[error("could not {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file or directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The files are of a format this program does not know.
    #[error(
        "the store in {directory} has format {found}, this program reads up to {known}: use a newer one"
    )]
    Version {
        /// Which directory.
        directory: String,
        /// The format of the files.
        found: u32,
        /// The newest format this program reads.
        known: u32,
    },
    /// Both copies of the store's identity are missing or damaged, so no record can be verified.
    #[error(
        "META and META.copy in {directory} are damaged or missing although there is a log: restore one of them from a backup"
    )]
    Identity {
        /// Which directory.
        directory: String,
    },
    /// The log was not written with this META.
    #[error(
        "{file} in {directory} belongs to another store than META: restore the two from the same backup"
    )]
    OtherStore {
        /// Which directory.
        directory: String,
        /// A segment of the other store.
        file: String,
    },
    /// No checkpoint is whole, and the segments before it are gone.
    #[error(
        "no checkpoint in {directory} is whole, and the log before it is gone: restore the directory from a backup"
    )]
    Checkpoint {
        /// Which directory.
        directory: String,
    },
    /// The configuration makes no sense.
    #[error("the store's configuration: {reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.display().to_string(), source }
    }
}

/// Bytes of the log that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, relative to the store's directory.
    pub file: String,
    /// Where in it, bytes.
    pub position: u64,
    /// How many bytes could not be used.
    pub bytes: u64,
    /// How many records are lost with them.
    pub records: u64,
}

/// Whether a store is where it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// In the files that it was written to, or new.
    #[default]
    Here,
    /// In copies of them: what was written to the originals since is not in it.
    Copied,
    /// The file system that it was written on does not say when files were made, so it cannot be
    /// told.
    Unknown,
}

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Messages kept.
    pub messages: u64,
    /// Topics that have a log.
    pub topics: u64,
    /// Segments of the log that were read, after the checkpoint.
    pub segments_read: u64,
    /// Bytes of an unfinished last batch, cut off. They had not been acknowledged.
    pub cut_bytes: u64,
    /// Damaged places, at most [`Recovered::DAMAGE_MAX`] of them.
    pub damage: Vec<Damage>,
    /// Records lost to damage in all.
    pub damaged_records: u64,
    /// Checkpoints that were damaged and passed over.
    pub damaged_checkpoints: u64,
    /// Whether the store had not been closed properly.
    pub unclean: bool,
    /// Whether the store is a copy. A copy has a new epoch: its next offsets may have been given to
    /// other messages in the original.
    pub origin: Origin,
    /// How long it took.
    pub duration: Duration,
}

impl Recovered {
    /// Damaged places that are listed one by one; the rest is only counted.
    pub const DAMAGE_MAX: usize = 100;

    pub(crate) fn note(&mut self, damage: Damage) {
        self.damaged_records += damage.records;
        if self.damage.len() < Self::DAMAGE_MAX {
            self.damage.push(damage);
        }
    }
}
