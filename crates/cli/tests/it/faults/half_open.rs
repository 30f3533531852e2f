//! Connections over which nothing passes any more, though both sides believe in them.

use std::time::{Duration, Instant};

use tidings_client::{AckMode, Delivery, Event, PublishRequest, SubscribeRequest, Subscription};

use super::proxy::{Link, Proxy};
use super::traffic::client;
use crate::program::{Server, wait_for};

/// A server that asks after a second of silence, and waits for another.
const QUICK: &str = r##"
[auth]
open = true

[limits]
ping_interval = "1s"
pong_timeout = "1s"

[[topic]]
match = "#"
backoff_base = "10ms"
"##;

/// Two heartbeats, and what a busy machine adds.
const FOUND_WITHIN: Duration = Duration::from_millis(2_000 + 2_500);

#[derive(Clone, Copy, Debug)]
enum Hole {
    Up,
    Down,
    Both,
}

#[test]
fn a_dead_peer_is_found_and_what_it_held_is_delivered_again() {
    for hole in [Hole::Up, Hole::Down, Hole::Both] {
        let mut server = Server::serve(QUICK);
        server.start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let proxy = Proxy::start(server.port, |_| Link::CLEAN);
        runtime.block_on(lose(&server, &proxy, hole));
    }
}

async fn lose(server: &Server, proxy: &Proxy, hole: Hole) {
    let lost = client(&proxy.url()).build().unwrap();
    let mut held = lost.subscribe(by_hand()).await.unwrap();
    let publisher = client(&server.url()).build().unwrap();
    publisher.publish(PublishRequest::text("jobs", "work").unwrap()).await.unwrap();
    let delivery = message(&mut held).await;
    assert_eq!(delivery.attempt(), 1);
    // The application works on it when the link goes, and its ack never arrives.
    match hole {
        Hole::Up => proxy.swallow_up(),
        Hole::Down => proxy.swallow_down(),
        Hole::Both => {
            proxy.swallow_up();
            proxy.swallow_down();
        }
    }
    let begin = Instant::now();
    wait_for("the dead peer to be found", || {
        let count = server.metric("tidings_closes_total{code=\"pong_timeout\"}");
        (count >= 1.0).then_some(())
    });
    let found = begin.elapsed();
    println!("{hole:?}: found after {found:?}");
    assert!(found <= FOUND_WITHIN, "{hole:?}: found after {found:?}");
    // Elsewhere the same subscription gets the message, and is told that it is a repeat.
    let elsewhere = client(&server.url()).build().unwrap();
    let mut inbox = elsewhere.subscribe(by_hand()).await.unwrap();
    let again = message(&mut inbox).await;
    assert_eq!((again.offset(), again.attempt()), (delivery.offset(), 2));
    again.ack();
    elsewhere.close().await.unwrap();
    publisher.close().await.unwrap();
}

fn by_hand() -> SubscribeRequest {
    SubscribeRequest::durable("jobs", "worker").unwrap().ack(AckMode::Manual)
}

async fn message(subscription: &mut Subscription) -> Delivery {
    loop {
        let event = tokio::time::timeout(crate::program::PATIENCE, subscription.next()).await;
        match event.expect("an event in time") {
            Some(Event::Message(delivery)) => return delivery,
            Some(Event::Reset(reset)) => panic!("nothing was trimmed: {reset:?}"),
            Some(_) => {}
            None => panic!("the client closed"),
        }
    }
}
