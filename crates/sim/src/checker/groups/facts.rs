//! What is known of a whole history of groups before it is judged.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::Instant;

use crate::history::Name;
use crate::history::groups::{
    GroupNumber, GroupRecord, LaneNumber, MemberNumber, Place, TopicNumber,
};

/// Two clocks of one machine: the one that dates what the server writes is read in milliseconds,
/// and may be set a little by whoever keeps it right.
pub(super) const CLOCKS_APART: Duration = Duration::from_millis(100);

/// Whom a member asked to be one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub(super) group: GroupNumber,
    pub(super) process: u64,
    pub(super) since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) groups: BTreeMap<GroupNumber, BTreeMap<TopicNumber, Duration>>,
    pub(super) log: BTreeMap<Place, Name>,
    /// When the first dead letter of each was written.
    pub(super) dead: BTreeMap<(GroupNumber, Place), Instant>,
    pub(super) kills: BTreeMap<u64, Instant>,
    lanes: BTreeMap<Name, LaneNumber>,
    members: BTreeMap<MemberNumber, Membership>,
}

impl Facts {
    pub(super) fn of(history: &[GroupRecord]) -> Self {
        let mut facts = Self::default();
        for record in history {
            facts.learn(record);
        }
        facts
    }

    fn learn(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Opened { group, topics } => {
                self.groups.insert(*group, topics.clone());
            }
            GroupRecord::Published { name, lane } => {
                self.lanes.extend(lane.map(|lane| (*name, lane)));
            }
            GroupRecord::LogFound { messages } => self.log.extend(messages.iter().copied()),
            GroupRecord::Joining { member, group, process, at } => {
                let membership = Membership { group: *group, process: *process, since: *at };
                self.members.insert(*member, membership);
            }
            GroupRecord::DeadLettered { group, place, at } => {
                let first = self.dead.entry((*group, *place)).or_insert(*at);
                *first = (*first).min(*at);
            }
            GroupRecord::Killed { process, at } => {
                self.kills.insert(*process, *at);
            }
            GroupRecord::Delivered { .. }
            | GroupRecord::Acked { .. }
            | GroupRecord::Nacked { .. }
            | GroupRecord::Settled { .. }
            | GroupRecord::Left { .. }
            | GroupRecord::Stopping { .. } => {}
        }
    }

    /// Every history says whom a member asks before anything else of it.
    pub(super) fn membership(&self, member: MemberNumber) -> Membership {
        *self.members.get(&member).expect("a member that does something has joined")
    }

    pub(super) fn group(&self, member: MemberNumber) -> GroupNumber {
        self.membership(member).group
    }

    pub(super) fn lane(&self, name: Name) -> Option<LaneNumber> {
        self.lanes.get(&name).copied()
    }

    /// The messages of each order key in each topic, in their order.
    pub(super) fn orders(&self) -> BTreeMap<(TopicNumber, LaneNumber), Vec<Place>> {
        let mut orders: BTreeMap<_, Vec<Place>> = BTreeMap::new();
        for (place, name) in &self.log {
            if let Some(lane) = self.lane(*name) {
                orders.entry((place.topic, lane)).or_default().push(*place);
            }
        }
        orders
    }

    /// Whether its dead letter was written by then.
    pub(super) fn is_dead(&self, group: GroupNumber, place: Place, at: Instant) -> bool {
        self.dead.get(&(group, place)).is_some_and(|dead| *dead <= at + CLOCKS_APART)
    }
}
