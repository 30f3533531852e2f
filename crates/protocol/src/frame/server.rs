//! What a server says.

use std::time::Duration;

use tidings_core::{
    ClientId, Epoch, Filter, MessageId, NodeId, Offset, Position, ResetReason, SessionId,
    SubscriptionName, Timestamp, Topic, UserId,
};

use super::{Delivery, ErrorBody, RequestId};

/// A frame from the server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerFrame {
    /// The request this answers; absent on everything the server says of itself.
    pub id: Option<RequestId>,
    /// What it says.
    pub body: ServerBody,
}

/// What a server can say.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerBody {
    /// Answer to `connect`.
    Connected(Connected),
    /// Answer to `subscribe`; without a request id the server started the subscription.
    Subscribed(Subscribed),
    /// Answer to `unsubscribe`; without a request id the server ended the subscription.
    Unsubscribed {
        /// Which.
        sub: Filter,
        /// Why, if the server ended it.
        reason: Option<UnsubscribeReason>,
    },
    /// Answer to `publish`.
    Published(Published),
    /// Answer to `publish` of a message for later.
    Scheduled(Scheduled),
    /// Answer to `history`.
    History(History),
    /// Answer to `refresh`.
    Refreshed {
        /// When the fresh token ends.
        expires_at: Option<Timestamp>,
    },
    /// Answer to an `ack`, `nack` or `extend` that carried an id: how many deliveries it settled
    /// or changed (others were settled before).
    Settled {
        /// How many.
        count: u32,
    },
    /// Answer to any request that failed; without a request id, to a frame that had none.
    Error(ErrorBody),
    /// A message.
    Message(Delivery),
    /// Answer to `presence`.
    Present(Present),
    /// Who joined and left a topic.
    Presence(PresenceChange),
    /// A subscription lost its place.
    Reset(Reset),
    /// The server is about to close the connection.
    Goaway(Goaway),
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

/// The session a connect ended up with.
#[derive(Clone, PartialEq)]
pub struct Connected {
    /// The session's secret name, for the next connect.
    pub session: SessionId,
    /// Who the server takes the client for.
    pub user: UserId,
    /// The device's name.
    pub client: ClientId,
    /// Which server this is.
    pub node: NodeId,
    /// Whether the session shown was taken up.
    pub resumed: bool,
    /// How often the server pings.
    pub ping: Duration,
    /// When the token ends.
    pub expires_at: Option<Timestamp>,
    /// What the client may do at most.
    pub limits: ConnectionLimits,
}

impl std::fmt::Debug for Connected {
    /// Without the session: a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected")
            .field("user", &self.user)
            .field("client", &self.client)
            .field("node", &self.node)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

/// Limits a client has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Largest message data, bytes.
    pub message_bytes: u32,
    /// Largest WebSocket message, bytes.
    pub frame_bytes: u32,
    /// Most subscriptions.
    pub subscriptions: u32,
    /// Largest window of a durable or shared subscription.
    pub window: u32,
    /// Most publishes without an answer.
    pub publishes_in_flight: u32,
}

/// A subscription and its place (promise P8: also when the topic has no message yet).
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribed {
    /// Which subscription.
    pub sub: Filter,
    /// Where the topic stands; `None` for a filter with wildcards.
    pub place: Option<SubscribedPlace>,
    /// Messages that wait for a shared subscription with wildcards, in all its topics. Where
    /// there is a place, it has the number.
    pub pending: Option<u64>,
    /// The cursor's name, where the server started a durable subscription by itself.
    pub durable: Option<SubscriptionName>,
}

/// Where a topic and a subscription to it stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribedPlace {
    /// The life of the topic's log.
    pub epoch: Epoch,
    /// The last offset given out; 0 when there was none.
    pub offset: Offset,
    /// The earliest offset kept.
    pub first: Offset,
    /// Whether everything after the place that was shown (or saved) will be delivered.
    pub recovered: bool,
    /// Why not, if not.
    pub reason: Option<ResetReason>,
    /// Messages that wait for this subscription.
    pub pending: u64,
}

/// Why the server ended a subscription. The words are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnsubscribeReason {
    /// Another connection took the durable subscription (`taken_over`).
    TakenOver,
    /// The token no longer allows it (`forbidden`).
    Forbidden,
    /// A subscription with wildcards fell behind in more topics than are tracked
    /// (`too_far_behind`): subscribe again, and read the history of topics that matter.
    TooFarBehind,
}

/// A message's name and place.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The message's name.
    pub id: MessageId,
    /// Its place.
    pub position: Position,
    /// Whether it had been published before under this key.
    pub duplicate: bool,
}

/// A message that waits for its time, and what it will be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// The message's name, which it keeps when it is published.
    pub id: MessageId,
    /// When it will be published.
    pub deliver_at: Timestamp,
    /// Whether it had been scheduled before under this key.
    pub duplicate: bool,
}

/// Who is on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Which topic.
    pub topic: Topic,
    /// Those who are there, at most
    /// [`PRESENCE_MEMBERS_MAX`](tidings_core::limits::PRESENCE_MEMBERS_MAX).
    pub members: Vec<Member>,
    /// How many are there.
    pub total: u64,
}

/// Somebody on a topic: one device or process, however many connections it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// With which device or process.
    pub client: ClientId,
    /// Since when.
    pub since: Timestamp,
}

/// Who joined and left a topic since the event before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceChange {
    /// Which topic.
    pub topic: Topic,
    /// Those who were not there before, and are now.
    pub joined: Vec<Member>,
    /// Those who were there before, and are not now.
    pub left: Vec<Member>,
    /// Whether events were lost, so that the list has to be asked for anew.
    pub reset: bool,
}

/// A part of a topic's past.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Which topic.
    pub topic: Topic,
    /// The life of its log.
    pub epoch: Epoch,
    /// Its last offset.
    pub offset: Offset,
    /// The earliest offset kept.
    pub first: Offset,
    /// Whether everything from the place asked for to the last message was there: if not, it was
    /// trimmed, and the messages start with `first`, or some are damaged and left out.
    pub recovered: bool,
    /// Whether there is more: ask again `after` the last message.
    pub more: bool,
    /// By rising offset.
    pub messages: Vec<Delivery>,
}

/// A subscription lost its place and goes on from another.
#[derive(Clone, Debug, PartialEq)]
pub struct Reset {
    /// Which subscription.
    pub sub: Filter,
    /// Which topic of it.
    pub topic: Topic,
    /// What happened.
    pub reason: ResetReason,
    /// The life of the log now.
    pub epoch: Epoch,
    /// Where delivery goes on: with the earliest message kept, or after those that were skipped.
    pub first: Offset,
    /// The last offset.
    pub offset: Offset,
}

/// The server is about to close the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goaway {
    /// Why: the word of a close code.
    pub reason: String,
    /// How long to wait before coming back; `None` for not at all.
    pub retry_after: Option<Duration>,
}
