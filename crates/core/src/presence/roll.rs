//! The roll of one topic: who is on it, who may come back, who watches, and when to tell them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::changes::{Change, Changes, Outcome};
use super::{Admission, Member, News, PresenceCounts, Present, PresentList};
use crate::limits::{
    PRESENCE_EVENT_MEMBERS_MAX, PRESENCE_INTERVAL_MAX, PRESENCE_INTERVAL_MIN,
    PRESENCE_NAMES_PER_SECOND_MAX,
};
use crate::time::{Instant, Timestamp};

/// How a member is there. One of many, so it has no more than it needs.
#[derive(Clone, Copy, Debug)]
struct Attendance {
    since: Timestamp,
    /// With how many connections; with none it is awaited.
    connections: u32,
}

/// The members that may come back, by when that ends.
#[derive(Debug, Default)]
struct Awaited {
    in_turn: BTreeSet<(Instant, Member)>,
    until: BTreeMap<Member, Instant>,
}

impl Awaited {
    fn insert(&mut self, until: Instant, member: Member) {
        self.in_turn.insert((until, member.clone()));
        self.until.insert(member, until);
    }

    fn remove(&mut self, member: &Member) {
        if let Some((member, until)) = self.until.remove_entry(member) {
            self.in_turn.remove(&(until, member));
        }
    }

    /// When the first wait ends.
    fn first_end(&self) -> Option<Instant> {
        self.in_turn.first().map(|(until, _)| *until)
    }

    /// Takes out who is awaited until `now` or earlier.
    fn pop_ended(&mut self, now: Instant) -> Option<Member> {
        self.first_end().filter(|until| *until <= now)?;
        let (_, member) = self.in_turn.pop_first()?;
        self.until.remove(&member);
        Some(member)
    }
}

/// One topic's presence.
#[derive(Debug, Default)]
pub(super) struct Roll {
    members: BTreeMap<Member, Attendance>,
    awaited: Awaited,
    /// Connections of which only the number is known.
    unlisted: u64,
    watchers: u64,
    changes: Changes,
    /// When the changes are announced, if there are any.
    announce_at: Option<Instant>,
    /// The earliest time of the next announcement.
    quiet_until: Instant,
}

impl Roll {
    pub(super) fn listed(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.unlisted == 0 && self.watchers == 0
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.awaited.first_end(), self.announce_at].into_iter().flatten().min()
    }

    /// A connection came. A member that is new is listed if there is `room`.
    pub(super) fn joined(
        &mut self,
        now: Instant,
        wall: Timestamp,
        member: &Member,
        room: bool,
        counts: &mut PresenceCounts,
    ) -> Admission {
        if let Some(attendance) = self.members.get_mut(member) {
            if attendance.connections == 0 {
                self.awaited.remove(member);
            }
            attendance.connections += 1;
            return Admission::Listed;
        }
        if !room {
            self.unlisted += 1;
            counts.unlisted += 1;
            return Admission::Unlisted;
        }
        let since = match self.note(now, member, Change::Joined { since: wall }, counts) {
            // Who was gone for less than an announcement was never away.
            Some(Change::Left { since }) => since,
            Some(Change::Joined { .. }) | None => wall,
        };
        let attendance = Attendance { since, connections: 1 };
        self.members.insert(member.clone(), attendance);
        counts.listed += 1;
        Admission::Listed
    }

    /// A listed connection went. After the last the member is awaited `until` then.
    pub(super) fn left(
        &mut self,
        now: Instant,
        member: &Member,
        until: Instant,
        counts: &mut PresenceCounts,
    ) {
        let attendance = self.members.get_mut(member).expect("whoever leaves is on the roll");
        assert!(attendance.connections > 0, "whoever leaves has a connection");
        attendance.connections -= 1;
        if attendance.connections > 0 {
            return;
        }
        if until > now {
            self.awaited.insert(until, member.clone());
        } else {
            self.strike(now, member, counts);
        }
    }

    pub(super) fn left_unlisted(&mut self, counts: &mut PresenceCounts) {
        assert!(self.unlisted > 0, "whoever leaves was counted");
        self.unlisted -= 1;
        counts.unlisted -= 1;
    }

    pub(super) const fn watched(&mut self) {
        self.watchers += 1;
    }

    pub(super) fn unwatched(&mut self) {
        assert!(self.watchers > 0, "whoever stops watching had watched");
        self.watchers -= 1;
        if self.watchers == 0 {
            self.changes = Changes::default();
            self.announce_at = None;
        }
    }

    pub(super) fn present(&mut self, limit: usize) -> PresentList {
        self.changes.list_given();
        let members = self.members.iter().take(limit).map(|(member, attendance)| Present {
            member: member.clone(),
            since: attendance.since,
        });
        let total = self.members.len() as u64 + self.unlisted;
        PresentList { members: members.collect(), total }
    }

    /// Strikes those who did not come back in time off the roll, at most `budget`.
    pub(super) fn expire(&mut self, now: Instant, budget: &mut usize, counts: &mut PresenceCounts) {
        while *budget > 0 {
            let Some(member) = self.awaited.pop_ended(now) else { break };
            self.strike(now, &member, counts);
            *budget -= 1;
        }
    }

    /// What is to be told now.
    pub(super) fn announce(&mut self, now: Instant) -> Option<News> {
        self.announce_at.take_if(|at| *at <= now)?;
        let news = self.changes.take();
        let names = match &news {
            News::Changes { joined, left } => joined.len() + left.len(),
            // Nobody is named, but whoever is told asks for the list.
            News::TooMany => PRESENCE_EVENT_MEMBERS_MAX,
        };
        self.quiet_until = now + interval(names as u64, self.watchers);
        Some(news)
    }

    fn strike(&mut self, now: Instant, member: &Member, counts: &mut PresenceCounts) {
        let struck = self.members.remove(member).expect("whoever is struck is on the roll");
        counts.listed -= 1;
        self.note(now, member, Change::Left { since: struck.since }, counts);
    }

    /// Notes a change for those who watch. Returns the opposite one that it undid.
    fn note(
        &mut self,
        now: Instant,
        member: &Member,
        change: Change,
        counts: &mut PresenceCounts,
    ) -> Option<Change> {
        counts.changes += 1;
        if self.watchers == 0 {
            return None;
        }
        let outcome = self.changes.note(member, change, names_max(self.watchers));
        if self.changes.is_empty() {
            self.announce_at = None;
        } else if self.announce_at.is_none() {
            self.announce_at = Some((now + PRESENCE_INTERVAL_MIN).max(self.quiet_until));
        }
        match outcome {
            Outcome::Noted => None,
            Outcome::Undid(undone) => {
                counts.undone += 2;
                Some(undone)
            }
        }
    }
}

/// The wait after an announcement of `names` to `watchers`.
fn interval(names: u64, watchers: u64) -> Duration {
    let ms = names.saturating_mul(watchers).saturating_mul(1000) / PRESENCE_NAMES_PER_SECOND_MAX;
    Duration::from_millis(ms).clamp(PRESENCE_INTERVAL_MIN, PRESENCE_INTERVAL_MAX)
}

/// Names in one announcement to `watchers`, so that the longest wait is enough for it.
fn names_max(watchers: u64) -> usize {
    let names = PRESENCE_NAMES_PER_SECOND_MAX * PRESENCE_INTERVAL_MAX.as_secs() / watchers.max(1);
    usize::try_from(names).unwrap_or(usize::MAX).clamp(1, PRESENCE_EVENT_MEMBERS_MAX)
}
