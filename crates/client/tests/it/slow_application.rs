//! A slow application loses nothing, and holds nobody else up.

use std::time::Duration;

use tidings_client::{Client, Event, PublishRequest, StartFrom, SubscribeRequest, Subscription};
use tidings_core::{Epoch, Filter, Offset, Position, ResetReason, Topic};
use tidings_protocol::{
    Ack, AckWhich, ClientBody, Reset, ServerBody, SubscribeMode, Subscribed, SubscribedPlace,
};

use crate::peer::{Line, Peer, next, next_message, next_subscribed, place, within};

async fn subscribed(peer: &Peer, filter: &str, queue: usize) -> (Client, Line, Subscription) {
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let request = SubscribeRequest::live(filter).unwrap().queue(queue);
    let answering = async {
        let (id, asked) = line.next_subscribe().await;
        let place = asked.sub.as_topic().map(|_| place(1, 0));
        let subscribed = Subscribed { sub: asked.sub, place, pending: None, durable: None };
        line.reply(id, ServerBody::Subscribed(subscribed)).await;
    };
    let (subscription, ()) = tokio::join!(client.subscribe(request), answering);
    let mut subscription = subscription.unwrap();
    next_subscribed(&mut subscription).await;
    (client, line, subscription)
}

#[tokio::test]
async fn alone_it_makes_the_server_wait() {
    let mut peer = Peer::start().await;
    peer.connected.ping = Duration::from_millis(400);
    let (_client, mut line, mut subscription) = subscribed(&peer, "t", 8).await;
    line.messages("t", 1..=100).await;
    // Longer than a stall may hold others up, and longer than silence may last.
    for _ in 0..5 {
        assert_eq!(line.next().await.body, ClientBody::Ping, "the server goes on hearing from it");
    }
    for offset in 1..=100 {
        assert_eq!(next_message(&mut subscription).await.offset(), Offset::new(offset));
    }
}

#[tokio::test]
async fn with_others_waiting_it_falls_behind_and_comes_back_to_the_log() {
    let peer = Peer::start().await;
    let (client, mut line, mut subscription) = subscribed(&peer, "t", 8).await;
    line.messages("t", 1..=100).await;
    // The answer is behind a hundred messages that nobody takes.
    let ticket = client.enqueue(PublishRequest::json("x", &1).unwrap()).await;
    let (id, ..) = line.next_publish().await;
    line.published(id, 1).await;
    within("the answer", ticket).await.unwrap();
    assert!(matches!(line.next().await.body, ClientBody::Unsubscribe { .. }));
    // What follows while it is behind is not kept either.
    line.messages("t", 101..=110).await;
    let reading = async {
        for offset in 1..=110 {
            assert_eq!(next_message(&mut subscription).await.offset(), Offset::new(offset));
        }
    };
    let serving = async {
        let asked = line.subscribed(place(1, 110)).await;
        let SubscribeMode::Live { from: StartFrom::After(after) } = asked.mode else {
            panic!("it goes on from its place")
        };
        assert_eq!(after.offset, Offset::new(8), "a queue full was kept");
        line.messages("t", after.offset.get() + 1..=110).await;
    };
    within("both", async { tokio::join!(reading, serving) }).await;
}

