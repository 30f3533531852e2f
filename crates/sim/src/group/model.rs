//! What a group should do, written so simply that it cannot be wrong: one entry per message, and
//! every question answered by looking at all of them.

mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::{
    CursorState, DeliveryPolicy, GiveUp, Instant, MemberId, Offset, OrderKey, SettleOutcome, Topic,
};

/// A span of time in which something is to happen, since jitter is the group's own.
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
    Unasked { attempts: u32 },
    Fetching { attempts: u32 },
    FetchFailed { attempts: u32, again: Instant },
    Held { attempts: u32, had: Option<MemberId> },
    With { member: MemberId, attempt: u32, due: Instant, serving: u64 },
    BackingOff { attempts: u32, retry: Span, had: Option<MemberId> },
    GivenUp { attempts: u32, reason: GiveUp, letter: Letter },
    Settled(Why),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) key: Option<OrderKey>,
    pub(super) fate: Fate,
    /// Fetched, as is every message of its topic that was asked for before it.
    pub(super) placed: bool,
    /// Delivered at least once since the group began.
    pub(super) delivered: bool,
    /// A member was interrupted with it: it says so when it comes again.
    pub(super) interrupted: bool,
}

/// What of a topic's log may have been sent, and may be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserved {
    /// Through which message an earlier process may have sent.
    pub(super) earlier: Offset,
    /// Through which message a durable cursor lets this one send.
    pub(super) durable: Offset,
}

/// The messages of one topic.
pub(super) type Messages = BTreeMap<Offset, Message>;

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) window: u32,
    pub(super) paused: bool,
    pub(super) served: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) policy: DeliveryPolicy,
    pub(super) topics: BTreeMap<Topic, Messages>,
    pub(super) reserved: BTreeMap<Topic, Reserved>,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// Who took messages when a key was last delivered, and whom it fell to.
    pub(super) fell: BTreeMap<OrderKey, (BTreeSet<MemberId>, MemberId)>,
    pub(super) servings: u64,
    /// Topics in which something was settled since their cursor was last to be saved.
    pub(super) unsaved: BTreeSet<Topic>,
}

impl Model {
    pub(super) const fn new(policy: DeliveryPolicy) -> Self {
        Self {
            policy,
            topics: BTreeMap::new(),
            reserved: BTreeMap::new(),
            members: BTreeMap::new(),
            fell: BTreeMap::new(),
            servings: 0,
            unsaved: BTreeSet::new(),
        }
    }

    /// A topic is taken up from `state`, which the model had when its messages were these. What
    /// was reserved reaches no further than the log.
    pub(super) fn open(
        &mut self,
        topic: &Topic,
        state: &CursorState,
        saved: Messages,
        head: Offset,
    ) {
        let attempts: BTreeMap<_, _> = state.attempts.iter().copied().collect();
        let resumed = saved.into_iter().map(|(offset, message)| match message.fate {
            Fate::Settled(_) => (offset, message),
            _ => {
                let interrupted = attempts.contains_key(&offset);
                let attempts = attempts.get(&offset).copied().unwrap_or(0);
                let fate = Fate::Unasked { attempts };
                (offset, Message { fate, placed: false, delivered: false, interrupted, ..message })
            }
        });
        self.topics.insert(topic.clone(), resumed.collect());
        let earlier = state.reserved.min(head.max(state.next.previous()));
        let reserved = Reserved { earlier, durable: Offset::ORIGIN };
        self.reserved.insert(topic.clone(), reserved);
    }

    /// A state is durable that reserves so much.
    pub(super) fn saved(&mut self, topic: &Topic, through: Offset) {
        let reserved = self.reserved.entry(topic.clone()).or_default();
        reserved.durable = reserved.durable.max(through);
    }

    pub(super) fn tail_advanced(
        &mut self,
        topic: &Topic,
        tail: Offset,
        key: impl Fn(Offset) -> Option<OrderKey>,
    ) {
        let Some(messages) = self.topics.get_mut(topic) else { return };
        let mut offset = last_of(messages).next();
        while offset <= tail {
            let fate = Fate::Unasked { attempts: 0 };
            let message = Message {
                key: key(offset),
                fate,
                placed: false,
                delivered: false,
                interrupted: false,
            };
            messages.insert(offset, message);
            offset = offset.next();
        }
    }

    pub(super) fn joined(&mut self, id: MemberId, window: u32) {
        self.members.insert(id, Member { window, paused: false, served: 0 });
    }

