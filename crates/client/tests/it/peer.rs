//! The other side of the socket: a listener whose connections say what a test wants said.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tidings_client::{Client, ClientBuilder, Codec, Event, Subscription};
use tidings_core::{
    ClientId, Data, Epoch, Filter, Headers, MessageId, NodeId, Offset, Position, SessionId,
    Timestamp, Topic, UserId,
};
use tidings_protocol::{
    ClientBody, ClientFrame, Connect, Connected, ConnectionLimits, Delivery, ErrorBody, ErrorCode,
    Published, RequestId, ServerBody, ServerFrame, Subscribe, Subscribed, SubscribedPlace,
    decode_client_frame, encode_server_frame,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// The one life of the log in these tests, unless a test says otherwise.
pub(crate) const EPOCH: Epoch = Epoch::new(7);

/// The longest any single step may take before a test fails.
const STEP: Duration = Duration::from_secs(20);

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(STEP, future).await.unwrap_or_else(|_| panic!("{what}: took too long"))
}

/// A listening peer.
pub(crate) struct Peer {
    pub(crate) listener: TcpListener,
    pub(crate) codec: Codec,
    pub(crate) connected: Connected,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        Self::with_codec(Codec::Json).await
    }

    pub(crate) async fn with_codec(codec: Codec) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connected = Connected {
            session: SessionId::parse("s1").unwrap(),
            user: UserId::parse("alice").unwrap(),
            client: ClientId::parse("phone").unwrap(),
            node: NodeId::parse("n1").unwrap(),
            resumed: false,
            ping: Duration::from_secs(25),
            expires_at: None,
            limits: ConnectionLimits {
                message_bytes: 64 * 1024,
                frame_bytes: 1024 * 1024,
                subscriptions: 256,
                window: 1024,
                publishes_in_flight: 1024,
            },
        };
        Self { listener, codec, connected }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/v1/ws", self.listener.local_addr().unwrap())
    }

    /// A client of this peer that comes back quickly.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(&self.url())
            .codec(self.codec)
            .backoff(Duration::from_millis(10), Duration::from_millis(50))
    }

    /// The next connection, upgraded; nothing is said yet.
    pub(crate) async fn upgrade(&self) -> Line {
        let (socket, _) = within("a connection", self.listener.accept()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let codec = self.codec;
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let choose = |_: &Request, mut response: Response| {
            let chosen = HeaderValue::from_static(codec.subprotocol());
            response.headers_mut().insert("sec-websocket-protocol", chosen);
            Ok(response)
        };
        let upgrade = tokio_tungstenite::accept_hdr_async(socket, choose);
        let socket = within("an upgrade", upgrade).await.unwrap();
        Line { socket, codec, received: VecDeque::new(), largest: 0 }
    }

    /// The next connection, welcomed, with what its client said of itself.
    pub(crate) async fn accept(&self) -> (Line, Connect) {
        let mut line = self.upgrade().await;
        let ClientFrame { id, body: ClientBody::Connect(connect) } = line.next().await else {
            panic!("the first frame is `connect`")
        };
        line.reply(id, ServerBody::Connected(self.connected.clone())).await;
        (line, connect)
    }
}

/// One connection, as the peer sees it.
pub(crate) struct Line {
    socket: WebSocketStream<TcpStream>,
    codec: Codec,
    received: VecDeque<ClientFrame>,
    /// The largest WebSocket message received.
    pub(crate) largest: usize,
}

impl Line {
    /// The next frame; `None` when the client has gone.
    pub(crate) async fn next_or_end(&mut self) -> Option<ClientFrame> {
        while self.received.is_empty() {
            let bytes = match within("a frame", self.socket.next()).await? {
                Ok(Message::Text(text)) => Bytes::from(text),
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Ok(Message::Close(_)) | Err(_) => return None,
            };
            self.largest = self.largest.max(bytes.len());
            let mut rest: &[u8] = &bytes;
            while let Some(frame) = decode_client_frame(self.codec, &mut rest) {
                self.received.push_back(frame.expect("the client sends valid frames"));
            }
        }
        self.received.pop_front()
    }

    pub(crate) async fn next(&mut self) -> ClientFrame {
        self.next_or_end().await.expect("the client is still there")
    }

    /// The next frame, which is a publish: its id, its key and its data as text.
    pub(crate) async fn next_publish(&mut self) -> (RequestId, String, String) {
        let ClientFrame { id: Some(id), body: ClientBody::Publish(publish) } = self.next().await
        else {
            panic!("a publish")
        };
        let key = publish.key.expect("every publish has a key").to_string();
        (id, key, String::from_utf8(publish.data.bytes().to_vec()).unwrap())
    }

    /// The next frame, which is a subscribe.
    pub(crate) async fn next_subscribe(&mut self) -> (Option<RequestId>, Subscribe) {
        match self.next().await {
            ClientFrame { id, body: ClientBody::Subscribe(subscribe) } => (id, subscribe),
            other => panic!("a subscribe, not {other:?}"),
        }
    }

