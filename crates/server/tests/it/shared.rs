//! Shared subscriptions: members divide messages, keys keep their order, nobody who leaves keeps
//! anything.

#[path = "shared/ledger.rs"]
mod ledger;
#[path = "shared/many_topics.rs"]
mod many_topics;
#[path = "shared/order.rs"]
mod order;
#[path = "shared/standing.rs"]
mod standing;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tidings_server::{Config, Engine, RunningServer, Server};

use crate::peer::{Peer, config, metric, start};

pub(crate) fn share(sub: &str, window: u32) -> Value {
    let name = if sub.contains(['+', '#']) { "filter" } else { "topic" };
    json!({"subscribe": {name: sub, "group": "workers", "window": window}})
}

/// A connection that is a member of the group. Unlike a plain peer it keeps the messages that come
/// before an answer.
pub(crate) struct Worker {
    peer: Peer,
    kept: VecDeque<Value>,
    asked: u64,
}

impl Worker {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let peer = Peer::connect(address).await;
        Self { peer, kept: VecDeque::new(), asked: 1_000_000 }
    }

    pub(crate) async fn ask(&mut self, mut request: Value) -> Value {
        self.asked += 1;
        request["id"] = json!(self.asked);
        self.peer.send(request).await;
        loop {
            let frame = self.peer.frame().await;
            if frame["id"] == json!(self.asked) {
                return frame;
            }
            assert!(frame.get("message").is_some(), "expected a message: {frame}");
            self.kept.push_back(frame["message"].clone());
        }
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.peer.send(frame).await;
    }

    pub(crate) async fn message(&mut self) -> Value {
        match self.kept.pop_front() {
            Some(message) => message,
            None => self.peer.message().await,
        }
    }

    pub(crate) async fn data(&mut self, count: usize) -> Vec<Value> {
        let mut data = Vec::new();
        for _ in 0..count {
            data.push(self.message().await["data"].clone());
        }
        data
    }
}

pub(crate) async fn member(address: SocketAddr, sub: &str, window: u32) -> Worker {
    let mut worker = Worker::connect(address).await;
    let reply = worker.ask(share(sub, window)).await;
    assert_eq!(reply["subscribed"]["sub"], sub, "{reply}");
    worker
}

pub(crate) fn ack(sub: &str, message: &Value) -> Value {
    json!({"ack": {"sub": sub, "topic": message["topic"], "offsets": [message["offset"]]}})
}

/// Acks and waits until it counts.
pub(crate) async fn settle(worker: &mut Worker, sub: &str, message: &Value) {
    let reply = worker.ask(ack(sub, message)).await;
    assert_eq!(reply["settled"]["count"], 1, "{reply}");
}

async fn embedded(directory: &std::path::Path) -> RunningServer {
    let mut config: Config = config();
    config.storage.directory = directory.to_owned();
    Server::builder(config).engine(Engine::Embedded).start().await.unwrap()
}

#[tokio::test]
async fn members_divide_the_messages() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(member(address, "jobs", 5).await);
    }
    let mut publisher = Peer::connect(address).await;
    for n in 0..20 {
        publisher.publish("jobs", json!(n)).await;
    }
    let mut seen = Vec::new();
    for peer in &mut members {
        for _ in 0..5 {
            let message = peer.message().await;
            assert_eq!(message["sub"], "jobs", "a frame says for which subscription it is");
            assert!(message.get("attempt").is_none(), "{message}");
            seen.push(message["data"].as_u64().unwrap());
            settle(peer, "jobs", &message).await;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>(), "each exactly once");
    assert_eq!(metric(&server, "tidings_settled_total").await, 20.0);
    server.shutdown().await;
}

