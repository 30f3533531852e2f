//! Messages for later: kept in a topic of the server's own until they are due.
//!
//! The log is what lasts: a message is on the schedule because it is in that topic, and off it once
//! it is removed there. What is in memory is its times and places, read back at the start.

mod entry;
mod firing;
mod told;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_core::{
    CancelError, MessageId, Offset, Schedule, ScheduledMessage, Timestamp, Topic, UserId,
};
use tidings_protocol::{ErrorBody, ErrorCode, Scheduled};
use tidings_storage::{
    Commit, Outcome, ReadFrom, ReadLimit, Store, StoreError, Write, fault_point,
};
use tokio::sync::Notify;

pub(crate) use entry::{as_if_due, to_entry};
pub(crate) use firing::run;
pub(crate) use told::{Asker, List, page, remove};

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

/// Entries looked at with one hold of the lock: well below a millisecond.
const STEP: usize = 2048;

/// What one step of a walk found, and after which entry the next one goes on, if there are more.
struct Step {
    found: Vec<ScheduledMessage>,
    next: Option<(Timestamp, Offset)>,
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

    /// When the message with this id is due, if it waits or is being published.
    pub(crate) fn deliver_at(&self, id: MessageId) -> Option<Timestamp> {
        self.lock().get(id).map(|scheduled| scheduled.deliver_at)
    }

    /// What who repeats the scheduling of this message is told. What was cancelled, or is long
    /// over, is not confirmed: nothing would come of it.
    pub(crate) fn repeated(&self, id: MessageId) -> Result<Scheduled, ErrorBody> {
        match self.lock().deliver_at(id) {
            Some(deliver_at) => Ok(Scheduled { id, deliver_at, duplicate: true }),
            None => Err(ErrorBody::new(
                ErrorCode::KeyUsed,
                format!(
                    "message {id} was scheduled under this key and is no longer: it was cancelled, \
                     or published, or expired; schedule another one under another key"
                ),
            )),
        }
    }

    /// Those that wait, by their time, after a place; at most so many that are `wanted`. It is
    /// walked in steps, and between them others get their turn: the log's writer among them.
    pub(crate) async fn list(
        &self,
        mut after: Option<(Timestamp, Offset)>,
        most: usize,
        wanted: impl Fn(&ScheduledMessage) -> bool,
    ) -> Vec<ScheduledMessage> {
        let mut found = Vec::new();
        loop {
            let step = self.walk(after, most - found.len(), &wanted);
            found.extend(step.found);
            match step.next {
                Some(_) if found.len() < most => after = step.next,
                Some(_) | None => return found,
            }
            tokio::task::yield_now().await;
        }
    }

    /// One step of the walk, with one hold of the lock.
    fn walk(
        &self,
        after: Option<(Timestamp, Offset)>,
        most: usize,
        wanted: impl Fn(&ScheduledMessage) -> bool,
    ) -> Step {
        let mut step = Step { found: Vec::new(), next: None };
        let schedule = self.lock();
        for (walked, scheduled) in schedule.after(after).enumerate() {
            if walked == STEP || step.found.len() == most {
                return step;
            }
            step.next = Some((scheduled.deliver_at, scheduled.offset));
            if wanted(scheduled) {
                step.found.push(scheduled.clone());
            }
        }
        Step { next: None, ..step }
    }

    /// How many of a user wait, or are being published.
    pub(crate) fn count_of(&self, user: &UserId) -> usize {
        self.lock().count_of(user) as usize
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
        fault_point("cancel-writing");
        let write = Write::Remove { topic: topic(), offset: scheduled.offset };
        let outcome = env.door_lane.submit(env.store.as_ref(), vec![write]).await;
        match outcome.map(|mut outcomes| outcomes.pop()) {
            Ok(Some(Outcome::Refused(error))) | Err(error) => {
                env.schedule.lock().put_back(scheduled);
                env.schedule.changed.notify_one();
                Err(error)
            }
            Ok(Some(Outcome::Saved | Outcome::Published(_) | Outcome::Duplicate { .. }) | None) => {
                fault_point("cancel-durable");
                env.schedule.lock().cancelled(&scheduled);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_walk_of_several_steps_finds_everything_once_and_ends() {
        let shared = SharedSchedule::default();
        let all = 3 * STEP as u64;
        for n in 1..=all {
            shared.lock().add(ScheduledMessage {
                deliver_at: Timestamp::from_ms(n / 3),
                offset: Offset::new(n),
                id: MessageId::new(1, 0, n),
                topic: Topic::parse("a").unwrap(),
                user: None,
            });
        }
        let offsets = async |after, most, each: u64| {
            let found = shared.list(after, most, |s| s.offset.get().is_multiple_of(each)).await;
            found.iter().map(|scheduled| scheduled.offset.get()).collect::<Vec<_>>()
        };
        assert_eq!(offsets(None, usize::MAX, 1).await, (1..=all).collect::<Vec<_>>());
        assert_eq!(offsets(None, 5, all).await, [all], "in the last step");
        assert_eq!(offsets(None, 2, STEP as u64).await, [STEP as u64, 2 * STEP as u64]);
        let last = (Timestamp::from_ms(all / 3), Offset::new(all));
        assert!(offsets(Some(last), 5, 1).await.is_empty());
        let step = shared.walk(None, usize::MAX, |_| false);
        assert_eq!(step.next.map(|(_, offset)| offset.get()), Some(STEP as u64));
    }
}
