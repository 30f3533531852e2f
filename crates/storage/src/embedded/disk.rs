//! The file operations the log needs, behind a trait so that tests can cut the power, fail a sync
//! or fill the disk. Names are relative to the store's directory.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::error::OpenError;
use crate::fault_point::fault_point;

/// One directory of files.
pub(crate) trait Disk: Send + Sync + fmt::Debug {
    /// Where the directory is, for messages.
    fn place(&self) -> String;
    /// Makes a directory unless it exists.
    fn make_dir(&self, name: &str) -> io::Result<()>;
    /// The names of the files in a directory, in any order.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Makes an empty file for reading and writing, replacing one with this name.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, replacing a file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory last. `""` is the store's own.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// What changes with each start of the machine; empty if that is unknown.
    fn boot(&self) -> String;
    /// Fills `bytes` with numbers that nobody can guess.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;
    /// Lets another process open the directory.
    fn release(&self);
}

/// One open file. It stays usable when the file is renamed.
pub(crate) trait DiskFile: Send + Sync + fmt::Debug {
    /// How long it is, bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `buffer` from `position`; fewer bytes only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `position`.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Makes what was written last, with the length but without times (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// What tells it from its copies; nothing if the file system does not say.
    fn identity(&self) -> io::Result<Option<FileIdentity>>;
}

/// What a file keeps when it is renamed or its disk gets another name, and no copy of it has: when
/// it was made, which nobody can set. Its number is there for two made in one tick of the clock; by
/// itself it would say little, since numbers of removed files are given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    /// The inode.
    pub(crate) number: u64,
    /// Nanoseconds since 1970.
    pub(crate) made_at: u64,
}

/// A directory of the file system, locked against other servers.
#[derive(Debug)]
pub(crate) struct RealDisk {
    directory: PathBuf,
    /// Held for its lock, which the kernel gives back when the process ends, however it ends.
    lock: File,
}

impl RealDisk {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn open(directory: &Path) -> Result<Self, OpenError> {
        let failed = |operation| move |source| OpenError::io(operation, directory, source);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("create the directory"))?;
        let lock = options()
            .create(true)
            .truncate(false)
            .open(directory.join("LOCK"))
            .map_err(failed("open the lock file in"))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { directory: directory.to_owned(), lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(OpenError::Locked { directory: directory.display().to_string() })
            }
            Err(errno) => Err(failed("lock")(errno.into())),
        }
    }
}

/// Files hold people's messages: nobody but the server's user may read them.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl Disk for RealDisk {
    fn place(&self) -> String {
        self.directory.display().to_string()
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.directory.join(name))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.directory.join(dir).read_dir()? {
            // A name that is not UTF-8 is not one of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(options().open(self.directory.join(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.directory.join(name);
        Ok(Box::new(RealFile(options().create(true).truncate(true).open(path)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.directory.join(name))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.directory.join(dir))?.sync_all()
    }

    fn boot(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
    }

    fn release(&self) {
        // It cannot fail for a lock that is held, and ends with the process at the latest.
        let _ = rustix::fs::flock(&self.lock, rustix::fs::FlockOperation::Unlock);
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        let metadata = self.0.metadata()?;
        // File systems that do not keep it fail here, or say 1970.
        let made = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let made_at = made.and_then(|since| u64::try_from(since.as_nanos()).ok());
        let identity = |made_at| FileIdentity { number: metadata.ino(), made_at };
        Ok(made_at.filter(|at| *at > 0).map(identity))
    }
}

/// A number that nobody can guess.
pub(crate) fn random_u64(disk: &dyn Disk) -> io::Result<u64> {
    let mut bytes = [0; 8];
    disk.random(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Reads at most `count` bytes from `position`.
pub(crate) fn read_up_to(file: &dyn DiskFile, position: u64, count: usize) -> io::Result<Vec<u8>> {
    let left = file.len()?.saturating_sub(position);
    let mut bytes = vec![0; count.min(usize::try_from(left).unwrap_or(usize::MAX))];
    let read = file.read_at(&mut bytes, position)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes a small file so that after a crash there is either the old or the new one. What is in it
/// may depend on the file that it is written to.
pub(crate) fn replace(
    disk: &dyn Disk,
    dir: &str,
    name: &str,
    bytes: impl FnOnce(&dyn DiskFile) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let temporary = format!("{name}.new");
    let file = disk.create(&temporary)?;
    fault_point("meta-created");
    file.write_at(&bytes(file.as_ref())?, 0)?;
    fault_point("meta-written");
    file.sync()?;
    fault_point("meta-synced");
    disk.rename(&temporary, name)?;
    fault_point("meta-renamed");
    disk.sync_dir(dir)
}
