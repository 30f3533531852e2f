//! Publishing what is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Priority, ScheduledMessage, Timestamp};
use tidings_storage::{Outcome, ReadFrom, ReadLimit, StoreError, Write, fault_point};
use tokio_util::sync::CancellationToken;

use super::entry::{Due, due};
use super::topic;
use crate::clock::Clock;
use crate::env::Env;
use crate::pieces;

/// Published together: enough that a full minute's reminders are a few syncs, few enough that they
/// hold up others only shortly.
const TOGETHER: usize = 512;

/// The wall clock may be set while nothing is due: it is looked at again after this.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Publishes what is due, until `stop`.
pub(crate) async fn run(env: Arc<Env>, stop: CancellationToken) {
    loop {
        let now = Clock::wall();
        let next = env.schedule.lock().next_due();
        let sleep = match next {
            Some(at) if at <= now => {
                let due = env.schedule.lock().take_due(now, TOGETHER);
                match publish(&env, due).await {
                    Ok(()) => continue,
                    Err(error) => {
                        tracing::error!(%error, "scheduled messages could not be published; trying again");
                        RETRY
                    }
                }
            }
            Some(at) => Duration::from_millis(at.as_ms() - now.as_ms()).min(SLEEP_MAX),
            None => Duration::MAX,
        };
        // Whatever is dropped here is asked for again in the next round.
        tokio::select! {
            () = stop.cancelled() => return,
            () = env.schedule.changed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// What to write for one of those that are due.
struct Fire {
    scheduled: ScheduledMessage,
    publish: Option<Write>,
}

impl Fire {
    /// Publishes it and removes its entry.
    fn writes(&self) -> impl Iterator<Item = Write> + use<> {
        let remove = Write::Remove { topic: topic(), offset: self.scheduled.offset };
        self.publish.clone().into_iter().chain([remove])
    }

    /// About what that takes of the queue.
    fn bytes(&self) -> usize {
        self.writes().map(|write| pieces::bytes(&write)).sum()
    }
}

/// Publishes what was taken out. What could not be is put back, and the last reason returned.
async fn publish(env: &Arc<Env>, due: Vec<ScheduledMessage>) -> Result<(), StoreError> {
    let mut by_priority: BTreeMap<Priority, Vec<ScheduledMessage>> = BTreeMap::new();
    for scheduled in due {
        let priority = env.policies.priority(&scheduled.topic);
        by_priority.entry(priority).or_default().push(scheduled);
    }
    let mut failed = Ok(());
    for (priority, due) in by_priority {
        if let Err(error) = publish_in_order(env, priority, &Arc::from(due)).await {
            failed = Err(error);
        }
    }
    failed
}

/// Publishes those of one priority in pieces that the queue holds, one after the other: what
/// follows one that was refused for now would overtake it.
async fn publish_in_order(
    env: &Arc<Env>,
    priority: Priority,
    due: &Arc<[ScheduledMessage]>,
) -> Result<(), StoreError> {
    let (mut next, mut carried) = (0, None);
    while next < due.len() {
        let (reading, entries) = (Arc::clone(env), Arc::clone(due));
        let read = tokio::task::spawn_blocking(move || {
            read_piece(&reading, entries.get(next..).unwrap_or_default(), carried)
        });
        carried = None;
        let written = match read.await.map_err(|_| StoreError::Closed) {
            Ok(Piece { fires, read, over }) => {
                (carried, next) = (over, next + read);
                write(env, priority, fires).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            put_back(env, due.iter().skip(next).cloned());
            return Err(error);
        }
    }
    Ok(())
}

/// Some of those that are due.
struct Piece {
    fires: Vec<Fire>,
    /// How many entries were read for it.
    read: usize,
    /// The next one, which did not fit in and is read already.
    over: Option<Fire>,
}

/// Reads as many entries as fit into a piece, and at least one. Blocks on the disk.
fn read_piece(env: &Env, due: &[ScheduledMessage], mut carried: Option<Fire>) -> Piece {
    let (now, mut room) = (Clock::wall(), pieces::PIECE_BYTES_MAX);
    let mut piece = Piece { fires: Vec::new(), read: 0, over: None };
    for scheduled in due {
        let read = carried.take().map_or_else(|| fire(env, scheduled.clone(), now), Ok);
        match read {
            Ok(fire) => {
                let bytes = fire.bytes();
                if bytes > room && !piece.fires.is_empty() {
                    piece.over = Some(fire);
                    break;
                }
                room = room.saturating_sub(bytes);
                piece.fires.push(fire);
            }
            Err(error) => set_aside(env, scheduled.clone(), &error),
        }
        piece.read += 1;
    }
    piece
}

/// Reads the entry. Blocks on the disk.
fn fire(env: &Env, scheduled: ScheduledMessage, now: Timestamp) -> Result<Fire, StoreError> {
    let limit = ReadLimit { messages: 1, bytes: 1 };
    let batch = env.store.read(&topic(), ReadFrom::Offset(scheduled.offset), limit)?;
    let entry = batch.messages.first().filter(|entry| entry.offset == scheduled.offset);
    let (id, topic) = (scheduled.id, scheduled.topic.clone());
    let publish = match entry.map_or(Due::Unreadable, |entry| due(entry, now)) {
        Due::Publish(message) => {
            let durability = env.policies.policy(&message.topic).durability;
            Some(Write::Publish { message, durability, id: Some(id) })
        }
        Due::Expired => {
            tracing::warn!(%id, %topic, "a scheduled message expired before it could be published");
            env.metrics.scheduled_expired.inc();
            None
        }
        Due::Unreadable => {
            tracing::error!(%id, %topic, "a scheduled message is damaged and cannot be published");
            env.metrics.scheduled_lost.inc();
            None
        }
    };
    Ok(Fire { scheduled, publish })
}

/// Publishes each and removes its entry, in this order and in one submission: a crash between the
/// two publishes it again, and its key makes that the same message.
async fn write(env: &Env, priority: Priority, fires: Vec<Fire>) -> Result<(), StoreError> {
    fault_point("schedule-due");
    let writes: Vec<Write> = fires.iter().flat_map(Fire::writes).collect();
    let is_alone = fires.len() == 1;
    let outcomes = match env.door_lane.submit_together(env.store.as_ref(), priority, writes).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            put_back(env, fires.into_iter().map(|fire| fire.scheduled));
            return Err(error);
        }
    };
    fault_point("schedule-fired");
    let mut outcomes = outcomes.into_iter();
    let mut failed = Ok(());
    for Fire { scheduled, publish } in fires {
        let published = publish.and_then(|_| outcomes.next());
        let removed = outcomes.next();
        match (published, removed) {
            (Some(Outcome::Refused(error)), _) if is_for_good(&error, is_alone) => {
                set_aside(env, scheduled, &error);
            }
            // What follows one that is refused for good keeps its entry: published again, it is
            // the same message.
            (Some(Outcome::Refused(error)), _) | (_, Some(Outcome::Refused(error))) => {
                put_back(env, [scheduled]);
                failed = Err(error);
            }
            (published, _) => {
                env.schedule.lock().done(&scheduled);
                fault_point("schedule-done");
                env.metrics.scheduled_published.inc_by(u64::from(published.is_some()));
            }
        }
    }
    failed
}

/// Whether trying the same again at once would hold up the others for nothing.
const fn is_for_good(error: &StoreError, is_alone: bool) -> bool {
    match error {
        StoreError::TooLarge { .. } => true,
        // Nothing else waits, so it never fits into the queue as it is configured.
        StoreError::Overloaded { waiting_bytes, submitted_bytes: _ } => {
            is_alone && *waiting_bytes == 0
        }
        StoreError::Full { .. }
        | StoreError::Poisoned { .. }
        | StoreError::Closed
        | StoreError::Read { .. } => false,
    }
}

/// Keeps one on the schedule that cannot be published, out of the way of the others.
fn set_aside(env: &Env, scheduled: ScheduledMessage, error: &StoreError) {
    let (id, topic) = (scheduled.id, scheduled.topic.clone());
    let retry_in = env.schedule.lock().set_aside(scheduled, Clock::wall());
    tracing::error!(%id, %topic, %error, ?retry_in, "a scheduled message is refused; it stays on the schedule");
    env.metrics.scheduled_refused.inc();
}

fn put_back(env: &Env, scheduled: impl IntoIterator<Item = ScheduledMessage>) {
    let mut schedule = env.schedule.lock();
    for scheduled in scheduled {
        schedule.put_back(scheduled);
    }
}
