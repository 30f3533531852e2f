//! Frames of the log: batches of records, each with its checksum.
//!
//! Every checksum is seeded with a secret of the store and the id of the segment. So bytes left
//! in a recycled segment never verify, and no client can forge a record inside its data.

use std::ops::Range;

use crate::codec::{Malformed, Put, Reader};

/// The number of a segment: its place in the log. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId(pub(crate) u64);

impl SegmentId {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The segment's file, relative to the store's directory.
    pub(crate) fn file_name(self) -> String {
        format!("{LOG_DIR}/{:010}.seg", self.0)
    }

    /// The segment whose file has this name in the log's directory.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        let number = name.strip_suffix(".seg")?;
        (number.len() >= 10).then(|| number.parse().ok().map(Self))?
    }
}

/// The directory of the segments.
pub(crate) const LOG_DIR: &str = "log";

/// What makes the checksums of a store its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) u64);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt")
    }
}

/// The start of every checksum in one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(salt: Salt, segment: SegmentId) -> Self {
        let salted = crc32c::crc32c(&salt.0.to_le_bytes());
        Self(crc32c::crc32c_append(salted, &segment.0.to_le_bytes()))
    }
}

/// What comes next in the log: counted over all segments, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// The number of the next batch.
    pub(crate) batch: u64,
    /// The number of the next record.
    pub(crate) record: u64,
}

impl Next {
    pub(crate) const FIRST: Self = Self { batch: 1, record: 1 };
}

/// A place between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub(crate) segment: SegmentId,
    pub(crate) position: u32,
    pub(crate) next: Next,
}

impl LogEnd {
    /// The start of an empty log.
    pub(crate) const START: Self =
        Self { segment: SegmentId::FIRST, position: SEGMENT_HEAD as u32, next: Next::FIRST };
}

/// Appends a place in the log.
pub(crate) fn put_log_end(out: &mut impl Put, end: LogEnd) {
    out.put_u64(end.segment.0);
    out.put_u32(end.position);
    out.put_u64(end.next.batch);
    out.put_u64(end.next.record);
}

/// Reads a place in the log.
pub(crate) fn read_log_end(reader: &mut Reader<'_>) -> Result<LogEnd, Malformed> {
    Ok(LogEnd {
        segment: SegmentId(reader.u64()?),
        position: reader.u32()?,
        next: Next { batch: reader.u64()?, record: reader.u64()? },
    })
}

/// Where the first batch of a segment lies: its header has a page of its own, so that writing
/// batches never rewrites it.
pub(crate) const SEGMENT_HEAD: usize = 4096;
/// Bytes of a batch's header.
pub(crate) const BATCH_HEAD: usize = 48;
/// Bytes of a record before its kind: length and checksum.
pub(crate) const RECORD_HEAD: usize = 8;
/// Most bytes of a record after its head. Bounds what recovery takes for a length.
pub(crate) const RECORD_MAX: usize = 16 * 1024 * 1024;

/// Larger than any record's length, so that a reader tells a batch's header from a record.
const BATCH_MAGIC: u32 = 0xB1D1_7A5E;

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHead {
    /// The numbers of the batch and of its first record.
    pub(crate) number: Next,
    /// Batches before this one are known to be on disk: if one of them is broken, it is damaged
    /// and not just unfinished.
    pub(crate) synced: u64,
    /// How many records.
    pub(crate) count: u32,
    /// Bytes of all records.
    pub(crate) body: u32,
}

impl BatchHead {
    pub(crate) fn encode(self, segment: SegmentId, seed: Seed) -> [u8; BATCH_HEAD] {
        let mut out = Vec::with_capacity(BATCH_HEAD);
        out.put_u32(BATCH_MAGIC);
        out.put_u32(self.body);
        out.put_u64(segment.0);
        out.put_u64(self.number.batch);
        out.put_u64(self.number.record);
        out.put_u64(self.synced);
        out.put_u32(self.count);
        out.put_u32(crc32c::crc32c_append(seed.0, &out));
        out.try_into().expect("the fields are 48 bytes")
    }

