//! How far values can be configured, with the reasons. What nobody may change is in
//! [`tidings_core::limits`].

use std::ops::RangeInclusive;
use std::time::Duration;

use super::quantity::ByteSize;

const fn bytes(range: (u64, u64)) -> RangeInclusive<ByteSize> {
    ByteSize::from_bytes(range.0)..=ByteSize::from_bytes(range.1)
}

const fn ms(range: (u64, u64)) -> RangeInclusive<Duration> {
    Duration::from_millis(range.0)..=Duration::from_millis(range.1)
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Event loops. Beyond the cores of any machine they only cost memory.
pub(super) const SHARDS: RangeInclusive<usize> = 0..=256;

/// Delivery events that an event loop remembers: at most 24 MiB of memory each, which takes a few
/// milliseconds to look through.
pub(super) const TRACE_EVENTS: RangeInclusive<usize> = 0..=1_000_000;

/// Connections. A process has no more file descriptors than this in practice.
pub(super) const CONNECTIONS: RangeInclusive<usize> = 1..=10_000_000;

/// A drain that takes longer is killed by whoever asked for it.
pub(super) const DRAIN: RangeInclusive<Duration> = ms((0, 10 * MINUTE));

/// A segment is prewritten whole, so it has to fit the disk many times.
pub(super) const SEGMENT: RangeInclusive<ByteSize> = bytes((1 << 20, 1 << 30));

/// The write queue is memory.
pub(super) const QUEUE: RangeInclusive<ByteSize> = bytes((1 << 20, 4 << 30));

/// Segments that the disk must have room for: the one written to, one prepared, one being cleaned
/// and one to keep messages in.
pub(super) const SEGMENTS_MIN: u64 = 4;

/// From a quick retry to longer than any publisher retries.
pub(super) const DEDUP_WINDOW: RangeInclusive<Duration> = ms((SECOND, 30 * DAY));

/// At most about 10 GB of memory.
pub(super) const DEDUP_KEYS: RangeInclusive<usize> = 1..=100_000_000;

/// Shorter is a sync for each write, longer is not worth the name.
pub(super) const ASYNC_SYNC: RangeInclusive<Duration> = ms((1, 10 * SECOND));

/// Shorter than an outage, subscribers would lose their place.
pub(super) const CURSOR_EXPIRY: RangeInclusive<Duration> = ms((HOUR, 3650 * DAY));

/// A token must not outlive its end by much.
pub(super) const LEEWAY: RangeInclusive<Duration> = ms((0, 5 * MINUTE));

/// Shortest shared secret: HMAC-SHA-256 is as strong as its key up to 32 bytes (RFC 7518 §3.2).
pub(crate) const SECRET_BYTES_MIN: usize = 32;

/// How much larger than a message's data what carries it must be able to get: base64 takes 4/3,
/// topic, headers and names take some kilobytes.
pub(super) const ENVELOPE_FACTOR: u64 = 2;

/// A frame or body is held in memory while it arrives.
pub(super) const FRAME: RangeInclusive<ByteSize> = bytes((1 << 10, 64 << 20));

/// Unanswered publishes take an entry of memory each.
pub(super) const PUBLISHES_IN_FLIGHT: RangeInclusive<u32> = 1..=65_536;

/// Below a socket buffer every subscriber would read the log; above, memory is not bounded well.
pub(super) const OUTBOUND: RangeInclusive<ByteSize> = bytes((16 << 10, 64 << 20));

/// Each takes some hundred bytes of memory, and a place in every checkpoint.
pub(super) const CURSORS_PER_USER: RangeInclusive<u32> = 1..=100_000;

/// At about 300 bytes each, a hundred million are 30 GB of memory.
pub(super) const SCHEDULED: RangeInclusive<u32> = 1..=100_000_000;

/// Slower is done one by one, and faster than this the log is the limit.
pub(super) const REPLAYS: RangeInclusive<u32> = 1..=100_000;

/// Long enough for a distant client, short enough that silent sockets do not pile up.
pub(super) const HANDSHAKE: RangeInclusive<Duration> = ms((100, 5 * MINUTE));

/// Proxies close idle sockets after a minute; ten at most.
pub(super) const PING: RangeInclusive<Duration> = ms((SECOND, 10 * MINUTE));

/// A pong takes at least a round trip.
pub(super) const PONG: RangeInclusive<Duration> = ms((100, 10 * MINUTE));

/// Sessions take memory while they wait.
pub(super) const SESSION_EXPIRY: RangeInclusive<Duration> = ms((SECOND, 90 * DAY));

/// Who is gone for longer than this is gone, whatever broke.
pub(super) const PRESENCE_GRACE: RangeInclusive<Duration> = ms((0, 5 * MINUTE));

/// Each takes 100 to 200 bytes of memory.
pub(super) const PRESENCE_MEMBERS: RangeInclusive<usize> = 1..=10_000_000;

/// A request that takes longer has been given up by its client.
pub(super) const REQUEST: RangeInclusive<Duration> = ms((SECOND, 10 * MINUTE));

/// Ten years: beyond it a clock is wrong.
pub(super) const RETENTION: RangeInclusive<Duration> = ms((SECOND, 3650 * DAY));

/// Shorter than a round trip, everything would be sent twice.
pub(super) const ACK_TIMEOUT: RangeInclusive<Duration> = ms((100, DAY));

/// At a second's backoff a thousand attempts are days.
pub(super) const ATTEMPTS: RangeInclusive<u32> = 1..=1000;

/// For topics without a log, this many messages are kept in memory while somebody lags.
pub(super) const BACKLOG: RangeInclusive<u32> = 1..=tidings_core::limits::BACKLOG_MAX;

/// Half of it may be taken, and the rest must still be a wait: a subscriber that refuses
/// everything must not keep a core busy with being sent it again.
pub(super) const BACKOFF: RangeInclusive<Duration> = ms((10, DAY));

/// An empty message cannot become smaller; none is larger than the largest frame.
pub(super) const COMPRESSION_MIN: RangeInclusive<ByteSize> = bytes((1, 64 << 20));
