//! Publishing what is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Priority, ScheduledMessage, Timestamp};
use tidings_storage::{Outcome, ReadFrom, ReadLimit, StoreError, Write};
use tokio_util::sync::CancellationToken;

use super::entry::{Due, due};
use super::topic;
use crate::clock::Clock;
use crate::env::Env;

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

/// Publishes what was taken out. What could not be is put back, and the last reason returned.
async fn publish(env: &Arc<Env>, due: Vec<ScheduledMessage>) -> Result<(), StoreError> {
    let (reading, now) = (Arc::clone(env), Clock::wall());
    let entries = due.clone();
    let read = tokio::task::spawn_blocking(move || {
        entries.into_iter().map(|s| fire(&reading, s, now)).collect::<Result<Vec<_>, _>>()
    });
    let fires = match read.await.unwrap_or(Err(StoreError::Closed)) {
        Ok(fires) => fires,
        Err(error) => {
            put_back(env, due);
            return Err(error);
        }
    };
    let mut by_priority: BTreeMap<Priority, Vec<Fire>> = BTreeMap::new();
    for fire in fires {
        let priority = env.policies.priority(&fire.scheduled.topic);
        by_priority.entry(priority).or_default().push(fire);
    }
    let mut failed = Ok(());
    for (priority, fires) in by_priority {
        if let Err(error) = write(env, priority, fires).await {
            failed = Err(error);
        }
    }
    failed
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
    let mut writes = Vec::with_capacity(2 * fires.len());
    let mut ends = Vec::with_capacity(fires.len());
    for Fire { scheduled, publish } in fires {
        writes.extend(publish);
        writes.push(Write::Remove { topic: topic(), offset: scheduled.offset });
        ends.push((writes.len(), scheduled));
    }
    let outcomes = match env.door_lane.submit_together(env.store.as_ref(), priority, writes).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            put_back(env, ends.into_iter().map(|(_, scheduled)| scheduled).collect());
            return Err(error);
        }
    };
    let mut failed = Ok(());
    let mut start = 0;
    for (end, scheduled) in ends {
        let (mut published, mut refused) = (0, None);
        for outcome in outcomes.get(start..end).unwrap_or_default() {
            match outcome {
                Outcome::Refused(error) => refused = Some(error.clone()),
                Outcome::Published(_) | Outcome::Duplicate { .. } => published += 1,
                Outcome::Saved => {}
            }
        }
        start = end;
        match refused {
            None => {
                env.schedule.lock().done(&scheduled);
                env.metrics.scheduled_published.inc_by(published);
            }
            Some(error) => {
                put_back(env, vec![scheduled]);
                failed = Err(error);
            }
        }
    }
    failed
}

fn put_back(env: &Env, scheduled: Vec<ScheduledMessage>) {
    let mut schedule = env.schedule.lock();
    for scheduled in scheduled {
        schedule.put_back(scheduled);
    }
}
