//! A message for later is published once, never before its time, and soon after it; one that was
//! cancelled never is.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::Timestamp;

use crate::history::Name;
use crate::history::schedule::ScheduleRecord;
use crate::violation::{Promise, Violation, ensure};

/// A process of the server, from when it was ready to its end.
#[derive(Clone, Copy, Debug)]
struct Process {
    ready: Timestamp,
    ends: Timestamp,
}

#[derive(Debug, Default)]
struct Schedule {
    processes: Vec<Process>,
    due: BTreeMap<Name, Timestamp>,
    kept: BTreeMap<Name, Timestamp>,
    cancelling: BTreeSet<Name>,
    cancelled: BTreeSet<Name>,
    found: BTreeMap<Name, Timestamp>,
}

/// The first violation of a whole history: one that ends when nothing is scheduled any more, with
/// everything in the log.
///
/// `late_max` is how long a message that is due may wait for a server that is there.
pub fn check(history: &[ScheduleRecord], late_max: Duration) -> Result<(), Violation> {
    let mut schedule = Schedule::default();
    history.iter().try_for_each(|record| schedule.follow(record))?;
    schedule.check_kept()?;
    schedule.check_late(late_max)
}

/// How late each message came, while a server was there.
pub fn lateness(history: &[ScheduleRecord]) -> Result<Vec<Duration>, Violation> {
    let mut schedule = Schedule::default();
    history.iter().try_for_each(|record| schedule.follow(record))?;
    Ok(schedule.kept.keys().filter_map(|name| schedule.longest_wait(*name)).collect())
}

impl Schedule {
    fn follow(&mut self, record: &ScheduleRecord) -> Result<(), Violation> {
        match record {
            ScheduleRecord::Ready { at } => {
                self.processes.push(Process { ready: *at, ends: Timestamp::from_ms(u64::MAX) });
            }
            ScheduleRecord::Ending { at } => {
                if let Some(process) = self.processes.last_mut() {
                    process.ends = *at;
                }
            }
            ScheduleRecord::Scheduling { name, due } => {
                self.due.insert(*name, *due);
            }
            ScheduleRecord::Kept { name, at } => {
                self.kept.entry(*name).or_insert(*at);
            }
            ScheduleRecord::Cancelling { name } => {
                self.cancelling.insert(*name);
            }
            ScheduleRecord::Cancelled { name } => {
                self.cancelled.insert(*name);
            }
            ScheduleRecord::Seen { name, at } => self.in_its_time(*name, *at)?,
            ScheduleRecord::Found { name, at } => {
                self.in_its_time(*name, *at)?;
                let before = self.found.insert(*name, *at);
                ensure(before.is_none(), Promise::OncePerKey, || {
                    format!("{name:?} was published at {before:?} and at {at:?}")
                })?;
            }
        }
        Ok(())
    }

    fn in_its_time(&self, name: Name, at: Timestamp) -> Result<(), Violation> {
        let due = self.due.get(&name).copied();
        ensure(due.is_some_and(|due| due <= at), Promise::InTime, || {
            format!("{name:?} was there at {at:?}, it is due at {due:?}")
        })?;
        ensure(!self.cancelled.contains(&name), Promise::SettledStays, || {
            format!("{name:?} was cancelled, and published at {at:?}")
        })
    }

    /// What was kept and is not to be cancelled is published.
    fn check_kept(&self) -> Result<(), Violation> {
        for name in self.kept.keys().filter(|name| !self.cancelling.contains(name)) {
            ensure(self.found.contains_key(name), Promise::AcknowledgedIsDurable, || {
                format!("{name:?} was kept for later, and never published")
            })?;
        }
        Ok(())
    }

    fn check_late(&self, late_max: Duration) -> Result<(), Violation> {
        for name in self.kept.keys() {
            let waited = self.longest_wait(*name);
            ensure(waited.is_none_or(|waited| waited <= late_max), Promise::InTime, || {
                format!(
                    "{name:?}, due at {:?}, waited {waited:?} for a server that was there",
                    self.due.get(name)
                )
            })?;
        }
        Ok(())
    }

    /// The longest time in which a message was due, kept, and not published by a process that was
    /// ready.
    fn longest_wait(&self, name: Name) -> Option<Duration> {
        let (due, kept) = (*self.due.get(&name)?, *self.kept.get(&name)?);
        let published = *self.found.get(&name)?;
        let waits = self.processes.iter().map(|process| {
            let from = due.max(kept).max(process.ready).as_ms();
            let to = published.min(process.ends).as_ms();
            Duration::from_millis(to.saturating_sub(from))
        });
        waits.max()
    }
}
