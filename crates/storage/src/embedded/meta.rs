//! What a store is: its epoch, its secrets, and how it was left. Kept in two copies, because
//! without it no record can be verified.

use std::io;
use std::path::Path;

use tidings_core::Epoch;

use super::batch::{LOG_DIR, LogEnd, Salt, put_log_end, read_log_end};
use super::disk::{self, Disk, FileIdentity};
use super::error::{OpenError, Origin};
use crate::codec::{Malformed, Put, Reader};
use crate::hash::HashSecret;

/// The newest format this program writes and reads.
pub(crate) const FORMAT: u32 = 1;

const MAGIC: &[u8; 16] = b"tidings-meta\n\0\0\0";
const NAMES: [&str; 2] = ["META", "META.copy"];
const BYTES_MAX: usize = 4096;

/// How the last process left the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Everything was synced and told, and the log ends here.
    Closed(LogEnd),
    /// It is open, or the process ended without closing it.
    Open,
}

/// A store's META as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) meta: Meta,
    pub(crate) origin: Origin,
}

/// What a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) epoch: Epoch,
    pub(crate) salt: Salt,
    pub(crate) secret: HashSecret,
    /// How often it was opened.
    pub(crate) lives: u64,
    pub(crate) left: Left,
    /// The start of the machine it was last opened in.
    pub(crate) boot: String,
}

impl Meta {
    /// Reads the store's identity, or draws a new one if there is no store yet.
    pub(crate) fn load(disk: &dyn Disk) -> Result<Found, OpenError> {
        let mut damaged = false;
        for name in NAMES {
            match read(disk, name) {
                Ok((bytes, identity)) => match Self::decode(&bytes) {
                    Ok(Ok((meta, written_to))) => {
                        return Ok(Found { meta, origin: origin(written_to, identity) });
                    }
                    Ok(Err(found)) => {
                        let directory = disk.place();
                        return Err(OpenError::Version { directory, found, known: FORMAT });
                    }
                    Err(Malformed) => damaged = true,
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let path = format!("{}/{name}", disk.place());
                    return Err(OpenError::Io { operation: "read", path, source });
                }
            }
        }
        let has_log = disk.list(LOG_DIR).is_ok_and(|names| !names.is_empty());
        if damaged || has_log {
            return Err(OpenError::Identity { directory: disk.place() });
        }
        let meta = Self::draw(disk).map_err(|source| OpenError::Io {
            operation: "draw random numbers for",
            path: disk.place(),
            source,
        })?;
        Ok(Found { meta, origin: Origin::Here })
    }

    /// Whether there is a store at all.
    pub(crate) fn exists(directory: &Path) -> bool {
        NAMES.iter().any(|name| directory.join(name).exists())
    }

    fn draw(disk: &dyn Disk) -> io::Result<Self> {
        let mut secret = [0; 16];
        disk.random(&mut secret)?;
        Ok(Self {
            epoch: Epoch::new(disk::random_u64(disk)?),
            salt: Salt(disk::random_u64(disk)?),
            secret: HashSecret(secret),
            lives: 0,
            left: Left::Closed(LogEnd::START),
            boot: String::new(),
        })
    }

    /// Writes both copies, one after the other, so that one of them is whole at any time. Each says
    /// which file it is, so that a store can tell that it was copied.
    pub(crate) fn save(&self, disk: &dyn Disk) -> io::Result<()> {
        for name in NAMES {
            disk::replace(disk, "", name, |file| Ok(self.encode(file.identity()?)))?;
        }
        Ok(())
    }

    /// As [`save`](Self::save), but so that it is taken for a copy.
    pub(crate) fn save_as_copy(&self, disk: &dyn Disk) -> io::Result<()> {
        // No file has number 0.
        let nowhere = FileIdentity { number: 0, made_at: 1 };
        for name in NAMES {
            disk::replace(disk, "", name, |_| Ok(self.encode(Some(nowhere))))?;
        }
        Ok(())
    }

