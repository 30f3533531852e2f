//! What a delivery window should do, written so simply that it cannot be wrong: one entry per
//! message, and every question answered by looking at all of them.

mod saving;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use tidings_core::limits::{RESERVED_WINDOWS, WINDOW_SPAN_FACTOR};
use tidings_core::{CursorState, DeliveryPolicy, Epoch, GiveUp, Instant, Offset, SettleOutcome};

use crate::violation::{Promise, Violation, ensure};

/// A span of time in which something is to happen, since jitter is the window's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// How a dead letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    /// To be asked for now.
    Due,
    /// Asked for, no outcome yet.
    Appending,
    /// Failed, to be asked for again.
    Failed(Span),
}

/// Why a message is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Acked,
    Gone,
    DeadLettered,
}

/// How one message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not sent on this connection; so often before.
    Unsent {
        attempts: u32,
    },
    Sent {
        attempt: u32,
        due: Instant,
    },
    Waiting {
        attempt: u32,
        retry: Span,
    },
    GivenUp {
        attempts: u32,
        reason: GiveUp,
        letter: Letter,
    },
    Settled(Why),
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) policy: DeliveryPolicy,
    pub(super) window: u32,
    epoch: Epoch,
    /// Every message from 1 to the tail.
    fates: BTreeMap<Offset, Fate>,
    /// Messages that an earlier connection was interrupted with.
    interrupted: BTreeSet<Offset>,
    /// Through which message an earlier process may have sent.
    earlier: Offset,
    /// Through which message the last cursor known to be durable lets this window send.
    reserved: Offset,
    /// Whether something was settled since the cursor was last to be saved.
    pub(super) unsaved: bool,
}

impl Model {
    pub(super) const fn new(
        policy: DeliveryPolicy,
        window: u32,
        epoch: Epoch,
        reserved: Offset,
    ) -> Self {
        Self {
            policy,
            window,
            epoch,
            fates: BTreeMap::new(),
            interrupted: BTreeSet::new(),
            earlier: Offset::ORIGIN,
            reserved,
            unsaved: false,
        }
    }

    /// What goes on from `state`, which this model had when it was saved.
    pub(super) fn resumed(&self, state: CursorState, window: u32, tail: Offset) -> Self {
        let mut resumed = Self { window, unsaved: false, ..self.clone() };
        let attempts: BTreeMap<_, _> = state.attempts.into_iter().collect();
        for (offset, fate) in &mut resumed.fates {
            if !matches!(fate, Fate::Settled(_)) {
                *fate = Fate::Unsent { attempts: attempts.get(offset).copied().unwrap_or(0) };
            }
        }
        resumed.interrupted = attempts.into_keys().collect();
        resumed.reserved = Offset::ORIGIN;
        resumed.tail_advanced(tail);
        resumed.earlier = state.reserved.min(resumed.tail());
        resumed
    }

    /// The first message that was sent and is not settled.
    fn first_in_flight(&self) -> Option<Offset> {
        let in_flight = |fate: &Fate| match fate {
            Fate::Sent { .. } | Fate::Waiting { .. } | Fate::GivenUp { .. } => true,
            Fate::Unsent { .. } | Fate::Settled(_) => false,
        };
        self.fates.iter().find(|(_, fate)| in_flight(fate)).map(|(offset, _)| *offset)
    }

    // What happened.

    pub(super) fn tail_advanced(&mut self, tail: Offset) {
        let mut offset = self.tail().next();
        while offset <= tail {
            self.fates.insert(offset, Fate::Unsent { attempts: 0 });
            offset = offset.next();
        }
    }

    pub(super) fn acked(&mut self, offset: Offset) -> SettleOutcome {
        match self.fates.get(&offset) {
            Some(Fate::Sent { .. } | Fate::Waiting { .. }) => {
                self.settle(offset, Why::Acked);
                SettleOutcome::Done
            }
            Some(Fate::Unsent { .. } | Fate::GivenUp { .. } | Fate::Settled(_)) | None => {
                SettleOutcome::Stale
            }
        }
    }

