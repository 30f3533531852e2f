//! A disk in memory that remembers what is synced: it can lose the power, fail, and be full.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::embedded::disk::{Disk, DiskFile, FileIdentity};

/// Writes that are not synced are kept or lost in units of this.
const SECTOR: usize = 512;

/// Numbers from a seed (xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Writing to a file.
    Write,
    /// Syncing a file.
    Sync,
}

/// A way in which a disk breaks its word: to show that whoever relies on it notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskLie {
    /// A sync of a file says that it is done, and does nothing.
    SyncsNothing,
    /// A sync that fails says that it is done.
    HidesFailedSyncs,
    /// Creations, renames and removals are never made to last.
    ForgetsNames,
}

/// Whose operations fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Failing {
    /// Those of the store's writer, which has a thread of its own.
    #[default]
    Writer,
    /// Everybody's: there are no threads.
    Everybody,
}

/// How far the process gets that uses the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Lasting,
    /// It ends in the operation after so many more.
    EndsAfter(u32),
    Ended,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Mutex<Inner>>);

impl std::fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SimulatedDisk").field(&self.names()).finish()
    }
}

#[derive(Clone)]
struct Inner {
    files: Vec<FileState>,
    names: BTreeMap<String, usize>,
    /// The names as they were after each change since they were last synced, oldest first.
    unsynced_names: Vec<BTreeMap<String, usize>>,
    synced_names: BTreeMap<String, usize>,
    capacity: Option<u64>,
    /// Which operation fails, after how many more that do not.
    fault: Option<(DiskFault, u32)>,
    failing: Failing,
    lie: Option<DiskLie>,
    life: Life,
    boot: u64,
    random: Random,
}

#[derive(Clone, Default)]
struct FileState {
    current: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

impl FileState {
    fn write(bytes: &mut Vec<u8>, position: usize, data: &[u8]) {
        if bytes.len() < position + data.len() {
            bytes.resize(position + data.len(), 0);
        }
        bytes[position..position + data.len()].copy_from_slice(data);
    }

    fn sync(&mut self) {
        for (position, data) in self.pending.drain(..) {
            Self::write(&mut self.synced, position, &data);
        }
    }

    /// What is left after the power was lost: of each write that was not synced nothing, all, or
    /// any of its sectors.
    fn lose_power(&mut self, random: &mut Random) {
        for (position, data) in std::mem::take(&mut self.pending) {
            match random.below(3) {
                0 => {}
                1 => Self::write(&mut self.synced, position, &data),
                _ => {
                    let mut start = 0;
                    while start < data.len() {
                        let to_boundary = SECTOR - (position + start) % SECTOR;
                        let end = (start + to_boundary).min(data.len());
                        if random.below(2) == 0 {
                            Self::write(&mut self.synced, position + start, &data[start..end]);
                        }
                        start = end;
                    }
                }
            }
        }
        self.current.clone_from(&self.synced);
    }
}

impl Inner {
    fn note_names(&mut self) {
        self.unsynced_names.push(self.names.clone());
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].current.len() as u64).sum()
    }

    /// Whether this operation is the one to fail.
    fn fails(&mut self, fault: DiskFault) -> bool {
        let concerned = match self.failing {
            Failing::Writer => std::thread::current().name() == Some("tidings-log"),
            Failing::Everybody => true,
        };
        match &mut self.fault {
            Some((kind, left)) if *kind == fault && concerned => {
                if *left == 0 {
                    self.fault = None;
                    return true;
                }
                *left -= 1;
                false
            }
            Some(_) | None => false,
        }
    }

    /// Counts an operation that changes something. The last one of a process still happens, but
    /// nobody hears of it.
    fn begin(&mut self) -> io::Result<Last> {
        match self.life {
            Life::Lasting => Ok(Last::No),
            Life::EndsAfter(0) => {
                self.life = Life::Ended;
                Ok(Last::Yes)
            }
            Life::EndsAfter(left) => {
                self.life = Life::EndsAfter(left - 1);
                Ok(Last::No)
            }
            Life::Ended => Err(io::Error::other("the process has ended")),
        }
    }
}

/// Whether a process ends with this operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    No,
    Yes,
}

impl Last {
    fn heard(self) -> io::Result<()> {
        match self {
            Self::No => Ok(()),
            Self::Yes => Err(io::Error::other("the process ends")),
        }
    }
}