#[tokio::test]
async fn the_messages_of_a_member_that_dies_go_to_others_at_once() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut publisher = Peer::connect(address).await;
    for n in 0..3 {
        publisher.publish("jobs", json!(n)).await;
    }
    let mut first = member(address, "jobs", 8).await;
    assert_eq!(first.data(3).await, [0, 1, 2]);
    let mut second = member(address, "jobs", 8).await;
    // Without a word: the socket is gone.
    drop(first);
    let died = std::time::Instant::now();
    for n in 0..3 {
        let message = second.message().await;
        assert_eq!((&message["data"], &message["attempt"]), (&json!(n), &json!(2)));
        settle(&mut second, "jobs", &message).await;
    }
    assert!(died.elapsed() < Duration::from_secs(5), "long before the ack timeout");
    second.ask(json!({"unsubscribe": {"sub": "jobs"}})).await;
    server.shutdown().await;
}

#[tokio::test]
async fn who_unsubscribes_gives_everything_back() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut first = member(address, "jobs", 8).await;
    let mut publisher = Peer::connect(address).await;
    publisher.publish("jobs", json!("a")).await;
    let message = first.message().await;
    first.ask(json!({"unsubscribe": {"sub": "jobs"}})).await;
    let mut second = member(address, "jobs", 8).await;
    assert_eq!(second.message().await["attempt"], 2);
    let late = first.ask(ack("jobs", &message)).await;
    assert_eq!(late["error"]["code"], "not_subscribed");
    server.shutdown().await;
}

#[tokio::test]
async fn a_group_goes_on_from_its_cursor_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = embedded(directory.path()).await;
    let mut worker = member(server.public_addr(), "jobs", 8).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    for n in 1..=6 {
        publisher.publish("jobs", json!(n)).await;
    }
    let messages: Vec<_> = {
        let mut messages = Vec::new();
        for _ in 0..6 {
            messages.push(worker.message().await);
        }
        messages
    };
    for index in [0, 1, 3] {
        settle(&mut worker, "jobs", &messages[index]).await;
    }
    server.shutdown().await;

    let server = embedded(directory.path()).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    publisher.publish("jobs", json!(7)).await;
    let mut worker = Worker::connect(server.public_addr()).await;
    let reply = worker.ask(share("jobs", 8)).await["subscribed"].clone();
    assert_eq!((&reply["recovered"], &reply["pending"]), (&json!(true), &json!(4)), "{reply}");
    let mut seen = Vec::new();
    for _ in 0..4 {
        let message = worker.message().await;
        seen.push((message["data"].clone(), message.get("attempt").cloned()));
    }
    let again = Some(json!(2));
    let expected =
        [(3, again.clone()), (5, again.clone()), (6, again), (7, None)].map(|(n, a)| (json!(n), a));
    assert_eq!(seen, expected);
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_given_up_becomes_a_dead_letter_of_the_group() {
    let mut config = config();
    config.topic = vec![tidings_server::TopicSection {
        attempts_max: 2,
        backoff_base: Duration::from_millis(20),
        ..tidings_server::TopicSection::new("jobs/#".parse().unwrap())
    }];
    let server = start(config).await;
    let mut dead = Peer::connect(server.public_addr()).await;
    dead.ask(json!({"subscribe": {"topic": "$dead-letters"}})).await;
    let mut worker = member(server.public_addr(), "jobs/#", 4).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    publisher.publish("jobs/mail", json!("poison")).await;
    for reason in ["no network", "still none"] {
        let offset = worker.message().await["offset"].clone();
        let nack = json!({"sub": "jobs/#", "topic": "jobs/mail", "offset": offset,
            "delay_ms": 1, "reason": reason});
        worker.send(json!({"nack": nack})).await;
    }
    let letter = dead.message().await;
    assert_eq!(letter["data"], "poison");
    let headers = &letter["headers"];
    assert_eq!(headers["tidings-group"], "workers");
    assert_eq!(headers["tidings-filter"], "jobs/#");
    assert_eq!(headers["tidings-topic"], "jobs/mail");
    assert_eq!(headers["tidings-attempts"], "2");
    assert_eq!(headers["tidings-reasons"], "no network; still none");
    assert!(headers.get("tidings-user").is_none(), "a group is no user's: {headers}");
    publisher.publish("jobs/mail", json!("fine")).await;
    assert_eq!(worker.data(1).await, ["fine"], "the topic goes on");
    server.shutdown().await;
}