    pub(super) fn acked_through(&mut self, through: Offset) -> SettleOutcome {
        let offsets: Vec<_> = self.fates.range(..=through).map(|(offset, _)| *offset).collect();
        let outcomes = offsets.into_iter().map(|offset| self.acked(offset));
        // Every one has to be acked, so no short cut at the first that counts.
        outcomes.fold(SettleOutcome::Stale, |all, one| match one {
            SettleOutcome::Done => SettleOutcome::Done,
            SettleOutcome::Stale => all,
        })
    }

    pub(super) fn nacked(
        &mut self,
        now: Instant,
        offset: Offset,
        delay: Option<Duration>,
    ) -> SettleOutcome {
        let Some(Fate::Sent { attempt, .. }) = self.fates.get(&offset).copied() else {
            return SettleOutcome::Stale;
        };
        self.failed(now, offset, attempt, delay, GiveUp::Nacked);
        SettleOutcome::Done
    }

    pub(super) fn refused(&mut self, offset: Offset) -> SettleOutcome {
        let Some(Fate::Sent { attempt, .. } | Fate::Waiting { attempt, .. }) =
            self.fates.get(&offset).copied()
        else {
            return SettleOutcome::Stale;
        };
        self.give_up(offset, attempt, GiveUp::Asked);
        SettleOutcome::Done
    }

    pub(super) fn extended(
        &mut self,
        now: Instant,
        offset: Offset,
        more: Duration,
    ) -> SettleOutcome {
        let Some(Fate::Sent { due, .. }) = self.fates.get_mut(&offset) else {
            return SettleOutcome::Stale;
        };
        *due = now + more;
        SettleOutcome::Done
    }

    pub(super) fn not_sent(&mut self, offset: Offset, again_at: Instant) {
        if let Some(Fate::Sent { attempt, .. }) = self.fates.get(&offset).copied() {
            let retry = Span { from: again_at, until: again_at };
            self.fates.insert(offset, Fate::Waiting { attempt: attempt - 1, retry });
        }
    }

    pub(super) fn deadline_passed(&mut self, now: Instant) {
        for (offset, fate) in self.fates.clone() {
            match fate {
                Fate::Sent { attempt, due } if due <= now => {
                    self.failed(now, offset, attempt, None, GiveUp::TimedOut);
                }
                Fate::Sent { .. }
                | Fate::Unsent { .. }
                | Fate::Waiting { .. }
                | Fate::GivenUp { .. }
                | Fate::Settled(_) => {}
            }
        }
    }

    pub(super) fn missing(&mut self, first: Offset, last: Offset) {
        self.tail_advanced(last);
        let mut offset = first;
        while offset <= last {
            self.settle(offset, Why::Gone);
            offset = offset.next();
        }
    }

    pub(super) fn dead_lettered(&mut self, offset: Offset) {
        if let Some(Fate::GivenUp { .. }) = self.fates.get(&offset) {
            self.settle(offset, Why::DeadLettered);
        }
    }

    pub(super) fn dead_letter_failed(&mut self, now: Instant, offset: Offset) {
        let retry = self.backoff(now, 1);
        if let Some(Fate::GivenUp { letter, .. }) = self.fates.get_mut(&offset) {
            *letter = Letter::Failed(retry);
        }
    }

    /// A state is durable that reserves so much.
    pub(super) fn saved(&mut self, reserved: Offset) {
        self.reserved = self.reserved.max(reserved);
    }

    // What the window gave.

