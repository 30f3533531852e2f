//! What a durable subscription is owed: every message from its start on is acked, durably set
//! aside, trimmed, or expired, before a saved cursor passes it and by the end (P4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::{CursorState, Epoch, Offset, Position, Timestamp, TopicState};

use super::{Kept, Known};
use crate::history::{Name, Record, Subscriber};
use crate::violation::{Promise, Violation, ensure};

#[derive(Debug)]
struct Durable<'a> {
    known: &'a Known,
    kept: Kept,
    /// The first offset owed to each, in each life of the log.
    starts: BTreeMap<(Subscriber, Epoch), Offset>,
    settled: BTreeSet<(Subscriber, Epoch, Offset)>,
    ttls: BTreeMap<Name, Duration>,
    last_found: Option<TopicState>,
}

pub(super) fn check(history: &[Record], known: &Known) -> Result<(), Violation> {
    let mut durable = Durable {
        known,
        kept: Kept::default(),
        starts: BTreeMap::new(),
        settled: BTreeSet::new(),
        ttls: BTreeMap::new(),
        last_found: None,
    };
    for record in history {
        durable.kept.follow(record);
        durable.follow(record)?;
    }
    durable.check_end()
}

impl Durable<'_> {
    fn follow(&mut self, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Subscribed {
                subscriber: subscriber @ Subscriber::Durable(_),
                epoch,
                next,
                ..
            } => {
                self.starts.entry((*subscriber, *epoch)).or_insert(*next);
            }
            Record::Acked { subscriber, position }
            | Record::DeadLettered { subscriber, position } => {
                self.settled.insert((*subscriber, position.epoch, position.offset));
            }
            Record::Perishes { name, ttl } => {
                self.ttls.insert(*name, *ttl);
            }
            Record::Spared { subscriber, position, published_at, wall } => {
                self.check_expired(*position, *published_at, *wall)?;
                self.settled.insert((*subscriber, position.epoch, position.offset));
            }
            Record::CursorSaved { subscriber, state } => {
                return self.check_saved(*subscriber, state);
            }
            Record::LogFound { state, .. } => self.last_found = Some(*state),
            Record::Subscribed { subscriber: Subscriber::Live(_), .. }
            | Record::Published { .. }
            | Record::Acknowledged { .. }
            | Record::Trimmed { .. }
            | Record::LogLost
            | Record::Joined { .. }
            | Record::ToldOfGap { .. }
            | Record::ToldWhy { .. }
            | Record::Session(_)
            | Record::Delivered { .. }
            | Record::Connected { .. }
            | Record::Settled { .. }
            | Record::CursorLags { .. }
            | Record::PowerLost { .. }
            | Record::NotOpened { .. }
            | Record::Damaged { .. }
            | Record::PurgeAsked { .. }
            | Record::Purged { .. }
            | Record::LettersFound { .. }
            | Record::Killed { .. } => {}
        }
        Ok(())
    }

    /// Only what has expired is spared, by the clock that was there, whichever way it jumped.
    fn check_expired(
        &self,
        position: Position,
        published_at: Timestamp,
        wall: Timestamp,
    ) -> Result<(), Violation> {
        let Some(name) = self.known.0.get(&(position.epoch, position.offset)) else {
            // Lost with its log before anybody saw it.
            return Ok(());
        };
        let ttl = self.ttls.get(name);
        let expired = ttl.is_some_and(|ttl| published_at.plus(*ttl) <= wall);
        ensure(expired, Promise::AtLeastOnce, || {
            format!("{position:?} of {published_at:?} was spared at {wall:?}, its ttl is {ttl:?}")
        })
    }

    /// A saved cursor may lag, never lead.
    fn check_saved(&self, subscriber: Subscriber, state: &CursorState) -> Result<(), Violation> {
        // A subscription whose first answer is still to come has nothing to lose.
        let Some(start) = self.starts.get(&(subscriber, state.epoch)).copied() else {
            return Ok(());
        };
        self.check_settled(subscriber, state.epoch, start, state.next)?;
        for (first, last) in &state.settled {
            self.check_settled(subscriber, state.epoch, start.max(*first), last.next())?;
        }
        Ok(())
    }

    /// Every message in `first..end` is settled or trimmed.
    fn check_settled(
        &self,
        subscriber: Subscriber,
        epoch: Epoch,
        first: Offset,
        end: Offset,
    ) -> Result<(), Violation> {
        let mut from =
            if self.kept.epoch == Some(epoch) { first.max(self.kept.first) } else { first };
        while let Some(offset) = self.known.first_in(epoch, from, end) {
            let settled = self.settled.contains(&(subscriber, epoch, offset));
            ensure(settled, Promise::AtLeastOnce, || {
                format!("{subscriber:?} passed {offset}, which is not settled")
            })?;
            from = offset.next();
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), Violation> {
        let Some(log) = self.last_found else { return Ok(()) };
        let subscribers: BTreeSet<_> = self.starts.keys().map(|(who, _)| *who).collect();
        for subscriber in subscribers {
            let start = self.starts.get(&(subscriber, log.epoch)).copied();
            let Some(start) = start else {
                let what = format!("{subscriber:?} did not come back to the last log");
                return Err(Violation::new(Promise::Liveness, what));
            };
            self.check_settled(subscriber, log.epoch, start, log.head.next())?;
        }
        Ok(())
    }
}
