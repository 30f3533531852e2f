//! What the configuration says about a topic.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::delivery_window::DeliveryPolicy;
use crate::filter::Filter;
use crate::topic::Topic;

/// What an acknowledged publish means (promise P1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// On disk: answered after the append was synced.
    #[default]
    Sync,
    /// Written, and synced within the store's bound: survives `kill -9`, not a power cut.
    Async,
    /// Kept nowhere: at most once, for those connected now.
    Memory,
}

/// How long a topic keeps messages. Whichever bound is reached first trims the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Oldest age.
    pub age: Duration,
    /// Most messages; `None` for no bound of its own.
    pub messages: Option<u64>,
    /// Most bytes of records; `None` for no bound of its own. Kept to the granularity of one
    /// commit's messages.
    pub bytes: Option<u64>,
}

impl Retention {
    /// 24 hours: what an offline inbox needs to be useful, short enough for a small disk.
    pub const DEFAULT: Self =
        Self { age: Duration::from_secs(24 * 60 * 60), messages: None, bytes: None };
}

impl Default for Retention {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Everything a `[[topic]]` section decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPolicy {
    /// What an acknowledged publish means.
    pub durability: Durability,
    /// How long messages are kept.
    pub retention: Retention,
    /// How durable subscriptions are delivered to.
    pub delivery: DeliveryPolicy,
}

impl Default for TopicPolicy {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            retention: Retention::DEFAULT,
            delivery: DeliveryPolicy {
                ack_timeout: Duration::from_secs(30),
                attempts_max: 5,
                backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(5 * 60) },
            },
        }
    }
}

/// The `[[topic]]` sections in order: the first filter that matches decides.
#[derive(Clone, Debug, Default)]
pub struct PolicyTable {
    rules: Vec<(Filter, TopicPolicy)>,
    otherwise: TopicPolicy,
}

impl PolicyTable {
    /// A table of `rules`, first match wins, with `otherwise` for the rest.
    pub const fn new(rules: Vec<(Filter, TopicPolicy)>, otherwise: TopicPolicy) -> Self {
        Self { rules, otherwise }
    }

    /// What holds for `topic`.
    pub fn policy(&self, topic: &Topic) -> &TopicPolicy {
        let rule = self.rules.iter().find(|(filter, _)| filter.matches(topic));
        rule.map_or(&self.otherwise, |(_, policy)| policy)
    }
}