    pub(super) fn sent(
        &mut self,
        now: Instant,
        offset: Offset,
        attempt: u32,
    ) -> Result<(), Violation> {
        let (at_least_once, contract) = (Promise::AtLeastOnce, Promise::Contract);
        let before = match self.fates.get(&offset).copied() {
            Some(Fate::Unsent { attempts }) => {
                let first = self.first_unsent();
                ensure(first == Some(offset), Promise::OneOrder, || {
                    format!("{offset} is sent for the first time before {first:?}")
                })?;
                ensure(self.room_for(offset), Promise::Bounded, || {
                    format!("{offset} is sent beyond a window of {}", self.window)
                })?;
                attempts
            }
            Some(Fate::Waiting { attempt, retry }) => {
                ensure(retry.from <= now, contract, || {
                    format!("{offset} is sent again at {now:?}, before {:?}", retry.from)
                })?;
                attempt
            }
            other @ (Some(Fate::Sent { .. } | Fate::GivenUp { .. } | Fate::Settled(_)) | None) => {
                let what = format!("{offset} is sent, attempt {attempt}, while {other:?}");
                return Err(Violation::new(contract, what));
            }
        };
        ensure(offset <= self.reserved, at_least_once, || {
            format!("{offset} is sent, and {} are reserved", self.reserved)
        })?;
        let sent_before = offset <= self.earlier || self.interrupted.contains(&offset);
        let told = if sent_before { 2.max(before + 1) } else { before + 1 };
        ensure(attempt == told, at_least_once, || {
            format!("{offset} is sent as attempt {attempt} instead of {told}")
        })?;
        let attempt = before + 1;
        ensure(attempt <= self.policy.attempts_max, at_least_once, || {
            format!("attempt {attempt} of {offset} of at most {}", self.policy.attempts_max)
        })?;
        self.fates.insert(offset, Fate::Sent { attempt, due: now + self.policy.ack_timeout });
        Ok(())
    }

    pub(super) fn dead_letter(
        &mut self,
        now: Instant,
        offset: Offset,
        attempts: u32,
        reason: GiveUp,
    ) -> Result<(), Violation> {
        let fate = self.fates.get(&offset).copied();
        let fits = match fate {
            // The last attempt was used up on an earlier connection.
            Some(Fate::Unsent { attempts: before }) => {
                before >= self.policy.attempts_max
                    && before == attempts
                    && reason == GiveUp::ConnectionEnded
                    && self.first_unsent() == Some(offset)
                    && self.room_for(offset)
            }
            Some(Fate::GivenUp { attempts: before, reason: given, letter }) => {
                let due = match letter {
                    Letter::Due => true,
                    Letter::Appending => false,
                    Letter::Failed(retry) => retry.from <= now,
                };
                due && before == attempts && given == reason
            }
            Some(Fate::Sent { .. } | Fate::Waiting { .. } | Fate::Settled(_)) | None => false,
        };
        ensure(fits, Promise::AtLeastOnce, || {
            format!("{offset} is given up after {attempts} ({reason:?}) while {fate:?}")
        })?;
        let letter = Letter::Appending;
        self.fates.insert(offset, Fate::GivenUp { attempts, reason, letter });
        Ok(())
    }

    // How things stand.

    pub(super) fn tail(&self) -> Offset {
        self.fates.keys().next_back().copied().unwrap_or(Offset::ORIGIN)
    }

    pub(super) fn fates(&self) -> impl Iterator<Item = (Offset, Fate)> {
        self.fates.iter().map(|(offset, fate)| (*offset, *fate))
    }

    pub(super) fn fate(&self, offset: Offset) -> Option<Fate> {
        self.fates.get(&offset).copied()
    }

    /// The first message not settled.
    pub(super) fn cursor(&self) -> Offset {
        let unsettled = self.fates().find(|(_, fate)| !matches!(fate, Fate::Settled(_)));
        unsettled.map_or(self.tail().next(), |(offset, _)| offset)
    }

    pub(super) fn pending(&self) -> u64 {
        self.fates().filter(|(_, fate)| !matches!(fate, Fate::Settled(_))).count() as u64
    }

    pub(super) fn in_flight(&self) -> usize {
        let still = |fate| !matches!(fate, Fate::Settled(_) | Fate::Unsent { .. });
        self.fates().filter(|(_, fate)| still(*fate)).count()
    }

