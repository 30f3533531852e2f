//! Messages that are kept nowhere need no writer: whoever submits them has them placed and told on
//! its own thread, which saves a change of threads for each.

use std::sync::{Arc, Mutex, PoisonError};

use tidings_core::{Durability, Message};

use super::shared::{Shared, count};
use crate::stamp::Stamp;
use crate::store::{Commit, CommitObserver, Committed, Outcome, Submission, Write};

/// Places messages that are kept nowhere, and tells of them.
pub(crate) struct Direct {
    /// Held until what was placed is told, so that offsets are told in their order.
    stamp: Mutex<Stamp>,
    observer: Arc<dyn CommitObserver>,
}

impl Direct {
    /// Tells `observer`. Ids come from `stamp`, which must not be the writer's.
    pub(crate) fn new(stamp: Stamp, observer: Arc<dyn CommitObserver>) -> Self {
        Self { stamp: Mutex::new(stamp), observer }
    }

    /// Carries `submissions` out and leaves none, if the writer need not see any of them.
    pub(crate) fn take(&self, shared: &Shared, submissions: &mut Vec<Submission>) {
        if !submissions.iter().all(needs_no_writer) || submissions.is_empty() {
            return;
        }
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        // Behind a message of the same topic that waits for the writer nothing may pass.
        if shared.poison.get().is_some() || !shared.queue.has_no_unlogged() {
            return;
        }
        let time = stamp.time(shared.clock.now());
        let outcomes: Vec<_> = {
            let mut unlogged = shared.unlogged_mut();
            let place = |submission: Submission| {
                let Submission { write: Write::Publish { message: content, id, .. }, ticket } =
                    submission
                else {
                    return None;
                };
                let position = unlogged.place(&content.topic);
                let message = Message {
                    id: id.unwrap_or_else(|| stamp.id(time)),
                    epoch: position.epoch,
                    offset: position.offset,
                    published_at: time,
                    content,
                };
                Some(Committed { ticket, outcome: Outcome::Published(Arc::new(message)) })
            };
            submissions.drain(..).filter_map(place).collect()
        };
        count(&shared.counters.commits, 1);
        self.observer.committed(Commit { outcomes });
    }
}

/// Kept nowhere, and without a key, which the writer alone knows whether it was seen before.
fn needs_no_writer(submission: &Submission) -> bool {
    match &submission.write {
        Write::Publish { message, durability: Durability::Memory, .. } => message.key.is_none(),
        Write::Publish { durability: Durability::Sync | Durability::Async, .. }
        | Write::Remove { .. }
        | Write::SaveCursor { .. }
        | Write::DeleteCursor { .. }
        | Write::SaveSession(_)
        | Write::DeleteSession(_) => false,
    }
}