    pub(super) fn left(&mut self, id: MemberId) {
        self.members.remove(&id);
        let mut had: Vec<_> = self.with(id).collect();
        had.sort_by_key(|(serving, ..)| *serving);
        for (index, (_, topic, offset)) in had.into_iter().enumerate() {
            let Some(Fate::With { attempt, .. }) = self.fate(&topic, offset) else { continue };
            let attempts = if index == 0 { attempt } else { attempt - 1 };
            let messages = self.topics.get_mut(&topic);
            if let Some(message) = messages.and_then(|messages| messages.get_mut(&offset)) {
                message.interrupted = true;
            }
            if attempts >= self.policy.attempts_max {
                self.give_up(&topic, offset, attempts, GiveUp::ConnectionEnded);
            } else {
                self.set(&topic, offset, Fate::Held { attempts, had: None });
            }
        }
    }

    pub(super) fn fetched(&mut self, topic: &Topic, offset: Offset) {
        if let Some(Fate::Fetching { attempts }) = self.fate(topic, offset) {
            self.set(topic, offset, Fate::Held { attempts, had: None });
            self.place(topic);
        }
    }

    pub(super) fn fetch_failed(&mut self, topic: &Topic, offset: Offset, again: Instant) {
        if let Some(Fate::Fetching { attempts }) = self.fate(topic, offset) {
            self.set(topic, offset, Fate::FetchFailed { attempts, again });
        }
    }

    pub(super) fn missing(&mut self, topic: &Topic, first: Offset, last: Offset) {
        self.tail_advanced(topic, last, |_| None);
        let mut offset = first;
        while offset <= last {
            self.settle(topic, offset, Why::Gone);
            offset = offset.next();
        }
        self.place(topic);
    }

    pub(super) fn acked(&mut self, by: MemberId, topic: &Topic, offset: Offset) -> SettleOutcome {
        if self.may_answer(by, topic, offset).is_none() {
            return SettleOutcome::Stale;
        }
        self.settle(topic, offset, Why::Acked);
        SettleOutcome::Done
    }

    pub(super) fn nacked(
        &mut self,
        now: Instant,
        by: MemberId,
        topic: &Topic,
        offset: Offset,
        delay: Option<Duration>,
    ) -> SettleOutcome {
        let Some(Fate::With { attempt, member, .. }) = self.may_answer(by, topic, offset) else {
            return SettleOutcome::Stale;
        };
        self.failed(now, topic, offset, attempt, delay, GiveUp::Nacked, member);
        SettleOutcome::Done
    }

    pub(super) fn refused(&mut self, by: MemberId, topic: &Topic, offset: Offset) -> SettleOutcome {
        let Some(fate) = self.may_answer(by, topic, offset) else { return SettleOutcome::Stale };
        let attempts = match fate {
            Fate::With { attempt, .. } => attempt,
            other => failures(other),
        };
        self.give_up(topic, offset, attempts, GiveUp::Asked);
        SettleOutcome::Done
    }

    pub(super) fn extended(
        &mut self,
        now: Instant,
        by: MemberId,
        topic: &Topic,
        offset: Offset,
        more: Duration,
    ) -> SettleOutcome {
        let Some(Fate::With { member, attempt, serving, .. }) = self.may_answer(by, topic, offset)
        else {
            return SettleOutcome::Stale;
        };
        self.set(topic, offset, Fate::With { member, attempt, serving, due: now + more });
        SettleOutcome::Done
    }

    /// A delivery was not carried out: wanted at `again`, or at once by anybody.
    pub(super) fn not_sent(&mut self, topic: &Topic, offset: Offset, again: Option<Instant>) {
        let Some(Fate::With { attempt, .. }) = self.fate(topic, offset) else { return };
        let attempts = attempt - 1;
        let fate = match again {
            Some(at) => {
                Fate::BackingOff { attempts, retry: Span { from: at, until: at }, had: None }
            }
            None => Fate::Held { attempts, had: None },
        };
        self.set(topic, offset, fate);
    }

    pub(super) fn deadline_passed(&mut self, now: Instant) {
        let late = self.all().filter_map(|(topic, offset, message)| match message.fate {
            Fate::With { member, attempt, due, .. } if due <= now => {
                Some((topic.clone(), offset, member, attempt))
            }
            _ => None,
        });
        for (topic, offset, member, attempt) in late.collect::<Vec<_>>() {
            self.failed(now, &topic, offset, attempt, None, GiveUp::TimedOut, member);
        }
    }

