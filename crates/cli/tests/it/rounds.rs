//! Fifty rounds of `kill -9` at random moments under load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tidings_client::{Client, PublishRequest};

use crate::program::{Dice, Server};

const ROUNDS: u32 = 50;
const PUBLISHERS: usize = 4;
const IN_FLIGHT: usize = 64;
const TOPIC: &str = "rounds";

/// What was acknowledged: offset and text.
type Acknowledged = Vec<(u64, String)>;

#[test]
fn every_acknowledged_publish_survives_fifty_kills_in_order_and_once() {
    let mut dice = Dice::new();
    let mut server = Server::dev();
    let stop = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (url, stop) = (server.url(), Arc::clone(&stop));
            std::thread::spawn(move || publish(&url, publisher, &stop))
        })
        .collect();
    for _ in 0..ROUNDS {
        std::thread::sleep(Duration::from_millis(20 + dice.below(130)));
        server.kill();
        server.start();
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<_> = publishers.into_iter().map(|p| p.join().unwrap()).collect();
    let kept = kept(&server);
    let total: usize = acknowledged.iter().map(Vec::len).sum();
    println!("{total} acknowledged, {} kept", kept.len());
    assert!(total > ROUNDS as usize * IN_FLIGHT, "hardly anything was acknowledged: {total}");
    for (offset, text) in acknowledged.iter().flatten() {
        assert_eq!(kept.get(offset), Some(text), "acknowledged at offset {offset}");
    }
    let distinct: BTreeSet<_> = kept.values().collect();
    assert_eq!(distinct.len(), kept.len(), "a message was kept twice");
    for publisher in 0..PUBLISHERS {
        let prefix = format!("{publisher}-");
        let own = kept.values().filter_map(|text| text.strip_prefix(&prefix));
        assert!(own.map(|n| n.parse::<u64>().unwrap()).is_sorted(), "{publisher} is out of order");
    }
}

/// Publishes numbered texts until told to stop; the client comes back after every kill.
fn publish(url: &str, publisher: usize, stop: &AtomicBool) -> Acknowledged {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let patience = Duration::from_millis(200);
        let client =
            Client::builder(url).backoff(Duration::from_millis(5), patience).build().unwrap();
        let mut acknowledged = Vec::new();
        let mut number = 0u64;
        while !stop.load(Ordering::Relaxed) {
            let mut tickets = Vec::new();
            for _ in 0..IN_FLIGHT {
                let text = format!("{publisher}-{number}");
                number += 1;
                let request = PublishRequest::text(TOPIC, &text).unwrap();
                tickets.push((text, client.enqueue(request).await));
            }
            for (text, ticket) in tickets {
                let published = ticket.await.unwrap();
                let position = published.position().expect("published at once");
                acknowledged.push((position.offset.get(), text));
            }
        }
        client.close().await.unwrap();
        acknowledged
    })
}

/// Everything the log holds, by offset.
fn kept(server: &Server) -> BTreeMap<u64, String> {
    let lines = server.client(&["history", TOPIC, "--limit", "0", "--json"]);
    let parse = |line: &str| {
        let message: Value = serde_json::from_str(line).unwrap();
        (message["offset"].as_u64().unwrap(), message["data"].as_str().unwrap().to_owned())
    };
    lines.lines().map(parse).collect()
}
