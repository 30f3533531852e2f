//! What a shard has read of the log, a little at a time: what a thousand subscribers lack must
//! neither hold up those who lack nothing nor fill the memory.

use tidings_core::PriorityQueue;

use super::Shard;
use crate::inbox::{Asker, ReadDone, Want};
use crate::reader::ReadJob;

/// Reads of one shard that are under way: as many as keep the readers busy, and no more than a shard
/// deals with in about a millisecond.
pub(super) const UNDER_WAY_MAX: usize = 4;

/// The reads of a shard.
#[derive(Debug, Default)]
pub(super) struct Reads {
    under_way: usize,
    /// A subscription has at most one, a connection a few for history.
    waiting: PriorityQueue<ReadJob>,
}

impl Reads {
    /// How many are under way, and how many wait.
    #[cfg(test)]
    pub(super) fn standing(&self) -> (usize, usize) {
        (self.under_way, self.waiting.len())
    }
}

impl Shard {
    /// Has the log read, now or in its turn.
    pub(super) fn ask_readers(&mut self, job: ReadJob) {
        let priority = self.env.policies.priority(&job.topic);
        self.reads.waiting.push(priority, job);
        self.go_on_reading();
    }

    /// Gives what a reader found to whom it is for, and has the next one read.
    pub(super) fn read_done(&mut self, done: ReadDone) {
        self.reads.under_way -= 1;
        self.give_read(done);
        self.go_on_reading();
    }

    fn go_on_reading(&mut self) {
        while self.reads.under_way < UNDER_WAY_MAX {
            let Some(job) = self.reads.waiting.pop() else { return };
            if self.is_wanted(&job) {
                self.reads.under_way += 1;
                self.env.readers.ask(job);
            }
        }
    }

    /// Whether whoever asked is still there.
    fn is_wanted(&mut self, job: &ReadJob) -> bool {
        match (job.asker, &job.want) {
            (Asker::Group(_), _) | (Asker::Connection(_), Want::Parting { .. }) => true,
            (
                Asker::Connection(key),
                Want::Live { .. }
                | Want::Durable { .. }
                | Want::Shared { .. }
                | Want::History { .. },
            ) => self.connection(key).is_some(),
        }
    }
}