    pub(super) fn dead_lettered(&mut self, topic: &Topic, offset: Offset) {
        if let Some(Fate::GivenUp { .. }) = self.fate(topic, offset) {
            self.settle(topic, offset, Why::DeadLettered);
        }
    }

    pub(super) fn dead_letter_failed(&mut self, now: Instant, topic: &Topic, offset: Offset) {
        if let Some(Fate::GivenUp { attempts, reason, .. }) = self.fate(topic, offset) {
            let letter = Letter::Failed(self.backoff(now, 1));
            self.set(topic, offset, Fate::GivenUp { attempts, reason, letter });
        }
    }

    pub(super) fn set(&mut self, topic: &Topic, offset: Offset, fate: Fate) {
        let messages = self.topics.get_mut(topic);
        if let Some(message) = messages.and_then(|messages| messages.get_mut(&offset)) {
            message.fate = fate;
        }
    }

    fn may_answer(&self, by: MemberId, topic: &Topic, offset: Offset) -> Option<Fate> {
        let fate = self.fate(topic, offset)?;
        let who = match fate {
            Fate::With { member, .. } => Some(member),
            Fate::Held { had, .. } | Fate::BackingOff { had, .. } => had,
            Fate::Unasked { .. }
            | Fate::Fetching { .. }
            | Fate::FetchFailed { .. }
            | Fate::GivenUp { .. }
            | Fate::Settled(_) => None,
        };
        (who == Some(by)).then_some(fate)
    }

    #[expect(clippy::too_many_arguments, reason = "everything that a failure consists of")]
    fn failed(
        &mut self,
        now: Instant,
        topic: &Topic,
        offset: Offset,
        attempt: u32,
        delay: Option<Duration>,
        reason: GiveUp,
        had: MemberId,
    ) {
        if attempt >= self.policy.attempts_max {
            return self.give_up(topic, offset, attempt, reason);
        }
        let retry = match delay {
            Some(delay) => Span { from: now + delay, until: now + delay },
            None => self.backoff(now, attempt),
        };
        let fate = Fate::BackingOff { attempts: attempt, retry, had: Some(had) };
        self.set(topic, offset, fate);
    }

    fn give_up(&mut self, topic: &Topic, offset: Offset, attempts: u32, reason: GiveUp) {
        self.set(topic, offset, Fate::GivenUp { attempts, reason, letter: Letter::Due });
    }

    /// Between half of the doubled wait and all of it.
    fn backoff(&self, now: Instant, attempt: u32) -> Span {
        let doubled = self.policy.backoff.base * 2u32.pow(attempt - 1);
        let full = doubled.min(self.policy.backoff.cap);
        Span { from: now + full / 2, until: now + full }
    }

    fn settle(&mut self, topic: &Topic, offset: Offset, why: Why) {
        if self.fate(topic, offset).is_some_and(|fate| !matches!(fate, Fate::Settled(_))) {
            self.set(topic, offset, Fate::Settled(why));
            self.unsaved.insert(topic.clone());
        }
    }

    /// Messages are placed in the order of their log.
    fn place(&mut self, topic: &Topic) {
        for message in self.topics.get_mut(topic).into_iter().flat_map(BTreeMap::values_mut) {
            match message.fate {
                Fate::Fetching { .. } | Fate::FetchFailed { .. } | Fate::Unasked { .. } => return,
                Fate::Held { .. }
                | Fate::With { .. }
                | Fate::BackingOff { .. }
                | Fate::GivenUp { .. }
                | Fate::Settled(_) => message.placed = true,
            }
        }
    }
}

fn last_of(messages: &Messages) -> Offset {
    messages.keys().next_back().copied().unwrap_or(Offset::ORIGIN)
}

pub(super) const fn is_in_flight(fate: Fate) -> bool {
    !matches!(fate, Fate::Settled(_) | Fate::Unasked { .. })
}

/// Failed deliveries so far.
const fn failures(fate: Fate) -> u32 {
    match fate {
        Fate::With { attempt, .. } => attempt - 1,
        Fate::Unasked { attempts }
        | Fate::Fetching { attempts }
        | Fate::FetchFailed { attempts, .. }
        | Fate::Held { attempts, .. }
        | Fate::BackingOff { attempts, .. }
        | Fate::GivenUp { attempts, .. } => attempts,
        Fate::Settled(_) => 0,
    }
}