    /// The header at `at`, if there is one of this segment.
    pub(crate) fn decode(bytes: &[u8], at: usize, segment: SegmentId, seed: Seed) -> Option<Self> {
        let bytes = bytes.get(at..at + BATCH_HEAD)?;
        let (fields, sum) = bytes.split_at(BATCH_HEAD - 4);
        let mut reader = Reader::new(fields);
        if reader.u32().ok()? != BATCH_MAGIC {
            return None;
        }
        if Reader::new(sum).u32().ok()? != crc32c::crc32c_append(seed.0, fields) {
            return None;
        }
        let body = reader.u32().ok()?;
        let of = SegmentId(reader.u64().ok()?);
        let number = Next { batch: reader.u64().ok()?, record: reader.u64().ok()? };
        let synced = reader.u64().ok()?;
        let count = reader.u32().ok()?;
        (of == segment).then_some(Self { number, synced, count, body })
    }

    /// The first header at or after `from` of a batch numbered `batch` or later.
    pub(crate) fn find(
        bytes: &[u8],
        from: usize,
        segment: SegmentId,
        seed: Seed,
        batch: u64,
    ) -> Option<(usize, Self)> {
        let [first, ..] = BATCH_MAGIC.to_le_bytes();
        let mut at = from;
        loop {
            at += bytes.get(at..)?.iter().position(|byte| *byte == first)?;
            if let Some(head) = Self::decode(bytes, at, segment, seed)
                && head.number.batch >= batch
            {
                return Some((at, head));
            }
            at += 1;
        }
    }
}

/// A record whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    /// What it is.
    pub(crate) kind: u8,
    /// What it holds.
    pub(crate) body: &'a [u8],
    /// Where the next one starts.
    pub(crate) end: usize,
}

impl<'a> RawRecord<'a> {
    /// The record at `at`, if there is one of this segment.
    pub(crate) fn decode(bytes: &'a [u8], at: usize, seed: Seed) -> Option<Self> {
        let mut reader = Reader::new(bytes.get(at..)?);
        let length = reader.u32().ok()?;
        let sum = reader.u32().ok()?;
        let length = usize::try_from(length).ok().filter(|l| (1..=RECORD_MAX).contains(l))?;
        let content = reader.take(length).ok()?;
        let (kind, body) = content.split_first()?;
        if *kind == 0 || *kind > KIND_MAX || sum != checksum(length, content, seed) {
            return None;
        }
        Some(Self { kind: *kind, body, end: at + RECORD_HEAD + length })
    }

    /// The first record that starts in `places`, and where.
    pub(crate) fn find(bytes: &'a [u8], places: Range<usize>, seed: Seed) -> Option<(usize, Self)> {
        // Most bytes are no kind, which is quicker to see than a wrong checksum.
        let kinds = bytes.get(places.start + RECORD_HEAD..)?.iter().take(places.len());
        let mut found = kinds.enumerate().filter(|(_, kind)| (1..=KIND_MAX).contains(*kind));
        found.find_map(|(n, _)| {
            let at = places.start + n;
            Some((at, Self::decode(bytes, at, seed)?))
        })
    }
}

/// How far behind the last header the records of a batch can start whose header was not written:
/// the most that the writer gathers into one batch, with room to spare.
pub(crate) const UNFINISHED_REACH: usize = 2 * 1024 * 1024;

/// The largest kind of record there is; larger ones are not taken for records.
pub(crate) const KIND_MAX: u8 = 10;

fn checksum(length: usize, content: &[u8], seed: Seed) -> u32 {
    let length = u32::try_from(length).expect("at most RECORD_MAX");
    crc32c::crc32c_append(crc32c::crc32c_append(seed.0, &length.to_le_bytes()), content)
}

/// Appends a record whose content (kind and body) `fill` writes.
pub(crate) fn put_record(out: &mut Vec<u8>, seed: Seed, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEAD]);
    fill(out);
    let (head, content) = out[start..].split_at_mut(RECORD_HEAD);
    let length = u32::try_from(content.len()).expect("checked against the largest record");
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..].copy_from_slice(&checksum(content.len(), content, seed).to_le_bytes());
}

/// Bytes at the start of a segment: magic, segment, the start of its checksums, checksum.
const SEGMENT_HEAD_USED: usize = 32;

