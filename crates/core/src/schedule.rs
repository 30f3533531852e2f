//! Which messages wait for their time, and which are due.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::id::{MessageId, UserId};
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
/// [`cancel`](Self::cancel) is *out* until it is reported [`done`](Self::done) or
/// [`put_back`](Self::put_back), so that nothing is published twice or both published and
/// cancelled.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    waiting: BTreeMap<Place, ScheduledMessage>,
    by_id: BTreeMap<MessageId, Place>,
    /// Taken out, not done.
    out: BTreeSet<MessageId>,
    per_user: BTreeMap<UserId, u32>,
}

impl Schedule {
    /// Adds a message. One that is known already, waiting or out, is not added again.
    pub fn add(&mut self, scheduled: ScheduledMessage) {
        if self.out.contains(&scheduled.id) || self.by_id.contains_key(&scheduled.id) {
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

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.waiting.first_key_value().map(|((deliver_at, _), _)| *deliver_at)
    }

    /// Takes out what is due, the longest due first, at most so many.
    pub fn take_due(&mut self, now: Timestamp, most: usize) -> Vec<ScheduledMessage> {
        let mut due = Vec::new();
        while due.len() < most && self.next_due().is_some_and(|at| at <= now) {
            let Some((_, scheduled)) = self.waiting.pop_first() else { break };
            self.take_out(&scheduled);
            due.push(scheduled);
        }
        due
    }

    /// Takes out one that is not to be published.
    pub fn cancel(&mut self, id: MessageId) -> Result<ScheduledMessage, CancelError> {
        let Some(place) = self.by_id.get(&id).copied() else {
            return Err(if self.out.contains(&id) {
                CancelError::Due
            } else {
                CancelError::Unknown
            });
        };
        let scheduled = self.waiting.remove(&place).ok_or(CancelError::Unknown)?;
        self.take_out(&scheduled);
        Ok(scheduled)
    }

    fn take_out(&mut self, scheduled: &ScheduledMessage) {
        self.by_id.remove(&scheduled.id);
        self.out.insert(scheduled.id);
    }

    /// What was taken out is published, or cancelled, and the log knows.
    pub fn done(&mut self, scheduled: &ScheduledMessage) {
        if !self.out.remove(&scheduled.id) {
            return;
        }
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
        if self.out.remove(&scheduled.id) {
            self.insert(scheduled);
        }
    }

    /// The one with this id, if it waits.
    pub fn get(&self, id: MessageId) -> Option<&ScheduledMessage> {
        self.by_id.get(&id).and_then(|place| self.waiting.get(place))
    }

    /// Those that wait, by their time, after this one.
    pub fn after(
        &self,
        place: Option<(Timestamp, Offset)>,
    ) -> impl Iterator<Item = &ScheduledMessage> {
        let from = place.map_or(Bound::Unbounded, Bound::Excluded);
        self.waiting.range((from, Bound::Unbounded)).map(|(_, scheduled)| scheduled)
    }

    /// How many there are, waiting or out.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.out.len()
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
