//! Messages of one order key: one at a time over all topics of a group, and those of a topic in its
//! order (P2).

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::Instant;

use super::facts::Facts;
use crate::history::Name;
use crate::history::groups::{
    GroupNumber, GroupRecord, LaneNumber, MemberNumber, Place, TopicNumber,
};
use crate::violation::{Promise, Violation, ensure};

#[derive(Debug)]
struct Lanes<'a> {
    facts: &'a Facts,
    /// The messages of each order key in each topic, in their order.
    orders: BTreeMap<(TopicNumber, LaneNumber), Vec<Place>>,
    /// How many of those are done for each group.
    done: BTreeMap<(GroupNumber, TopicNumber, LaneNumber), usize>,
    acked: BTreeSet<(GroupNumber, Place)>,
    /// What members said to one process. An ack of before a crash may be forgotten.
    acked_in: BTreeSet<(GroupNumber, u64, Place)>,
    /// What members got of each order key from one process and may not have answered.
    out: BTreeMap<(GroupNumber, u64, LaneNumber), BTreeSet<Place>>,
}

pub(super) fn check(history: &[GroupRecord], facts: &Facts) -> Result<(), Violation> {
    let mut lanes = Lanes {
        facts,
        orders: facts.orders(),
        done: BTreeMap::new(),
        acked: BTreeSet::new(),
        acked_in: BTreeSet::new(),
        out: BTreeMap::new(),
    };
    history.iter().try_for_each(|record| lanes.follow(record))
}

impl Lanes<'_> {
    fn follow(&mut self, record: &GroupRecord) -> Result<(), Violation> {
        match record {
            GroupRecord::Delivered { member, place, name, at, .. } => {
                return self.delivered(*member, *place, *name, *at);
            }
            GroupRecord::Acked { member, place, .. } => {
                let membership = self.facts.membership(*member);
                self.acked.insert((membership.group, *place));
                self.acked_in.insert((membership.group, membership.process, *place));
            }
            GroupRecord::Opened { .. }
            | GroupRecord::Published { .. }
            | GroupRecord::LogFound { .. }
            | GroupRecord::Joining { .. }
            | GroupRecord::Nacked { .. }
            | GroupRecord::Settled { .. }
            | GroupRecord::Left { .. }
            | GroupRecord::DeadLettered { .. }
            | GroupRecord::Stopping { .. }
            | GroupRecord::Killed { .. } => {}
        }
        Ok(())
    }

    fn delivered(
        &mut self,
        member: MemberNumber,
        place: Place,
        name: Name,
        at: Instant,
    ) -> Result<(), Violation> {
        let Some(lane) = self.facts.lane(name) else { return Ok(()) };
        let group = self.facts.group(member);
        let earlier = self.first_not_done(group, place.topic, lane, at);
        ensure(earlier.is_none_or(|earlier| earlier >= place), Promise::OneOrder, || {
            format!("{member:?} got {place:?} of {lane:?} while {earlier:?} was not done")
        })?;
        self.comes_alone(member, place, lane, at)
    }

    /// The first message of an order key in a topic that nobody has acked and that is no dead
    /// letter.
    fn first_not_done(
        &mut self,
        group: GroupNumber,
        topic: TopicNumber,
        lane: LaneNumber,
        at: Instant,
    ) -> Option<Place> {
        let order = self.orders.get(&(topic, lane))?;
        let done = self.done.entry((group, topic, lane)).or_default();
        while let Some(place) = order.get(*done)
            && (self.acked.contains(&(group, *place)) || self.facts.is_dead(group, *place, at))
        {
            *done += 1;
        }
        order.get(*done).copied()
    }

    /// Nothing else of its order key is out, from this process of the server.
    fn comes_alone(
        &mut self,
        member: MemberNumber,
        place: Place,
        lane: LaneNumber,
        at: Instant,
    ) -> Result<(), Violation> {
        let membership = self.facts.membership(member);
        let (group, process) = (membership.group, membership.process);
        let is_done = |place: Place| {
            self.acked_in.contains(&(group, process, place)) || self.facts.is_dead(group, place, at)
        };
        if is_done(place) {
            // It was sent before somebody else was done with it, and read only now.
            return Ok(());
        }
        let out = self.out.entry((group, process, lane)).or_default();
        out.retain(|other| !is_done(*other));
        let other = out.iter().find(|other| **other != place).copied();
        out.insert(place);
        ensure(other.is_none(), Promise::OneOrder, || {
            format!("{member:?} got {place:?} of {lane:?} while {other:?} was out")
        })
    }
}