#[tokio::test]
async fn the_attempts_of_a_message_are_known_after_the_last_member_has_left() {
    let mut config = config();
    config.topic = vec![tidings_server::TopicSection {
        attempts_max: 4,
        backoff_base: Duration::from_millis(20),
        ..tidings_server::TopicSection::new("jobs".parse().unwrap())
    }];
    let server = start(config).await;
    let address = server.public_addr();
    let mut dead = Peer::connect(address).await;
    dead.ask(json!({"subscribe": {"topic": "$dead-letters"}})).await;
    Peer::connect(address).await.publish("jobs", json!("poison")).await;
    let nack = |n: u64| json!({"nack": {"sub": "jobs", "offset": 1, "reason": format!("no {n}"), "delay_ms": if n < 3 { 60_000 } else { 1 }}});
    for n in [1, 2] {
        let mut worker = member(address, "jobs", 1).await;
        assert_eq!(worker.message().await.get("attempt").map_or(1, |a| a.as_u64().unwrap()), n);
        assert_eq!(worker.ask(nack(n)).await["settled"]["count"], 1);
        worker.ask(json!({"unsubscribe": {"sub": "jobs"}})).await;
        while metric(&server, "tidings_groups").await > 0.0 {}
    }
    let mut worker = member(address, "jobs", 1).await;
    for n in [3, 4] {
        assert_eq!(worker.message().await["attempt"], n);
        worker.ask(nack(n)).await;
    }
    let letter = dead.message().await;
    assert_eq!(letter["headers"]["tidings-attempts"], "4");
    assert_eq!(letter["headers"]["tidings-reasons"], "no 1; no 2; no 3; no 4");
    server.shutdown().await;
}