#[tokio::test]
async fn with_wildcards_it_hears_how_much_it_missed() {
    let peer = Peer::start().await;
    let (client, mut line, mut subscription) = subscribed(&peer, "#", 8).await;
    line.messages("t", 1..=100).await;
    let ticket = client.enqueue(PublishRequest::json("x", &1).unwrap()).await;
    let (id, ..) = line.next_publish().await;
    line.published(id, 1).await;
    within("the answer", ticket).await.unwrap();
    let mut received = 0;
    let missed = loop {
        match next(&mut subscription).await {
            Event::Message(_) => received += 1,
            Event::Missed { count } => break count,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((received, missed), (8, 92));
    line.messages("t", [101]).await;
    assert_eq!(next_message(&mut subscription).await.offset(), Offset::new(101));
}

#[tokio::test]
async fn a_dropped_subscription_does_not_hold_up_the_others() {
    let peer = Peer::start().await;
    let (client, mut line, subscription) = subscribed(&peer, "t", 8).await;
    line.messages("t", 1..=100).await;
    drop(subscription);
    client.enqueue(PublishRequest::json("x", &1).unwrap()).await;
    let mut bodies = Vec::new();
    for _ in 0..2 {
        bodies.push(line.next().await.body);
    }
    assert!(bodies.iter().any(|body| matches!(body, ClientBody::Unsubscribe { .. })));
    assert!(bodies.iter().any(|body| matches!(body, ClientBody::Publish(_))));
    line.say(ServerBody::Ping).await;
    assert_eq!(line.next().await.body, ClientBody::Pong, "it reads on");
}

#[tokio::test]
async fn a_reset_that_found_no_room_is_told_before_what_follows() {
    let peer = Peer::start().await;
    let (client, mut line, mut subscription) = subscribed(&peer, "t", 2).await;
    line.messages("t", [1, 2]).await;
    let reset = Reset {
        sub: Filter::parse("t").unwrap(),
        topic: Topic::parse("t").unwrap(),
        reason: ResetReason::EpochChanged,
        epoch: Epoch::new(8),
        first: Offset::FIRST,
        offset: Offset::FIRST,
    };
    line.say(ServerBody::Reset(reset.clone())).await;
    let ticket = client.enqueue(PublishRequest::json("x", &1).unwrap()).await;
    let (id, ..) = line.next_publish().await;
    line.published(id, 1).await;
    within("the answer", ticket).await.unwrap();
    assert!(matches!(line.next().await.body, ClientBody::Unsubscribe { .. }));
    for offset in [1, 2] {
        assert_eq!(next_message(&mut subscription).await.offset(), Offset::new(offset));
    }
    let told = SubscribedPlace { epoch: Epoch::new(8), ..place(1, 1) };
    let asked = line.subscribed(told).await;
    let after = Position { epoch: Epoch::new(8), offset: Offset::ORIGIN };
    assert_eq!(asked.mode, SubscribeMode::Live { from: StartFrom::After(after) });
    line.messages("t", [1]).await;
    let Event::Reset(told) = next(&mut subscription).await else { panic!("a reset") };
    assert_eq!(told, reset);
    assert_eq!(next_message(&mut subscription).await.offset(), Offset::FIRST);
}

/// Prints the rate; what it asserts is that nothing is lost and that acks leave in batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_inbox_is_drained_within_its_window() {
    const COUNT: u64 = 100_000;
    const WINDOW: u64 = 1024;
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let serving = tokio::spawn(async move {
        let (mut line, _) = peer.accept().await;
        line.subscribed(place(1, COUNT)).await;
        let (mut acked, mut sent, mut acks) = (0, 0, 0u64);
        while acked < COUNT {
            let until = (acked + WINDOW).min(COUNT);
            while sent < until {
                let last = (sent + 64).min(until);
                line.messages("inbox", sent + 1..=last).await;
                sent = last;
            }
            match line.next().await.body {
                ClientBody::Ack(Ack { which: AckWhich::Through(through), .. }) => {
                    assert!((acked..=sent).contains(&through.get()));
                    (acked, acks) = (through.get(), acks + 1);
                }
                other => panic!("a cumulative ack, not {other:?}"),
            }
        }
        acks
    });
    let request = SubscribeRequest::durable("inbox", "d").unwrap();
    let mut inbox = client.subscribe(request).await.unwrap();
    next_subscribed(&mut inbox).await;
    let start = std::time::Instant::now();
    for offset in 1..=COUNT {
        assert_eq!(next_message(&mut inbox).await.offset(), Offset::new(offset));
    }
    let rate = COUNT as f64 / start.elapsed().as_secs_f64();
    // Asking for one more acks the last.
    assert!(tokio::time::timeout(Duration::from_millis(100), inbox.next()).await.is_err());
    let acks = within("the peer", serving).await.unwrap();
    println!("{rate:.0} deliveries/s with {acks} acks");
    assert!(acks < COUNT / 2, "{acks} acks");
}
