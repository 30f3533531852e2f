//! Which messages wait for their time, and which are due.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use crate::id::{MessageId, UserId};
use crate::limits;
use crate::position::Offset;
use crate::time::Timestamp;
use crate::topic::Topic;

/// A message that waits for its time. The message itself is in the log, at `offset` of the topic
/// that keeps them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledMessage {
    /// When it is to be published.
    pub deliver_at: Timestamp,
    /// Where it is kept until then.
    pub offset: Offset,
    /// Its name, which it keeps.
    pub id: MessageId,
    /// Where it is to be published.
    pub topic: Topic,
    /// Who scheduled it.
    pub user: Option<UserId>,
}

impl ScheduledMessage {
    const fn place(&self) -> Place {
        (self.deliver_at, self.offset)
    }
}

/// The order in which they are due.
type Place = (Timestamp, Offset);

/// Why a message cannot be taken off the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// It is unknown: never scheduled, published, or cancelled before.
    #[error("no such message is scheduled: it was published or cancelled, or never was there")]
    Unknown,
    /// It is being published at this moment.
    #[error("the message is due and is being published")]
    Due,
}

/// Messages that wait for their time, by their time.
///
/// It decides what is due and hands it out once: what was taken by [`take_due`](Self::take_due) or
/// [`cancel`](Self::cancel) is *out* until it is reported [`done`](Self::done),
/// [`cancelled`](Self::cancelled), [`put_back`](Self::put_back) or [`set_aside`](Self::set_aside),
/// so that nothing is published twice or both published and cancelled.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    waiting: BTreeMap<Place, ScheduledMessage>,
    by_id: BTreeMap<MessageId, Place>,
    /// Due, but refused in a way that hardly goes away: tried now and then.
    aside: BTreeMap<Place, ScheduledMessage>,
    /// When those are tried again; also such as were cancelled meanwhile.
    retries: BTreeSet<(Timestamp, Place)>,
    /// How often each was set aside.
    refusals: BTreeMap<MessageId, u32>,
    /// Taken out, not done.
    out: BTreeMap<MessageId, ScheduledMessage>,
    /// The last ones that were published, with their time.
    published: VecDeque<(MessageId, Timestamp)>,
    per_user: BTreeMap<UserId, u32>,
}

impl Schedule {
    /// Adds a message. One that is known already, waiting or out, is not added again.
    pub fn add(&mut self, scheduled: ScheduledMessage) {
        if self.out.contains_key(&scheduled.id) || self.by_id.contains_key(&scheduled.id) {
            return;
        }
        if let Some(user) = &scheduled.user {
            *self.per_user.entry(user.clone()).or_default() += 1;
        }
        self.insert(scheduled);
    }

    fn insert(&mut self, scheduled: ScheduledMessage) {
        self.by_id.insert(scheduled.id, scheduled.place());
        self.waiting.insert(scheduled.place(), scheduled);
    }

    /// When the next one is due, or due again.
    pub fn next_due(&self) -> Option<Timestamp> {
        let waiting = self.waiting.first_key_value().map(|((deliver_at, _), _)| *deliver_at);
        let aside = self.retries.first().map(|(retry_at, _)| *retry_at);
        waiting.into_iter().chain(aside).min()
    }