    fn encode(&self, written_to: Option<FileIdentity>) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(MAGIC);
        out.put_u32(FORMAT);
        out.put_u64(self.epoch.get());
        out.put_u64(self.salt.0);
        out.put(&self.secret.0);
        out.put_u64(self.lives);
        let (is_open, end) = match self.left {
            Left::Closed(end) => (0, end),
            Left::Open => (1, LogEnd::START),
        };
        out.put_u8(is_open);
        put_log_end(&mut out, end);
        let boot: String = self.boot.chars().take(60).collect();
        out.put_short_text(&boot);
        let FileIdentity { number, made_at } =
            written_to.unwrap_or(FileIdentity { number: 0, made_at: 0 });
        out.put_u64(number);
        out.put_u64(made_at);
        let sum = crc32c::crc32c(&out);
        out.put_u32(sum);
        out
    }

    /// What it says, and which file it was written to. The inner error is the version of a format
    /// this program does not know.
    fn decode(bytes: &[u8]) -> Result<Result<(Self, Option<FileIdentity>), u32>, Malformed> {
        let (fields, sum) = bytes.split_last_chunk::<4>().ok_or(Malformed)?;
        if u32::from_le_bytes(*sum) != crc32c::crc32c(fields) {
            return Err(Malformed);
        }
        let mut reader = Reader::new(fields);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(Malformed);
        }
        let format = reader.u32()?;
        if format != FORMAT {
            return Ok(Err(format));
        }
        let meta = Self {
            epoch: Epoch::new(reader.u64()?),
            salt: Salt(reader.u64()?),
            secret: HashSecret(reader.take(16)?.try_into().map_err(|_| Malformed)?),
            lives: reader.u64()?,
            left: match (reader.u8()?, read_log_end(&mut reader)?) {
                (0, end) => Left::Closed(end),
                (1, _) => Left::Open,
                _ => return Err(Malformed),
            },
            boot: reader.short_text()?.to_owned(),
        };
        // Those that end here are from before copies could be told.
        let written_to = if reader.is_at_end() {
            None
        } else {
            let identity = FileIdentity { number: reader.u64()?, made_at: reader.u64()? };
            Some(identity).filter(|identity| identity.made_at > 0)
        };
        reader.end()?;
        Ok(Ok((meta, written_to)))
    }
}

/// What is in a file, and which file it is.
fn read(disk: &dyn Disk, name: &str) -> io::Result<(Vec<u8>, Option<FileIdentity>)> {
    let file = disk.open(name)?;
    Ok((disk::read_up_to(file.as_ref(), 0, BYTES_MAX)?, file.identity()?))
}

/// Whether a META was written to the file it is in. One that does not say was written where that
/// cannot be told; one that does, and is where it cannot be told, was copied there.
fn origin(written_to: Option<FileIdentity>, is_in: Option<FileIdentity>) -> Origin {
    match written_to {
        None => Origin::Unknown,
        Some(_) if written_to == is_in => Origin::Here,
        Some(_) => Origin::Copied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::simulated_disk::SimulatedDisk;

    fn drawn() -> Meta {
        Meta::draw(&SimulatedDisk::new(1)).unwrap()
    }

    const FILE: Option<FileIdentity> = Some(FileIdentity { number: 7, made_at: 8 });

    #[test]
    fn reads_back_and_notices_every_flipped_bit() {
        let meta = Meta { lives: 3, left: Left::Open, boot: "b".into(), ..drawn() };
        let mut bytes = meta.encode(FILE);
        assert_eq!(Meta::decode(&bytes), Ok(Ok((meta, FILE))));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Meta::decode(&bytes), Err(Malformed), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    fn with_new_sum(mut bytes: Vec<u8>) -> Vec<u8> {
        let end = bytes.len() - 4;
        let sum = crc32c::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut bytes = drawn().encode(FILE);
        bytes[MAGIC.len()] = 9;
        assert_eq!(Meta::decode(&with_new_sum(bytes)), Ok(Err(9)));
    }

    #[test]
    fn one_that_does_not_say_where_it_was_written_is_read() {
        let meta = drawn();
        let mut bytes = meta.encode(FILE);
        bytes.truncate(bytes.len() - 16);
        assert_eq!(Meta::decode(&with_new_sum(bytes)), Ok(Ok((meta.clone(), None))));
        assert_eq!(Meta::decode(&meta.encode(None)), Ok(Ok((meta, None))));
    }

    #[test]
    fn a_copy_is_in_a_file_that_it_was_not_written_to() {
        let reused = Some(FileIdentity { number: 7, made_at: 9 });
        let same_tick = Some(FileIdentity { number: 6, made_at: 8 });
        for (written_to, is_in, expected) in [
            (FILE, FILE, Origin::Here),
            (FILE, reused, Origin::Copied),
            (FILE, same_tick, Origin::Copied),
            (FILE, None, Origin::Copied),
            (None, FILE, Origin::Unknown),
            (None, None, Origin::Unknown),
        ] {
            assert_eq!(origin(written_to, is_in), expected, "{written_to:?} in {is_in:?}");
        }
    }
}
