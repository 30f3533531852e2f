//! How much waits for groups: the signal to start or stop workers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::group_letter::GroupStanding;

/// Groups that have series of their own: those with the most waiting.
const LABELLED_MAX: usize = 100;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GroupLabels {
    group: String,
    filter: String,
}

/// What groups say of themselves, copied when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct GroupGauges {
    groups: Gauge,
    resting: Gauge,
    members: Gauge,
    waiting: Gauge,
    unacked: Gauge,
    lag_of: Family<GroupLabels, Gauge>,
    unacked_of: Family<GroupLabels, Gauge>,
    members_of: Family<GroupLabels, Gauge>,
}

impl GroupGauges {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        for (name, help, gauge) in [
            ("groups", "Groups with members", &gauges.groups),
            ("groups_without_members", "Groups with cursors and no members", &gauges.resting),
            ("groups_members", "Members of all groups", &gauges.members),
            ("groups_lag", "Messages that are not settled, of all groups", &gauges.waiting),
            ("groups_unacked", "Messages that members have and did not answer", &gauges.unacked),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, family) in [
            ("group_lag", "Messages that are not settled", &gauges.lag_of),
            ("group_unacked", "Messages with members, without an answer", &gauges.unacked_of),
            ("group_members", "Members", &gauges.members_of),
        ] {
            registry.register(name, help, family.clone());
        }
        gauges
    }

    /// Takes over how `groups` stand, those with the most waiting first.
    pub(crate) fn set(&self, groups: &[GroupStanding]) {
        let with_members = groups.iter().filter(|group| group.member_count > 0).count();
        self.groups.set(with_members as i64);
        self.resting.set((groups.len() - with_members) as i64);
        self.members.set(groups.iter().map(|group| group.member_count as i64).sum());
        self.waiting.set(groups.iter().map(|group| group.lag as i64).sum());
        self.unacked.set(groups.iter().map(|group| group.unacked as i64).sum());
        self.lag_of.clear();
        self.unacked_of.clear();
        self.members_of.clear();
        for group in groups.iter().take(LABELLED_MAX) {
            let labels = GroupLabels {
                group: group.key.group.to_string(),
                filter: group.key.filter.to_string(),
            };
            self.lag_of.get_or_create(&labels).set(group.lag as i64);
            self.unacked_of.get_or_create(&labels).set(group.unacked as i64);
            self.members_of.get_or_create(&labels).set(group.member_count as i64);
        }
    }
}
