//! Writes that wait for the writer: bounded by bytes, taken all at once.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tidings_core::{Durability, Message, Offset, Priority, PriorityQueue, Timestamp, Topic};

use super::record::{change_bytes, message_bytes, remove_bytes};
use crate::keep::{Change, Publication, Request};
use crate::store::{StoreError, Submission, Ticket};

/// Something for the writer.
#[derive(Debug)]
pub(crate) enum Work {
    /// Somebody publishes.
    Publish(Publication, Option<Ticket>),
    /// Somebody removes a message.
    Remove(Topic, Offset, Option<Ticket>),
    /// Somebody changes a cursor or session.
    Change(Change, Option<Ticket>),
    /// Messages to be written again elsewhere.
    Move(Move),
}

/// Messages of one topic with offsets in sequence, to be written again elsewhere.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) messages: Vec<Arc<Message>>,
    /// Told when it is done.
    pub(crate) done: SyncSender<Result<(), StoreError>>,
}

/// Work and the bytes its records take.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) priority: Priority,
    /// The number of the submission it came with: what belongs together has the same.
    pub(crate) submission: u64,
}

impl Queued {
    /// Its priority and its submission's number come when it is queued.
    const fn new(work: Work, bytes: usize) -> Self {
        Self { work, bytes, priority: Priority::Normal, submission: 0 }
    }

    /// Whether it is a message that is kept nowhere.
    pub(crate) fn is_unlogged(&self) -> bool {
        match &self.work {
            Work::Publish(publication, _) => publication.durability == Durability::Memory,
            Work::Remove(..) | Work::Change(..) | Work::Move(_) => false,
        }
    }

    fn change(change: Change, ticket: Option<Ticket>) -> Self {
        let bytes = change_bytes(&change);
        Self::new(Work::Change(change, ticket), bytes)
    }
}

/// What the writer gets.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Something to do.
    Work(Vec<Queued>),
    /// The time has come, and there was nothing.
    TimedOut,
    /// Nothing is left, and nothing will come.
    Closed,
}

/// Between all who write and the one writer.
#[derive(Debug)]
pub(crate) struct Queue {
    bytes_max: usize,
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    items: PriorityQueue<Queued>,
    bytes: usize,
    /// Messages that are kept nowhere, from when they are queued until they are told.
    unlogged: usize,
    /// How many submissions were queued.
    submissions: u64,
    closed: Option<StoreError>,
    writer_waits: bool,
}

