//! What the configuration says about a topic.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::delivery_window::DeliveryPolicy;
use crate::filter::Filter;
use crate::position::Offset;
use crate::priority::Priority;
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

/// Whether it is known who is on a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeepsPresence {
    /// Nobody can ask, and nothing is remembered.
    #[default]
    No,
    /// Everybody with a subscription to exactly this topic is present.
    Yes,
}

/// Everything a `[[topic]]` section decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPolicy {
    /// What an acknowledged publish means.
    pub durability: Durability,
    /// How long messages are kept.
    pub retention: Retention,
    /// How durable subscriptions are delivered to.
    pub delivery: Arc<DeliveryPolicy>,
    /// What a slow live subscription is spared.
    pub backlog: Backlog,
    /// How soon its messages go where messages of several topics wait.
    pub priority: Priority,
    /// Whether it is known who is on the topic.
    pub presence: KeepsPresence,
}

/// What a live subscription that cannot keep up is sent once it reads again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backlog {
    /// All it lacks, from the log; a topic without a log has nothing left for it.
    #[default]
    Everything,
    /// At most this many of the newest messages; 1 is the latest value alone (conflation). It is
    /// told of what it missed.
    Newest(NonZeroU32),
}

impl Backlog {
    /// Where a subscription that wants `next` of a log that ends with `head` goes on, if that is
    /// later.
    pub fn skips_to(self, next: Offset, head: Offset) -> Option<Offset> {
        match self {
            Self::Everything => None,
            Self::Newest(most) => {
                let lag = head.next().distance_from(next);
                let skipped = lag.checked_sub(u64::from(most.get())).filter(|n| *n > 0)?;
                Some(next.plus(skipped))
            }
        }
    }
}

impl Default for TopicPolicy {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            retention: Retention::DEFAULT,
            delivery: Arc::new(DeliveryPolicy {
                ack_timeout: Duration::from_secs(30),
                attempts_max: 5,
                backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(5 * 60) },
            }),
            backlog: Backlog::Everything,
            priority: Priority::Normal,
            presence: KeepsPresence::No,
        }
    }
}

/// The `[[topic]]` sections in order: the first filter that matches decides.
#[derive(Clone, Debug, Default)]
pub struct PolicyTable {
    rules: Vec<(Filter, TopicPolicy)>,
    otherwise: TopicPolicy,
    /// Some topics have another priority than the rest.
    has_priorities: bool,
}

impl PolicyTable {
    /// A table of `rules`, first match wins, with `otherwise` for the rest.
    pub fn new(rules: Vec<(Filter, TopicPolicy)>, otherwise: TopicPolicy) -> Self {
        let differs = |(_, policy): &(Filter, TopicPolicy)| policy.priority != otherwise.priority;
        let has_priorities = rules.iter().any(differs);
        Self { rules, otherwise, has_priorities }
    }

    /// The priority of `topic`. Asked of every message, so where all are the same it is free.
    pub fn priority(&self, topic: &Topic) -> Priority {
        if self.has_priorities { self.policy(topic).priority } else { self.otherwise.priority }
    }

    /// What holds for `topic`.
    pub fn policy(&self, topic: &Topic) -> &TopicPolicy {
        let rule = self.rules.iter().find(|(filter, _)| filter.matches(topic));
        rule.map_or(&self.otherwise, |(_, policy)| policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_backlog_skips_the_oldest_and_only_what_is_too_many() {
        let newest = |n| Backlog::Newest(NonZeroU32::new(n).unwrap());
        let skips = |backlog: Backlog, next, head| {
            backlog.skips_to(Offset::new(next), Offset::new(head)).map(Offset::get)
        };
        assert_eq!(skips(newest(1), 5, 9), Some(9), "the latest alone");
        assert_eq!(skips(newest(3), 5, 9), Some(7));
        assert_eq!(skips(newest(5), 5, 9), None, "exactly as many as there may be");
        assert_eq!(skips(newest(1), 10, 9), None, "at the tail");
        assert_eq!(skips(newest(1), 20, 9), None, "past the tail");
        assert_eq!(skips(Backlog::Everything, 1, 1_000_000), None);
    }
}
