//! Whose cursor it is: a user's durable subscription, or a group's shared one.

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

impl From<DurableKey> for CursorKey {
    fn from(key: DurableKey) -> Self {
        Self::Durable(key)
    }
}
