//! A run: messages of one topic with offsets in sequence, near each other in one segment.

use tidings_core::{Offset, Timestamp};

use crate::embedded::batch::{BATCH_HEAD, SegmentId};

/// Runs are joined as long as reading one of their messages reads no more than this.
const SPAN_MAX: u32 = 32 * 1024;
/// Runs are joined as long as their times are no further apart, so that retention by age is
/// exact to this.
const TIME_SPAN_MAX_MS: u64 = 1000;

/// Messages of one topic with offsets in sequence, near each other in one segment. 48 bytes.
///
/// The span may hold other topics' records and the headers of batches; a reader passes over
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: Offset,
    pub(crate) segment: SegmentId,
    /// The time of the first message.
    pub(crate) time: Timestamp,
    /// The largest time of any message up to the end of this run: rises from run to run also
    /// where the clock was set back.
    pub(crate) time_max: Timestamp,
    pub(crate) messages: u32,
    /// Where the first record starts.
    pub(crate) position: u32,
    /// Bytes from there to the end of the last record.
    pub(crate) span: u32,
    /// Bytes of the run's own records.
    pub(crate) bytes: u32,
}

impl Run {
    /// A run of one message, whose record lies at `position..end`.
    pub(crate) const fn of_one(
        first: Offset,
        time: Timestamp,
        segment: SegmentId,
        position: u32,
        end: u32,
    ) -> Self {
        let bytes = end.saturating_sub(position);
        Self { first, segment, time, time_max: time, messages: 1, position, span: bytes, bytes }
    }

    /// Takes in the next message of the topic, whose record lies at `position..end` in the same
    /// batch; `false` if the run is long enough without it.
    pub(crate) const fn take_in(&mut self, position: u32, end: u32) -> bool {
        let span = end.saturating_sub(self.position);
        if span > SPAN_MAX {
            return false;
        }
        self.messages += 1;
        self.span = span;
        self.bytes += end.saturating_sub(position);
        true
    }

    /// Whether a message of this time may be in it: no message of a run is earlier than its first,
    /// nor much later.
    pub(crate) fn may_hold(&self, time: Timestamp) -> bool {
        self.time <= time && time.as_ms() - self.time.as_ms() <= TIME_SPAN_MAX_MS
    }

    /// The offset of the last message.
    pub(crate) const fn last(&self) -> Offset {
        self.first.plus(self.count()).previous()
    }

    /// How many messages.
    pub(crate) const fn count(&self) -> u64 {
        self.messages as u64
    }

    /// Both runs as one, if they are close enough.
    pub(crate) fn joined_with(&self, next: &Self) -> Option<Self> {
        let end = next.position.checked_add(next.span)?;
        let span = end.checked_sub(self.position)?;
        let joins = self.segment == next.segment
            && self.last().next() == next.first
            && span <= SPAN_MAX
            && self.time <= next.time
            && next.time_max.as_ms().abs_diff(self.time.as_ms()) <= TIME_SPAN_MAX_MS;
        joins.then(|| Self {
            time_max: self.time_max.max(next.time_max),
            messages: self.messages + next.messages,
            span,
            bytes: self.bytes + next.bytes,
            ..*self
        })
    }

    /// The part before `offset`, if there is one. It keeps the span: readers go by offset.
    pub(crate) fn before(&self, offset: Offset) -> Option<Self> {
        let messages = u32::try_from(offset.distance_from(self.first)).ok()?;
        (messages > 0).then(|| self.part(self.first, messages.min(self.messages)))
    }

    /// The part after `offset`, if there is one.
    pub(crate) fn after(&self, offset: Offset) -> Option<Self> {
        let messages = u32::try_from(self.last().distance_from(offset)).ok()?;
        (messages > 0).then(|| self.part(offset.next(), messages.min(self.messages)))
    }

    /// What is left when everything before `first` is trimmed. Its bytes stay: they are given
    /// back when all of it is.
    pub(crate) fn narrowed_to(&self, first: Offset) -> Self {
        let trimmed = u32::try_from(first.distance_from(self.first)).unwrap_or(u32::MAX);
        Self {
            first: self.first.max(first),
            messages: self.messages.saturating_sub(trimmed),
            ..*self
        }
    }

    fn part(&self, first: Offset, messages: u32) -> Self {
        let share = u64::from(self.bytes) * u64::from(messages) / u64::from(self.messages.max(1));
        let bytes = u32::try_from(share).unwrap_or(self.bytes).max(BATCH_HEAD as u32);
        Self { first, messages, bytes, ..*self }
    }
}
