//! A client that publishes numbered messages and reads them live, another that reads them durably,
//! and the judgement on what they got: nothing lost, nothing twice, the live ones in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tidings_client::{
    Client, ClientBuilder, Event, PublishRequest, StartFrom, SubscribeRequest, Subscription,
};

use crate::program::{PATIENCE, Server, succeed};

/// An open server that comes back to its subscribers at once and gives nothing up: connections are
/// lost far more often here than any policy expects.
pub(crate) const PATIENT: &str = r##"
[auth]
open = true

[[topic]]
match = "#"
attempts_max = 1000
backoff_base = "10ms"
backoff_cap = "20ms"
"##;

/// Longer than thousands of connections take on a busy machine.
const LONGEST: Duration = PATIENCE.saturating_mul(5);

/// Messages of a client that may wait for their answer.
const IN_FLIGHT: usize = 8;

/// A client that comes back quickly.
pub(crate) fn client(url: &str) -> ClientBuilder {
    Client::builder(url).backoff(Duration::from_millis(2), Duration::from_millis(5))
}

/// What became of the messages of a topic.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Offsets and numbers, as they were acknowledged.
    pub(crate) acknowledged: Vec<(u64, u64)>,
    live: Vec<u64>,
    durable: Vec<u64>,
}

/// Publishes until `enough`, then waits until all has arrived. `live` publishes and reads live.
pub(crate) fn run(
    live: ClientBuilder,
    durable: ClientBuilder,
    topic: &str,
    enough: impl Fn(u64) -> bool,
) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, reader) = (live.build().unwrap(), durable.build().unwrap());
        // From the start of the log, since the first tries may fail before they have a place.
        let live = SubscribeRequest::live(topic).unwrap().from(StartFrom::First);
        let live = client.subscribe(live).await.unwrap();
        let durable = SubscribeRequest::durable(topic, "d").unwrap();
        let durable = reader.subscribe(durable).await.unwrap();
        let publishing = publish(&client, topic, enough);
        let mut report = Report::default();
        let (sender, receiver) = tokio::sync::watch::channel(None);
        let acknowledge = async {
            report.acknowledged = publishing.await;
            sender.send_replace(Some(report.acknowledged.len()));
        };
        let receiving = async {
            tokio::join!(receive(live, receiver.clone()), receive(durable, receiver.clone()))
        };
        let all = async { tokio::join!(acknowledge, receiving) };
        let ((), (live, durable)) = tokio::time::timeout(LONGEST, all).await.expect("an end");
        (report.live, report.durable) = (live, durable);
        client.close().await.unwrap();
        reader.close().await.unwrap();
        report
    })
}

async fn publish(client: &Client, topic: &str, enough: impl Fn(u64) -> bool) -> Vec<(u64, u64)> {
    let mut acknowledged = Vec::new();
    let mut tickets = VecDeque::new();
    let mut number = 0;
    loop {
        let more = !enough(number);
        if more {
            let request = PublishRequest::json(topic, &number).unwrap();
            tickets.push_back((number, client.enqueue(request).await));
            number += 1;
        }
        if tickets.len() < IN_FLIGHT && more {
            continue;
        }
        let Some((number, ticket)) = tickets.pop_front() else { return acknowledged };
        let position = ticket.await.unwrap().position().expect("published at once");
        acknowledged.push((position.offset.get(), number));
    }
}

/// The numbers a subscription gives, until there are as many as were acknowledged. What may come
/// too often is waited for a little.
async fn receive(
    mut subscription: Subscription,
    mut total: tokio::sync::watch::Receiver<Option<usize>>,
) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let known = *total.borrow_and_update();
        let surplus = known.is_some_and(|total| numbers.len() >= total);
        let event = tokio::select! {
            event = subscription.next() => event,
            Ok(()) = total.changed(), if known.is_none() => continue,
            () = tokio::time::sleep(Duration::from_millis(300)), if surplus => return numbers,
        };
        match event {
            Some(Event::Message(delivery)) => numbers.push(delivery.json().unwrap()),
            Some(Event::Reset(reset)) => panic!("nothing was trimmed: {reset:?}"),
            Some(Event::Ended(reason)) => panic!("the subscription ended: {reason}"),
            Some(_) => {}
            None => panic!("the client closed"),
        }
    }
}

impl Report {
    /// Asserts that the log holds exactly what was acknowledged, each once and where it was said to
    /// be, and that both subscriptions got all of it.
    pub(crate) fn check(self, server: &Server, topic: &str) {
        self.check_at(&["--url", &server.url()], topic);
    }

    /// The same for a server that is reached with these flags.
    pub(crate) fn check_at(mut self, flags: &[&str], topic: &str) {
        let lines = succeed(&[&["history", topic, "--limit", "0", "--json"], flags].concat());
        let parse = |line: &str| {
            let message: Value = serde_json::from_str(line).unwrap();
            (message["offset"].as_u64().unwrap(), message["data"].as_u64().unwrap())
        };
        let kept: BTreeMap<u64, u64> = lines.lines().map(parse).collect();
        let acknowledged: BTreeMap<u64, u64> = self.acknowledged.iter().copied().collect();
        assert_eq!(kept, acknowledged, "the log holds what was acknowledged, once");
        let in_order: Vec<u64> = kept.values().copied().collect();
        assert!(in_order.is_sorted(), "one publisher's messages are in its order");
        assert_eq!(self.live, in_order, "live: all, once, in order");
        // A redelivery waits for its turn, so later messages may overtake it.
        self.durable.sort_unstable();
        assert_eq!(self.durable, in_order, "durable: all, once");
    }
}
