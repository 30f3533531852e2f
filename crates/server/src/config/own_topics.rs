//! Policies of the topics that the server keeps for itself.

use std::time::Duration;

use tidings_core::{Filter, Retention, TopicPolicy};

use crate::auth::REVOCATIONS_TOPIC;
use crate::schedule::SCHEDULE_TOPIC;

/// Longer than any server runs: what is in such a topic counts until the server removes it.
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Policies that no configuration changes, before those that it gives.
pub(super) fn own_topics() -> [(Filter, TopicPolicy); 2] {
    let retention = Retention { age: FOR_GOOD, messages: None, bytes: None };
    let kept = TopicPolicy { retention, ..TopicPolicy::default() };
    [REVOCATIONS_TOPIC, SCHEDULE_TOPIC]
        .map(|topic| (Filter::parse(topic).expect("a valid topic"), kept.clone()))
}
