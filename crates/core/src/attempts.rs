//! What became of the deliveries of messages that are not settled: who got them, when, and how each
//! attempt ended.

use std::collections::{BTreeMap, VecDeque};

use crate::id::ClientId;
use crate::limits::{
    ATTEMPT_REASONS_BYTES_MAX, ATTEMPTS_FIRST_KEPT, ATTEMPTS_LAST_KEPT, WINDOW_MAX,
};
use crate::position::Offset;
use crate::time::Timestamp;

/// How a delivery ended that did not settle its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptEnd {
    /// The subscriber wants it again.
    Nacked,
    /// The subscriber will never take it.
    Refused,
    /// Nothing was said of it in time.
    TimedOut,
    /// The connection ended before anything was said of it.
    ConnectionEnded,
}

impl AttemptEnd {
    /// The word for it in documents of ours.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nacked => "nacked",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::ConnectionEnded => "connection_ended",
        }
    }
}

/// One delivery that did not settle its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which delivery of the message it was, from 1. Two have the same number where the first was
    /// interrupted and does not count.
    pub number: u32,
    /// Which device or process got it.
    pub client: ClientId,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How.
    pub end: AttemptEnd,
    /// What the subscriber said of it.
    pub reason: Option<Box<str>>,
}

/// The failed deliveries of one message, oldest first: the first few and the last few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    first: Vec<Attempt>,
    last: VecDeque<Attempt>,
    left_out: u32,
}

impl Attempts {
    /// Those that are kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.last)
    }

    /// How many between the first and the last are not kept.
    pub const fn left_out(&self) -> u32 {
        self.left_out
    }

    fn push(&mut self, attempt: Attempt) -> Option<Attempt> {
        if self.first.len() < ATTEMPTS_FIRST_KEPT {
            self.first.push(attempt);
            return None;
        }
        self.last.push_back(attempt);
        if self.last.len() <= ATTEMPTS_LAST_KEPT {
            return None;
        }
        self.left_out += 1;
        self.last.pop_front()
    }

    fn reason_bytes(&self) -> usize {
        self.kept().map(Attempt::reason_bytes).sum()
    }
}

impl Attempt {
    fn reason_bytes(&self) -> usize {
        self.reason.as_ref().map_or(0, |reason| reason.len())
    }
}

/// The failed deliveries of a subscription's unsettled messages. Bounded: see the limits it uses. Most
/// subscriptions have none, and then it is one word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptLog(Option<Box<Failed>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Failed {
    messages: BTreeMap<Offset, Attempts>,
    /// Of all reasons kept.
    reason_bytes: usize,
}

impl AttemptLog {
    /// A delivery failed. Its reason is left out where the reasons kept are too long in all, and
    /// the delivery itself where those of too many messages are kept.
    pub fn failed(&mut self, offset: Offset, attempt: Attempt) {
        self.0.get_or_insert_default().add(offset, attempt);
    }

    /// A message is settled: how it came to that no longer matters.
    pub fn settled(&mut self, offset: Offset) {
        self.forget(|failed| failed.settled(offset));
    }

    /// Every message before `cursor` is settled.
    pub fn settled_before(&mut self, cursor: Offset) {
        self.forget(|failed| failed.settled_before(cursor));
    }

    fn forget(&mut self, forget: impl FnOnce(&mut Failed)) {
        if let Some(failed) = &mut self.0 {
            forget(failed);
            if failed.messages.is_empty() {
                self.0 = None;
            }
        }
    }

    /// The failed deliveries of a message, if any is known.
    pub fn of(&self, offset: Offset) -> Option<&Attempts> {
        self.0.as_ref()?.messages.get(&offset)
    }

    /// Whether nothing is kept.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// About how much memory it takes, bytes.
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |failed| failed.bytes())
    }
}

impl Failed {
    fn add(&mut self, offset: Offset, mut attempt: Attempt) {
        // A window has no more in flight; what an earlier one left may come on top.
        let messages_max = 2 * WINDOW_MAX as usize;
        if self.messages.len() >= messages_max && !self.messages.contains_key(&offset) {
            return;
        }
        if self.reason_bytes + attempt.reason_bytes() > ATTEMPT_REASONS_BYTES_MAX {
            attempt.reason = None;
        }
        self.reason_bytes += attempt.reason_bytes();
        let left_out = self.messages.entry(offset).or_default().push(attempt);
        self.reason_bytes -= left_out.map_or(0, |attempt| attempt.reason_bytes());
    }

    fn settled(&mut self, offset: Offset) {
        let settled = self.messages.remove(&offset);
        self.reason_bytes -= settled.map_or(0, |attempts| attempts.reason_bytes());
    }

    fn settled_before(&mut self, cursor: Offset) {
        while let Some(first) = self.messages.first_entry()
            && *first.key() < cursor
        {
            self.reason_bytes -= first.remove().reason_bytes();
        }
    }

    fn bytes(&self) -> usize {
        let attempts: usize = self.messages.values().map(|a| a.first.len() + a.last.len()).sum();
        let entries = self.messages.len() * size_of::<Attempts>();
        entries + attempts * size_of::<Attempt>() + self.reason_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32, reason: &str) -> Attempt {
        Attempt {
            number,
            client: ClientId::parse("phone").unwrap(),
            sent_at: Timestamp::from_ms(u64::from(number) * 10),
            ended_at: Timestamp::from_ms(u64::from(number) * 10 + 5),
            end: AttemptEnd::Nacked,
            reason: (!reason.is_empty()).then(|| reason.into()),
        }
    }

    fn failed(log: &AttemptLog) -> &Failed {
        log.0.as_ref().unwrap()
    }

    #[test]
    fn keeps_the_first_and_the_last_attempts_and_counts_the_others() {
        let mut log = AttemptLog::default();
        let offset = Offset::new(7);
        for number in 1..=1000 {
            log.failed(offset, attempt(number, "why"));
        }
        let kept = log.of(offset).unwrap();
        let numbers: Vec<_> = kept.kept().map(|a| a.number).collect();
        let expected: Vec<_> = (1..=4).chain(989..=1000).collect();
        assert_eq!(numbers, expected);
        assert_eq!(kept.left_out(), 984);
        assert_eq!(failed(&log).reason_bytes, numbers.len() * 3);
        log.settled(offset);
        assert_eq!(log, AttemptLog::default());
    }

    #[test]
    fn forgets_what_is_settled() {
        let mut log = AttemptLog::default();
        for offset in 1..=5 {
            log.failed(Offset::new(offset), attempt(1, "x"));
        }
        log.settled(Offset::new(5));
        log.settled_before(Offset::new(3));
        let left: Vec<_> = (1..=5).filter(|o| log.of(Offset::new(*o)).is_some()).collect();
        assert_eq!(left, [3, 4]);
        assert_eq!(failed(&log).reason_bytes, 2);
    }

    #[test]
    fn a_subscriber_that_says_much_keeps_its_attempts_and_loses_its_words() {
        let mut log = AttemptLog::default();
        let words = "w".repeat(512);
        for offset in 0..4000 {
            log.failed(Offset::new(offset), attempt(1, &words));
        }
        let log = failed(&log);
        assert_eq!(log.reason_bytes, ATTEMPT_REASONS_BYTES_MAX);
        assert_eq!(log.messages.len(), 2048);
        let without = log.messages.values().flat_map(Attempts::kept).filter(|a| a.reason.is_none());
        assert_eq!(without.count(), 2048 - 128);
    }
}
