//! How far a durable subscription may send before its saved cursor has to say so.
//!
//! A server that ends without warning leaves the cursor that it saved last, and has sent more
//! since. So that whatever comes again can say so, each saved cursor reserves a stretch ahead,
//! nothing beyond is sent before a further one is saved, and a subscription that goes on from
//! such a cursor takes all of the stretch as sent before.

use crate::limits::RESERVED_WINDOWS;
use crate::position::Offset;

/// What may be sent, and what may have been.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    /// Through which message an earlier process may have sent.
    earlier: Offset,
    /// Through which message a durable cursor lets this one send.
    durable: Offset,
    /// Whether a further stretch was asked for and is not durable.
    asked: bool,
}

impl Reservation {
    /// Goes on from a saved cursor that reserves through `reserved`, over a log that reaches
    /// `tail`. Nothing is sent before this one has saved its own: another that was refused may yet
    /// have reached the disk.
    pub(crate) fn new(reserved: Offset, tail: Offset) -> Self {
        Self { earlier: reserved.min(tail), durable: Offset::ORIGIN, asked: false }
    }

    /// The cursor was made for this one: nothing was sent before, and what it reserves may be.
    pub(crate) const fn begin(&mut self, reserved: Offset) {
        (self.earlier, self.durable) = (Offset::ORIGIN, reserved);
    }

    /// The saved cursor is of another life of the log. Who knows what was sent of this one by a
    /// process that ended before it saved another; and should this one end so, the same holds
    /// again, so that nothing has to be saved before sending.
    pub(crate) const fn begin_anew(&mut self, tail: Offset) {
        (self.earlier, self.durable) = (tail, Offset::LAST);
    }

    /// Through which message an earlier process may have sent.
    pub(crate) const fn earlier(&self) -> Offset {
        self.earlier
    }

    /// Whether `offset` may be sent.
    pub(crate) fn covers(&self, offset: Offset) -> bool {
        offset <= self.durable
    }

    /// What the next cursor to be saved reserves, when `next` is the first offset never sent. It
    /// never falls: an earlier stretch may be in use.
    pub(crate) fn next_save(&self, next: Offset, window: u32) -> Offset {
        self.durable.max(self.earlier).max(ahead_of(next, window))
    }

    /// Whether it is time to ask for a further stretch, which then counts as asked for: half of
    /// it is used up. The other half is sent while the cursor is being saved.
    pub(crate) fn ask(&mut self, next: Offset, window: u32) -> bool {
        let left = self.durable.next().distance_from(next);
        let ask = !self.asked && left < stretch(window) / 2;
        self.asked |= ask;
        ask
    }

    /// Whether sending `offset` waits for a stretch that was asked for.
    pub(crate) fn is_awaited_for(&self, offset: Offset) -> bool {
        self.asked && !self.covers(offset)
    }

    /// A cursor that reserves nothing more is on its way, and no other is: what was reserved no
    /// longer is.
    pub(crate) const fn close(&mut self) {
        (self.durable, self.asked) = (Offset::ORIGIN, false);
    }

    /// A cursor that reserves through `through` is durable.
    pub(crate) fn saved(&mut self, through: Offset) {
        self.durable = self.durable.max(through);
        self.asked = false;
    }
}

/// The end of the stretch that begins with `next`.
pub(crate) fn ahead_of(next: Offset, window: u32) -> Offset {
    next.previous().plus(stretch(window))
}

fn stretch(window: u32) -> u64 {
    u64::from(window.max(1)) * RESERVED_WINDOWS
}