impl SimulatedDisk {
    /// An empty disk. What a store on it draws at random comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            files: Vec::new(),
            names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            synced_names: BTreeMap::new(),
            capacity: None,
            fault: None,
            failing: Failing::Writer,
            lie: None,
            life: Life::Lasting,
            boot: 0,
            random: Random::new(seed),
        })))
    }

    /// What a process finds that is started after another was killed, in the same start of the
    /// machine: everything that was written. What was not synced can still be lost with the power.
    pub fn after_kill(&self) -> Self {
        let mut inner = self.lock().clone();
        inner.fault = None;
        inner.life = Life::Lasting;
        Self(Arc::new(Mutex::new(inner)))
    }

    /// A disk with what is left of this one after the power is lost now.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut inner = self.lock().clone();
        inner.fault = None;
        inner.life = Life::Lasting;
        inner.boot += 1;
        // Journals keep the order of changes to names: some prefix of them has happened.
        let kept = random.below(inner.unsynced_names.len() + 1);
        let names = match kept {
            0 => inner.synced_names.clone(),
            _ => inner.unsynced_names[kept - 1].clone(),
        };
        inner.names.clone_from(&names);
        inner.synced_names = names;
        inner.unsynced_names.clear();
        for file in &mut inner.files {
            file.lose_power(&mut random);
        }
        Self(Arc::new(Mutex::new(inner)))
    }

    /// A copy of all files as they are, made by another program.
    #[cfg(test)]
    pub(crate) fn copied(&self) -> Self {
        let mut inner = self.after_kill().lock().clone();
        // Files are told apart by their numbers, so that copies must have others.
        let files = std::mem::take(&mut inner.files);
        let shift = files.len();
        inner.files = vec![FileState::default(); shift];
        inner.files.extend(files.into_iter().map(|file| {
            let synced = file.current.clone();
            FileState { synced, pending: Vec::new(), ..file }
        }));
        inner.names.values_mut().for_each(|file| *file += shift);
        inner.unsynced_names.clear();
        inner.synced_names.clone_from(&inner.names);
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Lets the operation fail that comes after `after` others of its kind.
    pub fn set_fault(&self, fault: DiskFault, after: u32) {
        self.lock().fault = Some((fault, after));
    }

    /// Lets no operation fail that has not failed yet.
    pub fn clear_fault(&self) {
        self.lock().fault = None;
    }

    /// From now on the operations of all threads can fail, not only those of the store's writer.
    pub(crate) fn fail_everybody(&self) {
        self.lock().failing = Failing::Everybody;
    }

    /// Breaks its word from now on.
    pub fn set_lie(&self, lie: DiskLie) {
        self.lock().lie = Some(lie);
    }

    /// How large it is; without this call it is never full.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = Some(bytes);
    }

    /// The process that uses it ends in the operation after `operations` more that change
    /// something: that one still happens, as far as the power lasts, and no later one.
    pub fn end_after(&self, operations: u32) {
        self.lock().life = Life::EndsAfter(operations);
    }

    /// Whether the process has ended.
    pub fn has_ended(&self) -> bool {
        self.lock().life == Life::Ended
    }

    /// How many bytes its files have.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Its files.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    /// What a file holds; nothing if there is none with this name.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let inner = self.lock();
        inner.names.get(name).map_or_else(Vec::new, |file| inner.files[*file].current.clone())
    }

    /// Changes a file behind the store's back.
    pub fn set_contents(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let file = *inner.names.entry(name.to_owned()).or_insert_with(|| {
            inner.files.push(FileState::default());
            inner.files.len() - 1
        });
        inner.synced_names.clone_from(&inner.names);
        inner.files[file] =
            FileState { current: bytes.clone(), synced: bytes, pending: Vec::new() };
    }

    /// Removes a file behind the store's back.
    pub fn delete(&self, name: &str) {
        let mut inner = self.lock();
        inner.names.remove(name);
        inner.synced_names = inner.names.clone();
        inner.unsynced_names.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in this file panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimulatedDisk {
    fn place(&self) -> String {
        "the simulated disk".to_owned()
    }

    fn make_dir(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{dir}/");
        let inner = self.lock();
        Ok(inner.names.keys().filter_map(|n| n.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock();
        let last = inner.begin()?;
        inner.files.push(FileState::default());
        let file = inner.files.len() - 1;
        inner.names.insert(name.to_owned(), file);
        inner.note_names();
        drop(inner);
        last.heard()?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let last = inner.begin()?;
        let file = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), file);
        inner.note_names();
        last.heard()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let last = inner.begin()?;
        inner.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.note_names();
        last.heard()
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.begin()?.heard()?;
        if inner.lie != Some(DiskLie::ForgetsNames) {
            inner.synced_names = inner.names.clone();
            inner.unsynced_names.clear();
        }
        Ok(())
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let random = &mut self.lock().random;
        bytes.fill_with(|| random.next().to_be_bytes()[0]);
        Ok(())
    }

    fn boot(&self) -> String {
        self.lock().boot.to_string()
    }

    fn release(&self) {}
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].current.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let inner = self.disk.lock();
        let bytes = inner.files[self.file].current.get(position as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let last = inner.begin()?;
        if inner.fails(DiskFault::Write) {
            return Err(io::Error::other("a simulated write error"));
        }
        let position = usize::try_from(position).map_err(io::Error::other)?;
        let length = inner.files[self.file].current.len();
        let grows = (position + bytes.len()).saturating_sub(length) as u64;
        if inner.capacity.is_some_and(|capacity| inner.used() + grows > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = &mut inner.files[self.file];
        FileState::write(&mut file.current, position, bytes);
        file.pending.push((position, bytes.to_vec()));
        last.heard()
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        // The power may go while it works: then what was to be synced is kept or not.
        inner.begin()?.heard()?;
        if inner.fails(DiskFault::Sync) {
            // As Linux does: what could not be written is forgotten, and the next sync succeeds.
            inner.files[self.file].pending.clear();
            return match inner.lie {
                Some(DiskLie::HidesFailedSyncs) => Ok(()),
                Some(DiskLie::SyncsNothing | DiskLie::ForgetsNames) | None => {
                    Err(io::Error::other("a simulated sync error"))
                }
            };
        }
        if inner.lie != Some(DiskLie::SyncsNothing) {
            inner.files[self.file].sync();
        }
        Ok(())
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        Ok(Some(FileIdentity { number: self.file as u64, made_at: 1 }))
    }
}
