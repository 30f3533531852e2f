//! The frames of the native protocol as values. How they look as bytes is the codecs' business.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use tidings_core::{
    ClientId, Data, DedupKey, Epoch, Filter, Headers, Message, MessageId, NodeId, Offset, Position,
    ResetReason, SessionId, SubscriptionName, Timestamp, Topic, UserId,
};

use crate::error_code::ErrorCode;

/// What ties a reply to its request: chosen by the client, unique among its open requests.
pub type RequestId = NonZeroU32;

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
    /// Settle deliveries of a durable subscription.
    Ack(Ack),
    /// Ask for a redelivery, or give a message up.
    Nack(Nack),
    /// Ask for more time for one delivery.
    Extend(Extend),
    /// Read a topic's past.
    History(HistoryRequest),
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
    /// Live, or durable under a name.
    pub mode: SubscribeMode,
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
}

/// Where a subscription starts that has no cursor on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// With the next message that is published (`"from":"new"`; the default of live ones).
    #[default]
    New,
    /// With the earliest message kept (`"from":"first"`; the default of durable ones).
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
    pub content_type: Option<tidings_core::ContentType>,
    /// Names and values for the receiver.
    pub headers: Headers,
    /// Recognises a repeat.
    pub key: Option<DedupKey>,
    /// How long the message is worth delivering.
    pub ttl: Option<Duration>,
}

/// Settles deliveries.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// The subscription's topic.
    pub sub: Filter,
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
    /// The subscription's topic.
    pub sub: Filter,
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
    /// The subscription's topic.
    pub sub: Filter,
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
    /// Answer to `subscribe`.
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
    /// Largest window of a durable subscription.
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
    /// Whether everything after the position shown was still there.
    pub recovered: bool,
    /// Whether there is more: ask again `after` the last message.
    pub more: bool,
    /// By rising offset.
    pub messages: Vec<Delivery>,
}

/// A message as subscribers see it. `message.epoch` is not on the wire of a `message` frame (the
/// `subscribed` reply says it); decoders of single deliveries leave it to the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its topic.
    pub topic: Topic,
    /// Its place.
    pub offset: Offset,
    /// Its name.
    pub id: MessageId,
    /// What it carries.
    pub data: Data,
    /// The data's media type, if it is not the default of its kind.
    pub content_type: Option<tidings_core::ContentType>,
    /// Names and values from the publisher.
    pub headers: Headers,
    /// Who published.
    pub from: Option<UserId>,
    /// When it was published.
    pub at: Timestamp,
    /// Which delivery of it this is, on durable subscriptions; 1 when the frame does not say.
    pub attempt: u32,
}

impl Delivery {
    /// `message` in its delivery number `attempt`.
    pub fn of(message: &Message, attempt: u32) -> Self {
        Self {
            topic: message.content.topic.clone(),
            offset: message.offset,
            id: message.id,
            data: message.content.data.clone(),
            content_type: message.content.content_type.clone(),
            headers: message.content.headers.clone(),
            from: message.content.sender.clone(),
            at: message.published_at,
            attempt,
        }
    }
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
    /// The earliest offset kept, where delivery goes on.
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

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorBody {
    /// Which error; decides `temporary` and the HTTP status.
    pub code: ErrorCode,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// When to try again, for temporary errors.
    pub retry_after: Option<Duration>,
}

impl ErrorBody {
    /// An error without a time to come back.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }
}

/// A frame ready to be written: shared by every connection that gets it.
pub type Encoded = Bytes;
