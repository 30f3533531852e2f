//! Messages that are kept nowhere need no writer: whoever submits them has them placed and told on
//! its own thread, which saves a change of threads for each.

use std::sync::{Arc, Mutex, PoisonError};

use tidings_core::{Durability, Message, Priority, Timestamp};

use super::shared::{Shared, count};
use crate::stamp::Stamp;
use crate::store::{Commit, CommitObserver, Committed, Outcome, StoreError, Submission, Write};
use crate::unlogged::Unlogged;

/// Places messages that are kept nowhere, and tells of them.
pub(crate) struct Direct {
    /// Held until what was placed is told, so that offsets are told in their order; and while such
    /// messages are queued for the writer, which tells them later, so that from then on until it has,
    /// nobody passes them here.
    stamp: Mutex<Stamp>,
    observer: Arc<dyn CommitObserver>,
}

impl Direct {
    /// Tells `observer`. Ids come from `stamp`, which must not be the writer's.
    pub(crate) fn new(stamp: Stamp, observer: Arc<dyn CommitObserver>) -> Self {
        Self { stamp: Mutex::new(stamp), observer }
    }

    /// Carries `submissions` out if the writer need not see any of them, or queues them.
    pub(crate) fn submit(
        &self,
        shared: &Shared,
        priority: Priority,
        submissions: Vec<Submission>,
    ) -> Result<(), StoreError> {
        let now = shared.clock.now();
        if !submissions.iter().any(|submission| is_kept_nowhere(&submission.write)) {
            return shared.queue.submit(priority, submissions, now);
        }
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let needs_writer = !submissions.iter().all(|submission| needs_no_writer(&submission.write))
            || shared.poison.get().is_some()
            || !shared.queue.has_no_unlogged();
        if needs_writer {
            return shared.queue.submit(priority, submissions, now);
        }
        let time = stamp.time(now);
        let outcomes = {
            let mut unlogged = shared.unlogged_mut();
            let place = |submission| place(submission, time, &mut unlogged, &mut stamp);
            submissions.into_iter().filter_map(place).collect()
        };
        count(&shared.counters.commits, 1);
        self.observer.committed(Commit { outcomes });
        Ok(())
    }
}

/// Gives a message its place. Nothing else comes here.
fn place(
    submission: Submission,
    time: Timestamp,
    unlogged: &mut Unlogged,
    stamp: &mut Stamp,
) -> Option<Committed> {
    let Submission { write, ticket } = submission;
    let Write::Publish { message: content, id, .. } = write else { return None };
    let position = unlogged.place(&content.topic);
    let message = Message {
        id: id.unwrap_or_else(|| stamp.id(time)),
        epoch: position.epoch,
        offset: position.offset,
        published_at: time,
        content,
    };
    Some(Committed { ticket, outcome: Outcome::Published(Arc::new(message)) })
}

const fn is_kept_nowhere(write: &Write) -> bool {
    match write {
        Write::Publish { durability: Durability::Memory, .. } => true,
        Write::Publish { durability: Durability::Sync | Durability::Async, .. }
        | Write::Remove { .. }
        | Write::SaveCursor { .. }
        | Write::DeleteCursor { .. }
        | Write::SaveSession(_)
        | Write::DeleteSession(_) => false,
    }
}

/// Kept nowhere, and without a key, which the writer alone knows whether it was seen before.
const fn needs_no_writer(write: &Write) -> bool {
    match write {
        Write::Publish { message, .. } => is_kept_nowhere(write) && message.key.is_none(),
        Write::Remove { .. }
        | Write::SaveCursor { .. }
        | Write::DeleteCursor { .. }
        | Write::SaveSession(_)
        | Write::DeleteSession(_) => false,
    }
}
