//! What one durable subscription has received, and what the application has done with it.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::{Epoch, Offset, Position, ResetReason};
use tidings_protocol::SubscribedPlace;

/// What to do with a delivery that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Give it to the application.
    HandOut,
    /// The application has it in hand, or is done with it: it is not given out again.
    Repeat,
}

/// Where a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    /// In the application's queue or hands.
    Held,
    /// Given back (nacked, or dropped without an answer): the server sends it again, or not.
    Released,
    /// Acked by the application.
    Acked,
    /// Given up by the application; the server has not confirmed it.
    GivenUp,
}

/// Acks to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acks {
    /// Everything up to and including this one.
    pub(crate) through: Option<Offset>,
    /// And these.
    pub(crate) each: Vec<Offset>,
}

/// Keeps the application's answers across connections: a message is in its hands at most once at
/// a time, one it has acked never comes to it again, and an ack that was lost with a connection
/// is given again when the server repeats the message.
///
/// Invariant: a cumulative ack never covers a message that the application has not acked. It
/// stays below everything held, released or given up, and below what this connection has
/// brought, because the server may be about to repeat the rest.
#[derive(Debug)]
pub(crate) struct Ledger {
    epoch: Option<Epoch>,
    /// What is not simply done: the first entry is never `Acked`.
    entries: BTreeMap<Offset, Holding>,
    /// The highest offset received in this epoch.
    highest: Offset,
    /// The server is done with everything this far below the highest.
    span: u64,
    /// The highest offset received on this connection.
    heard: Offset,
    /// The last cumulative ack on this connection.
    acked_through: Offset,
    /// Acks to be given singly.
    singles: BTreeSet<Offset>,
    /// Whether a cumulative ack was lost or crossed a repeat, so that it has to be said again.
    repeat_ack: bool,
}

impl Ledger {
    pub(crate) const fn new(span: u64) -> Self {
        Self {
            epoch: None,
            entries: BTreeMap::new(),
            highest: Offset::ORIGIN,
            span,
            heard: Offset::ORIGIN,
            acked_through: Offset::ORIGIN,
            singles: BTreeSet::new(),
            repeat_ack: false,
        }
    }

    /// The life of the log that offsets belong to, once the server has said it.
    pub(crate) const fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The server has told where the topic stands.
    pub(crate) fn subscribed(&mut self, place: &SubscribedPlace) {
        // A log that ends before what it has sent has lost its end, whatever it calls itself:
        // its offsets will be given out again.
        let is_same_log = self.epoch.is_none_or(|epoch| epoch == place.epoch)
            && place.offset >= self.highest
            && (place.recovered || place.reason.is_some_and(keeps_the_log));
        self.go_on(is_same_log, place.epoch, place.first);
    }

    /// The subscription lost its place.
    pub(crate) fn reset(&mut self, reason: ResetReason, epoch: Epoch, first: Offset) {
        let is_same_log = self.epoch == Some(epoch) && keeps_the_log(reason);
        if is_same_log && reason == ResetReason::Damaged {
            // It lost what lies just before `first`; what was sent earlier may still come again.
            return;
        }
        self.go_on(is_same_log, epoch, first);
    }

    fn go_on(&mut self, is_same_log: bool, epoch: Epoch, first: Offset) {
        if is_same_log {
            // What was trimmed will not come again.
            self.entries.retain(|offset, holding| {
                *offset >= first || !matches!(holding, Holding::Released | Holding::GivenUp)
            });
            self.forget_done();
        } else {
            *self = Self::new(self.span);
        }
        self.epoch = Some(epoch);
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.heard = Offset::ORIGIN;
        self.acked_through = Offset::ORIGIN;
        self.singles.clear();
        self.repeat_ack = false;
        for holding in self.entries.values_mut() {
            // Whether the server heard of it is not known; the message tells by coming again.
            if *holding == Holding::GivenUp {
                *holding = Holding::Released;
            }
        }
    }

