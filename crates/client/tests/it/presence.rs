//! Who is on a topic: asked for, and told.

use std::time::Duration;

use tidings_client::{
    Client, Codec, ErrorCode, Event, Member, PresenceChange, PresenceError, Present,
    SubscribeRequest, Subscription,
};
use tidings_core::{ClientId, Timestamp, Topic, UserId};
use tidings_protocol::{ClientBody, ClientFrame, ServerBody};

use crate::peer::{Line, Peer, next, next_message, next_subscribed, place, within};

fn room() -> Topic {
    Topic::parse("room/1").unwrap()
}

fn member(user: &str) -> Member {
    Member {
        user: UserId::parse(user).unwrap(),
        client: ClientId::parse("phone").unwrap(),
        since: Timestamp::from_ms(1_795_000_000_000),
    }
}

fn joined(user: &str) -> PresenceChange {
    PresenceChange { topic: room(), joined: vec![member(user)], left: Vec::new(), reset: false }
}

fn request() -> SubscribeRequest {
    SubscribeRequest::live("room/1").unwrap().presence().unwrap()
}

async fn next_change(subscription: &mut Subscription) -> PresenceChange {
    match next(subscription).await {
        Event::Presence(change) => change,
        other => panic!("presence, not {other:?}"),
    }
}

async fn watching(peer: &Peer, request: SubscribeRequest) -> (Client, Line, Subscription) {
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let (subscription, asked) =
        tokio::join!(client.subscribe(request), line.subscribed(place(1, 0)));
    assert!(asked.presence);
    let mut subscription = subscription.unwrap();
    assert!(!next_subscribed(&mut subscription).await);
    assert!(next_change(&mut subscription).await.reset, "the list is asked for first of all");
    (client, line, subscription)
}

#[tokio::test]
async fn the_list_is_asked_for_and_again_after_a_disconnect() {
    for codec in Codec::ALL {
        let peer = Peer::with_codec(codec).await;
        let client = peer.builder().build().unwrap();
        let present = Present { topic: room(), members: vec![member("bob")], total: 7 };
        let answering = async {
            let (mut line, _) = peer.accept().await;
            line.next().await;
            drop(line);
            let (mut line, _) = peer.accept().await;
            let ClientFrame { id, body: ClientBody::Presence { topic } } = line.next().await else {
                panic!("a presence request")
            };
            assert_eq!(topic, room());
            line.reply(id, ServerBody::Present(present.clone())).await;
            line
        };
        let topic = room();
        let asking = within("the list", client.presence(&topic));
        let (told, mut line) = tokio::join!(asking, answering);
        assert_eq!(told.unwrap(), present);
        let refusing = async {
            let id = line.next().await.id;
            line.refuse(id, ErrorCode::Unsupported).await;
        };
        let (refused, ()) = tokio::join!(client.presence(&topic), refusing);
        let Err(PresenceError::Refused { error }) = refused else { panic!("a refusal") };
        assert_eq!(error.code, ErrorCode::Unsupported);
    }
}

#[tokio::test]
async fn events_come_with_the_messages_and_a_reset_after_a_disconnect() {
    let peer = Peer::start().await;
    let (_client, mut line, mut subscription) = watching(&peer, request()).await;
    line.messages("room/1", [1]).await;
    line.say(ServerBody::Presence(joined("bob"))).await;
    line.messages("room/1", [2]).await;
    next_message(&mut subscription).await;
    assert_eq!(next_change(&mut subscription).await, joined("bob"));
    next_message(&mut subscription).await;
    drop(line);
    let (mut line, _) = peer.accept().await;
    assert!(line.subscribed(place(1, 2)).await.presence);
    line.say(ServerBody::Presence(joined("eve"))).await;
    assert!(next_subscribed(&mut subscription).await);
    let reset = PresenceChange { joined: Vec::new(), reset: true, ..joined("bob") };
    assert_eq!(next_change(&mut subscription).await, reset);
    assert_eq!(next_change(&mut subscription).await, joined("eve"));
}

#[tokio::test]
async fn durable_and_shared_subscriptions_watch_too() {
    let durable = SubscribeRequest::durable("room/1", "phone").unwrap();
    let shared = SubscribeRequest::shared("room/1", "workers").unwrap();
    for request in [durable, shared] {
        let peer = Peer::start().await;
        let (_client, mut line, mut subscription) =
            watching(&peer, request.presence().unwrap()).await;
        line.say(ServerBody::Presence(joined("bob"))).await;
        assert_eq!(next_change(&mut subscription).await, joined("bob"));
    }
}

#[tokio::test]
async fn who_did_not_ask_is_not_told_and_a_filter_cannot_ask() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let request = SubscribeRequest::live("room/1").unwrap();
    let (subscription, asked) =
        tokio::join!(client.subscribe(request), line.subscribed(place(1, 0)));
    assert!(!asked.presence);
    let mut subscription = subscription.unwrap();
    next_subscribed(&mut subscription).await;
    line.say(ServerBody::Presence(joined("bob"))).await;
    line.messages("room/1", [1]).await;
    next_message(&mut subscription).await;
    let error = SubscribeRequest::live("room/+").unwrap().presence().unwrap_err();
    assert_eq!(
        error.to_string(),
        "who joins and leaves is told of one topic: `room/+` has wildcards, so name a topic"
    );
}

#[tokio::test]
async fn a_slow_application_that_missed_events_is_told_to_ask_anew() {
    let peer = Peer::start().await;
    let durable = SubscribeRequest::durable("room/1", "phone").unwrap().presence().unwrap();
    let (client, mut line, mut subscription) = watching(&peer, durable).await;
    // More than its queue takes, while another one waits for the connection.
    let count = 2000;
    for number in 0..count {
        line.say(ServerBody::Presence(joined(&number.to_string()))).await;
    }
    let other = SubscribeRequest::live("other").unwrap();
    let (other, _) = within("another subscription", async {
        tokio::join!(client.subscribe(other), line.subscribed(place(1, 0)))
    })
    .await;
    other.unwrap();
    let mut told = 0;
    loop {
        let change = next_change(&mut subscription).await;
        if change.reset {
            break;
        }
        assert_eq!(change, joined(&told.to_string()), "in order, without a gap");
        told += 1;
    }
    assert!(told < count, "some were missed");
    // From there on everything is told again.
    tokio::time::timeout(Duration::from_millis(200), subscription.next()).await.unwrap_err();
    line.say(ServerBody::Presence(joined("bob"))).await;
    assert_eq!(next_change(&mut subscription).await, joined("bob"));
}
