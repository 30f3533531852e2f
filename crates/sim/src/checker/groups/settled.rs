//! A message is done once: by one member, or as a dead letter. It is done again only if the server
//! was killed just after the first time; and only one delivery says that it is the first (P4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::Instant;

use super::facts::{CLOCKS_APART, Facts};
use crate::history::groups::{GroupNumber, GroupRecord, MemberNumber, Place};
use crate::violation::{Promise, Violation, ensure};

/// An ack that was answered.
#[derive(Clone, Copy, Debug)]
struct Answered {
    process: u64,
    at: Instant,
}

#[derive(Debug)]
struct Settled<'a> {
    facts: &'a Facts,
    cursor_lag_max: Duration,
    firsts: BTreeSet<(GroupNumber, Place)>,
    answered: BTreeMap<(GroupNumber, Place), Answered>,
}

pub(super) fn check(
    history: &[GroupRecord],
    facts: &Facts,
    cursor_lag_max: Duration,
) -> Result<(), Violation> {
    let (firsts, answered) = (BTreeSet::new(), BTreeMap::new());
    let mut settled = Settled { facts, cursor_lag_max, firsts, answered };
    history.iter().try_for_each(|record| settled.follow(record))?;
    settled.check_dead_letters()
}

impl Settled<'_> {
    fn follow(&mut self, record: &GroupRecord) -> Result<(), Violation> {
        match record {
            GroupRecord::Delivered { member, place, attempt, .. } => {
                self.delivered(*member, *place, *attempt)
            }
            GroupRecord::Settled { member, place, at } => self.settled(*member, *place, *at),
            GroupRecord::Opened { .. }
            | GroupRecord::Published { .. }
            | GroupRecord::LogFound { .. }
            | GroupRecord::Joining { .. }
            | GroupRecord::Acked { .. }
            | GroupRecord::Nacked { .. }
            | GroupRecord::Left { .. }
            | GroupRecord::DeadLettered { .. }
            | GroupRecord::Stopping { .. }
            | GroupRecord::Killed { .. } => Ok(()),
        }
    }

    fn delivered(
        &mut self,
        member: MemberNumber,
        place: Place,
        attempt: u32,
    ) -> Result<(), Violation> {
        let membership = self.facts.membership(member);
        let whose = (membership.group, place);
        // Which of two members reads first says nothing about who was sent it first.
        ensure(attempt > 1 || self.firsts.insert(whose), Promise::AtLeastOnce, || {
            format!("{member:?} got {place:?}, which {whose:?} had, and it did not say so")
        })?;
        let Some(answered) = self.answered.get(&whose) else { return Ok(()) };
        // From the same process it may have lain unread since before.
        let lasts = membership.process == answered.process || self.forgets(*answered);
        ensure(lasts, Promise::SettledStays, || {
            format!("{member:?} of {membership:?} got {place:?} after {answered:?}")
        })
    }

    fn settled(
        &mut self,
        member: MemberNumber,
        place: Place,
        at: Instant,
    ) -> Result<(), Violation> {
        let membership = self.facts.membership(member);
        let now = Answered { process: membership.process, at };
        let Some(before) = self.answered.insert((membership.group, place), now) else {
            return Ok(());
        };
        let excused = before.process < now.process && self.forgets(before);
        ensure(excused, Promise::SettledStays, || {
            format!("{place:?} was done at {before:?}, and by {member:?} at {now:?}")
        })
    }

    /// Whether the process that answered was killed so soon that it may not have kept that.
    fn forgets(&self, answered: Answered) -> bool {
        let killed = self.facts.kills.get(&answered.process);
        killed.is_some_and(|at| at.since(answered.at) < self.cursor_lag_max)
    }

    /// What is a dead letter was not done as well, unless one of the two was forgotten in a crash.
    fn check_dead_letters(&self) -> Result<(), Violation> {
        for ((group, place), dead) in &self.facts.dead {
            let Some(answered) = self.answered.get(&(*group, *place)) else { continue };
            let first = (*dead).min(answered.at);
            let soon_after = |killed: &Instant| {
                *killed + CLOCKS_APART >= first && killed.since(first) < self.cursor_lag_max
            };
            ensure(self.facts.kills.values().any(soon_after), Promise::SettledStays, || {
                format!("{place:?} of {group:?}: {answered:?}, and a dead letter at {dead:?}")
            })?;
        }
        Ok(())
    }
}
