//! Whether every subscriber got every message once and in order.

use std::collections::BTreeSet;

/// Missing messages of one subscriber that are looked out for. Beyond this they count as lost
/// even if they come late, so that a broken server cannot fill the generator's memory.
const MISSING_MAX: usize = 10_000;

/// What an arrival is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The first time this subscriber gets it.
    First,
    /// It, or one that was given up for lost, was there before.
    Repeated,
}

/// What one subscriber has got.
#[derive(Clone, Debug, Default)]
struct Subscriber {
    /// One past the highest message seen.
    next: u32,
    missing: BTreeSet<u32>,
    /// Missing ones that are no longer looked out for.
    given_up: u64,
}

/// What all subscribers have got.
#[derive(Debug)]
pub(crate) struct Tally {
    subscribers: Vec<Subscriber>,
    pub(crate) first: u64,
    pub(crate) repeated: u64,
    /// Messages that came after a later one.
    pub(crate) order_errors: u64,
}

impl Tally {
    pub(crate) fn new(subscribers: usize) -> Self {
        Self {
            subscribers: vec![Subscriber::default(); subscribers],
            first: 0,
            repeated: 0,
            order_errors: 0,
        }
    }

    /// Notes that `subscriber` got message number `sequence`.
    pub(crate) fn note(&mut self, subscriber: usize, sequence: u32) -> Arrival {
        let subscriber = &mut self.subscribers[subscriber];
        if sequence >= subscriber.next {
            for missing in subscriber.next..sequence {
                if subscriber.missing.len() == MISSING_MAX {
                    subscriber.given_up += u64::from(sequence - missing);
                    break;
                }
                subscriber.missing.insert(missing);
            }
            subscriber.next = sequence + 1;
        } else if subscriber.missing.remove(&sequence) {
            self.order_errors += 1;
        } else {
            self.repeated += 1;
            return Arrival::Repeated;
        }
        self.first += 1;
        Arrival::First
    }

    /// How many deliveries are missing before what each subscriber got last, where the server
    /// refused `refused`.
    pub(crate) fn gaps(&self, refused: &BTreeSet<u32>) -> u64 {
        let of_one = |subscriber: &Subscriber| {
            subscriber.missing.difference(refused).count() as u64 + subscriber.given_up
        };
        self.subscribers.iter().map(of_one).sum()
    }

    /// How many deliveries are still missing when `published` messages were sent, of which the
    /// server refused `refused`.
    pub(crate) fn lost(&self, published: u32, refused: &BTreeSet<u32>) -> u64 {
        let of_one = |subscriber: &Subscriber| {
            let behind = refused.range(subscriber.next..).count();
            let tail = u64::from(published - subscriber.next) - behind as u64;
            subscriber.missing.difference(refused).count() as u64 + subscriber.given_up + tail
        };
        self.subscribers.iter().map(of_one).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally_of(sequences: &[u32]) -> Tally {
        let mut tally = Tally::new(1);
        for sequence in sequences {
            tally.note(0, *sequence);
        }
        tally
    }

    #[test]
    fn a_perfect_run_has_no_faults() {
        let tally = tally_of(&[0, 1, 2, 3]);
        assert_eq!((tally.first, tally.repeated, tally.order_errors), (4, 0, 0));
        assert_eq!(tally.lost(4, &BTreeSet::new()), 0);
    }

    #[test]
    fn losses_are_seen_at_the_start_in_the_middle_and_at_the_end() {
        let tally = tally_of(&[1, 3]);
        assert_eq!(tally.lost(6, &BTreeSet::new()), 4);
        assert_eq!(tally.gaps(&BTreeSet::from([2])), 1, "what comes later is no gap yet");
        assert_eq!((tally.repeated, tally.order_errors), (0, 0));
    }

    #[test]
    fn refused_messages_are_not_lost() {
        let tally = tally_of(&[0, 2]);
        assert_eq!(tally.lost(5, &BTreeSet::from([1, 4])), 1);
    }

    #[test]
    fn a_repeat_is_no_late_arrival_and_a_late_arrival_is_no_repeat() {
        let tally = tally_of(&[0, 2, 1, 1, 2]);
        assert_eq!((tally.first, tally.repeated, tally.order_errors), (3, 2, 1));
        assert_eq!(tally.lost(3, &BTreeSet::new()), 0);
    }

    #[test]
    fn what_is_looked_out_for_is_bounded_and_still_counted() {
        let tally = tally_of(&[0, 50_000]);
        assert_eq!(tally.subscribers[0].missing.len(), MISSING_MAX);
        assert_eq!(tally.lost(50_001, &BTreeSet::new()), 49_999);
    }

    #[test]
    fn subscribers_are_judged_apart() {
        let mut tally = Tally::new(2);
        tally.note(0, 0);
        tally.note(1, 0);
        tally.note(0, 1);
        assert_eq!(tally.lost(2, &BTreeSet::new()), 1);
    }
}
