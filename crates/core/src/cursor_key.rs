//! Whose cursor it is: a user's durable subscription, or a group's shared one.

use std::fmt;

use crate::filter::Filter;
use crate::id::{GroupName, SubscriptionName, UserId};
use crate::topic::Topic;

/// The name of a durable subscription's cursor: one per user, name and topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurableKey {
    /// Whose subscription it is.
    pub user: UserId,
    /// What the user calls it: usually the device.
    pub name: SubscriptionName,
    /// What it reads.
    pub topic: Topic,
}

/// What makes a shared subscription the same one: its name and its filter (MQTT 5 §4.8.2).
/// Members of any user who name both are members of one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// What its members call it.
    pub group: GroupName,
    /// What it reads.
    pub filter: Filter,
}

/// The name of a saved cursor. A cursor is always of one topic: a group whose filter has wildcards
/// has as many as it has met topics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CursorKey {
    /// A user's durable subscription.
    Durable(DurableKey),
    /// A group, which is no user's own.
    Group {
        /// Which group.
        group: GroupKey,
        /// Which of its topics.
        topic: Topic,
    },
}

impl CursorKey {
    /// The topic the cursor is of.
    pub const fn topic(&self) -> &Topic {
        match self {
            Self::Durable(key) => &key.topic,
            Self::Group { topic, .. } => topic,
        }
    }
}

/// Whose subscription it is, for people: `alice/phone`, `group workers of jobs/#`. The topic is told
/// apart from it.
impl fmt::Display for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable(key) => write!(f, "{}/{}", key.user, key.name),
            Self::Group { group, .. } => write!(f, "group {} of {}", group.group, group.filter),
        }
    }
}

impl From<DurableKey> for CursorKey {
    fn from(key: DurableKey) -> Self {
        Self::Durable(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_whose_it_is() {
        let topic = Topic::parse("jobs/1").unwrap();
        let durable = DurableKey {
            user: UserId::parse("alice").unwrap(),
            name: SubscriptionName::parse("phone").unwrap(),
            topic: topic.clone(),
        };
        assert_eq!(CursorKey::from(durable).to_string(), "alice/phone");
        let group = GroupKey {
            group: GroupName::parse("workers").unwrap(),
            filter: Filter::parse("jobs/#").unwrap(),
        };
        assert_eq!(CursorKey::Group { group, topic }.to_string(), "group workers of jobs/#");
    }
}
