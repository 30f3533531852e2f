//! A shard that is driven by hand, to hold its inbox where a running one could not be stopped.

mod filters;
mod parting;
mod reads;
mod sessions;
mod users;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Events;
use tidings_core::{Data, Durability, Filter, NewMessage, SessionId, Topic};
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
    readers: Vec<JoinHandle<()>>,
    clients: BTreeMap<u32, Client>,
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
        let shard = Shard::new(parts.env, seat);
        Self { shard, readers: parts.readers, clients: BTreeMap::new(), requests: 0 }
    }

    /// From now on nobody reads the log for the shard.
    fn stop_readers(&mut self) {
        self.shard.env.readers.close();
        // One that has not seen yet that the queue is closed would serve it.
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
    }

    /// Another connection; returns its slot.
    fn connect(&mut self) -> u32 {
        self.connect_with(None)
    }

    /// The same with a session to go on with.
    fn connect_with(&mut self, session: Option<SessionId>) -> u32 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let slot = self.shard.connections.vacant_key() as u32;
        self.shard.adopt(Handoff {
            stream: Stream::Plain(mio::net::TcpStream::from_std(accepted)),
            codec: Codec::Json,
            agreement: None,
            token: None,
            input: Bytes::new(),
            seat: self.shard.env.seats.take().unwrap(),
        });
        self.shard.connect(slot, None, Connect { token: None, client: None, session });
        self.clients.insert(slot, Client { socket, got: String::new() });
        slot
    }

    /// The shard reads this request and does not look into its inbox.
    fn subscribe(&mut self, slot: u32, sub: &str, from: StartFrom) {
        self.subscribe_as(slot, sub, SubscribeMode::Live { from });
    }

    /// The same for a subscription of any kind.
    fn subscribe_as(&mut self, slot: u32, sub: &str, mode: SubscribeMode) {
        self.requests += 1;
        let id = RequestId::new(self.requests).unwrap();
        let sub = Filter::parse(sub).unwrap();
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
        self.turn_until(slot, |client| client.offsets().len() >= count);
        self.clients[&slot].offsets()
    }

    fn turn_once(&mut self) {
        self.shard.turn(&Events::with_capacity(1), &mut Waiting::default());
    }

    /// Turns until a client has what it is `done` with, and then some.
    fn turn_until(&mut self, slot: u32, done: impl Fn(&Client) -> bool) {
        let begun = Instant::now();
        let mut turns_left = 3;
        while turns_left > 0 {
            self.turn_once();
            let client = self.clients.get_mut(&slot).unwrap();
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = client.socket.read(&mut buffer) {
                client.got.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            if done(client) || begun.elapsed() > PATIENCE {
                turns_left -= 1;
            }
            std::thread::yield_now();
        }
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
