//! Reads of the log for HTTP requests: on threads that may block, a few at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_core::{PolicyTable, Priority, PriorityQueue, Topic};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::{ReadBatch, ReadFrom, ReadLimit, Store};
use tokio::sync::oneshot;

use crate::problem::store_error;

/// Reads at the same time. Most hit the page cache and take microseconds; without a bound, one
/// message for a thousand streams would start hundreds of threads.
const AT_ONCE: usize = 4;

/// The turns that are to be had. Who waits for one is served by the priority of the topic, and in
/// order within it.
#[derive(Debug)]
pub(crate) struct DoorReads {
    turns: Arc<Turns>,
    policies: Arc<PolicyTable>,
}

#[derive(Debug)]
struct Turns(Mutex<Line>);

#[derive(Debug)]
struct Line {
    free: usize,
    waiting: PriorityQueue<oneshot::Sender<Turn>>,
}

/// The right to read; goes to the next in line when dropped.
#[derive(Debug)]
struct Turn(Arc<Turns>);

impl DoorReads {
    pub(crate) fn new(policies: &Arc<PolicyTable>) -> Self {
        let line = Line { free: AT_ONCE, waiting: PriorityQueue::default() };
        Self { turns: Arc::new(Turns(Mutex::new(line))), policies: Arc::clone(policies) }
    }

    /// Reads from the log once it is this read's turn.
    pub(crate) async fn read(
        &self,
        store: &Arc<dyn Store>,
        topic: &Topic,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ErrorBody> {
        let turn = Turn::wait(&self.turns, self.policies.priority(topic)).await;
        let (store, topic) = (Arc::clone(store), topic.clone());
        let read = tokio::task::spawn_blocking(move || {
            // Also when nobody waits for the outcome any more, the turn ends with the read.
            let _turn = turn;
            store.read(&topic, from, limit)
        });
        let read = read.await.map_err(|error| {
            ErrorBody::new(ErrorCode::Internal, format!("reading the log ended early: {error}"))
        })?;
        read.map_err(|error| store_error(&error))
    }
}

impl Turn {
    async fn wait(turns: &Arc<Turns>, priority: Priority) -> Self {
        let receiver = {
            let mut line = turns.lock();
            if let Some(free) = line.free.checked_sub(1) {
                line.free = free;
                return Self(Arc::clone(turns));
            }
            let (sender, receiver) = oneshot::channel();
            line.waiting.push(priority, sender);
            receiver
        };
        receiver.await.expect("a turn is handed on, never dropped unsent")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = self.0.lock();
        while let Some(next) = line.waiting.pop() {
            if next.is_closed() {
                // It waits no more.
                continue;
            }
            drop(line);
            // Should it leave just now, the turn comes back here by its own drop.
            let _ = next.send(Self(Arc::clone(&self.0)));
            return;
        }
        line.free += 1;
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Turn>>>;

    fn poll(waiting: &mut Waiting) -> Option<Turn> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn turns_go_by_priority_and_to_nobody_who_left() {
        let line = Line { free: 1, waiting: PriorityQueue::default() };
        let turns = Arc::new(Turns(Mutex::new(line)));
        let ask = |priority| -> Waiting {
            let turns = Arc::clone(&turns);
            Box::pin(async move { Turn::wait(&turns, priority).await })
        };
        let first = poll(&mut ask(Priority::Normal)).unwrap();
        let [mut bulk, mut gone, mut normal, mut urgent] =
            [Priority::Bulk, Priority::Urgent, Priority::Normal, Priority::Urgent].map(ask);
        for waiting in [&mut bulk, &mut gone, &mut normal, &mut urgent] {
            assert!(poll(waiting).is_none());
        }
        drop(gone);
        drop(first);
        assert!(poll(&mut bulk).is_none() && poll(&mut normal).is_none());
        drop(poll(&mut urgent).unwrap());
        assert!(poll(&mut bulk).is_none());
        // One that was given a turn and leaves without taking it loses nobody's.
        drop(normal);
        drop(poll(&mut bulk).unwrap());
        assert_eq!(turns.lock().free, 1);
    }
}
