//! Decides whether a live subscription is at the tail or has to read the log.

use crate::position::Offset;

/// What to do with a message that has just been appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveStep {
    /// Send it: the subscription had everything before it.
    Deliver,
    /// The subscription has it already.
    Skip,
    /// The subscription lacks earlier messages: it reads the log, and gets this one from there.
    Behind,
}

/// The place of one live subscription in one topic. Eight bytes: there is no queue, the log is
/// the queue.
///
/// A subscription whose cursor is past the head is in *tail* mode and gets messages as they are
/// appended. One that is not is in *catch-up* mode and reads the log at its own pace. Because the
/// place alone decides, there is no gap and no repeat where the two meet: registering before
/// reading the head is all the order that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveCursor {
    next: Offset,
}

impl LiveCursor {
    /// A cursor that wants `next` first.
    pub const fn new(next: Offset) -> Self {
        Self { next }
    }

    /// The first offset not sent.
    pub const fn next(self) -> Offset {
        self.next
    }

    /// Whether nothing up to `head` is missing.
    pub fn is_at_tail(self, head: Offset) -> bool {
        self.next > head
    }

    /// `offset` has been appended to a log whose head was `head_before`. Offsets may have gaps, so
    /// it need not be the one after. Deliver counts as sent.
    pub fn appended(&mut self, head_before: Offset, offset: Offset) -> LiveStep {
        if offset < self.next {
            LiveStep::Skip
        } else if self.is_at_tail(head_before) {
            self.next = offset.next();
            LiveStep::Deliver
        } else {
            LiveStep::Behind
        }
    }

    /// Everything before `next` was sent, or is gone.
    pub fn advance_to(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(n: u64) -> Offset {
        Offset::new(n)
    }

    #[test]
    fn history_and_live_meet_without_gap_or_repeat() {
        // Registered while the head was 5, wanting 4: 6 arrives before history was read.
        let mut cursor = LiveCursor::new(at(4));
        assert_eq!(cursor.appended(at(5), at(6)), LiveStep::Behind);
        // History up to 6 is read and sent: now at the tail.
        cursor.advance_to(at(7));
        assert!(cursor.is_at_tail(at(6)));
        assert_eq!(cursor.appended(at(5), at(6)), LiveStep::Skip);
        assert_eq!(cursor.appended(at(6), at(7)), LiveStep::Deliver);
        assert_eq!(cursor.appended(at(7), at(9)), LiveStep::Deliver);
        assert_eq!(cursor.next(), at(10));
    }
}