    /// A delivery came in.
    pub(crate) fn received(&mut self, offset: Offset) -> Verdict {
        self.heard = self.heard.max(offset);
        let done_through = self.done_through();
        match self.entries.get_mut(&offset) {
            Some(Holding::Held | Holding::GivenUp) => Verdict::Repeat,
            Some(Holding::Acked) => {
                self.singles.insert(offset);
                Verdict::Repeat
            }
            Some(holding @ Holding::Released) => {
                *holding = Holding::Held;
                Verdict::HandOut
            }
            None if offset <= done_through => {
                self.repeat_ack = true;
                Verdict::Repeat
            }
            None => {
                self.entries.insert(offset, Holding::Held);
                self.highest = self.highest.max(offset);
                self.forget_distant();
                Verdict::HandOut
            }
        }
    }

    /// The application is done with a delivery.
    pub(crate) fn acked(&mut self, position: Position) {
        if let Some(holding) = self.held(position) {
            *holding = Holding::Acked;
            self.singles.insert(position.offset);
            self.forget_done();
        }
    }

    /// The application gave a delivery back. Whether it had it.
    pub(crate) fn released(&mut self, position: Position) -> bool {
        let held = self.held(position);
        held.map(|holding| *holding = Holding::Released).is_some()
    }

    /// The application will never take this message. Whether it had it.
    pub(crate) fn given_up(&mut self, position: Position) -> bool {
        let held = self.held(position);
        held.map(|holding| *holding = Holding::GivenUp).is_some()
    }

    /// The server has the message among the dead letters.
    pub(crate) fn give_up_confirmed(&mut self, offset: Offset) {
        if self.entries.get(&offset) == Some(&Holding::GivenUp) {
            self.entries.remove(&offset);
            self.forget_done();
        }
    }

    /// The server did not take the giving up: the message will come again.
    pub(crate) fn give_up_refused(&mut self, offset: Offset) {
        if let Some(holding @ Holding::GivenUp) = self.entries.get_mut(&offset) {
            *holding = Holding::Released;
        }
    }

    /// The acks that are due.
    pub(crate) fn take_acks(&mut self) -> Acks {
        let done = self.done_through();
        let through = done.min(self.heard);
        let news = through > self.acked_through || (self.repeat_ack && through > Offset::ORIGIN);
        self.repeat_ack = false;
        self.acked_through = self.acked_through.max(through);
        let mut each = std::mem::take(&mut self.singles).split_off(&done.next());
        // What this connection has not brought is acked when it does.
        each.split_off(&self.heard.next());
        Acks { through: news.then_some(through), each: each.into_iter().collect() }
    }

    /// Everything up to here is done, as far as the application is concerned.
    fn done_through(&self) -> Offset {
        self.entries.first_key_value().map_or(self.highest, |(first, _)| first.previous())
    }

    fn held(&mut self, position: Position) -> Option<&mut Holding> {
        if self.epoch != Some(position.epoch) {
            return None;
        }
        self.entries.get_mut(&position.offset).filter(|holding| **holding == Holding::Held)
    }

    /// Restores that the first entry is never `Acked`.
    fn forget_done(&mut self) {
        while let Some(first) = self.entries.first_entry()
            && *first.get() == Holding::Acked
        {
            first.remove();
        }
    }

    /// Drops what the server has settled for certain: it never sends further ahead of its cursor
    /// than the span. Without this a message that went to the dead letters after its last attempt
    /// would be waited for for ever.
    fn forget_distant(&mut self) {
        let span = self.span;
        while let Some(first) = self.entries.first_entry()
            && self.highest.distance_from(*first.key()) > span
        {
            first.remove();
        }
        self.forget_done();
    }
}

/// Whether offsets mean after such a reset what they meant before.
pub(crate) const fn keeps_the_log(reason: ResetReason) -> bool {
    match reason {
        ResetReason::Trimmed | ResetReason::Skipped | ResetReason::Damaged => true,
        ResetReason::EpochChanged | ResetReason::AheadOfHead => false,
    }
}

#[cfg(test)]
mod tests;
