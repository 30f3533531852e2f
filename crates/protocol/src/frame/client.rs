//! What a client says.

use std::time::Duration;

use tidings_core::{
    ClientId, ContentType, Data, DedupKey, Filter, GroupName, Headers, Offset, OrderKey, Position,
    SessionId, SubscriptionName, Timestamp, Topic,
};

use super::RequestId;

/// A frame from a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientFrame {
    /// Present on requests; absent on `ack`, `nack`, `extend`, `ping` and `pong` when the client
    /// wants no reply.
    pub id: Option<RequestId>,
    /// What it says.
    pub body: ClientBody,
}

/// What a client can say.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientBody {
    /// Who is there; the first frame.
    Connect(Connect),
    /// Start a subscription.
    Subscribe(Subscribe),
    /// End a subscription. A durable one keeps its cursor.
    Unsubscribe {
        /// Which.
        sub: Filter,
    },
    /// Append a message.
    Publish(Publish),
    /// Settle deliveries of a durable or shared subscription.
    Ack(Ack),
    /// Ask for a redelivery, or give a message up.
    Nack(Nack),
    /// Ask for more time for one delivery.
    Extend(Extend),
    /// Read a topic's past.
    History(HistoryRequest),
    /// Ask who is on a topic.
    Presence {
        /// Which topic.
        topic: Topic,
    },
    /// Show a fresh token.
    Refresh {
        /// The token.
        token: String,
    },
    /// Ask for a pong.
    Ping,
    /// Answer a ping.
    Pong,
}

/// The first frame of a connection.
#[derive(Clone, Default, PartialEq)]
pub struct Connect {
    /// The token, unless it came with the upgrade request.
    pub token: Option<String>,
    /// The stable name of this device or process; the server makes one up if there is none.
    pub client: Option<ClientId>,
    /// The session to take up again.
    pub session: Option<SessionId>,
}

impl std::fmt::Debug for Connect {
    /// Without token and session: both are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A request to start a subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// `topic` or `filter` of the frame. A plain topic is a filter without wildcards.
    pub sub: Filter,
    /// Live, durable under a name, or shared by a group.
    pub mode: SubscribeMode,
    /// Also tell who joins and leaves the topic. Never with wildcards: who is there is known for
    /// one topic at a time.
    pub presence: bool,
}

/// How a subscription remembers its place.
#[derive(Clone, Debug, PartialEq)]
pub enum SubscribeMode {
    /// The client remembers. Only a subscription to a plain topic can show a place.
    Live {
        /// Where to start.
        from: StartFrom,
    },
    /// The server remembers, and wants acks.
    Durable {
        /// The cursor's name.
        name: SubscriptionName,
        /// Most unacked messages at once; `None` for the server's default.
        window: Option<u32>,
        /// Where to start when there is no cursor yet.
        from: StartFrom,
    },
    /// The server remembers, wants acks, and divides the messages among the members of a group.
    /// The group's cursors belong to its name together with the topic or filter.
    Shared {
        /// Which group to join.
        group: GroupName,
        /// Most unacked messages of this member at once; `None` for the server's default.
        window: Option<u32>,
        /// Where to start in a topic for which the group has no cursor yet.
        from: StartFrom,
    },
}

/// Where a subscription starts that has no cursor on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// With the next message that is published (`"from":"new"`; the default of live ones).
    #[default]
    New,
    /// With the earliest message kept (`"from":"first"`; the default of durable and shared ones).
    First,
    /// With the last message kept, if there is one, and what follows (`"from":"last"`): what a page
    /// that shows the current value wants.
    Last,
    /// After this position (`"after":{"epoch":…,"offset":…}`).
    After(Position),
}

/// A request to append a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Where to.
    pub topic: Topic,
    /// What.
    pub data: Data,
    /// The data's media type, if the default of its kind does not say enough.
    pub content_type: Option<ContentType>,
    /// Names and values for the receiver.
    pub headers: Headers,
    /// Recognises a repeat.
    pub key: Option<DedupKey>,
    /// What it has in common with messages that groups must take one after the other.
    pub order_key: Option<OrderKey>,
    /// How long the message is worth delivering, from the time it is published.
    pub ttl: Option<Duration>,
    /// When to publish it; absent or past for at once.
    pub deliver_at: Option<Timestamp>,
}

/// Settles deliveries.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// The subscription.
    pub sub: Filter,
    /// Which topic of it: there exactly if `sub` has wildcards.
    pub topic: Option<Topic>,
    /// Which deliveries.
    pub which: AckWhich,
}

/// Which deliveries an ack settles.
#[derive(Clone, Debug, PartialEq)]
pub enum AckWhich {
    /// All up to and including this offset (`"offset":18`).
    Through(Offset),
    /// Exactly these (`"offsets":[18,20]`).
    Each(Vec<Offset>),
}

/// A delivery that was not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Nack {
    /// The subscription.
    pub sub: Filter,
    /// Which topic of it: there exactly if `sub` has wildcards.
    pub topic: Option<Topic>,
    /// Which delivery.
    pub offset: Offset,
    /// Wait before the next delivery; `None` for the policy's backoff.
    pub delay: Option<Duration>,
    /// Why, for the dead letter.
    pub reason: Option<String>,
    /// Give it up now.
    pub dead: bool,
}

/// More time for a delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Extend {
    /// The subscription.
    pub sub: Filter,
    /// Which topic of it: there exactly if `sub` has wildcards.
    pub topic: Option<Topic>,
    /// Which delivery.
    pub offset: Offset,
    /// How much more, from now (`"by_ms"`).
    pub by: Duration,
}

/// A request for a part of a topic's past.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRequest {
    /// Which topic.
    pub topic: Topic,
    /// Where to start.
    pub from: HistoryFrom,
    /// Most messages; `None` for the server's default.
    pub limit: Option<u32>,
}

/// Where history starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryFrom {
    /// With the earliest message kept.
    First,
    /// After this position.
    After(Position),
    /// With the first message published at this time or later (`"since"`, ms).
    Since(Timestamp),
}
