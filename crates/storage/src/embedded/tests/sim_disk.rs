//! A disk in memory that remembers what is synced: it can lose the power, fail, and be full.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::embedded::disk::{Disk, DiskFile, FileIdentity};

/// Writes that are not synced are kept or lost in units of this.
const SECTOR: usize = 512;

/// Numbers from a seed (xorshift64*).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// What goes wrong with operations of the writer's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Write,
    Sync,
}

#[derive(Clone)]
pub(super) struct SimDisk(Arc<Mutex<Inner>>);

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SimDisk").field(&self.names()).finish()
    }
}

#[derive(Clone, Default)]
struct Inner {
    files: Vec<FileState>,
    names: BTreeMap<String, usize>,
    /// The names as they were after each change since they were last synced, oldest first.
    unsynced_names: Vec<BTreeMap<String, usize>>,
    synced_names: BTreeMap<String, usize>,
    capacity: Option<u64>,
    /// Which operation fails, after how many more that do not.
    fault: Option<(Fault, u32)>,
    boot: u64,
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
    fn fails(&mut self, fault: Fault) -> bool {
        let is_writer = std::thread::current().name() == Some("tidings-log");
        match &mut self.fault {
            Some((kind, left)) if *kind == fault && is_writer => {
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
}

impl SimDisk {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// A disk with the same contents, as if everything had been synced, in the same start of the
    /// machine: what a process finds that is started after another was killed.
    pub(super) fn after_kill(&self) -> Self {
        let mut inner = self.lock().clone();
        inner.fault = None;
        for file in &mut inner.files {
            file.pending.clear();
            file.synced.clone_from(&file.current);
        }
        inner.unsynced_names.clear();
        inner.synced_names.clone_from(&inner.names);
        Self(Arc::new(Mutex::new(inner)))
    }

    /// A disk with what is left of this one after the power is lost now.
    pub(super) fn after_power_loss(&self, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut inner = self.lock().clone();
        inner.fault = None;
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
    pub(super) fn copied(&self) -> Self {
        let mut inner = self.after_kill().lock().clone();
        // Files are told apart by their numbers, so that copies must have others.
        let files = std::mem::take(&mut inner.files);
        let shift = files.len();
        inner.files = vec![FileState::default(); shift];
        inner.files.extend(files);
        inner.names.values_mut().for_each(|file| *file += shift);
        inner.synced_names.clone_from(&inner.names);
        Self(Arc::new(Mutex::new(inner)))
    }

    pub(super) fn set_fault(&self, fault: Fault, after: u32) {
        self.lock().fault = Some((fault, after));
    }

    pub(super) fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = Some(bytes);
    }

    pub(super) fn used(&self) -> u64 {
        self.lock().used()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    pub(super) fn contents(&self, name: &str) -> Vec<u8> {
        let inner = self.lock();
        inner.files[inner.names[name]].current.clone()
    }

    /// Changes a file behind the store's back.
    pub(super) fn set_contents(&self, name: &str, bytes: Vec<u8>) {
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

    pub(super) fn delete(&self, name: &str) {
        let mut inner = self.lock();
        inner.names.remove(name);
        inner.synced_names.remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Disk for SimDisk {
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
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.files.push(FileState::default());
        let file = inner.files.len() - 1;
        inner.names.insert(name.to_owned(), file);
        inner.note_names();
        drop(inner);
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let file = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), file);
        inner.note_names();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.note_names();
        Ok(())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.synced_names = inner.names.clone();
        inner.unsynced_names.clear();
        Ok(())
    }

    fn boot(&self) -> String {
        self.lock().boot.to_string()
    }

    fn release(&self) {}
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl DiskFile for SimFile {
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
        if inner.fails(Fault::Write) {
            return Err(io::Error::other("a simulated write error"));
        }
        let position = position as usize;
        let length = inner.files[self.file].current.len();
        let grows = (position + bytes.len()).saturating_sub(length) as u64;
        if inner.capacity.is_some_and(|capacity| inner.used() + grows > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = &mut inner.files[self.file];
        FileState::write(&mut file.current, position, bytes);
        file.pending.push((position, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        if inner.fails(Fault::Sync) {
            // As Linux does: what could not be written is forgotten, and the next sync succeeds.
            inner.files[self.file].pending.clear();
            return Err(io::Error::other("a simulated sync error"));
        }
        inner.files[self.file].sync();
        Ok(())
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        Ok(Some(FileIdentity { number: self.file as u64, made_at: 1 }))
    }
}
