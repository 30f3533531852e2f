//! What an operator knows about a data directory and the store cannot: that a copy is a move to
//! another disk, or that what looks untouched was put back from a snapshot of the whole disk.

use std::path::Path;

use super::disk::{Disk, RealDisk};
use super::error::{OpenError, Origin};
use super::meta::{Found, Left, Meta};

/// How a data directory came to be where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its server was stopped, it was copied, and the original is not used again: offsets go on in
    /// the same epoch.
    Moved,
    /// It is as it was some time ago: the next start begins a new epoch.
    Restored,
}

/// Why that could not be noted. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// There is no store.
    #[error("there is no store in {directory}: name the directory that has META and log in it")]
    NoStore {
        /// Which directory.
        directory: String,
    },
    /// The server had not stopped when the directory was copied.
    #[error(
        "the store in {directory} was not closed when it was copied, so more may have been written to the original: stop the server there and copy again, or start it here as it is, in a new epoch"
    )]
    NotClosed {
        /// Which directory.
        directory: String,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Notes how the store in a directory came there, before a server starts on it. Returns what it
/// looked like.
///
/// # Errors
///
/// [`AdoptError`], also if a server has it open.
pub fn adopt(directory: &Path, arrival: Arrival) -> Result<Origin, AdoptError> {
    if !Meta::exists(directory) {
        return Err(AdoptError::NoStore { directory: directory.display().to_string() });
    }
    let disk = RealDisk::open(directory)?;
    let outcome = note(&disk, arrival);
    disk.release();
    outcome
}

fn note(disk: &dyn Disk, arrival: Arrival) -> Result<Origin, AdoptError> {
    let Found { meta, origin } = Meta::load(disk)?;
    let saved = match (arrival, origin) {
        (Arrival::Moved, Origin::Here | Origin::Unknown) => Ok(()),
        (Arrival::Moved, Origin::Copied) => match meta.left {
            Left::Closed(_) => meta.save(disk),
            Left::Open => return Err(AdoptError::NotClosed { directory: disk.place() }),
        },
        (Arrival::Restored, Origin::Here | Origin::Copied | Origin::Unknown) => {
            meta.save_as_copy(disk)
        }
    };
    saved.map_err(|source| {
        let path = disk.place();
        AdoptError::Open(OpenError::Io { operation: "write META of", path, source })
    })?;
    Ok(origin)
}
