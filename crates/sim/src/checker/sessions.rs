//! What holds of sessions: one is resumed exactly when it is kept and has not expired, by its user
//! alone; the client is told which (P8); one that was saved stays, also over crashes; it does not
//! expire while its client is there; and it has one connection, the newest, of which the one before
//! is told (P6).

mod saves;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::{Instant, Timestamp};

use crate::history::{ConnectionName, Record, SessionName, SessionRecord, Subscriber};
use crate::violation::{Promise, Violation, ensure};
use saves::Saves;

/// What the server gave a connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    session: SessionName,
    resumed: bool,
    at: Instant,
}

#[derive(Debug, Default)]
struct Sessions {
    expiry: Duration,
    lag: Duration,
    owners: BTreeMap<SessionName, Subscriber>,
    unsynced: Duration,
    saves: BTreeMap<SessionName, Saves>,
    /// When the last process ended.
    killed: Instant,
    /// Whether the power went since the last start.
    power_lost: bool,
    entries: BTreeMap<ConnectionName, Entry>,
    /// The newest connection of each session.
    holders: BTreeMap<SessionName, ConnectionName>,
    /// Connections that another one has followed, and that do not know it yet.
    untold: BTreeSet<ConnectionName>,
    /// Connections that are over for their clients.
    over: BTreeSet<ConnectionName>,
    /// Until when each session's client was certainly there, since it was last taken up.
    there: BTreeMap<SessionName, Instant>,
    /// The last moment in which something went wrong that may end sessions early.
    disturbed: Option<Instant>,
    /// Whether the wall clock was set: a later save may end earlier.
    clock_was_set: bool,
    /// Sessions of which a save was refused since they were taken up.
    lagging: BTreeSet<SessionName>,
}

pub(super) fn check(history: &[Record]) -> Result<(), Violation> {
    let mut sessions = Sessions::default();
    for record in history {
        match record {
            Record::Session(record) => sessions.follow(record)?,
            Record::LogLost => sessions.saves.clear(),
            Record::Killed { at, .. } => {
                sessions.disturbed = Some(*at);
                sessions.killed = *at;
            }
            Record::PowerLost { .. } => sessions.power_lost = true,
            Record::Published { .. }
            | Record::Perishes { .. }
            | Record::Spared { .. }
            | Record::Acknowledged { .. }
            | Record::LogFound { .. }
            | Record::Trimmed { .. }
            | Record::Subscribed { .. }
            | Record::Joined { .. }
            | Record::ToldOfGap { .. }
            | Record::ToldWhy { .. }
            | Record::Delivered { .. }
            | Record::Acked { .. }
            | Record::DeadLettered { .. }
            | Record::CursorSaved { .. }
            | Record::Connected { .. }
            | Record::Settled { .. }
            | Record::CursorLags { .. }
            | Record::NotOpened { .. }
            | Record::Damaged { .. }
            | Record::PurgeAsked { .. }
            | Record::Purged { .. }
            | Record::LettersFound { .. } => {}
        }
    }
    ensure(sessions.untold.is_empty(), Promise::NothingSilent, || {
        format!("{:?} lost their sessions to others and were never told", sessions.untold)
    })
}

impl Sessions {
    fn follow(&mut self, record: &SessionRecord) -> Result<(), Violation> {
        match record {
            SessionRecord::Rules { expiry, lag, unsynced } => {
                (self.expiry, self.lag, self.unsynced) = (*expiry, *lag, *unsynced);
                Ok(())
            }
            SessionRecord::Entered {
                subscriber,
                connection,
                shown,
                session,
                resumed,
                wall,
                at,
            } => {
                let entry = Entry { session: *session, resumed: *resumed, at: *at };
                self.is_whose(*subscriber, *shown, entry)?;
                self.is_resumed_rightly(*shown, entry, *wall)?;
                self.enter(*connection, entry);
                Ok(())
            }
            SessionRecord::Denied { subscriber, shown } => {
                let owner = self.owners.get(shown).copied();
                ensure(owner.is_some_and(|owner| owner != *subscriber), Promise::Contract, || {
                    format!("{subscriber:?} was denied {shown:?}, which is {owner:?}'s")
                })
            }
            SessionRecord::Welcomed { connection, session, resumed } => {
                let entry = self.entries.get(connection).copied();
                let told = entry.is_some_and(|e| (e.session, e.resumed) == (*session, *resumed));
                ensure(told, Promise::ToldWhenReset, || {
                    format!("{connection:?} was told {session:?}, resumed: {resumed}: {entry:?}")
                })
            }
            SessionRecord::ToldTakenOver { connection } => {
                let followed = self.untold.remove(connection) || self.over.contains(connection);
                ensure(followed, Promise::Contract, || {
                    format!("{connection:?} was told that it was followed, and was not")
                })
            }
            SessionRecord::Left { connection, at } => {
                self.leave(*connection, *at);
                Ok(())
            }
            SessionRecord::Stored { session, expires_at } => {
                self.saves.entry(*session).or_default().stored(*expires_at);
                Ok(())
            }
            SessionRecord::Kept { session, expires_at, at } => {
                self.saves.entry(*session).or_default().kept(*expires_at, *at);
                Ok(())
            }
            SessionRecord::Lags { session } => {
                self.lagging.insert(*session);
                Ok(())
            }
            SessionRecord::Found { sessions, wall } => self.found(sessions, *wall),
            SessionRecord::ClockSet { at, before } => {
                self.saves.values_mut().for_each(|saves| saves.lapse(*before));
                self.disturbed = Some(*at);
                self.clock_was_set = true;
                Ok(())
            }
        }
    }

