//! Checkpoints: what the log adds up to at some place, so that a start reads only the log after
//! it, and segments before it can be freed.

use std::collections::HashMap;
use std::io;

use tidings_core::{MessageId, Offset, OffsetSet, Position, Timestamp};

use super::batch::{SegmentId, put_log_end, read_log_end};
use super::disk::{Disk, DiskFile, read_up_to};
use super::index::{Run, TopicLog};
use super::record::{
    parse, put_cursor, put_cursor_key, put_session, read_cursor, read_cursor_key, read_session,
};
use super::state::{Reading, State};
use crate::codec::{Malformed, Put, Reader};
use crate::dedup::First;
use crate::fault_point::fault_point;
use crate::hash::KeyHash;
use crate::keep::Change;

/// The directory of the checkpoints.
pub(crate) const CHECKPOINT_DIR: &str = "checkpoint";

const MAGIC: &[u8; 24] = b"tidings-checkpoint-1\n\0\0\0";
/// Magic, bytes of the body, checksum of the body, checksum of the header.
const HEAD: usize = 24 + 8 + 4 + 4;
/// Bytes gathered before they are written.
const CHUNK: usize = 1024 * 1024;
/// Bytes of a run in a checkpoint.
const RUN: usize = 48;
/// Bytes of a deduplication key in a checkpoint.
const KEY: usize = 48;

mod topic_flag {
    pub(super) const UNWAITED: u8 = 1;
    pub(super) const REMOVED: u8 = 1 << 1;
    pub(super) const DAMAGED: u8 = 1 << 2;
    pub(super) const ALL: u8 = UNWAITED | REMOVED | DAMAGED;
}

/// The number of a checkpoint; a later one has a larger number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CheckpointId(pub(crate) u64);

impl CheckpointId {
    pub(crate) fn file_name(self) -> String {
        format!("{CHECKPOINT_DIR}/{:010}.ckpt", self.0)
    }

    fn of_file(name: &str) -> Option<Self> {
        name.strip_suffix(".ckpt")?.parse().ok().map(Self)
    }
}

/// All checkpoints there are, newest first.
pub(crate) fn list(disk: &dyn Disk) -> io::Result<Vec<CheckpointId>> {
    let names = disk.list(CHECKPOINT_DIR)?;
    let mut ids: Vec<_> = names.iter().filter_map(|name| CheckpointId::of_file(name)).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(ids)
}

/// Writes a checkpoint; it counts once this returns.
pub(crate) fn write(disk: &dyn Disk, id: CheckpointId, state: &State) -> io::Result<()> {
    let name = id.file_name();
    let temporary = format!("{name}.new");
    let file = disk.create(&temporary)?;
    fault_point("checkpoint-created");
    let mut sink = Sink::new(file.as_ref());
    encode(state, &mut sink);
    sink.finish()?;
    fault_point("checkpoint-written");
    file.sync()?;
    fault_point("checkpoint-synced");
    disk.rename(&temporary, &name)?;
    fault_point("checkpoint-named");
    disk.sync_dir(CHECKPOINT_DIR)
}

/// Reads a checkpoint; the inner error means that it is damaged.
pub(crate) fn read(
    disk: &dyn Disk,
    id: CheckpointId,
    reading: Reading,
) -> io::Result<Result<State, Malformed>> {
    let file = disk.open(&id.file_name())?;
    let bytes = read_up_to(file.as_ref(), 0, usize::MAX)?;
    Ok(decode(&bytes, reading))
}

/// Gathers bytes into chunks and sums them. The first error is kept for the end.
struct Sink<'a> {
    file: &'a dyn DiskFile,
    chunk: Vec<u8>,
    written: u64,
    sum: u32,
    result: io::Result<()>,
}

impl<'a> Sink<'a> {
    fn new(file: &'a dyn DiskFile) -> Self {
        Self { file, chunk: Vec::with_capacity(CHUNK), written: 0, sum: 0, result: Ok(()) }
    }

