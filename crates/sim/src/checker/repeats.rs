//! What a durable subscriber gets more than once: it says so (P4), what is new comes in order
//! (P2), and what was settled stays so but for the last moments before a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::{Epoch, Instant, Offset, Position};

use crate::history::{Record, Subscriber};
use crate::violation::{Promise, Violation, ensure};

/// When an ack was answered, and by which process.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    process: u64,
    at: Instant,
}

#[derive(Debug)]
struct Repeats {
    /// How long an answered ack may wait for its cursor to be saved.
    cursor_lag_max: Duration,
    /// The process that last delivered each.
    delivered: BTreeMap<(Subscriber, Epoch, Offset), u64>,
    /// The furthest that came for the first time, and from which process.
    furthest: BTreeMap<(Subscriber, Epoch), (Offset, u64)>,
    processes: BTreeMap<Subscriber, u64>,
    confirmed: BTreeMap<(Subscriber, Epoch, Offset), Confirmed>,
    /// Acks that were sent, and whose answer has not come.
    unanswered: BTreeSet<(Subscriber, Epoch, Offset)>,
    /// The same, and meanwhile the cursor could not be saved: the answer may have been given, and
    /// be on its way, since before.
    lagging: BTreeSet<(Subscriber, Epoch, Offset)>,
    kills: BTreeMap<u64, Instant>,
    /// Processes that ended with the power: their last moments, and what they reserved in them,
    /// may be forgotten. What those before them had written was synced when they began.
    power_lost: BTreeSet<u64>,
}

pub(super) fn check(history: &[Record], cursor_lag_max: Duration) -> Result<(), Violation> {
    let mut repeats = Repeats {
        cursor_lag_max,
        delivered: BTreeMap::new(),
        furthest: BTreeMap::new(),
        processes: BTreeMap::new(),
        confirmed: BTreeMap::new(),
        unanswered: BTreeSet::new(),
        lagging: BTreeSet::new(),
        kills: BTreeMap::new(),
        power_lost: BTreeSet::new(),
    };
    history.iter().try_for_each(|record| repeats.follow(record))
}

impl Repeats {
    fn follow(&mut self, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Delivered {
                subscriber: subscriber @ Subscriber::Durable(_),
                position,
                attempt,
                ..
            } => return self.delivered(*subscriber, *position, *attempt),
            Record::Connected { subscriber, process } => {
                self.processes.insert(*subscriber, *process);
            }
            Record::Acked { subscriber, position } => {
                self.unanswered.insert((*subscriber, position.epoch, position.offset));
            }
            Record::Settled { subscriber, position, at } => {
                let process = self.processes.get(subscriber).copied().unwrap_or_default();
                let place = (*subscriber, position.epoch, position.offset);
                self.unanswered.remove(&place);
                if !self.lagging.remove(&place) {
                    self.confirmed.entry(place).or_insert(Confirmed { process, at: *at });
                }
            }
            Record::CursorLags { subscriber } => {
                self.confirmed.retain(|(whose, ..), _| whose != subscriber);
                let theirs = |(whose, ..): &(Subscriber, Epoch, Offset)| whose == subscriber;
                self.lagging.extend(self.unanswered.extract_if(.., theirs));
            }
            Record::Killed { process, at } => {
                self.kills.insert(*process, *at);
            }
            Record::PowerLost { process } => {
                self.power_lost.insert(*process);
            }
            Record::LogLost => self.confirmed.clear(),
            Record::Delivered { subscriber: Subscriber::Live(_), .. }
            | Record::Published { .. }
            | Record::Acknowledged { .. }
            | Record::LogFound { .. }
            | Record::Trimmed { .. }
            | Record::Subscribed { .. }
            | Record::Joined { .. }
            | Record::ToldOfGap { .. }
            | Record::ToldWhy { .. }
            | Record::Session(_)
            | Record::DeadLettered { .. }
            | Record::CursorSaved { .. }
            | Record::Perishes { .. }
            | Record::NotOpened { .. }
            | Record::Damaged { .. }
            | Record::PurgeAsked { .. }
            | Record::Purged { .. }
            | Record::LettersFound { .. }
            | Record::Spared { .. } => {}
        }
        Ok(())
    }

    fn delivered(
        &mut self,
        subscriber: Subscriber,
        position: Position,
        attempt: u32,
    ) -> Result<(), Violation> {
        let Position { epoch, offset } = position;
        let place = (subscriber, epoch, offset);
        let process = self.processes.get(&subscriber).copied().unwrap_or_default();
        let Some(deliverer) = self.delivered.insert(place, process) else {
            // One that says it may have been sent before was given up or lost unseen, and has come
            // back since: only what is new has an order.
            let furthest =
                self.furthest.entry((subscriber, epoch)).or_insert((Offset::ORIGIN, process));
            let (before, from) = *furthest;
            *furthest = (*furthest).max((offset, process));
            let says_so = attempt > 1 || self.power_lost.contains(&from);
            return ensure(says_so || before < offset, Promise::OneOrder, || {
                format!("{subscriber:?} got {offset} for the first time after {before:?}")
            });
        };
        let says_so = attempt > 1 || self.power_lost.contains(&deliverer);
        ensure(says_so, Promise::AtLeastOnce, || {
            format!("{subscriber:?} got {offset} again, and it did not say so")
        })?;
        let Some(confirmed) = self.confirmed.get(&place) else { return Ok(()) };
        // The first kill since, of the process that answered the ack.
        let killed = self.kills.get(&confirmed.process).filter(|_| process > confirmed.process);
        let excused = killed.is_some_and(|at| at.since(confirmed.at) < self.cursor_lag_max);
        ensure(excused, Promise::SettledStays, || {
            format!(
                "{subscriber:?} got {offset} from process {process} after {confirmed:?}; \
                 that process was killed at {killed:?}"
            )
        })
    }
}