#[tokio::test]
async fn more_time_is_given_and_late_acks_count() {
    let mut config = config();
    config.topic = vec![tidings_server::TopicSection {
        ack_timeout: Duration::from_millis(300),
        backoff_base: Duration::from_millis(20),
        ..tidings_server::TopicSection::new("jobs".parse().unwrap())
    }];
    let server = start(config).await;
    let mut worker = member(server.public_addr(), "jobs", 4).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    publisher.publish("jobs", json!("slow")).await;
    publisher.publish("jobs", json!("silent")).await;
    let slow = worker.message().await;
    let _silent = worker.message().await;
    let extend = json!({"extend": {"sub": "jobs", "offset": slow["offset"], "by_ms": 60_000}});
    assert_eq!(worker.ask(extend).await["settled"]["count"], 1);
    let again = worker.message().await;
    assert_eq!((&again["data"], &again["attempt"]), (&json!("silent"), &json!(2)));
    settle(&mut worker, "jobs", &slow).await;
    settle(&mut worker, "jobs", &again).await;
    let twice = worker.ask(ack("jobs", &again)).await;
    assert_eq!(twice["settled"]["count"], 0, "an ack of something settled does no harm");
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_group_cannot_do_is_refused_in_words() {
    let mut config = config();
    config.topic = vec![tidings_server::TopicSection {
        durability: tidings_core::Durability::Memory,
        ..tidings_server::TopicSection::new("live".parse().unwrap())
    }];
    let server = start(config).await;
    let mut peer = member(server.public_addr(), "jobs/#", 4).await;
    let mut refused = async |request: Value, code: &str, words: &str| {
        let error = peer.ask(request).await["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    };
    let through = json!({"ack": {"sub": "jobs/#", "topic": "jobs/1", "offset": 3}});
    refused(through, "bad_field", "`offsets`").await;
    refused(share("live", 1), "unsupported", "keeps nothing").await;
    let last = json!({"subscribe": {"filter": "a/#", "group": "g", "from": "last"}});
    refused(last, "bad_field", "from").await;
    refused(share("jobs/#", 1), "already_subscribed", "already").await;
    let astray = json!({"ack": {"sub": "other", "offsets": [3]}});
    refused(astray, "not_subscribed", "other").await;
    server.shutdown().await;
}

#[tokio::test]
async fn members_are_present_on_their_topic() {
    let mut config = config();
    config.topic = vec![tidings_server::TopicSection {
        presence: true,
        ..tidings_server::TopicSection::new("jobs".parse().unwrap())
    }];
    let server = start(config).await;
    let mut worker = member(server.public_addr(), "jobs", 4).await;
    let present = worker.ask(json!({"presence": {"topic": "jobs"}})).await;
    assert_eq!(present["present"]["total"], 1, "{present}");
    worker.ask(json!({"unsubscribe": {"sub": "jobs"}})).await;
    let present = worker.ask(json!({"presence": {"topic": "jobs"}})).await;
    assert_eq!(present["present"]["total"], 0, "{present}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_group_has_a_bounded_number_of_members() {
    let server = start(config()).await;
    let most = tidings_core::limits::GROUP_MEMBERS_MAX;
    let mut members = Vec::new();
    for _ in 0..most {
        members.push(member(server.public_addr(), "jobs", 1).await);
    }
    let mut peer = Peer::connect(server.public_addr()).await;
    let refused = peer.ask(share("jobs", 1)).await;
    assert_eq!(refused["error"]["code"], "limit_reached", "{refused}");
    members.pop();
    for tries in 0.. {
        let reply = peer.ask(share("jobs", 1)).await;
        if reply.get("subscribed").is_some() {
            break;
        }
        assert!(tries < 1_000, "the seat of a member that left is free: {reply}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_member_that_does_not_read_holds_up_nobody() {
    const MESSAGES: usize = 1_500;
    let mut config = config();
    config.limits.outbound_bytes = "64KiB".parse().unwrap();
    let server = start(config).await;
    let address = server.public_addr();
    let mut stuck = member(address, "jobs", 1_000).await;
    let mut fast = member(address, "jobs", 100).await;
    let publishing = tokio::spawn(async move {
        let mut publisher = Peer::connect(address).await;
        let filler = "x".repeat(16_000);
        for n in 0..MESSAGES {
            publisher.publish("jobs", json!([n, filler])).await;
        }
    });
    let mut seen = BTreeSet::new();
    let mut see = |message: &Value| {
        assert!(message.get("attempt").is_none(), "what never left is no attempt: {message}");
        assert!(seen.insert(message["offset"].as_u64().unwrap()), "twice: {message}");
        seen.len()
    };
    // The stuck one has what fits into its socket; everything else comes here.
    while let Ok(message) = tokio::time::timeout(Duration::from_secs(5), fast.message()).await {
        see(&message);
        settle(&mut fast, "jobs", &message).await;
    }
    publishing.await.unwrap();
    assert!(metric(&server, "tidings_group_given_back_total").await > 0.0);
    // It reads again, and takes part again.
    loop {
        let message = stuck.message().await;
        settle(&mut stuck, "jobs", &message).await;
        if see(&message) == MESSAGES {
            break;
        }
    }
    fast.ask(json!({"unsubscribe": {"sub": "jobs"}})).await;
    Peer::connect(address).await.publish("jobs", json!("again")).await;
    assert_eq!(stuck.data(1).await, ["again"]);
    server.shutdown().await;
}

#[tokio::test]
async fn what_waits_for_room_too_long_goes_to_others() {
    let mut config = config();
    config.limits.outbound_bytes = "64KiB".parse().unwrap();
    let server = start(config).await;
    let address = server.public_addr();
    // Its socket and its output are full of something else.
    let mut stuck = member(address, "jobs", 8).await;
    stuck.ask(json!({"subscribe": {"topic": "flood"}})).await;
    let mut publisher = Peer::connect(address).await;
    let filler = "x".repeat(16_000);
    for _ in 0..1_000 {
        publisher.publish("flood", json!(filler)).await;
    }
    let mut fast = member(address, "jobs", 1).await;
    for n in 0..6 {
        publisher.publish("jobs", json!(n)).await;
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 6 {
        let message = fast.message().await;
        assert!(message.get("attempt").is_none(), "it never left: {message}");
        seen.insert(message["data"].as_u64().unwrap());
        settle(&mut fast, "jobs", &message).await;
    }
    drop(stuck);
    server.shutdown().await;
}
