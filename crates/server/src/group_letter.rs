//! What shards say to each other about shared subscriptions: members, and the owners of groups.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{
    ClientId, Departure, Filter, GroupKey, MemberId, MemberStanding, Message, Offset, ResetReason,
    Topic, TopicStanding, UserId,
};
use tidings_protocol::{ErrorBody, RequestId, StartFrom, SubscribedPlace};
use tokio::sync::mpsc;

use crate::directory::Place;
use crate::resting_groups::Waiting;
use crate::shard::ConnectionKey;

/// Names a group of a shard. The generation tells a group from a later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GroupSlot {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// To the owner of a group, from the shard of a member.
///
/// A shard's inbox holds few of them: joins and leaves come with connections, answers are only
/// passed on for deliveries that the member has, and extensions are counted until they are
/// confirmed.
#[derive(Debug)]
pub(crate) struct GroupLetter {
    pub(crate) key: GroupKey,
    pub(crate) member: MemberId,
    pub(crate) word: GroupWord,
}

/// What a member has to say.
#[derive(Debug)]
pub(crate) enum GroupWord {
    /// It wants to take part.
    Join(Joining),
    /// It takes part no more. These deliveries never left.
    Leave { unsent: Vec<(Topic, Offset)>, departure: Departure },
    /// Its connection has had no room for long. It gives these back, and wants nothing more.
    Pause { unsent: Vec<(Topic, Offset)> },
    /// Its connection has room again.
    Resume,
    /// It is done with messages of a topic.
    Ack { topic: Topic, offsets: Vec<Offset>, id: Option<RequestId> },
    /// It does not take a message.
    Nack {
        topic: Topic,
        offset: Offset,
        delay: Option<Duration>,
        reason: Option<String>,
        /// Nobody will ever take it.
        dead: bool,
        id: Option<RequestId>,
    },
    /// It needs more time for a message.
    Extend { topic: Topic, offset: Offset, by: Duration, id: Option<RequestId> },
}

/// A member to be.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    pub(crate) place: Place,
    pub(crate) user: UserId,
    pub(crate) client: ClientId,
    pub(crate) window: u32,
    pub(crate) from: StartFrom,
}

/// To a member's shard, from the owner of its group.
#[derive(Debug)]
pub(crate) struct MemberLetter {
    pub(crate) connection: ConnectionKey,
    pub(crate) member: MemberId,
    pub(crate) word: MemberWord,
}

/// What a member hears.
#[derive(Debug)]
pub(crate) enum MemberWord {
    /// It takes part.
    Joined { place: Option<SubscribedPlace>, pending: u64 },
    /// It cannot take part.
    Refused(ErrorBody),
    /// A message for it.
    Deliver { message: Arc<Message>, attempt: u32 },
    /// What its answer changed.
    Settled { id: Option<RequestId>, count: u32, of: Answer },
    /// The group lost its place in a topic.
    Reset { topic: Topic, reason: ResetReason, first: Offset },
}

/// Which kind of answer was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An ack or nack.
    Final,
    /// A request for more time.
    Extend,
}

/// A question to every owner: how do the groups stand?
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) which: Which,
    /// Has room for one list of each shard.
    pub(crate) reply: mpsc::Sender<Vec<GroupStanding>>,
}

/// Which groups are asked about.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// All, without their topics and members.
    All,
    /// Those of one name, or one alone, in full.
    Named { group: tidings_core::GroupName, filter: Option<Filter> },
}

/// How a group stands.
#[derive(Debug)]
pub(crate) struct GroupStanding {
    pub(crate) key: GroupKey,
    pub(crate) lag: u64,
    pub(crate) unacked: usize,
    pub(crate) window: u64,
    pub(crate) member_count: usize,
    pub(crate) topic_count: usize,
    /// Age of the unsettled message that was delivered first.
    pub(crate) oldest: Option<Duration>,
    pub(crate) members: Vec<(MemberStanding, UserId, ClientId)>,
    pub(crate) topics: Vec<(TopicStanding, Option<Duration>)>,
}

impl GroupStanding {
    /// A group that nobody takes part in, and what waits for it.
    pub(crate) fn without_members(key: &GroupKey, waiting: Waiting) -> Self {
        Self {
            key: key.clone(),
            lag: waiting.lag,
            unacked: 0,
            window: 0,
            member_count: 0,
            topic_count: waiting.topics,
            oldest: None,
            members: Vec::new(),
            topics: Vec::new(),
        }
    }
}