    /// Says several things in one WebSocket message.
    pub(crate) async fn say_all(&mut self, frames: impl IntoIterator<Item = ServerFrame>) {
        let mut bytes = Vec::new();
        for frame in frames {
            encode_server_frame(self.codec, &frame, &mut bytes);
        }
        let message = match self.codec {
            Codec::Json => Message::text(String::from_utf8(bytes).unwrap()),
            Codec::Protobuf => Message::binary(bytes),
        };
        // The client may have gone; then the test sees it by what it reads.
        let _ = within("the client to take a message", self.socket.send(message)).await;
    }

    pub(crate) async fn reply(&mut self, id: Option<RequestId>, body: ServerBody) {
        self.say_all([ServerFrame { id, body }]).await;
    }

    pub(crate) async fn say(&mut self, body: ServerBody) {
        self.reply(None, body).await;
    }

    pub(crate) async fn published(&mut self, id: RequestId, offset: u64) {
        let published = Published {
            id: MessageId::from_bits(u128::from(offset)),
            position: at(offset),
            duplicate: false,
        };
        self.reply(Some(id), ServerBody::Published(published)).await;
    }

    pub(crate) async fn refuse(&mut self, id: Option<RequestId>, code: ErrorCode) {
        self.reply(id, ServerBody::Error(ErrorBody::new(code, "not today"))).await;
    }

    /// Answers a subscribe to a topic whose log has `first..=head`.
    pub(crate) async fn subscribed(&mut self, place: SubscribedPlace) -> Subscribe {
        let (id, subscribe) = self.next_subscribe().await;
        let subscribed = Subscribed {
            sub: subscribe.sub.clone(),
            place: Some(place),
            pending: None,
            durable: None,
        };
        self.reply(id, ServerBody::Subscribed(subscribed)).await;
        subscribe
    }

    /// Answers a subscribe to a filter with wildcards.
    pub(crate) async fn subscribed_filter(&mut self) -> Subscribe {
        let (id, subscribe) = self.next_subscribe().await;
        let sub = subscribe.sub.clone();
        let subscribed = Subscribed { sub, place: None, pending: Some(3), durable: None };
        self.reply(id, ServerBody::Subscribed(subscribed)).await;
        subscribe
    }

    pub(crate) async fn messages(&mut self, topic: &str, offsets: impl IntoIterator<Item = u64>) {
        let message = |offset| message(topic, offset, 1);
        self.say_all(offsets.into_iter().map(message)).await;
    }

    /// Sends a close and ends the connection.
    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Ok(Some(Ok(_))) =
            tokio::time::timeout(Duration::from_secs(1), self.socket.next()).await
        {}
    }
}

pub(crate) fn at(offset: u64) -> Position {
    Position { epoch: EPOCH, offset: Offset::new(offset) }
}

/// Where a log stands that has `first..=head`, and the client's place is in it.
pub(crate) fn place(first: u64, head: u64) -> SubscribedPlace {
    SubscribedPlace {
        epoch: EPOCH,
        offset: Offset::new(head),
        first: Offset::new(first),
        recovered: true,
        reason: None,
        pending: 0,
    }
}

pub(crate) fn message(topic: &str, offset: u64, attempt: u32) -> ServerFrame {
    let delivery = Delivery {
        topic: Topic::parse(topic).unwrap(),
        offset: Offset::new(offset),
        id: MessageId::from_bits(u128::from(offset)),
        data: Data::json(Bytes::from(offset.to_string())),
        content_type: None,
        headers: Headers::new(),
        from: None,
        at: Timestamp::from_ms(1_795_000_000_000),
        attempt,
        order_key: None,
        sub: None,
    };
    ServerFrame { id: None, body: ServerBody::Message(delivery) }
}

/// A message of the shared subscription `sub`.
pub(crate) fn shared_message(sub: &str, topic: &str, offset: u64, attempt: u32) -> ServerFrame {
    let ServerBody::Message(delivery) = message(topic, offset, attempt).body else {
        unreachable!("that is what it makes")
    };
    // Messages of different topics have different names.
    let of_topic = topic.bytes().fold(0, |sum, byte| (sum << 8) | u128::from(byte));
    let id = MessageId::from_bits(of_topic << 16 | u128::from(offset));
    let sub = Some(Filter::parse(sub).unwrap());
    ServerFrame { id: None, body: ServerBody::Message(Delivery { id, sub, ..delivery }) }
}

/// The next event.
pub(crate) async fn next(subscription: &mut Subscription) -> Event {
    within("an event", subscription.next()).await.expect("the subscription goes on")
}

/// The next event, which is a message.
pub(crate) async fn next_message(subscription: &mut Subscription) -> tidings_client::Delivery {
    match next(subscription).await {
        Event::Message(delivery) => delivery,
        other => panic!("a message, not {other:?}"),
    }
}

/// The next event, which says that the subscription stands; whether it stood before.
pub(crate) async fn next_subscribed(subscription: &mut Subscription) -> bool {
    match next(subscription).await {
        Event::Subscribed { again, .. } => again,
        other => panic!("`Subscribed`, not {other:?}"),
    }
}

impl Line {
    /// The frames that came with the last one, in the same WebSocket message.
    pub(crate) fn received_already(&mut self) -> impl Iterator<Item = ClientFrame> {
        self.received.drain(..)
    }
}

impl Line {
    /// Says something that need not be a frame.
    pub(crate) async fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }
}
