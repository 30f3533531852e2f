//! Threads that read the log for the shards, which must not block.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tidings_core::{
    CursorKey, Durability, GroupKey, Offset, PolicyTable, Priority, PriorityQueue, Timestamp,
    Topic, TopicState,
};
use tidings_protocol::StartFrom;
use tidings_storage::{ReadFrom, ReadLimit, Store};

use crate::group_letter::GroupSlot;
use crate::inbox::{Asker, FoundTopics, Inbox, Letter, ReadDone, Want};

/// Reading threads. Most reads hit the page cache; two keep one slow disk read from holding up
/// the rest.
const THREADS: usize = 2;

/// A part of the log that a shard wants.
#[derive(Debug)]
pub(crate) struct ReadJob {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) asker: Asker,
    pub(crate) want: Want,
    pub(crate) topic: Topic,
    pub(crate) from: ReadFrom,
    pub(crate) limit: ReadLimit,
}

/// A group's question: in which topics does something wait for it?
#[derive(Debug)]
pub(crate) struct FindJob {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) policies: Arc<PolicyTable>,
    pub(crate) group: GroupSlot,
    pub(crate) key: GroupKey,
    /// Where it starts in topics without a cursor.
    pub(crate) from: StartFrom,
    /// With `from` new: what was published since then is for it, in topics without a cursor. None
    /// while it begins: nothing of what is there is.
    pub(crate) since: Option<Timestamp>,
    /// Topics that it reads already.
    pub(crate) known: BTreeSet<Topic>,
    pub(crate) topics_max: usize,
    /// Where an earlier look ended: topics after it come first, then the others, so that each has its
    /// turn.
    pub(crate) after: Option<Topic>,
}

/// What readers do.
#[derive(Debug)]
enum Job {
    Read(ReadJob),
    Find(FindJob),
}

/// The queue of reads. It needs no bound of its own: a subscription has at most one read
/// outstanding, a connection at most [`crate::shard::HISTORY_IN_FLIGHT_MAX`] history requests.
#[derive(Debug)]
pub(crate) struct Readers {
    queue: Arc<Queue>,
    policies: Arc<PolicyTable>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: PriorityQueue<Job>,
    closed: bool,
}

impl Readers {
    /// Starts the threads over `store`.
    pub(crate) fn start(
        store: &Arc<dyn Store>,
        policies: &Arc<PolicyTable>,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let queue = Arc::new(Queue::default());
        let threads = (0..THREADS).map(|n| {
            let (queue, store) = (Arc::clone(&queue), Arc::clone(store));
            std::thread::Builder::new()
                .name(format!("reader-{n}"))
                .spawn(move || queue.run(store.as_ref()))
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok((Self { queue, policies: Arc::clone(policies) }, threads))
    }

    /// Asks for a read; the answer comes as a [`Letter::Read`].
    pub(crate) fn ask(&self, job: ReadJob) {
        let priority = self.policies.priority(&job.topic);
        self.queue.lock().jobs.push(priority, Job::Read(job));
        self.queue.changed.notify_one();
    }

    /// Asks for the topics of a group; the answer comes as a [`Letter::Found`]. A group asks once
    /// at a time.
    pub(crate) fn find(&self, job: FindJob) {
        self.queue.lock().jobs.push(Priority::Normal, Job::Find(job));
        self.queue.changed.notify_one();
    }

    /// Lets the threads end once the queue is empty.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

impl ReadJob {
    fn run(self, store: &dyn Store) {
        let result = store.read(&self.topic, self.from, self.limit);
        let from = match self.from {
            ReadFrom::Offset(offset) => offset,
            ReadFrom::Time(_) => Offset::ORIGIN,
        };
        let done = ReadDone { asker: self.asker, want: self.want, from, result };
        self.inbox.post(Letter::Read(done));
    }
}

/// Names behind this one, or all.
pub(crate) fn names_after(after: Option<&Topic>) -> Bound<&str> {
    after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()))
}

/// Topics listed in one go.
const TOPICS_LISTED: usize = 1000;

impl FindJob {
    fn run(self, store: &dyn Store) {
        let mut topics = Vec::new();
        let more = match &self.after {
            None => self.look(store, None, None, &mut topics),
            Some(after) => {
                self.look(store, Some(after), None, &mut topics)
                    || self.look(store, None, Some(after), &mut topics)
            }
        };
        let found = FoundTopics { group: self.group, topics, more };
        self.inbox.post(Letter::Found(found));
    }

    /// Looks from the topic behind `after` to `through`. Returns whether there is one more than are
    /// wanted.
    fn look(
        &self,
        store: &dyn Store,
        after: Option<&Topic>,
        through: Option<&Topic>,
        topics: &mut Vec<(Topic, Offset)>,
    ) -> bool {
        let mut after = after.cloned();
        loop {
            let listed = store.topics(names_after(after.as_ref()), TOPICS_LISTED);
            for (topic, state) in &listed {
                if through.is_some_and(|through| topic > through) {
                    return false;
                }
                let Some(start) = self.start(store, topic, *state) else { continue };
                if topics.len() == self.topics_max {
                    return true;
                }
                topics.push((topic.clone(), start));
            }
            after = listed.into_iter().next_back().map(|(topic, _)| topic);
            if after.is_none() {
                return false;
            }
        }
    }

    /// Where the group goes on in a topic, if it reads it and something waits there.
    fn start(&self, store: &dyn Store, topic: &Topic, state: TopicState) -> Option<Offset> {
        if !self.key.filter.matches(topic) || self.known.contains(topic) {
            return None;
        }
        match self.policies.policy(topic).durability {
            Durability::Sync | Durability::Async => {}
            Durability::Memory => return None,
        }
        let cursor = CursorKey::Group { group: self.key.clone(), topic: topic.clone() };
        let next = match (store.cursor(&cursor), self.from) {
            (Some(saved), _) => {
                // Of another life of the log: all of this one waits.
                if saved.epoch == state.epoch { saved.next } else { state.first }
            }
            (None, StartFrom::First) => state.first,
            (None, StartFrom::New | StartFrom::Last | StartFrom::After(_)) => {
                let since = self.since?;
                let limit = ReadLimit { messages: 1, bytes: 1 };
                let read = store.read(topic, ReadFrom::Time(since), limit);
                let first = read.map(|batch| batch.messages.first().map(|m| m.offset));
                match first {
                    Ok(first) => first?,
                    Err(error) => {
                        tracing::error!(%error, %topic, "a group cannot look into a topic");
                        return None;
                    }
                }
            }
        };
        (next <= state.head).then_some(next.max(Offset::FIRST))
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, store: &dyn Store) {
        while let Some(job) = self.next() {
            match job {
                Job::Read(job) => job.run(store),
                Job::Find(job) => job.run(store),
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