    /// A session has one user for ever, and a new one was nobody's before.
    fn is_whose(
        &mut self,
        subscriber: Subscriber,
        shown: Option<SessionName>,
        entry: Entry,
    ) -> Result<(), Violation> {
        let owner = self.owners.insert(entry.session, subscriber);
        ensure(owner.is_none_or(|owner| owner == subscriber), Promise::Contract, || {
            format!("{subscriber:?} got {:?}, which is {owner:?}'s", entry.session)
        })?;
        let kind_fits = match entry.resumed {
            true => shown == Some(entry.session) && owner.is_some(),
            false => owner.is_none(),
        };
        ensure(kind_fits, Promise::ToldWhenReset, || {
            format!("{subscriber:?} showed {shown:?} and got {entry:?}, before {owner:?}'s")
        })
    }

    /// Resumed if and only if what was shown is kept and lasts: of what is stored and not told,
    /// or forgotten, either may be.
    fn is_resumed_rightly(
        &self,
        shown: Option<SessionName>,
        entry: Entry,
        wall: Timestamp,
    ) -> Result<(), Violation> {
        let Some(shown) = shown else { return Ok(()) };
        let saves = self.saves.get(&shown).cloned().unwrap_or_default();
        let (ends, (may_last, may_be_gone)) = (saves.ends(), saves.may_be(wall));
        let fits = if entry.resumed { may_last } else { may_be_gone };
        ensure(fits, Promise::ToldWhenReset, || {
            format!("{shown:?} of {ends:?} was shown at {wall:?} and answered with {entry:?}")
        })?;
        // Its client hears of a session before it is saved: one that was never saved may be unknown.
        let there = self.there.get(&shown).copied().filter(|_| ends.is_some());
        let Some(there) = there else { return Ok(()) };
        let undisturbed = self.disturbed.is_none_or(|at| at < there)
            && !self.lagging.contains(&shown)
            && self.entered_before_disturbance(shown);
        // It counts half of its time from the last save, and the whole from its client's end.
        let soon = entry.at.since(there) + self.lag < self.expiry / 2;
        ensure(entry.resumed || !undisturbed || !soon, Promise::SettledStays, || {
            format!("{shown:?} ended by {:?}, its client was there until {there:?}", entry.at)
        })
    }

    /// Whether nothing has gone wrong since the session was last taken up.
    fn entered_before_disturbance(&self, session: SessionName) -> bool {
        let holder = self.holders.get(&session).and_then(|holder| self.entries.get(holder));
        holder.is_some_and(|entry| self.disturbed.is_none_or(|at| at < entry.at))
    }

    fn enter(&mut self, connection: ConnectionName, entry: Entry) {
        self.entries.insert(connection, entry);
        self.there.remove(&entry.session);
        self.lagging.remove(&entry.session);
        let before = self.holders.insert(entry.session, connection);
        self.untold.extend(before.filter(|before| !self.over.contains(before)));
    }

    fn leave(&mut self, connection: ConnectionName, at: Instant) {
        self.untold.remove(&connection);
        self.over.insert(connection);
        if let Some(entry) = self.entries.get(&connection)
            && self.holders.get(&entry.session) == Some(&connection)
        {
            self.there.insert(entry.session, at);
        }
    }

    /// What was told as saved is there, with an end at least as late.
    fn found(
        &mut self,
        sessions: &[(SessionName, Timestamp)],
        wall: Timestamp,
    ) -> Result<(), Violation> {
        let found: BTreeMap<_, _> = sessions.iter().copied().collect();
        let power_lost = std::mem::take(&mut self.power_lost);
        // One whose save was under way may be found with a later one, or an earlier where the
        // wall clock was set back.
        for (session, saves) in &self.saves {
            let since = match power_lost {
                true => saves.since_synced(self.killed, self.unsynced),
                false => saves.since_last(),
            };
            let Some(ends) = since.first().map(|save| save.ends) else { continue };
            let there = found.get(session).copied();
            let lasts = match there {
                Some(there) => there >= ends || self.clock_was_set,
                None => since.iter().any(|save| save.may_be_forgotten(wall)),
            };
            ensure(lasts, Promise::SettledStays, || {
                format!("{session:?} was saved until {ends:?}, and is found with {there:?}")
            })?;
        }
        self.saves = found.into_iter().map(|(name, ends)| (name, Saves::found(ends))).collect();
        Ok(())
    }
}
