//! The lane of everything that waits for the store on tokio: HTTP publishes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use slab::Slab;
use tidings_core::{PolicyTable, Priority};
use tidings_storage::{Commit, Outcome, Store, StoreError, Submission, Ticket, Write};
use tokio::sync::oneshot;

/// The lane number of the door; shards count from 0.
const LANE: u32 = u32::MAX;

/// Who waits on tokio for which write.
#[derive(Debug)]
pub(crate) struct DoorLane {
    waiting: Mutex<Slab<oneshot::Sender<Outcome>>>,
    policies: Arc<PolicyTable>,
}

impl DoorLane {
    pub(crate) fn new(policies: &Arc<PolicyTable>) -> Self {
        Self { waiting: Mutex::default(), policies: Arc::clone(policies) }
    }

    /// Submits `writes`, those of one priority together, and waits for each outcome, in their order.
    ///
    /// Dropping the future abandons the answers, not the writes.
    pub(crate) async fn submit(
        &self,
        store: &dyn Store,
        writes: Vec<Write>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut receivers = Vec::with_capacity(writes.len());
        let mut submissions: BTreeMap<Priority, Vec<Submission>> = BTreeMap::new();
        for write in writes {
            let priority = self.priority(&write);
            let (submission, receiver) = self.expect(write);
            submissions.entry(priority).or_default().push(submission);
            receivers.push(receiver);
        }
        for (priority, submissions) in submissions {
            self.hand_over(store, priority, submissions);
        }
        outcomes(receivers).await
    }

    /// The same for writes that are carried out in their order, in which what follows a refused one
    /// is refused too.
    pub(crate) async fn submit_together(
        &self,
        store: &dyn Store,
        priority: Priority,
        writes: Vec<Write>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let (submissions, receivers) = writes.into_iter().map(|write| self.expect(write)).unzip();
        self.hand_over(store, priority, submissions);
        outcomes(receivers).await
    }

    /// Waits for the outcome of a write from now on.
    fn expect(&self, write: Write) -> (Submission, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        let tag = self.lock().insert(sender) as u64;
        (Submission { write, ticket: Some(Ticket { lane: LANE, tag }) }, receiver)
    }

    fn hand_over(&self, store: &dyn Store, priority: Priority, submissions: Vec<Submission>) {
        let tickets: Vec<_> = submissions.iter().filter_map(|s| s.ticket).collect();
        if let Err(error) = store.submit_as(priority, submissions) {
            self.refuse(&tickets, &error);
        }
    }

    fn priority(&self, write: &Write) -> Priority {
        match write {
            Write::Publish { message, .. } => self.policies.priority(&message.topic),
            Write::Remove { .. }
            | Write::SaveCursor { .. }
            | Write::DeleteCursor { .. }
            | Write::SaveSession(_)
            | Write::DeleteSession(_) => Priority::Normal,
        }
    }

    /// Tells those whose writes never reached the store.
    fn refuse(&self, tickets: &[Ticket], error: &StoreError) {
        let mut waiting = self.lock();
        for ticket in tickets {
            if let Some(sender) = waiting.try_remove(ticket.tag as usize) {
                let _ = sender.send(Outcome::Refused(error.clone()));
            }
        }
    }

    /// Hands out the outcomes that are for the door.
    pub(crate) fn answer(&self, commit: &Commit) {
        let mut ours = commit
            .outcomes
            .iter()
            .filter_map(|c| c.ticket.filter(|t| t.lane == LANE).map(|t| (t.tag, &c.outcome)))
            .peekable();
        if ours.peek().is_none() {
            return;
        }
        let mut waiting = self.lock();
        for (tag, outcome) in ours {
            if let Some(sender) = waiting.try_remove(tag as usize) {
                // Whoever asked may have gone away; the message is in the log all the same.
                let _ = sender.send(outcome.clone());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slab<oneshot::Sender<Outcome>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn outcomes(receivers: Vec<oneshot::Receiver<Outcome>>) -> Result<Vec<Outcome>, StoreError> {
    let mut outcomes = Vec::with_capacity(receivers.len());
    for receiver in receivers {
        outcomes.push(receiver.await.map_err(|_| StoreError::Closed)?);
    }
    Ok(outcomes)
}