/// The page at the start of a segment: what file it is, and whose.
pub(crate) fn segment_head(segment: SegmentId, salt: Salt) -> Vec<u8> {
    let mut head = Vec::with_capacity(SEGMENT_HEAD);
    head.put(SEGMENT_MAGIC);
    head.put_u64(segment.0);
    head.put_u32(Seed::new(salt, segment).0);
    let sum = crc32c::crc32c(&head);
    head.put_u32(sum);
    head.resize(SEGMENT_HEAD, 0);
    head
}

const SEGMENT_MAGIC: &[u8; 16] = b"tidings-log-1\n\0\0";

/// Whose file a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This store's.
    Us,
    /// Another store's.
    Other,
    /// That cannot be read.
    Unknown,
}

impl Owner {
    /// Whose the segment is that starts with these bytes. A recycled segment may still have the
    /// head of the segment it was.
    pub(crate) fn of(bytes: &[u8], salt: Salt) -> Self {
        let head = bytes.get(..SEGMENT_HEAD_USED).and_then(|head| head.split_last_chunk::<4>());
        let Some((fields, sum)) = head else { return Self::Unknown };
        let Some(fields_left) = fields.strip_prefix(SEGMENT_MAGIC) else { return Self::Unknown };
        let mut reader = Reader::new(fields_left);
        match (reader.u64(), reader.u32()) {
            (Ok(segment), Ok(seed)) if u32::from_le_bytes(*sum) == crc32c::crc32c(fields) => {
                let ours = Seed::new(salt, SegmentId(segment)).0 == seed;
                if ours { Self::Us } else { Self::Other }
            }
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentId = SegmentId(7);

    fn seed(segment: SegmentId) -> Seed {
        Seed::new(Salt(99), segment)
    }

    #[test]
    fn a_header_verifies_only_in_its_segment_and_store() {
        let head =
            BatchHead { number: Next { batch: 3, record: 9 }, synced: 2, count: 2, body: 100 };
        let bytes = head.encode(SEGMENT, seed(SEGMENT));
        assert_eq!(BatchHead::decode(&bytes, 0, SEGMENT, seed(SEGMENT)), Some(head));
        let other = SegmentId(8);
        assert_eq!(BatchHead::decode(&bytes, 0, other, seed(other)), None);
        assert_eq!(BatchHead::decode(&bytes, 0, SEGMENT, Seed::new(Salt(1), SEGMENT)), None);
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let head =
            BatchHead { number: Next { batch: 3, record: 9 }, synced: 2, count: 2, body: 100 };
        let mut bytes = head.encode(SEGMENT, seed(SEGMENT)).to_vec();
        put_record(&mut bytes, seed(SEGMENT), |out| out.extend_from_slice(b"\x01hello"));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let whole = BatchHead::decode(&bytes, 0, SEGMENT, seed(SEGMENT)).is_some()
                && RawRecord::decode(&bytes, BATCH_HEAD, seed(SEGMENT)).is_some();
            assert!(!whole, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_length_past_the_end_is_no_record() {
        let mut bytes = vec![0xff; 64];
        assert!(RawRecord::find(&bytes, 0..64, seed(SEGMENT)).is_none());
        bytes[..4].copy_from_slice(&60u32.to_le_bytes());
        assert!(RawRecord::decode(&bytes, 0, seed(SEGMENT)).is_none());
    }

    #[test]
    fn the_head_of_a_segment_tells_whose_it_is() {
        let mut head = segment_head(SEGMENT, Salt(99));
        assert_eq!(Owner::of(&head, Salt(99)), Owner::Us);
        assert_eq!(Owner::of(&head, Salt(98)), Owner::Other);
        head[20] ^= 1;
        assert_eq!(Owner::of(&head, Salt(99)), Owner::Unknown);
        assert_eq!(Owner::of(&head[..7], Salt(99)), Owner::Unknown);
    }

    #[test]
    fn segment_names_read_back() {
        for id in [1, 42, u64::from(u32::MAX) * 10] {
            let name = SegmentId(id).file_name();
            assert_eq!(SegmentId::of_file(&name[LOG_DIR.len() + 1..]), Some(SegmentId(id)));
        }
        assert_eq!(SegmentId::of_file("1.seg"), None);
        assert_eq!(SegmentId::of_file("0000000001.seg.new"), None);
    }
}
