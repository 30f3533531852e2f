//! `[[topic]]`: the policies of topics.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings_core::{
    Backlog, Backoff, DeliveryPolicy, Durability, Filter, KeepsPresence, Priority, Retention,
    Topic, TopicPolicy,
};

use super::quantity::ByteSize;
use super::text;

/// One `[[topic]]`. What it leaves out is as in [`TopicPolicy::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSection {
    /// Which topics it is for.
    #[serde(rename = "match", with = "text::plain")]
    pub filter: Filter,
    /// What an acknowledged publish means.
    #[serde(default, with = "text::durability")]
    pub durability: Durability,
    /// Oldest age of a message kept.
    #[serde(default = "retention_age", with = "text::duration")]
    pub retention_age: Duration,
    /// Most messages kept.
    #[serde(default)]
    pub retention_messages: Option<u64>,
    /// Most bytes kept.
    #[serde(default)]
    pub retention_bytes: Option<ByteSize>,
    /// How long a delivery may stay unacked before it is sent again.
    #[serde(default = "ack_timeout", with = "text::duration")]
    pub ack_timeout: Duration,
    /// Deliveries of one message before it becomes a dead letter.
    #[serde(default = "attempts_max")]
    pub attempts_max: u32,
    /// The wait after the first failed delivery.
    #[serde(default = "backoff_base", with = "text::duration")]
    pub backoff_base: Duration,
    /// The longest wait between deliveries.
    #[serde(default = "backoff_cap", with = "text::duration")]
    pub backoff_cap: Duration,
    /// How soon its messages go where messages of several topics wait.
    #[serde(default, with = "text::priority")]
    pub priority: Priority,
    /// Messages a slow live subscription is still sent, the newest ones.
    #[serde(default)]
    pub backlog_max: Option<u32>,
    /// Whether it is known who is on the topic.
    #[serde(default)]
    pub presence: bool,
}

impl TopicSection {
    /// A section for `filter` with the default policy.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            durability: Durability::default(),
            retention_age: retention_age(),
            retention_messages: None,
            retention_bytes: None,
            ack_timeout: ack_timeout(),
            attempts_max: attempts_max(),
            backoff_base: backoff_base(),
            backoff_cap: backoff_cap(),
            backlog_max: None,
            priority: Priority::default(),
            presence: false,
        }
    }

    /// A section for a topic alone that describes the policy in force for it.
    pub(crate) fn describing(topic: &Topic, policy: &TopicPolicy) -> Self {
        let TopicPolicy { durability, retention, delivery, backlog, priority, presence } = policy;
        Self {
            filter: Filter::parse(topic.as_str()).expect("every topic is a filter of itself"),
            durability: *durability,
            retention_age: retention.age,
            retention_messages: retention.messages,
            retention_bytes: retention.bytes.map(ByteSize::from_bytes),
            ack_timeout: delivery.ack_timeout,
            attempts_max: delivery.attempts_max,
            backoff_base: delivery.backoff.base,
            backoff_cap: delivery.backoff.cap,
            priority: *priority,
            backlog_max: match backlog {
                Backlog::Everything => None,
                Backlog::Newest(most) => Some(most.get()),
            },
            presence: *presence == KeepsPresence::Yes,
        }
    }

    /// The policy it describes.
    pub fn policy(&self) -> TopicPolicy {
        TopicPolicy {
            durability: self.durability,
            retention: Retention {
                age: self.retention_age,
                messages: self.retention_messages,
                bytes: self.retention_bytes.map(ByteSize::as_u64),
            },
            delivery: Arc::new(DeliveryPolicy {
                ack_timeout: self.ack_timeout,
                attempts_max: self.attempts_max,
                backoff: Backoff { base: self.backoff_base, cap: self.backoff_cap },
            }),
            priority: self.priority,
            backlog: self
                .backlog_max
                .and_then(NonZeroU32::new)
                .map_or(Backlog::Everything, Backlog::Newest),
            presence: if self.presence { KeepsPresence::Yes } else { KeepsPresence::No },
        }
    }
}

// serde wants a function for each default.

fn retention_age() -> Duration {
    Retention::DEFAULT.age
}

fn ack_timeout() -> Duration {
    TopicPolicy::default().delivery.ack_timeout
}

fn attempts_max() -> u32 {
    TopicPolicy::default().delivery.attempts_max
}

fn backoff_base() -> Duration {
    TopicPolicy::default().delivery.backoff.base
}

fn backoff_cap() -> Duration {
    TopicPolicy::default().delivery.backoff.cap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_that_says_nothing_is_the_default_policy() {
        let section: TopicSection = toml::from_str(r##"match = "room/#""##).unwrap();
        assert_eq!(section, TopicSection::new(Filter::parse("room/#").unwrap()));
        assert_eq!(section.policy(), TopicPolicy::default());
    }

    #[test]
    fn a_section_becomes_the_policy_it_describes() {
        let section: TopicSection = toml::from_str(
            r#"
            match = "jobs/+"
            durability = "async"
            retention_age = "2h"
            retention_messages = 10
            retention_bytes = "1MiB"
            ack_timeout = "5s"
            attempts_max = 3
            backoff_base = "100ms"
            backoff_cap = "10s"
            backlog_max = 1
            priority = "bulk"
            presence = true
            "#,
        )
        .unwrap();
        let policy = section.policy();
        assert_eq!(policy.durability, Durability::Async);
        let retention = Retention {
            age: Duration::from_secs(7200),
            messages: Some(10),
            bytes: Some(1024 * 1024),
        };
        assert_eq!(policy.retention, retention);
        assert_eq!(policy.delivery.attempts_max, 3);
        assert_eq!(policy.delivery.ack_timeout, Duration::from_secs(5));
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(10) };
        assert_eq!(policy.delivery.backoff, backoff);
        assert_eq!(policy.priority, Priority::Bulk);
        assert_eq!(policy.backlog, Backlog::Newest(NonZeroU32::MIN));
        assert_eq!(policy.presence, KeepsPresence::Yes);
        let topic = Topic::parse("jobs/1").unwrap();
        let filter = Filter::parse("jobs/1").unwrap();
        assert_eq!(TopicSection::describing(&topic, &policy), TopicSection { filter, ..section });
    }
}