    /// Takes out what is due, the longest due first, at most so many.
    pub fn take_due(&mut self, now: Timestamp, most: usize) -> Vec<ScheduledMessage> {
        self.take_back(now);
        let mut due = Vec::new();
        while due.len() < most
            && let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let scheduled = first.remove();
            self.take_out(&scheduled);
            due.push(scheduled);
        }
        due
    }

    /// Lets those wait again that are to be tried again.
    fn take_back(&mut self, now: Timestamp) {
        while let Some((retry_at, place)) = self.retries.first().copied()
            && retry_at <= now
        {
            self.retries.pop_first();
            if let Some(scheduled) = self.aside.remove(&place) {
                self.waiting.insert(place, scheduled);
            }
        }
    }

    /// Takes out one that is not to be published.
    pub fn cancel(&mut self, id: MessageId) -> Result<ScheduledMessage, CancelError> {
        let Some(place) = self.by_id.get(&id).copied() else {
            return Err(if self.out.contains_key(&id) {
                CancelError::Due
            } else {
                CancelError::Unknown
            });
        };
        let waiting = self.waiting.remove(&place).or_else(|| self.aside.remove(&place));
        let scheduled = waiting.ok_or(CancelError::Unknown)?;
        self.take_out(&scheduled);
        Ok(scheduled)
    }

    fn take_out(&mut self, scheduled: &ScheduledMessage) {
        self.by_id.remove(&scheduled.id);
        self.out.insert(scheduled.id, scheduled.clone());
    }

    /// What was taken out is published, or expired, and the log knows. For a while it is known
    /// that it was: a repeat of its scheduling may be under way.
    pub fn done(&mut self, scheduled: &ScheduledMessage) {
        if self.out.contains_key(&scheduled.id) {
            self.published.push_back((scheduled.id, scheduled.deliver_at));
            if self.published.len() > limits::SCHEDULE_PUBLISHED_KNOWN_MAX {
                self.published.pop_front();
            }
        }
        self.cancelled(scheduled);
    }

    /// What was taken out is not published, and the log knows.
    pub fn cancelled(&mut self, scheduled: &ScheduledMessage) {
        if self.out.remove(&scheduled.id).is_none() {
            return;
        }
        self.refusals.remove(&scheduled.id);
        if let Some(user) = &scheduled.user
            && let Some(count) = self.per_user.get_mut(user)
        {
            *count -= 1;
            if *count == 0 {
                self.per_user.remove(user);
            }
        }
    }

    /// What was taken out could not be carried out: it waits again.
    pub fn put_back(&mut self, scheduled: ScheduledMessage) {
        if self.out.remove(&scheduled.id).is_some() {
            self.insert(scheduled);
        }
    }

    /// What was taken out was refused in a way that hardly goes away: it stays on the schedule, and
    /// is tried again after a wait that doubles each time. Returns that wait.
    pub fn set_aside(&mut self, scheduled: ScheduledMessage, now: Timestamp) -> Duration {
        let refusals = self.refusals.get(&scheduled.id).copied().unwrap_or_default();
        let wait = limits::SCHEDULE_RETRY_MIN.saturating_mul(1 << refusals.min(20));
        let wait = wait.min(limits::SCHEDULE_RETRY_MAX);
        if self.out.remove(&scheduled.id).is_some() {
            let place = scheduled.place();
            self.refusals.insert(scheduled.id, refusals.saturating_add(1));
            self.by_id.insert(scheduled.id, place);
            self.retries.insert((now.plus(wait), place));
            self.aside.insert(place, scheduled);
        }
        wait
    }

    /// The one with this id, if it waits or is out.
    pub fn get(&self, id: MessageId) -> Option<&ScheduledMessage> {
        let Some(place) = self.by_id.get(&id) else { return self.out.get(&id) };
        self.waiting.get(place).or_else(|| self.aside.get(place))
    }

    /// The time of the one with this id, if it waits, is out, or was published lately.
    pub fn deliver_at(&self, id: MessageId) -> Option<Timestamp> {
        let here = self.get(id).map(|scheduled| scheduled.deliver_at);
        here.or_else(|| {
            let published = self.published.iter().find(|(known, _)| *known == id);
            published.map(|(_, deliver_at)| *deliver_at)
        })
    }

    /// Those that wait, by their time, after this one; with those that were set aside.
    pub fn after(
        &self,
        place: Option<(Timestamp, Offset)>,
    ) -> impl Iterator<Item = &ScheduledMessage> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        let mut waiting = self.waiting.range((from, Bound::Unbounded)).peekable();
        let mut aside = self.aside.range((from, Bound::Unbounded)).peekable();
        std::iter::from_fn(move || {
            let next = match (waiting.peek(), aside.peek()) {
                (Some((waits, _)), Some((set_aside, _))) if set_aside < waits => aside.next(),
                (None, Some(_)) => aside.next(),
                (Some(_) | None, _) => waiting.next(),
            };
            next.map(|(_, scheduled)| scheduled)
        })
    }

    /// How many there are, waiting or out.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.aside.len() + self.out.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of a user's there are, waiting or out.
    pub fn count_of(&self, user: &UserId) -> u32 {
        self.per_user.get(user).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, offset: u64) -> ScheduledMessage {
        ScheduledMessage {
            deliver_at: Timestamp::from_ms(ms),
            offset: Offset::new(offset),
            id: MessageId::new(1, 0, offset),
            topic: Topic::parse("a").unwrap(),
            user: Some(UserId::parse("alice").unwrap()),
        }
    }

    fn due(schedule: &mut Schedule, now: u64, most: usize) -> Vec<u64> {
        let due = schedule.take_due(Timestamp::from_ms(now), most);
        due.iter().map(|scheduled| scheduled.offset.get()).collect()
    }

    /// Whoever may not know of a message is told the same of it in every phase.
    #[test]
    fn one_that_is_being_published_still_says_whose_it_is() {
        let mut schedule = Schedule::default();
        let id = MessageId::new(1, 0, 1);
        schedule.add(ScheduledMessage {
            deliver_at: Timestamp::from_ms(10),
            offset: Offset::new(1),
            id,
            topic: Topic::parse("a").unwrap(),
            user: Some("alice".parse().unwrap()),
        });
        let owner = |schedule: &Schedule| schedule.get(id).and_then(|found| found.user.clone());
        assert_eq!(owner(&schedule), Some("alice".parse().unwrap()));
        let due = schedule.take_due(Timestamp::from_ms(10), 1);
        assert_eq!(owner(&schedule), Some("alice".parse().unwrap()));
        schedule.done(&due[0]);
        assert_eq!(owner(&schedule), None);
    }

    #[test]
    fn what_is_due_is_given_once_and_in_its_order() {
        let mut schedule = Schedule::default();
        for scheduled in [at(30, 1), at(10, 2), at(10, 3), at(20, 4)] {
            schedule.add(scheduled.clone());
            schedule.add(scheduled);
        }
        assert_eq!(schedule.len(), 4, "the same is not added twice");
        assert_eq!(due(&mut schedule, 9, 10), []);
        assert_eq!(schedule.next_due(), Some(Timestamp::from_ms(10)));
        assert_eq!(due(&mut schedule, 25, 2), [2, 3]);
        assert_eq!(due(&mut schedule, 25, 2), [4]);
        assert_eq!(due(&mut schedule, 25, 2), []);
        schedule.add(at(10, 2));
        assert_eq!(due(&mut schedule, 25, 2), [], "what is out is known");
        schedule.put_back(at(10, 2));
        assert_eq!(due(&mut schedule, 25, 2), [2]);
        schedule.done(&at(10, 2));
        schedule.put_back(at(10, 2));
        assert_eq!(due(&mut schedule, 25, 2), [], "what is done does not come back");
    }

    #[test]
    fn a_message_is_published_or_cancelled_and_never_both() {
        let mut schedule = Schedule::default();
        schedule.add(at(10, 1));
        schedule.add(at(20, 2));
        assert_eq!(due(&mut schedule, 10, 10), [1]);
        assert_eq!(schedule.cancel(at(10, 1).id), Err(CancelError::Due));
        assert_eq!(schedule.cancel(at(20, 2).id), Ok(at(20, 2)));
        assert_eq!(due(&mut schedule, 99, 10), []);
        schedule.done(&at(20, 2));
        assert_eq!(schedule.cancel(at(20, 2).id), Err(CancelError::Unknown));
        schedule.put_back(at(10, 1));
        assert_eq!(schedule.cancel(at(10, 1).id), Ok(at(10, 1)), "its publishing failed");
    }

    #[test]
    fn what_is_refused_for_good_waits_longer_each_time_and_holds_up_nothing() {
        let mut schedule = Schedule::default();
        for scheduled in [at(10, 1), at(20, 2), at(30, 3)] {
            schedule.add(scheduled);
        }
        let (mut now, mut waits) = (10, Vec::new());
        for _ in 0..12 {
            let due = schedule.take_due(Timestamp::from_ms(now), 1);
            assert_eq!(due, [at(10, 1)]);
            let wait = schedule.set_aside(at(10, 1), Timestamp::from_ms(now));
            waits.push(wait.as_secs());
            if now == 10 {
                assert_eq!(schedule.next_due(), Some(Timestamp::from_ms(20)));
                let places: Vec<_> = schedule.after(None).map(|s| s.offset.get()).collect();
                assert_eq!((places, schedule.len()), (vec![1, 2, 3], 3), "it stays on the list");
                assert_eq!(due_and_done(&mut schedule, 30), [2, 3]);
            }
            now += wait.as_millis() as u64;
            assert_eq!(schedule.next_due(), Some(Timestamp::from_ms(now)));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(schedule.cancel(at(10, 1).id), Ok(at(10, 1)), "it can be cancelled");
        schedule.cancelled(&at(10, 1));
        assert_eq!(due(&mut schedule, now, 10), []);
        assert_eq!((schedule.next_due(), schedule.is_empty()), (None, true));
    }

    fn due_and_done(schedule: &mut Schedule, now: u64) -> Vec<u64> {
        let taken = schedule.take_due(Timestamp::from_ms(now), 10);
        taken.iter().for_each(|scheduled| schedule.done(scheduled));
        taken.iter().map(|scheduled| scheduled.offset.get()).collect()
    }

    #[test]
    fn what_is_published_is_known_for_a_while_and_what_is_cancelled_is_not() {
        let mut schedule = Schedule::default();
        let known = |schedule: &Schedule, n| schedule.deliver_at(at(0, n).id).map(Timestamp::as_ms);
        schedule.add(at(10, 1));
        schedule.add(at(20, 2));
        assert_eq!((known(&schedule, 1), known(&schedule, 2)), (Some(10), Some(20)));
        schedule.cancel(at(20, 2).id).unwrap();
        let taken = schedule.take_due(Timestamp::from_ms(10), 10);
        assert_eq!((known(&schedule, 1), known(&schedule, 2)), (Some(10), Some(20)), "out");
        schedule.done(&taken[0]);
        schedule.cancelled(&at(20, 2));
        assert_eq!((known(&schedule, 1), known(&schedule, 2)), (Some(10), None));
        for n in 0..limits::SCHEDULE_PUBLISHED_KNOWN_MAX as u64 {
            schedule.add(at(30, 10 + n));
            due_and_done(&mut schedule, 30);
        }
        assert_eq!(known(&schedule, 1), None, "so many, and no more");
    }

    #[test]
    fn users_are_counted_until_theirs_are_done() {
        let mut schedule = Schedule::default();
        let alice = UserId::parse("alice").unwrap();
        schedule.add(at(10, 1));
        schedule.add(at(20, 2));
        assert_eq!(schedule.count_of(&alice), 2);
        let taken = schedule.take_due(Timestamp::from_ms(10), 10);
        assert_eq!(schedule.count_of(&alice), 2);
        schedule.done(&taken[0]);
        schedule.done(&taken[0]);
        assert_eq!((schedule.count_of(&alice), schedule.len()), (1, 1));
        let places: Vec<_> = schedule.after(None).map(|s| s.offset.get()).collect();
        assert_eq!(places, [2]);
        let last = (Timestamp::from_ms(20), Offset::new(2));
        assert_eq!(schedule.after(Some(last)).count(), 0);
    }
}