    fn flush(&mut self) {
        self.sum = crc32c::crc32c_append(self.sum, &self.chunk);
        if self.result.is_ok() {
            self.result = self.file.write_at(&self.chunk, HEAD as u64 + self.written);
        }
        self.written += self.chunk.len() as u64;
        self.chunk.clear();
    }

    /// Writes the header last: without it the file is no checkpoint.
    fn finish(mut self) -> io::Result<()> {
        self.flush();
        self.result?;
        let mut head = Vec::with_capacity(HEAD);
        head.put(MAGIC);
        head.put_u64(self.written);
        head.put_u32(self.sum);
        let sum = crc32c::crc32c(&head);
        head.put_u32(sum);
        self.file.write_at(&head, 0)
    }
}

impl Put for Sink<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush();
        }
    }
}

fn encode(state: &State, out: &mut impl Put) {
    put_log_end(out, state.end);
    out.put_u64(state.last_time.as_ms());
    out.put_u64(state.index.floor().get());
    out.put_count(state.index.topics());
    for slot in state.index.slots(0, usize::MAX) {
        put_topic(out, state.index.log(slot));
    }
    out.put_count(state.keep.cursors.len());
    for (key, saved) in state.keep.cursors.iter() {
        put_cursor_key(out, &key);
        put_cursor(out, &saved);
    }
    out.put_count(state.keep.sessions.len());
    for session in state.keep.sessions.iter() {
        put_session(out, session);
    }
    let keys = state.dedup.entries();
    out.put_count(keys.len());
    for (KeyHash([low, high]), first) in keys {
        out.put_u64(*low);
        out.put_u64(*high);
        out.put_u128(first.id.to_bits());
        out.put_u64(first.position.epoch.get());
        out.put_u64(first.position.offset.get());
    }
    let times = state.dedup.times();
    out.put_count(times.len());
    for (key, at) in times {
        out.put_u64(key);
        out.put_u64(at.as_ms());
    }
    let given = state.index.all_given();
    out.put_count(given.len());
    for (id, slot, offset) in given {
        out.put_u128(id.to_bits());
        out.put_u32(slot.number());
        out.put_u64(offset.get());
    }
}

fn put_topic(out: &mut impl Put, log: &TopicLog) {
    out.put_short_text(log.topic.as_str());
    out.put_u64(log.first.get());
    out.put_u64(log.head.get());
    let flags = [
        (log.unwaited, topic_flag::UNWAITED),
        (log.removed.is_some(), topic_flag::REMOVED),
        (log.damaged.is_some(), topic_flag::DAMAGED),
    ];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
    out.put_u8(flags.fold(0, |all, (_, flag)| all | flag));
    out.put_count(log.runs.len());
    for run in &log.runs {
        out.put_u64(run.first.get());
        out.put_u64(run.segment.0);
        out.put_u64(run.time.as_ms());
        out.put_u64(run.time_max.as_ms());
        out.put_u32(run.messages);
        out.put_u32(run.position);
        out.put_u32(run.span);
        out.put_u32(run.bytes);
    }
    for offsets in log.removed.iter().chain(&log.damaged) {
        put_offsets(out, offsets);
    }
}

fn put_offsets(out: &mut impl Put, offsets: &OffsetSet) {
    out.put_count(offsets.ranges().count());
    for (first, last) in offsets.ranges() {
        out.put_u64(first.get());
        out.put_u64(last.get());
    }
}

