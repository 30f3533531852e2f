//! How the groups of this shard stand, for whoever asks.

use tidings_core::Instant;

use super::OwnedGroup;
use crate::group_letter::{GroupStanding, Survey, Which};
use crate::shard::Shard;

/// Whether a standing lists members and topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Sums,
    Full,
}

impl Shard {
    /// Answers with every group that is asked about.
    pub(in crate::shard) fn answer_survey(&self, survey: Survey) {
        let Survey { which, reply } = survey;
        let owned = self.groups.slots.iter().map(|(_, owned)| owned);
        let standings = owned.filter_map(|owned| match &which {
            Which::All => Some(owned.standing(self.now, Detail::Sums)),
            Which::Named { group, filter } => {
                let named = owned.key.group == *group
                    && filter.as_ref().is_none_or(|filter| owned.key.filter == *filter);
                named.then(|| owned.standing(self.now, Detail::Full))
            }
        });
        // Whoever asked may have gone away.
        let _ = reply.try_send(standings.collect());
    }
}

impl OwnedGroup {
    fn standing(&self, now: Instant, detail: Detail) -> GroupStanding {
        let age = |since: Instant| now.since(since);
        let mut standing = GroupStanding {
            key: self.key.clone(),
            lag: self.group.lag(),
            unacked: self.group.unacked(),
            window: 0,
            member_count: self.members.len(),
            topic_count: self.topics.len(),
            oldest: None,
            members: Vec::new(),
            topics: Vec::new(),
        };
        for member in self.group.member_standings() {
            standing.window += u64::from(member.window);
            let joining = self.members.get(&member.member).filter(|_| detail == Detail::Full);
            if let Some(joining) = joining {
                standing.members.push((member, joining.user.clone(), joining.client.clone()));
            }
        }
        for topic in self.group.topic_standings() {
            let oldest = topic.oldest_sent.map(age);
            standing.oldest = standing.oldest.max(oldest);
            if detail == Detail::Full {
                standing.topics.push((topic, oldest));
            }
        }
        standing
    }
}
