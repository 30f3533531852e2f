//! Policies of the topics that the server keeps for itself.

use std::time::Duration;

use tidings_core::{Filter, Retention, TopicPolicy};

use crate::auth::REVOCATIONS_TOPIC;
use crate::dead_letters::DEAD_LETTERS_TOPIC;
use crate::schedule::SCHEDULE_TOPIC;

/// Longer than any server runs: what is in such a topic counts until the server removes it.
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How long dead letters are kept by default: until somebody is back from a holiday, and not for
/// ever, because each is a copy of a message.
const DEAD_LETTERS_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Policies that a configuration may change: they come after those that it gives.
pub(super) fn own_defaults() -> [(Filter, TopicPolicy); 1] {
    let retention = Retention { age: DEAD_LETTERS_AGE, messages: None, bytes: None };
    let kept = TopicPolicy { retention, ..TopicPolicy::default() };
    [(Filter::parse(DEAD_LETTERS_TOPIC).expect("a valid topic"), kept)]
}

/// Policies that no configuration changes, before those that it gives.
pub(super) fn own_topics() -> [(Filter, TopicPolicy); 2] {
    let retention = Retention { age: FOR_GOOD, messages: None, bytes: None };
    let kept = TopicPolicy { retention, ..TopicPolicy::default() };
    [REVOCATIONS_TOPIC, SCHEDULE_TOPIC]
        .map(|topic| (Filter::parse(topic).expect("a valid topic"), kept.clone()))
}

#[cfg(test)]
mod tests {
    use tidings_core::Topic;

    use super::*;
    use crate::config::{Config, TopicSection};

    #[test]
    fn dead_letters_are_kept_longer_unless_a_section_says_otherwise() {
        let age = |config: &Config, name: &str| {
            config.policy_table().policy(&Topic::parse(name).unwrap()).retention.age
        };
        let section = TopicSection::new(Filter::parse("#").unwrap());
        let mut config = Config { topic: vec![section], ..Config::default() };
        assert_eq!(age(&config, DEAD_LETTERS_TOPIC), Duration::from_secs(14 * 86_400));
        let mut section = TopicSection::new(Filter::parse(DEAD_LETTERS_TOPIC).unwrap());
        section.retention_age = Duration::from_secs(60);
        config.topic.push(section);
        assert_eq!(age(&config, DEAD_LETTERS_TOPIC), Duration::from_secs(60));
        config.topic.push(TopicSection::new(Filter::parse(REVOCATIONS_TOPIC).unwrap()));
        assert_eq!(age(&config, REVOCATIONS_TOPIC), FOR_GOOD);
    }
}
