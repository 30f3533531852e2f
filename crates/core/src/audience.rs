//! Whom a message is for, of those who read its topic.

use crate::cursor_key::{CursorKey, DurableKey, GroupKey};
use crate::id::{SubscriptionName, UserId};

/// Whom a message is for, of those who read its topic.
///
/// Nearly all are for everybody. One that was given up and is published again is for the
/// subscription that gave it up: the others were delivered it the first time. To them it is a gap
/// between offsets, as if it had been trimmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Whoever reads the topic.
    #[default]
    Everybody,
    /// A user's durable subscription.
    Durable {
        /// Whose subscription.
        user: UserId,
        /// Its name.
        name: SubscriptionName,
    },
    /// The members of a group.
    Group(GroupKey),
}

impl Audience {
    /// Whether live subscriptions get the message.
    pub const fn includes_live(&self) -> bool {
        match self {
            Self::Everybody => true,
            Self::Durable { .. } | Self::Group(_) => false,
        }
    }

    /// Whether the subscription with this cursor, which is of the message's topic, gets it.
    pub fn includes(&self, reader: &CursorKey) -> bool {
        match reader {
            CursorKey::Durable(key) => self.includes_durable(key),
            CursorKey::Group { group, .. } => self.includes_group(group),
        }
    }

    /// The same for a durable subscription.
    pub fn includes_durable(&self, reader: &DurableKey) -> bool {
        match self {
            Self::Everybody => true,
            Self::Durable { user, name } => reader.user == *user && reader.name == *name,
            Self::Group(_) => false,
        }
    }

    /// The same for a group.
    pub fn includes_group(&self, reader: &GroupKey) -> bool {
        match self {
            Self::Everybody => true,
            Self::Durable { .. } => false,
            Self::Group(group) => group == reader,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::GroupName;
    use crate::topic::Topic;

    fn durable(user: &str, name: &str) -> CursorKey {
        CursorKey::Durable(DurableKey {
            user: UserId::parse(user).unwrap(),
            name: SubscriptionName::parse(name).unwrap(),
            topic: Topic::parse("jobs/1").unwrap(),
        })
    }

    fn group(name: &str, filter: &str) -> GroupKey {
        GroupKey { group: GroupName::parse(name).unwrap(), filter: filter.parse().unwrap() }
    }

    #[test]
    fn a_message_for_one_subscription_is_for_no_other() {
        let of = |group: &GroupKey| CursorKey::Group {
            group: group.clone(),
            topic: Topic::parse("jobs/1").unwrap(),
        };
        let alice = UserId::parse("alice").unwrap();
        let phone = SubscriptionName::parse("phone").unwrap();
        let to_phone = Audience::Durable { user: alice, name: phone };
        assert!(to_phone.includes(&durable("alice", "phone")));
        assert!(!to_phone.includes(&durable("alice", "laptop")));
        assert!(!to_phone.includes(&durable("bob", "phone")));
        assert!(!to_phone.includes(&of(&group("phone", "jobs/1"))));
        assert!(!to_phone.includes_live());
        let to_group = Audience::Group(group("workers", "jobs/#"));
        assert!(to_group.includes(&of(&group("workers", "jobs/#"))));
        assert!(!to_group.includes(&of(&group("workers", "jobs/+"))));
        assert!(!to_group.includes(&durable("alice", "workers")));
        assert!(Audience::Everybody.includes(&durable("bob", "x")));
        assert!(Audience::Everybody.includes_live());
    }
}
