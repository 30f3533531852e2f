//! A message is with one member at a time: another one gets it only when the first has given it
//! back, has left, or has let its time pass.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::Instant;

use super::facts::{CLOCKS_APART, Facts};
use crate::history::groups::{GroupNumber, GroupRecord, MemberNumber, Place};
use crate::violation::{Promise, Violation, ensure};

/// Who has a message that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Holder {
    member: MemberNumber,
    process: u64,
    attempt: u32,
    /// It was not sent before.
    not_before: Instant,
}

#[derive(Debug)]
struct Holders<'a> {
    facts: &'a Facts,
    holders: BTreeMap<(GroupNumber, Place), Holder>,
    /// When somebody last gave it back.
    freed: BTreeMap<(GroupNumber, Place), Instant>,
    /// Processes that end, in which connections end before their clients hear of it.
    ending: BTreeSet<u64>,
}

pub(super) fn check(history: &[GroupRecord], facts: &Facts) -> Result<(), Violation> {
    let (holders, freed, ending) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut holders = Holders { facts, holders, freed, ending };
    history.iter().try_for_each(|record| holders.follow(record))
}

impl Holders<'_> {
    fn follow(&mut self, record: &GroupRecord) -> Result<(), Violation> {
        match record {
            GroupRecord::Delivered { member, place, attempt, published_at, at, .. } => {
                let membership = self.facts.membership(*member);
                let mut not_before = membership.since.max(*published_at);
                if let Some(freed) = self.freed.get(&(membership.group, *place)) {
                    not_before = not_before.max(*freed);
                }
                let process = membership.process;
                let holder = Holder { member: *member, process, attempt: *attempt, not_before };
                return self.delivered(*place, holder, *at);
            }
            GroupRecord::Acked { member, place, at }
            | GroupRecord::Nacked { member, place, at } => {
                self.given_back(*member, *place, *at);
            }
            GroupRecord::Left { member, at } => {
                let held = self.holders.iter().filter(|(_, holder)| holder.member == *member);
                let places: Vec<_> = held.map(|((_, place), _)| *place).collect();
                for place in places {
                    self.given_back(*member, place, *at);
                }
            }
            GroupRecord::Stopping { process } | GroupRecord::Killed { process, .. } => {
                self.ending.insert(*process);
            }
            GroupRecord::Opened { .. }
            | GroupRecord::Published { .. }
            | GroupRecord::LogFound { .. }
            | GroupRecord::Joining { .. }
            | GroupRecord::Settled { .. }
            | GroupRecord::DeadLettered { .. } => {}
        }
        Ok(())
    }

    fn given_back(&mut self, member: MemberNumber, place: Place, at: Instant) {
        let whose = (self.facts.group(member), place);
        if self.holders.get(&whose).is_some_and(|holder| holder.member == member) {
            self.holders.remove(&whose);
            self.freed.insert(whose, at);
        }
    }

    fn delivered(&mut self, place: Place, holder: Holder, at: Instant) -> Result<(), Violation> {
        let group = self.facts.group(holder.member);
        let whose = (group, place);
        let before = self.holders.get(&whose).copied();
        if let Some(before) = before.filter(|before| before.process == holder.process) {
            if holder.attempt < before.attempt {
                // Sent earlier, and read only now: somebody else has had it since.
                return Ok(());
            }
            let topics = self.facts.groups.get(&group);
            let patience = topics.and_then(|topics| topics.get(&place.topic)).copied();
            let until = before.not_before + patience.unwrap_or_default();
            let passed = at + CLOCKS_APART >= until || self.ending.contains(&holder.process);
            ensure(passed, Promise::OneOrder, || {
                format!("{place:?} came to {holder:?} at {at:?}, while {before:?} had it")
            })?;
        }
        self.holders.insert(whose, holder);
        Ok(())
    }
}
