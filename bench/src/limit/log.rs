//! The bare log: one write and one sync for all publishes of a turn, then their answers.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::limit::frames::{self, Request};
use crate::limit::sockets::{Sockets, Work};
use crate::websocket::{self, Opcode};

/// A batch is committed at this size even in the middle of a turn; bounds its memory.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How a bare log is set up.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogOptions {
    /// The log; it must not exist yet
    #[arg(long)]
    file: PathBuf,
    /// Its size, MiB; it is written once in full, then over and over from the start
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..=65_536))]
    mebibytes: u64,
}

/// Creates a file of `bytes` zeros that are on the disk: later writes into it change no
/// metadata, so a sync has nothing but their data to write.
pub(crate) fn prewritten(path: &Path, bytes: u64) -> anyhow::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    let zeros = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(zeros.len() as u64);
        file.write_all(&zeros[..part as usize])
            .with_context(|| format!("cannot write {bytes} bytes to {}", path.display()))?;
        left -= part;
    }
    file.sync_all().with_context(|| format!("cannot sync {}", path.display()))?;
    Ok(file)
}

/// A publish that waits for its sync.
#[derive(Debug)]
struct Waiting {
    connection: usize,
    id: u64,
    offset: u64,
}

/// The file and who waits for it.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    file_bytes: u64,
    next_byte: u64,
    last_offset: u64,
    batch: Vec<u8>,
    waiting: Vec<Waiting>,
    text: Vec<u8>,
    answer: Vec<u8>,
}

impl Log {
    pub(crate) fn create(options: &LogOptions) -> anyhow::Result<Self> {
        let file_bytes = options.mebibytes << 20;
        Ok(Self {
            file: prewritten(&options.file, file_bytes)?,
            file_bytes,
            next_byte: 0,
            last_offset: 0,
            batch: Vec::new(),
            waiting: Vec::new(),
            text: Vec::new(),
            answer: Vec::new(),
        })
    }

    /// A record is what a reader would need at least: its length, its offset, the data.
    fn gather(&mut self, connection: usize, id: u64, data: &[u8]) {
        self.last_offset += 1;
        let length = u32::try_from(data.len()).expect("data lies in a read buffer of 256 KiB");
        self.batch.extend_from_slice(&length.to_le_bytes());
        self.batch.extend_from_slice(&self.last_offset.to_le_bytes());
        self.batch.extend_from_slice(data);
        self.waiting.push(Waiting { connection, id, offset: self.last_offset });
    }

    /// Answers only after the sync. If it fails the server ends: what was written is unknown.
    fn commit(&mut self, sockets: &mut Sockets) -> anyhow::Result<()> {
        let batch_bytes = self.batch.len() as u64;
        if self.next_byte + batch_bytes > self.file_bytes {
            self.next_byte = 0;
        }
        self.file.write_all_at(&self.batch, self.next_byte).context("cannot write the log")?;
        self.file.sync_data().context("cannot sync the log")?;
        self.next_byte += batch_bytes;
        self.batch.clear();
        self.answer_all(sockets);
        Ok(())
    }

    /// Publishes of one connection stand together, so their answers leave in one write.
    fn answer_all(&mut self, sockets: &mut Sockets) {
        let same = |a: &Waiting, b: &Waiting| a.connection == b.connection;
        for group in self.waiting.chunk_by(same) {
            self.answer.clear();
            for waiting in group {
                self.text.clear();
                frames::put_published(&mut self.text, waiting.id, waiting.offset);
                websocket::put_frame(&mut self.answer, Opcode::Text, &self.text);
            }
            sockets.send(group[0].connection, &self.answer);
        }
        self.waiting.clear();
    }
}

impl Work for Log {
    fn frame(&mut self, sockets: &mut Sockets, from: usize, text: &[u8]) -> anyhow::Result<()> {
        self.text.clear();
        match Request::read(text) {
            Some(Request::Connect { id, session }) => {
                frames::put_connected(&mut self.text, id, session);
            }
            Some(Request::Subscribe { id, .. }) => {
                frames::put_subscribed(&mut self.text, id, self.last_offset);
            }
            Some(Request::Publish { id, data, .. }) => {
                self.gather(from, id, data);
                if self.batch.len() >= BATCH_BYTES_MAX {
                    self.commit(sockets)?;
                }
                return Ok(());
            }
            // Nobody unsubscribes here.
            Some(Request::Unsubscribe { .. }) | None => return Ok(()),
        }
        self.answer.clear();
        websocket::put_frame(&mut self.answer, Opcode::Text, &self.text);
        sockets.send(from, &self.answer);
        Ok(())
    }

    fn turn_ends(&mut self, sockets: &mut Sockets) -> anyhow::Result<()> {
        if self.batch.is_empty() { Ok(()) } else { self.commit(sockets) }
    }

    /// Connections end only after the commit of their turn, so nobody waits for `key`.
    fn closed(&mut self, key: usize) {
        debug_assert!(self.waiting.iter().all(|waiting| waiting.connection != key));
    }
}
