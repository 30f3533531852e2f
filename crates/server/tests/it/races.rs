//! Everybody at once: subscriptions that come and go while their topic is published to, sessions and
//! durable subscriptions that several connections want at the same moment.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::peer::{Peer, config, start};

const TOPIC: &str = "race";
const READERS: u64 = 6;
const MESSAGES: u64 = 3_000;
const ROUNDS: u64 = 40;
const RIVALS: usize = 6;

/// Numbers that differ from run to run. The seed is printed, and `TIDINGS_RACES_SEED` repeats it.
struct Dice(u64);

impl Dice {
    fn new(stream: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = std::env::var("TIDINGS_RACES_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or(since.as_nanos() as u64);
        println!("TIDINGS_RACES_SEED={seed}");
        Self(seed ^ stream << 48)
    }

    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX constants; the high bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A reader that leaves and comes back; where it is in the log.
struct Reader {
    peer: Peer,
    epoch: Value,
    last: u64,
}

impl Reader {
    /// Asks, and takes the messages that come before the answer.
    async fn ask(&mut self, id: u64, mut request: Value) -> Value {
        request["id"] = json!(id);
        self.peer.send(request).await;
        loop {
            let frame = self.peer.frame().await;
            if frame["id"] == id {
                assert!(frame.get("error").is_none(), "{frame}");
                return frame;
            }
            self.take(&frame);
        }
    }

    fn take(&mut self, frame: &Value) {
        let offset = frame["message"]["offset"].as_u64().unwrap();
        assert!(offset <= self.last + 1, "a hole between {} and {offset}", self.last);
        self.last = self.last.max(offset);
    }

    async fn subscribe(&mut self, id: u64) {
        let after = json!({"epoch": self.epoch, "offset": self.last});
        let reply = self.ask(id, json!({"subscribe": {"topic": TOPIC, "after": after}})).await;
        assert_eq!(reply["subscribed"]["recovered"], true, "{reply}");
    }
}

#[tokio::test]
async fn leaving_and_coming_back_while_others_publish_leaves_no_hole() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut publisher = Peer::connect(address).await;
    let epoch = publisher.publish(TOPIC, json!(1)).await["epoch"].clone();
    let mut readers = Vec::new();
    for stream in 0..READERS {
        let (mut dice, epoch) = (Dice::new(stream), epoch.clone());
        readers.push(tokio::spawn(async move {
            let mut reader = Reader { peer: Peer::connect(address).await, epoch, last: 0 };
            let mut returns = 0u64;
            reader.subscribe(1_000).await;
            while reader.last < MESSAGES {
                for _ in 0..dice.below(30) {
                    if reader.last >= MESSAGES {
                        break;
                    }
                    let frame = reader.peer.frame().await;
                    reader.take(&frame);
                }
                if dice.below(3) == 0 {
                    reader.peer = Peer::connect(address).await;
                } else {
                    let leave = json!({"unsubscribe": {"sub": TOPIC}});
                    reader.ask(1_001 + 2 * returns, leave).await;
                }
                reader.subscribe(1_002 + 2 * returns).await;
                returns += 1;
            }
            returns
        }));
    }
    for n in 2..=MESSAGES {
        publisher.publish(TOPIC, json!(n)).await;
    }
    let mut returns = 0;
    for reader in readers {
        returns += reader.await.unwrap();
    }
    println!("{returns} returns");
    assert!(returns > READERS * 10, "hardly anybody left: {returns}");
    server.shutdown().await;
}

#[tokio::test]
async fn of_those_who_show_one_session_at_once_one_keeps_it() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut owner = Peer::open(address).await;
    let session = owner.ask(json!({"connect": {}})).await["connected"]["session"].clone();
    for _ in 0..ROUNDS {
        let mut rivals = Vec::new();
        for _ in 0..RIVALS {
            let connect = json!({"connect": {"session": session}});
            rivals.push(tokio::spawn(async move {
                let mut peer = Peer::open(address).await;
                let reply = peer.ask(connect).await;
                assert_eq!(reply["connected"]["resumed"], true, "{reply}");
                peer
            }));
        }
        let mut kept = Vec::new();
        for rival in rivals {
            kept.push(rival.await.unwrap());
        }
        // Everybody was let in, in some order; all but the last are sent away for good. Word of it
        // may still be on its way to another shard.
        let mut rounds = 0;
        while kept.len() > 1 {
            rounds += 1;
            assert!(rounds < 1_000, "{} connections keep one session", kept.len());
            let mut alive = Vec::new();
            for peer in kept {
                alive.extend(still_there(peer).await);
            }
            kept = alive;
        }
        assert_eq!(kept.len(), 1, "nobody keeps the session");
    }
    server.shutdown().await;
}

/// The connection, if it answers; one that does not was told why.
async fn still_there(mut peer: Peer) -> Option<Peer> {
    peer.try_send(json!({"id": 77, "ping": {}})).await;
    match peer.next().await {
        Some(frame) if frame.get("pong").is_some() => Some(peer),
        Some(frame) => {
            assert_eq!(frame["goaway"]["reason"], "taken_over", "{frame}");
            assert_eq!(peer.next().await, None);
            None
        }
        None => None,
    }
}

#[tokio::test]
async fn of_those_who_want_one_durable_subscription_at_once_one_gets_the_messages() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut publisher = Peer::connect(address).await;
    for round in 1..=ROUNDS {
        let mut rivals = Vec::new();
        for _ in 0..RIVALS {
            rivals.push(tokio::spawn(async move {
                let mut peer = Peer::connect(address).await;
                let subscribe = json!({"subscribe": {"topic": "jobs", "durable": "one"}});
                let reply = peer.ask(subscribe).await;
                if reply.get("subscribed").is_some() {
                    return Some(peer);
                }
                // Somebody else took it before it began here.
                assert_eq!(reply["error"]["code"], "not_subscribed", "{reply}");
                None
            }));
        }
        let (mut peers, mut told, mut received) = (Vec::new(), 0, 0);
        for rival in rivals {
            match rival.await.unwrap() {
                Some(peer) => peers.push(peer),
                None => told += 1,
            }
        }
        publisher.publish("jobs", json!(round)).await;
        for peer in &mut peers {
            let frame = peer.frame().await;
            if frame["unsubscribed"]["reason"] == "taken_over" {
                told += 1;
                peer.assert_quiet().await;
            } else {
                assert_eq!(frame["message"]["data"], round, "{frame}");
                received += 1;
                peer.ask(json!({"ack": {"sub": "jobs", "offset": round}})).await;
            }
        }
        assert_eq!((told, received), (RIVALS - 1, 1), "round {round}");
    }
    server.shutdown().await;
}
