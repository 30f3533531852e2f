//! Messages for later: kept in a topic of the server's own until they are due.
//!
//! The log is what lasts: a message is on the schedule because it is in that topic, and off it once
//! it is removed there. What is in memory is its times and places, read back at the start.

mod entry;
mod firing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_core::{
    CancelError, MessageId, Offset, Schedule, ScheduledMessage, Timestamp, Topic, UserId,
};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::{Commit, Outcome, ReadFrom, ReadLimit, Store, StoreError, Write};
use tokio::sync::Notify;

pub(crate) use entry::to_entry;
pub(crate) use firing::run;

use crate::env::Env;
use crate::problem::RETRY_SOON;

/// The topic that keeps them.
pub(crate) const SCHEDULE_TOPIC: &str = "$scheduled";

/// Read at the start in pieces of this size.
const PIECE: ReadLimit = ReadLimit { messages: 500, bytes: 1024 * 1024 };

/// How many messages may wait for their time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScheduleLimits {
    pub(crate) all: u32,
    pub(crate) per_user: u32,
}

/// The schedule of this server. Locked for moments: when a message is scheduled, cancelled, due.
#[derive(Debug, Default)]
pub(crate) struct SharedSchedule {
    schedule: Mutex<Schedule>,
    /// Something may be due earlier than was thought.
    changed: Notify,
}

impl SharedSchedule {
    /// Reads the whole schedule from the log. Blocks on the disk.
    pub(crate) fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        let topic = topic();
        let head = store.topic_state(&topic).head;
        let mut next = store.topic_state(&topic).first;
        while next <= head {
            let batch = store.read(&topic, ReadFrom::Offset(next), PIECE)?;
            next = batch.next;
            for message in &batch.messages {
                match entry::scheduled(message) {
                    Some(scheduled) => self.lock().add(scheduled),
                    None => tracing::error!(id = %message.id, "an unreadable scheduled message"),
                }
            }
        }
        let waiting = self.lock().len();
        if waiting > 0 {
            tracing::info!(waiting, "scheduled messages wait for their time");
        }
        Ok(())
    }

    /// Takes up what was scheduled in a commit.
    pub(crate) fn committed(&self, commit: &Commit) {
        for committed in &commit.outcomes {
            if let Outcome::Published(message) = &committed.outcome
                && message.topic().as_str() == SCHEDULE_TOPIC
                && let Some(scheduled) = entry::scheduled(message)
            {
                self.lock().add(scheduled);
                self.changed.notify_one();
            }
        }
    }

    /// Whether this user may schedule another message.
    pub(crate) fn check_room(
        &self,
        user: &UserId,
        limits: ScheduleLimits,
    ) -> Result<(), ErrorBody> {
        let schedule = self.lock();
        let (all, own) = (schedule.len(), schedule.count_of(user));
        let message = if own >= limits.per_user {
            format!(
                "a user may have {} messages scheduled (`limits.scheduled_per_user`)",
                limits.per_user
            )
        } else if all >= limits.all as usize {
            format!("{} messages are scheduled, no more fit (`limits.scheduled_max`)", limits.all)
        } else {
            return Ok(());
        };
        let mut error = ErrorBody::new(ErrorCode::LimitReached, message);
        error.retry_after = Some(RETRY_SOON);
        Err(error)
    }

    /// When the message with this id is due, if it waits.
    pub(crate) fn deliver_at(&self, id: MessageId) -> Option<Timestamp> {
        self.lock().get(id).map(|scheduled| scheduled.deliver_at)
    }

    /// Those that wait, by their time, after a place; at most so many that are `wanted`.
    pub(crate) fn list(
        &self,
        after: Option<(Timestamp, Offset)>,
        most: usize,
        wanted: impl Fn(&ScheduledMessage) -> bool,
    ) -> Vec<ScheduledMessage> {
        self.lock().after(after).filter(|scheduled| wanted(scheduled)).take(most).cloned().collect()
    }

    /// How many wait, or are being published.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a message stays on the schedule.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCancelled {
    #[error(transparent)]
    Schedule(#[from] CancelError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes a message off the schedule, if it is one that may be: durably, before this returns.
pub(crate) async fn cancel(
    env: &Arc<Env>,
    id: MessageId,
    may_be: impl Fn(&ScheduledMessage) -> bool,
) -> Result<ScheduledMessage, NotCancelled> {
    let scheduled = {
        let mut schedule = env.schedule.lock();
        if schedule.get(id).is_some_and(|scheduled| !may_be(scheduled)) {
            return Err(CancelError::Unknown.into());
        }
        schedule.cancel(id)?
    };
    // On its own task: whoever asked may go away, the schedule must hear of the outcome.
    let (env, answer) = (Arc::clone(env), scheduled.clone());
    let removal = tokio::spawn(async move {
        let write = Write::Remove { topic: topic(), offset: scheduled.offset };
        let outcome = env.door_lane.submit(env.store.as_ref(), vec![write]).await;
        match outcome.map(|mut outcomes| outcomes.pop()) {
            Ok(Some(Outcome::Refused(error))) | Err(error) => {
                env.schedule.lock().put_back(scheduled);
                env.schedule.changed.notify_one();
                Err(error)
            }
            Ok(Some(Outcome::Saved | Outcome::Published(_) | Outcome::Duplicate { .. }) | None) => {
                env.schedule.lock().done(&scheduled);
                env.metrics.scheduled_cancelled.inc();
                Ok(())
            }
        }
    });
    removal.await.map_err(|_| StoreError::Closed)??;
    Ok(answer)
}

fn topic() -> Topic {
    Topic::parse(SCHEDULE_TOPIC).expect("a valid topic")
}
