//! Gives messages their ids and times.

use std::time::Duration;

use tidings_core::{MessageId, Timestamp};

/// A clock that was set back by less than this is waited for, so that times and ids of a log
/// rise. One that was set back further had been wrong: its new time is taken.
const SET_BACK_TOLERANCE: Duration = Duration::from_secs(10);

/// Bits of an id's counter that count within one life of the process; those above count lives.
const COUNTER_BITS: u32 = 44;

/// Gives ids that are unique over all lives of a store, and times that do not step back.
#[derive(Debug)]
pub(crate) struct Stamp {
    node: u16,
    counter: u64,
    last: Timestamp,
}

impl Stamp {
    /// For the `life`-th start of the store of server `node`, whose newest message is of `last`.
    pub(crate) const fn new(node: u16, life: u64, last: Timestamp) -> Self {
        Self { node, counter: life << COUNTER_BITS, last }
    }

    /// Another one for the same life: no id is of both.
    pub(crate) const fn beside(&self) -> Self {
        Self { node: self.node, counter: self.counter | 1 << (COUNTER_BITS - 1), last: self.last }
    }

    /// The time for messages accepted `now`.
    pub(crate) fn time(&mut self, now: Timestamp) -> Timestamp {
        let set_back_slightly = now < self.last && self.last <= now.plus(SET_BACK_TOLERANCE);
        if !set_back_slightly {
            self.last = now;
        }
        self.last
    }

    /// A fresh id for a message of `time`.
    pub(crate) const fn id(&mut self, time: Timestamp) -> MessageId {
        let counter = self.counter;
        self.counter = self.counter.wrapping_add(1);
        MessageId::new(time.as_ms(), self.node, counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_step_back_is_waited_for_and_a_large_one_is_taken() {
        let mut stamp = Stamp::new(1, 1, Timestamp::from_ms(100_000));
        assert_eq!(stamp.time(Timestamp::from_ms(95_000)), Timestamp::from_ms(100_000));
        assert_eq!(stamp.time(Timestamp::from_ms(100_001)), Timestamp::from_ms(100_001));
        assert_eq!(stamp.time(Timestamp::from_ms(50_000)), Timestamp::from_ms(50_000));
    }

    #[test]
    fn ids_of_two_lives_differ_within_one_millisecond() {
        let time = Timestamp::from_ms(7);
        let mut first = Stamp::new(1, 1, time);
        let mut second = Stamp::new(1, 2, time);
        let ids = [first.id(time), first.id(time), second.id(time), second.id(time)];
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