    pub(super) fn first_unsent(&self) -> Option<Offset> {
        let mut fates = self.fates();
        fates.find(|(_, fate)| matches!(fate, Fate::Unsent { .. })).map(|(offset, _)| offset)
    }

    pub(super) fn room_for(&self, offset: Offset) -> bool {
        let span_max = u64::from(self.window) * WINDOW_SPAN_FACTOR;
        self.in_flight() < self.window as usize && offset.distance_from(self.cursor()) < span_max
    }

    /// Whether a durable cursor lets it be sent.
    pub(super) fn may_send(&self, offset: Offset) -> bool {
        offset <= self.reserved
    }

    /// What a state may reserve, at least and at most: a stretch ahead of what was sent, or of
    /// what was settled behind that.
    pub(super) fn reserves(&self) -> RangeInclusive<Offset> {
        let ahead = u64::from(self.window) * RESERVED_WINDOWS;
        let floor = self.reserved.max(self.earlier);
        let in_flight = |fate: &Fate| !matches!(fate, Fate::Settled(_) | Fate::Unsent { .. });
        let sent = self.fates().filter(|(_, fate)| in_flight(fate)).map(|(offset, _)| offset);
        let sent = sent.last().unwrap_or(self.cursor().previous());
        let reached = self.first_unsent().map_or(self.tail(), Offset::previous);
        floor.max(sent.plus(ahead))..=floor.max(reached.plus(ahead))
    }

    fn unsent_attempts(&self) -> impl Iterator<Item = (Offset, u32)> {
        self.fates().filter_map(|(offset, fate)| match fate {
            Fate::Unsent { attempts } if self.interrupted.contains(&offset) => {
                Some((offset, attempts))
            }
            Fate::Unsent { .. }
            | Fate::Sent { .. }
            | Fate::Waiting { .. }
            | Fate::GivenUp { .. }
            | Fate::Settled(_) => None,
        })
    }

    /// By when something has to happen for each message: (the message, the moment).
    pub(super) fn dues(&self) -> impl Iterator<Item = (Offset, Instant)> {
        self.fates().filter_map(|(offset, fate)| match fate {
            Fate::Sent { due, .. } => Some((offset, due)),
            Fate::Waiting { retry, .. } | Fate::GivenUp { letter: Letter::Failed(retry), .. } => {
                Some((offset, retry.until))
            }
            Fate::GivenUp { letter: Letter::Due, .. } => Some((offset, Instant::ORIGIN)),
            Fate::GivenUp { letter: Letter::Appending, .. }
            | Fate::Unsent { .. }
            | Fate::Settled(_) => None,
        })
    }

    fn failed(
        &mut self,
        now: Instant,
        offset: Offset,
        attempt: u32,
        delay: Option<Duration>,
        reason: GiveUp,
    ) {
        if attempt >= self.policy.attempts_max {
            return self.give_up(offset, attempt, reason);
        }
        let retry = match delay {
            Some(delay) => Span { from: now + delay, until: now + delay },
            None => self.backoff(now, attempt),
        };
        self.fates.insert(offset, Fate::Waiting { attempt, retry });
    }

    fn give_up(&mut self, offset: Offset, attempts: u32, reason: GiveUp) {
        let letter = Letter::Due;
        self.fates.insert(offset, Fate::GivenUp { attempts, reason, letter });
    }

    /// Between half of the doubled wait and all of it.
    fn backoff(&self, now: Instant, attempt: u32) -> Span {
        let doubled = self.policy.backoff.base * 2u32.pow(attempt - 1);
        let full = doubled.min(self.policy.backoff.cap);
        Span { from: now + full / 2, until: now + full }
    }

    fn settle(&mut self, offset: Offset, why: Why) {
        if let Some(fate) = self.fates.get_mut(&offset)
            && !matches!(fate, Fate::Settled(_))
        {
            *fate = Fate::Settled(why);
            self.unsaved = true;
        }
    }
}
