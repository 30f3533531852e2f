//! What is remembered of shared subscriptions: one history over all groups and their topics, since
//! a group with wildcards has an order over topics, too.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{Epoch, Instant, Offset};

use super::Name;

/// One of the topics of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicNumber(usize);

impl TopicNumber {
    /// The topic with this number.
    pub const fn new(number: usize) -> Self {
        Self(number)
    }
}

/// One of the groups of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupNumber(usize);

impl GroupNumber {
    /// The group with this number.
    pub const fn new(number: usize) -> Self {
        Self(number)
    }
}

/// One member of one group, as long as it is one: whoever leaves and comes back is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberNumber(u64);

impl MemberNumber {
    /// The member with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// What messages have in common that must be taken one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneNumber(u64);

impl LaneNumber {
    /// The order key with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Where a message stands, over all topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In which topic.
    pub topic: TopicNumber,
    /// In which life of its log.
    pub epoch: Epoch,
    /// Where in it.
    pub offset: Offset,
}

/// One entry of the history. What a client does is entered before the server can hear of it, what
/// it is told after it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// There is a group that gets everything of its topics, from the first message on.
    Opened {
        /// Which.
        group: GroupNumber,
        /// Its topics, and how long a delivery in each may stay without an answer.
        topics: BTreeMap<TopicNumber, Duration>,
    },
    /// A message is about to be published.
    Published {
        /// Which.
        name: Name,
        /// Its order key, if it has one.
        lane: Option<LaneNumber>,
    },
    /// Everything in the log of a topic, at the end.
    LogFound {
        /// Each message and where it stands.
        messages: Vec<(Place, Name)>,
    },
    /// A client is about to ask to be a member.
    Joining {
        /// As which member.
        member: MemberNumber,
        /// Of which group.
        group: GroupNumber,
        /// Which process of the server it asks, counted up with each start.
        process: u64,
        /// When.
        at: Instant,
    },
    /// A member got a message.
    Delivered {
        /// Which.
        member: MemberNumber,
        /// Where the message stands.
        place: Place,
        /// Which message.
        name: Name,
        /// Which delivery of it the frame said it was.
        attempt: u32,
        /// When the frame said it was published.
        published_at: Instant,
        /// When it was read.
        at: Instant,
    },
    /// A member is done with a message and is about to say so.
    Acked {
        /// Which.
        member: MemberNumber,
        /// Where the message stands.
        place: Place,
        /// When.
        at: Instant,
    },
    /// A member is about to give a message back, or up.
    Nacked {
        /// Which.
        member: MemberNumber,
        /// Where the message stands.
        place: Place,
        /// When.
        at: Instant,
    },
    /// A member was answered that its ack counts.
    Settled {
        /// Which.
        member: MemberNumber,
        /// Where the message stands.
        place: Place,
        /// When it read the answer.
        at: Instant,
    },
    /// A member is about to leave, or noticed that its connection is gone.
    Left {
        /// Which.
        member: MemberNumber,
        /// When.
        at: Instant,
    },
    /// There is a dead letter of a group's message.
    DeadLettered {
        /// Whose.
        group: GroupNumber,
        /// Where the message stands.
        place: Place,
        /// When the dead letter says it was written.
        at: Instant,
    },
    /// The server is about to be asked to stop: it ends its connections one after the other.
    Stopping {
        /// Which process.
        process: u64,
    },
    /// The server is about to be killed.
    Killed {
        /// Which process.
        process: u64,
        /// When.
        at: Instant,
    },
}