impl Queue {
    /// A queue that holds at most `bytes_max` bytes, or a single write of any size.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: Mutex::default(), arrived: Condvar::new() }
    }

    /// Queues all of them or none. They are submitted `now`.
    pub(crate) fn submit(
        &self,
        priority: Priority,
        submissions: Vec<Submission>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let queued: Vec<Queued> = submissions
            .into_iter()
            .map(|submission| {
                let ticket = submission.ticket;
                match Request::new(submission.write, now) {
                    Request::Publish(publication) => {
                        let bytes = message_bytes(&publication.content);
                        Queued::new(Work::Publish(publication, ticket), bytes)
                    }
                    Request::Remove(topic, offset) => {
                        let bytes = remove_bytes(&topic);
                        Queued::new(Work::Remove(topic, offset, ticket), bytes)
                    }
                    Request::Change(change) => Queued::change(change, ticket),
                }
            })
            .collect();
        let bytes: usize = queued.iter().map(|item| item.bytes).sum();
        let inner = self.lock();
        if let Some(error) = &inner.closed {
            return Err(error.clone());
        }
        let is_alone = inner.bytes == 0 && queued.len() <= 1;
        if !is_alone && inner.bytes.saturating_add(bytes) > self.room_for(priority) {
            let waiting_bytes = inner.bytes;
            return Err(StoreError::Overloaded { waiting_bytes, submitted_bytes: bytes });
        }
        self.push(inner, priority, queued, bytes);
        Ok(())
    }

    /// How full the queue may get: bulk leaves room for the others, and urgent finds room where
    /// they find none.
    const fn room_for(&self, priority: Priority) -> usize {
        match priority {
            Priority::Urgent => self.bytes_max.saturating_add(self.bytes_max / 8),
            Priority::Normal => self.bytes_max,
            Priority::Bulk => self.bytes_max / 4 * 3,
        }
    }

    /// Queues messages to be moved, next to each other. Whoever does waits until they are done,
    /// and so keeps to a bound.
    pub(crate) fn submit_moves(&self, moves: Vec<Move>) -> Result<(), StoreError> {
        let queued = moves.into_iter().map(|moved| {
            let bytes = moved.messages.iter().map(|m| message_bytes(&m.content)).sum();
            Queued::new(Work::Move(moved), bytes)
        });
        self.submit_upkeep(queued.collect(), usize::MAX)
    }

    /// Queues changes that nobody waits for, if the queue is not full.
    pub(crate) fn submit_changes(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let queued = changes.into_iter().map(|change| Queued::change(change, None));
        self.submit_upkeep(queued.collect(), self.bytes_max)
    }

    /// Queues what may go beyond the bound, if less than `waiting_max` bytes wait.
    fn submit_upkeep(&self, queued: Vec<Queued>, waiting_max: usize) -> Result<(), StoreError> {
        let bytes = queued.iter().map(|item| item.bytes).sum();
        let inner = self.lock();
        if let Some(error) = &inner.closed {
            return Err(error.clone());
        }
        if inner.bytes >= waiting_max {
            let waiting_bytes = inner.bytes;
            return Err(StoreError::Overloaded { waiting_bytes, submitted_bytes: bytes });
        }
        self.push(inner, Priority::Normal, queued, bytes);
        Ok(())
    }

    fn push(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        priority: Priority,
        queued: Vec<Queued>,
        bytes: usize,
    ) {
        inner.submissions += 1;
        let submission = inner.submissions;
        let mut unlogged = 0;
        for queued in queued {
            unlogged += usize::from(queued.is_unlogged());
            inner.items.push(priority, Queued { priority, submission, ..queued });
        }
        inner.bytes += bytes;
        inner.unlogged += unlogged;
        let writer_waits = inner.writer_waits;
        // A writer woken earlier would only wait again, for the lock.
        drop(inner);
        if writer_waits {
            self.arrived.notify_one();
        }
    }

    /// Waits for work, but not longer than `until`; takes what is there up to about `bytes`.
    pub(crate) fn take(&self, bytes: usize, until: Option<Instant>) -> Taken {
        let mut inner = self.lock();
        while inner.items.is_empty() {
            if inner.closed.is_some() {
                return Taken::Closed;
            }
            inner.writer_waits = true;
            let now = Instant::now();
            inner = match until {
                Some(until) if until <= now => {
                    inner.writer_waits = false;
                    return Taken::TimedOut;
                }
                Some(until) => {
                    let waited = self.arrived.wait_timeout(inner, until - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.arrived.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
            inner.writer_waits = false;
        }
        let mut taken = Vec::with_capacity(inner.items.len().min(1024));
        let mut taken_bytes = 0;
        while let Some(item) = inner.items.peek() {
            if !taken.is_empty() && taken_bytes + item.bytes > bytes {
                break;
            }
            taken_bytes += item.bytes;
            taken.extend(inner.items.pop());
        }
        inner.bytes = inner.bytes.saturating_sub(taken_bytes);
        Taken::Work(taken)
    }

    /// Takes nothing more; later submissions are refused with `error`. What waits stays.
    pub(crate) fn close(&self, error: StoreError) {
        self.lock().closed.get_or_insert(error);
        self.arrived.notify_all();
    }

    /// These many messages that are kept nowhere were told.
    pub(crate) fn unlogged_told(&self, count: usize) {
        if count > 0 {
            self.lock().unlogged -= count;
        }
    }

    /// Whether no message that is kept nowhere waits to be told, and others may come.
    pub(crate) fn has_no_unlogged(&self) -> bool {
        let inner = self.lock();
        inner.unlogged == 0 && inner.closed.is_none()
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in this file panics between two changes that belong together.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidings_core::{Data, Durability, NewMessage};

    use super::*;
    use crate::store::Write;

    fn publish(topic: &str, bytes: usize) -> Vec<Submission> {
        let data = Data::binary(Bytes::from(vec![0; bytes]));
        let message = NewMessage::new(Topic::parse(topic).unwrap(), data);
        let write = Write::Publish { message, durability: Durability::Sync, id: None };
        vec![Submission { write, ticket: None }]
    }

    fn taken(queue: &Queue, bytes: usize) -> Vec<String> {
        let Taken::Work(work) = queue.take(bytes, None) else { panic!("nothing was taken") };
        let topic = |queued: Queued| match queued.work {
            Work::Publish(publication, _) => publication.content.topic.to_string(),
            Work::Remove(..) | Work::Change(..) | Work::Move(_) => panic!("only publishes"),
        };
        work.into_iter().map(topic).collect()
    }

    #[test]
    fn urgent_work_overtakes_and_bulk_keeps_a_share() {
        let queue = Queue::new(1024 * 1024);
        let now = Timestamp::from_ms(0);
        for n in 0..20 {
            queue.submit(Priority::Bulk, publish(&format!("bulk/{n}"), 10), now).unwrap();
        }
        for n in 0..40 {
            queue.submit(Priority::Urgent, publish(&format!("urgent/{n}"), 10), now).unwrap();
        }
        let order = taken(&queue, usize::MAX);
        let at = |topic: &str| order.iter().position(|t| t == topic).unwrap();
        assert_eq!((at("urgent/0"), at("bulk/0"), at("urgent/16")), (0, 16, 17));
        assert!(at("bulk/1") > at("bulk/0") && at("urgent/39") < at("bulk/3"));
    }

    #[test]
    fn bulk_leaves_room_and_urgent_finds_some() {
        let queue = Queue::new(100_000);
        let now = Timestamp::from_ms(0);
        let fill = |priority| {
            let mut count = 0;
            while queue.submit(priority, publish("a", 1000), now).is_ok() {
                count += 1;
            }
            count
        };
        let (bulk, normal, urgent) =
            (fill(Priority::Bulk), fill(Priority::Normal), fill(Priority::Urgent));
        assert!((60..75).contains(&bulk), "{bulk}");
        assert!((20..25).contains(&normal), "{normal}");
        assert!((10..13).contains(&urgent), "{urgent}");
    }
}
