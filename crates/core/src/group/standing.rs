//! How a group stands: for saving, for metrics, and for whoever asks.

use super::shared_topic::{Holder, SharedTopic};
use super::{Group, MemberId};
use crate::cursor_state::CursorState;
use crate::position::Offset;
use crate::time::Instant;
use crate::topic::Topic;

/// How a topic of a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicStanding {
    /// Which topic.
    pub topic: Topic,
    /// The first offset not settled.
    pub cursor: Offset,
    /// The last offset the log is known to hold.
    pub tail: Offset,
    /// Messages that are not settled, whether they were delivered or not.
    pub lag: u64,
    /// Messages that members have and did not answer.
    pub unacked: u64,
    /// Messages asked for and with nobody: parked, ready, backing off or being given up.
    pub waiting: u64,
    /// When the unsettled message that was first delivered before all others was.
    pub oldest_sent: Option<Instant>,
    /// Most deliveries of an unsettled message.
    pub attempts_most: u32,
}

/// How a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberStanding {
    /// Which member.
    pub member: MemberId,
    /// Messages it has and did not answer.
    pub unacked: usize,
    /// How many it may have.
    pub window: u32,
}

impl Group {
    /// What to save of a topic while the group goes on.
    pub fn state(&self, topic: &Topic) -> Option<CursorState> {
        Some(self.topics.get(topic)?.window.state())
    }

    /// The last offset that the log of a topic is known to hold; none if the group does not read
    /// the topic.
    pub fn tail(&self, topic: &Topic) -> Option<Offset> {
        Some(self.topics.get(topic)?.window.tail())
    }

    /// The first offset of a topic that is not settled.
    pub fn cursor(&self, topic: &Topic) -> Option<Offset> {
        Some(self.topics.get(topic)?.window.cursor())
    }

    /// The first offset of a topic that was never asked for.
    pub fn next(&self, topic: &Topic) -> Option<Offset> {
        Some(self.topics.get(topic)?.window.next())
    }

    /// The topics that the group reads.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.keys()
    }

    /// How many topics the group reads.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// Whether a topic has nothing that is not settled.
    pub fn is_idle(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some_and(SharedTopic::is_idle)
    }

    /// Unsettled messages of all topics, delivered or not.
    pub fn lag(&self) -> u64 {
        self.topics.values().map(|shared| shared.window.pending()).sum()
    }

    /// Messages that members have and did not answer.
    pub fn unacked(&self) -> usize {
        self.members.standings().map(|(_, unacked, _)| unacked).sum()
    }

    /// Unsettled messages asked for: fetched, parked, delivered, backing off or given up.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether a message that was given up is on its way to the dead letters: a group that ends
    /// before it is there gets the message again.
    pub fn awaits_dead_letters(&self) -> bool {
        self.topics.values().any(|shared| shared.window.awaits_dead_letters())
    }

    /// How every topic stands.
    pub fn topic_standings(&self) -> impl Iterator<Item = TopicStanding> {
        self.topics.iter().map(|(topic, shared)| standing(topic, shared))
    }

    /// How every member stands.
    pub fn member_standings(&self) -> impl Iterator<Item = MemberStanding> {
        let standings = self.members.standings();
        standings.map(|(member, unacked, window)| MemberStanding { member, unacked, window })
    }
}

fn standing(topic: &Topic, shared: &SharedTopic) -> TopicStanding {
    let with_members = shared.flights.values().filter(|flight| match flight.holder {
        Holder::Holds { .. } => true,
        Holder::Had(_) | Holder::Nobody => false,
    });
    let unacked = with_members.count() as u64;
    TopicStanding {
        topic: topic.clone(),
        cursor: shared.window.cursor(),
        tail: shared.window.tail(),
        lag: shared.window.pending(),
        unacked,
        waiting: (shared.window.in_flight() as u64).saturating_sub(unacked),
        oldest_sent: shared.flights.values().filter_map(|flight| flight.first_sent).min(),
        attempts_most: shared.window.attempts_most(),
    }
}