fn decode(bytes: &[u8], reading: Reading) -> Result<State, Malformed> {
    let (head, body) = bytes.split_at_checked(HEAD).ok_or(Malformed)?;
    let (fields, sum) = head.split_last_chunk::<4>().ok_or(Malformed)?;
    let mut reader = Reader::new(fields);
    let is_ours = reader.take(MAGIC.len())? == MAGIC
        && u32::from_le_bytes(*sum) == crc32c::crc32c(fields)
        && reader.u64()? == body.len() as u64
        && reader.u32()? == crc32c::crc32c(body);
    if !is_ours {
        return Err(Malformed);
    }
    let mut reader = Reader::new(body);
    let mut state = State::empty(reading);
    state.end = read_log_end(&mut reader)?;
    state.last_time = Timestamp::from_ms(reader.u64()?);
    state.index.set_floor(Offset::new(reader.u64()?));
    for _ in 0..reader.count(22)? {
        state.index.restore(read_topic(&mut reader)?);
    }
    let cursors = (0..reader.count(35)?)
        .map(|_| Ok((read_cursor_key(&mut reader)?, read_cursor(&mut reader)?)));
    state.keep.cursors = cursors.collect::<Result<_, Malformed>>()?;
    for _ in 0..reader.count(11)? {
        state.keep.apply(Change::SaveSession(read_session(&mut reader)?.into()));
    }
    read_keys(&mut reader, &mut state)?;
    reader.end()?;
    Ok(state)
}

fn read_keys(reader: &mut Reader<'_>, state: &mut State) -> Result<(), Malformed> {
    let count = reader.count(KEY)?;
    let mut keys = Reader::new(reader.take(count * KEY)?);
    let mut times = HashMap::new();
    // Checkpoints that end here are from before ids could be given.
    if !reader.is_at_end() {
        for _ in 0..reader.count(16)? {
            times.insert(reader.u64()?, Timestamp::from_ms(reader.u64()?));
        }
        for _ in 0..reader.count(28)? {
            let id = MessageId::from_bits(reader.u128()?);
            let topic = reader.u32()?;
            state.index.restore_given(id, topic, Offset::new(reader.u64()?));
        }
    }
    for n in 0..count as u64 {
        let hash = KeyHash([keys.u64()?, keys.u64()?]);
        let id = MessageId::from_bits(keys.u128()?);
        // The epoch is the one of when it was written. A repeat is answered with the place where
        // the message can be read, and a copy of a store has another epoch.
        let (_, offset) = (keys.u64()?, Offset::new(keys.u64()?));
        let first = First { id, position: Position { epoch: state.reading.epoch, offset } };
        let at = times.get(&n).copied().unwrap_or(Timestamp::from_ms(id.time_ms()));
        state.dedup.read_back(hash, first, at);
    }
    Ok(())
}

fn read_topic(reader: &mut Reader<'_>) -> Result<TopicLog, Malformed> {
    let topic = parse(reader.short_text()?)?;
    let (first, head) = (Offset::new(reader.u64()?), Offset::new(reader.u64()?));
    let flags = reader.u8()?;
    if flags & !topic_flag::ALL != 0 {
        return Err(Malformed);
    }
    let unwaited = flags & topic_flag::UNWAITED != 0;
    let mut log = TopicLog { first, head, unwaited, ..TopicLog::new(topic, Offset::ORIGIN) };
    for _ in 0..reader.count(RUN)? {
        let run = Run {
            first: Offset::new(reader.u64()?),
            segment: SegmentId(reader.u64()?),
            time: Timestamp::from_ms(reader.u64()?),
            time_max: Timestamp::from_ms(reader.u64()?),
            messages: reader.u32()?,
            position: reader.u32()?,
            span: reader.u32()?,
            bytes: reader.u32()?,
        };
        log.bytes += u64::from(run.bytes);
        log.runs.push_back(run);
    }
    if flags & topic_flag::REMOVED != 0 {
        log.removed = Some(Box::new(read_offsets(reader)?));
    }
    if flags & topic_flag::DAMAGED != 0 {
        log.damaged = Some(Box::new(read_offsets(reader)?));
    }
    Ok(log)
}

fn read_offsets(reader: &mut Reader<'_>) -> Result<OffsetSet, Malformed> {
    let mut offsets = OffsetSet::default();
    for _ in 0..reader.count(16)? {
        offsets.insert(Offset::new(reader.u64()?), Offset::new(reader.u64()?));
    }
    Ok(offsets)
}
