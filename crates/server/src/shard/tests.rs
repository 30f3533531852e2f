//! A shard that is driven by hand, to hold its inbox where a running one could not be stopped.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Events;
use tidings_core::{Data, Durability, Filter, NewMessage, Topic};
use tidings_protocol::{Codec, Connect, RequestId, StartFrom, Subscribe, SubscribeMode};
use tidings_storage::{Submission, Write};

use super::stream::{Handoff, Stream};
use super::{Shard, ShardSeat};
use crate::config::Config;
use crate::inbox::Waiting;
use crate::server::{Engine, parts};

/// Longest wait for anything; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// One shard and its clients, by their slots.
struct Rig {
    shard: Shard,
    clients: Vec<Client>,
    requests: u32,
}

struct Client {
    socket: TcpStream,
    got: String,
}

impl Rig {
    async fn start() -> Self {
        let mut config = Config::default();
        config.auth.open = true;
        config.server.shards = 1;
        let mut parts = parts(&config, Engine::Memory).await.unwrap();
        let seat: ShardSeat = parts.seats.pop().unwrap();
        Self { shard: Shard::new(parts.env, seat), clients: Vec::new(), requests: 0 }
    }

    /// Another connection; returns its slot.
    fn connect(&mut self) -> u32 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let slot = self.shard.connections.vacant_key() as u32;
        self.shard.adopt(Handoff {
            stream: Stream::Plain(mio::net::TcpStream::from_std(accepted)),
            codec: Codec::Json,
            token: None,
            input: Bytes::new(),
            seat: self.shard.env.seats.take().unwrap(),
        });
        self.shard.connect(slot, None, Connect { token: None, client: None, session: None });
        self.clients.push(Client { socket, got: String::new() });
        slot
    }

    /// The shard reads this request and does not look into its inbox.
    fn subscribe(&mut self, slot: u32, sub: &str, from: StartFrom) {
        self.requests += 1;
        let id = RequestId::new(self.requests).unwrap();
        let (sub, mode) = (Filter::parse(sub).unwrap(), SubscribeMode::Live { from });
        self.shard.subscribe(slot, id, Subscribe { sub, mode, presence: false });
    }

    /// Stores a message: its commit lies in the inbox when this returns.
    fn publish(&self, topic: &str) {
        let message = NewMessage::new(Topic::parse(topic).unwrap(), Data::binary("x".into()));
        let write = Write::Publish { message, durability: Durability::Sync, id: None };
        self.shard.env.store.submit(vec![Submission { write, ticket: None }]).unwrap();
    }

    /// Turns until the client has `count` messages, and then some for those that are too many.
    /// Returns their offsets.
    fn offsets(&mut self, slot: u32, count: usize) -> Vec<u64> {
        let begun = Instant::now();
        let mut turns_left = 3;
        while turns_left > 0 {
            self.shard.turn(&Events::with_capacity(1), &mut Waiting::default());
            let client = &mut self.clients[slot as usize];
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = client.socket.read(&mut buffer) {
                client.got.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            if client.offsets().len() >= count || begun.elapsed() > PATIENCE {
                turns_left -= 1;
            }
            std::thread::yield_now();
        }
        self.clients[slot as usize].offsets()
    }
}

impl Client {
    fn offsets(&self) -> Vec<u64> {
        let messages = self.got.split(r#"{"message":"#).skip(1);
        let offset = |message: &str| {
            let digits = message.split(r#""offset":"#).nth(1).unwrap();
            digits.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
        };
        messages.map(offset).collect()
    }
}

/// A connection has the filter `jobs/#` and message 1 of `jobs/a`. Message 2 is stored, and before
/// the shard hears of it the connection subscribes to `jobs/a` itself. Returns what it got when
/// there were three.
async fn subscribes_meanwhile(others: usize, from: StartFrom, count: usize) -> Vec<u64> {
    let mut rig = Rig::start().await;
    let slot = rig.connect();
    rig.subscribe(slot, "jobs/#", StartFrom::New);
    for _ in 0..others {
        let other = rig.connect();
        rig.subscribe(other, "jobs/a", StartFrom::New);
    }
    rig.publish("jobs/a");
    assert_eq!(rig.offsets(slot, 1), [1]);
    rig.publish("jobs/a");
    rig.subscribe(slot, "jobs/a", from);
    rig.publish("jobs/a");
    rig.offsets(slot, count)
}

#[tokio::test]
async fn what_was_on_its_way_to_a_filter_is_delivered_though_its_topic_is_subscribed_meanwhile() {
    for others in 0..2 {
        for from in [StartFrom::New, StartFrom::Last] {
            let got = subscribes_meanwhile(others, from, 3).await;
            assert_eq!(got, [1, 2, 3], "{from:?}, {others} others");
        }
        let got = subscribes_meanwhile(others, StartFrom::First, 4).await;
        assert_eq!(got, [1, 1, 2, 3], "{others} others");
    }
}

/// The same, and the subscription to the topic is given up before the shard hears of message 2.
#[tokio::test]
async fn a_filter_gets_what_was_on_its_way_though_its_topic_was_subscribed_for_a_moment() {
    for others in 0..2 {
        let mut rig = Rig::start().await;
        let slot = rig.connect();
        rig.subscribe(slot, "jobs/#", StartFrom::New);
        for _ in 0..others {
            let other = rig.connect();
            rig.subscribe(other, "jobs/a", StartFrom::New);
        }
        rig.publish("jobs/a");
        assert_eq!(rig.offsets(slot, 1), [1]);
        rig.publish("jobs/a");
        rig.subscribe(slot, "jobs/a", StartFrom::New);
        rig.shard.unsubscribe(slot, None, &Filter::parse("jobs/a").unwrap());
        rig.publish("jobs/a");
        assert_eq!(rig.offsets(slot, 3), [1, 2, 3], "{others} others");
    }
}
