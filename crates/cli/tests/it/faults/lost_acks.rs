//! A publisher whose acknowledgement is lost tries again, elsewhere, many times, and over a crash.

use std::collections::BTreeSet;
use std::time::Duration;

use tidings_client::{DedupKey, PublishOutcome, PublishRequest};

use super::proxy::{Link, Proxy};
use super::traffic::client;
use crate::program::{Server, wait_for};

const ROUNDS: u64 = 12;

/// Tries at the same time.
const RETRIES: usize = 10;

#[test]
fn a_publish_whose_ack_was_lost_is_stored_once() {
    let mut server = Server::dev();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for round in 0..ROUNDS {
        let proxy = Proxy::start(server.port, |_| Link::CLEAN);
        let first = runtime.block_on(async {
            let first = client(&proxy.url()).build().unwrap();
            first.ready().await.unwrap();
            first
        });
        // The publish arrives, and is stored; the answer does not.
        proxy.swallow_down();
        let unanswered = runtime.spawn({
            let request = request(round);
            async move { first.publish(request).await }
        });
        wait_for("the message to be stored", || (stored(&server) > round).then_some(()));
        assert!(!unanswered.is_finished(), "the answer was to be lost");
        // In a third of the rounds nothing happens in between, in the others the server dies; in
        // half of those while the retries are under way.
        match round % 3 {
            0 => {}
            1 => {
                server.kill();
                server.start();
            }
            _ => {
                let retries = retry(&runtime, &server, round);
                std::thread::sleep(Duration::from_millis(round));
                server.kill();
                server.start();
                check(&runtime, retries, round);
            }
        }
        check(&runtime, retry(&runtime, &server, round), round);
        unanswered.abort();
        assert_eq!(stored(&server), round + 1, "stored twice");
    }
}

fn request(round: u64) -> PublishRequest {
    let key = DedupKey::parse(&format!("order-{round}")).unwrap();
    PublishRequest::json("orders", &round).unwrap().key(key)
}

type Retry = tokio::task::JoinHandle<PublishOutcome>;

/// The same publish on connections of their own, all at once.
fn retry(runtime: &tokio::runtime::Runtime, server: &Server, round: u64) -> Vec<Retry> {
    let url = server.url();
    let publish = move |url: String| async move {
        let client = client(&url).build().unwrap();
        let published = client.publish(request(round)).await.unwrap();
        client.close().await.unwrap();
        published
    };
    (0..RETRIES).map(|_| runtime.spawn(publish(url.clone()))).collect()
}

/// All of them were told the one place.
fn check(runtime: &tokio::runtime::Runtime, retries: Vec<Retry>, round: u64) {
    let mut places = BTreeSet::new();
    for retry in retries {
        let retry = async { tokio::time::timeout(crate::program::PATIENCE, retry).await };
        let published = runtime.block_on(retry).expect("an answer in time").unwrap();
        assert!(published.is_duplicate(), "round {round}: taken for a new message");
        let position = published.position().expect("published at once");
        places.insert((position.offset.get(), published.id().to_string()));
    }
    assert_eq!(places.len(), 1, "round {round}: {places:?}");
}

/// Messages in the log.
fn stored(server: &Server) -> u64 {
    server.client(&["history", "orders", "--limit", "0", "--json"]).lines().count() as u64
}
