//! Random frames: everything the types allow that the protocol allows too.

use std::num::NonZeroU32;
use std::time::Duration;

use tidings_core::{
    ContentType, Data, Epoch, Filter, Headers, Jitter, Message, MessageId, NewMessage, Offset,
    Position, ResetReason, Timestamp, Topic,
};
use tidings_protocol::{
    Ack, AckWhich, ClientBody, ClientFrame, Connect, Connected, ConnectionLimits, Delivery,
    ErrorBody, ErrorCode, Extend, Goaway, History, HistoryFrom, HistoryRequest, Member, Nack,
    PresenceChange, Present, Publish, Published, Reset, Scheduled, ServerBody, ServerFrame,
    StartFrom, Subscribe, SubscribeMode, Subscribed, SubscribedPlace, UnsubscribeReason,
};

/// Kinds of frames a client and a server have.
pub(crate) const CLIENT_KINDS: u64 = 12;
pub(crate) const SERVER_KINDS: u64 = 16;

/// Draws values from a seed.
pub(crate) struct Draw(Jitter);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Jitter::new(seed))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flip().then(|| draw(self))
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Numbers of every length.
    fn number(&mut self) -> u64 {
        let bits = self.below(65);
        if bits == 0 { 0 } else { self.0.next_u64() >> (64 - bits) }
    }

    fn positive(&mut self) -> u64 {
        self.number().max(1)
    }

    fn number_u32(&mut self) -> u32 {
        self.number() as u32
    }

    fn ms(&mut self) -> Duration {
        Duration::from_millis(self.number())
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_ms(self.number())
    }

    fn chars(&mut self, alphabet: &[char], len: std::ops::Range<u64>) -> String {
        let count = len.start + self.below(len.end - len.start);
        (0..count).map(|_| self.pick(alphabet)).collect()
    }

    /// A name: no control characters, and nothing that is a wildcard or a level.
    fn name(&mut self) -> String {
        const NAME: &[char] =
            &['a', 'b', 'Z', '0', '.', '-', ' ', '"', '\\', 'ü', '漢', '🦀', '\u{2028}'];
        self.chars(NAME, 1..12)
    }

    /// Any text.
    fn text(&mut self) -> String {
        const TEXT: &[char] = &[
            'a', ' ', '"', '\\', '/', '\n', '\r', '\t', '\0', '\u{1f}', '\u{7f}', 'é', '\u{2029}',
            '🦀', '\u{ffff}',
        ];
        self.chars(TEXT, 0..20)
    }

    fn id<T: std::str::FromStr<Err = tidings_core::IdError>>(&mut self) -> T {
        self.name().parse().unwrap()
    }

    fn topic(&mut self) -> Topic {
        let levels: Vec<_> = (0..=self.below(3)).map(|_| self.name()).collect();
        let prefix = self.pick(&["", "$", "/"]);
        Topic::parse(&format!("{prefix}{}", levels.join("/"))).unwrap()
    }

    fn filter(&mut self) -> Filter {
        let topic = self.topic();
        let wild = self.pick(&["", "", "/+", "/#", "/+/#"]);
        Filter::parse(&format!("{topic}{wild}")).unwrap()
    }

    /// A subscription, and a topic of it where that has to be said.
    fn sub_and_topic(&mut self) -> (Filter, Option<Topic>) {
        let sub = self.filter();
        let topic = sub.as_str().replace(['+', '#'], "x");
        let topic = sub.has_wildcards().then(|| Topic::parse(&topic).unwrap());
        (sub, topic)
    }

    fn epoch(&mut self) -> Epoch {
        Epoch::new(self.number())
    }

    fn offset(&mut self) -> Offset {
        Offset::new(self.positive())
    }

    fn position(&mut self) -> Position {
        Position { epoch: self.epoch(), offset: Offset::new(self.number()) }
    }

    fn message_id(&mut self) -> MessageId {
        MessageId::from_bits(u128::from(self.0.next_u64()) << 64 | u128::from(self.number()))
    }

    fn headers(&mut self) -> Headers {
        (0..self.below(4)).map(|_| (self.name(), self.text())).collect()
    }

    fn content_type(&mut self) -> ContentType {
        ContentType::parse(self.pick(&["text/plain; charset=\"utf-8\"", "x", "application/json"]))
            .unwrap()
    }

    fn data(&mut self) -> Data {
        if self.flip() {
            let mut text = String::new();
            self.json(4, &mut text);
            Data::json(text.into())
        } else {
            Data::binary((0..self.below(40)).map(|_| self.number() as u8).collect())
        }
    }

    /// A JSON value, with white space and everything else that has to stay as it is.
    fn json(&mut self, depth: u64, out: &mut String) {
        const LEAVES: &[&str] = &[
            "null",
            "true",
            "-0",
            "1e400",
            "0.10",
            "12345678901234567890123",
            "\"\"",
            "{ }",
            "[\t]",
            r#""\ud800 \u0000 \n \/ \\""#,
            "\"é🦀\u{2028}\"",
            r#"{"a":1,"a":1}"#,
        ];
        match self.below(if depth == 0 { 1 } else { 3 }) {
            1 => {
                out.push('[');
                self.json(depth - 1, out);
                out.push_str(" , ");
                self.json(depth - 1, out);
                out.push(']');
            }
            2 => {
                out.push_str("{\"k\" :");
                self.json(depth - 1, out);
                out.push('}');
            }
            _ => out.push_str(self.pick(LEAVES)),
        }
    }

    fn start(&mut self, sub: &Filter) -> StartFrom {
        match self.below(3) {
            0 if sub.as_topic().is_some() => StartFrom::After(self.position()),
            1 => StartFrom::First,
            2 => StartFrom::Last,
            _ => StartFrom::New,
        }
    }

    pub(crate) fn request_id(&mut self) -> NonZeroU32 {
        NonZeroU32::new(self.number_u32().max(1)).unwrap()
    }

    pub(crate) fn publish(&mut self) -> Publish {
        Publish {
            topic: self.topic(),
            data: self.data(),
            content_type: self.maybe(Self::content_type),
            headers: self.headers(),
            key: self.maybe(Self::id),
            order_key: self.maybe(Self::id),
            ttl: self.maybe(|draw| Duration::from_millis(draw.positive())),
            deliver_at: self.maybe(Self::time),
        }
    }

    fn subscribe(&mut self) -> Subscribe {
        let sub = self.filter();
        let from = self.start(&sub);
        let window = self.maybe(|draw| draw.below(1024) as u32 + 1);
        let mode = match (self.below(3), sub.has_wildcards()) {
            (0, false) => SubscribeMode::Durable { name: self.id(), window, from },
            (1, true) if from == StartFrom::Last => SubscribeMode::Live { from },
            (1, _) => SubscribeMode::Shared { group: self.id(), window, from },
            _ => SubscribeMode::Live { from },
        };
        let presence = self.flip() && !sub.has_wildcards();
        Subscribe { sub, mode, presence }
    }

    fn extend(&mut self) -> Extend {
        let (sub, topic) = self.sub_and_topic();
        let by = Duration::from_millis(1 + self.below(86_400_000));
        Extend { sub, topic, offset: self.offset(), by }
    }

    fn nack(&mut self) -> Nack {
        let dead = self.flip();
        let delay = self.maybe(|draw| Duration::from_millis(draw.below(86_400_001)));
        let (sub, topic) = self.sub_and_topic();
        Nack {
            sub,
            topic,
            offset: self.offset(),
            delay: delay.filter(|_| !dead),
            reason: self.maybe(Self::text),
            dead,
        }
    }

    fn ack(&mut self) -> Ack {
        let which = if self.flip() {
            AckWhich::Through(self.offset())
        } else {
            AckWhich::Each((0..=self.below(5)).map(|_| self.offset()).collect())
        };
        let (sub, topic) = self.sub_and_topic();
        Ack { sub, topic, which }
    }

    /// A client's frame of the kind with this number.
    pub(crate) fn client_frame(&mut self, kind: u64) -> ClientFrame {
        let body = match kind % CLIENT_KINDS {
            0 => ClientBody::Connect(Connect {
                token: self.maybe(Self::text),
                client: self.maybe(Self::id),
                session: self.maybe(Self::id),
            }),
            1 => ClientBody::Subscribe(self.subscribe()),
            2 => ClientBody::Unsubscribe { sub: self.filter() },
            3 => ClientBody::Publish(self.publish()),
            4 => ClientBody::Ack(self.ack()),
            5 => ClientBody::Nack(self.nack()),
            6 => ClientBody::Extend(self.extend()),
            7 => ClientBody::History(HistoryRequest {
                topic: self.topic(),
                from: match self.below(3) {
                    0 => HistoryFrom::First,
                    1 => HistoryFrom::After(self.position()),
                    _ => HistoryFrom::Since(self.time()),
                },
                limit: self.maybe(|draw| draw.below(500) as u32 + 1),
            }),
            8 => ClientBody::Refresh { token: self.text() },
            9 => ClientBody::Presence { topic: self.topic() },
            10 => ClientBody::Ping,
            _ => ClientBody::Pong,
        };
        let id = self.request_id();
        ClientFrame { id: (body.is_request() || self.flip()).then_some(id), body }
    }

    pub(crate) fn message(&mut self) -> Message {
        Message {
            id: self.message_id(),
            epoch: self.epoch(),
            offset: self.offset(),
            published_at: self.time(),
            content: NewMessage {
                topic: self.topic(),
                data: self.data(),
                content_type: self.maybe(Self::content_type),
                headers: self.headers(),
                sender: self.maybe(Self::id),
                key: None,
                order_key: self.maybe(Self::id),
                ttl: None,
            },
        }
    }

    pub(crate) fn attempt(&mut self) -> u32 {
        self.number_u32().max(1)
    }

    fn delivery(&mut self) -> Delivery {
        let attempt = self.attempt();
        let delivery = Delivery::of(&self.message(), attempt);
        Delivery { sub: self.maybe(Self::filter), ..delivery }
    }

    fn reset_reason(&mut self) -> ResetReason {
        self.pick(&ResetReason::ALL)
    }

    pub(crate) fn error(&mut self) -> ErrorBody {
        ErrorBody {
            code: self.pick(ErrorCode::ALL),
            message: self.text(),
            retry_after: self.maybe(Self::ms),
        }
    }

    pub(crate) fn published(&mut self) -> Published {
        Published { id: self.message_id(), position: self.position(), duplicate: self.flip() }
    }

    pub(crate) fn history(&mut self) -> History {
        History {
            topic: self.topic(),
            epoch: self.epoch(),
            offset: Offset::new(self.number()),
            first: Offset::new(self.number()),
            recovered: self.flip(),
            more: self.flip(),
            messages: (0..self.below(3)).map(|_| self.delivery()).collect(),
        }
    }

    pub(crate) fn scheduled(&mut self) -> Scheduled {
        Scheduled { id: self.message_id(), deliver_at: self.time(), duplicate: self.flip() }
    }

    fn members(&mut self) -> Vec<Member> {
        let count = self.below(3);
        (0..count)
            .map(|_| Member { user: self.id(), client: self.id(), since: self.time() })
            .collect()
    }

    fn subscribed(&mut self) -> Subscribed {
        let place = self.maybe(Self::place);
        let pending = self.maybe(Self::number).filter(|_| place.is_none());
        Subscribed { sub: self.filter(), place, pending, durable: self.maybe(Self::id) }
    }

    fn connected(&mut self) -> Connected {
        Connected {
            session: self.id(),
            user: self.id(),
            client: self.id(),
            node: self.id(),
            resumed: self.flip(),
            ping: self.ms(),
            expires_at: self.maybe(Self::time),
            limits: ConnectionLimits {
                message_bytes: self.number_u32(),
                frame_bytes: self.number_u32(),
                subscriptions: self.number_u32(),
                window: self.number_u32(),
                publishes_in_flight: self.number_u32(),
            },
        }
    }

    fn place(&mut self) -> SubscribedPlace {
        SubscribedPlace {
            epoch: self.epoch(),
            offset: Offset::new(self.number()),
            first: Offset::new(self.number()),
            recovered: self.flip(),
            reason: self.maybe(Self::reset_reason),
            pending: self.number(),
        }
    }

    /// A server's frame of the kind with this number.
    pub(crate) fn server_frame(&mut self, kind: u64) -> ServerFrame {
        let body = match kind % SERVER_KINDS {
            0 => ServerBody::Connected(self.connected()),
            1 => ServerBody::Subscribed(self.subscribed()),
            2 => ServerBody::Unsubscribed {
                sub: self.filter(),
                reason: self.maybe(|draw| draw.pick(&UnsubscribeReason::ALL)),
            },
            3 => ServerBody::Published(self.published()),
            4 => ServerBody::History(self.history()),
            5 => ServerBody::Refreshed { expires_at: self.maybe(Self::time) },
            6 => ServerBody::Settled { count: self.number_u32() },
            7 => ServerBody::Error(self.error()),
            8 => ServerBody::Message(self.delivery()),
            9 => ServerBody::Reset(Reset {
                sub: self.filter(),
                topic: self.topic(),
                reason: self.reset_reason(),
                epoch: self.epoch(),
                first: self.offset(),
                offset: self.offset(),
            }),
            10 => ServerBody::Goaway(Goaway {
                reason: self.text(),
                retry_after: self.maybe(Self::ms),
            }),
            11 => ServerBody::Ping,
            12 => ServerBody::Scheduled(self.scheduled()),
            13 => ServerBody::Present(Present {
                topic: self.topic(),
                members: self.members(),
                total: self.number(),
            }),
            14 => ServerBody::Presence(PresenceChange {
                topic: self.topic(),
                joined: self.members(),
                left: self.members(),
                reset: self.flip(),
            }),
            _ => ServerBody::Pong,
        };
        let id = self.maybe(Self::request_id);
        ServerFrame { id, body }
    }
}
