//! Threads that read the log for the shards, which must not block.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tidings_core::{Offset, PolicyTable, PriorityQueue, Topic};
use tidings_storage::{ReadFrom, ReadLimit, Store};

use crate::inbox::{Inbox, Letter, ReadDone, Want};
use crate::shard::ConnectionKey;

/// Reading threads. Most reads hit the page cache; two keep one slow disk read from holding up
/// the rest.
const THREADS: usize = 2;

/// A part of the log that a shard wants.
#[derive(Debug)]
pub(crate) struct ReadJob {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) connection: ConnectionKey,
    pub(crate) want: Want,
    pub(crate) topic: Topic,
    pub(crate) from: ReadFrom,
    pub(crate) limit: ReadLimit,
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
    jobs: PriorityQueue<ReadJob>,
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
        self.queue.lock().jobs.push(priority, job);
        self.queue.changed.notify_one();
    }

    /// Lets the threads end once the queue is empty.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, store: &dyn Store) {
        while let Some(job) = self.next() {
            let result = store.read(&job.topic, job.from, job.limit);
            let from = match job.from {
                ReadFrom::Offset(offset) => offset,
                ReadFrom::Time(_) => Offset::ORIGIN,
            };
            let done = ReadDone { connection: job.connection, want: job.want, from, result };
            job.inbox.post(Letter::Read(done));
        }
    }

    fn next(&self) -> Option<ReadJob> {
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
