//! The inbox that the server subscribes by itself.

use std::time::Duration;

use tidings_client::{
    AckMode, Client, ClientBuilder, ClientId, Codec, SubscribeError, SubscribeRequest,
};
use tidings_core::{Filter, Offset, SubscriptionName};
use tidings_protocol::{
    Ack, AckWhich, ClientBody, ServerBody, SubscribeMode, Subscribed, SubscribedPlace,
};

use crate::peer::{Line, Peer, message, next_message, next_subscribed, place, within};

fn sub() -> Filter {
    Filter::parse("user/alice").unwrap()
}

fn builder(peer: &Peer) -> ClientBuilder {
    peer.builder().client_id(ClientId::parse("phone").unwrap())
}

impl Line {
    /// Says that the server has subscribed the inbox.
    async fn announce(&mut self, place: SubscribedPlace) {
        let durable = Some(SubscriptionName::parse("phone").unwrap());
        let subscribed = Subscribed { sub: sub(), place: Some(place), pending: None, durable };
        self.say(ServerBody::Subscribed(subscribed)).await;
    }
}

async fn inbox_of(client: &Client) -> tidings_client::Subscription {
    within("the inbox", client.inbox(AckMode::Manual)).await.unwrap()
}

#[tokio::test]
async fn an_inbox_is_taken_when_the_server_starts_it_and_again_after_a_disconnect() {
    for codec in Codec::ALL {
        let peer = Peer::with_codec(codec).await;
        let client = builder(&peer).build().unwrap();
        let serving = async {
            let (mut line, _) = peer.accept().await;
            line.announce(place(1, 2)).await;
            line.messages("user/alice", [1, 2]).await;
            line
        };
        let (mut inbox, mut line) = tokio::join!(inbox_of(&client), serving);
        assert!(!next_subscribed(&mut inbox).await);
        let first = next_message(&mut inbox).await;
        next_message(&mut inbox).await.ack();
        let which = AckWhich::Each(vec![Offset::new(2)]);
        let ack = Ack { sub: sub(), topic: None, which };
        assert_eq!(line.next().await.body, ClientBody::Ack(ack));
        drop(line);
        let (mut line, _) = peer.accept().await;
        line.announce(place(1, 3)).await;
        line.say_all(
            [(1, 2), (3, 1)].map(|(offset, attempt)| message("user/alice", offset, attempt)),
        )
        .await;
        assert!(next_subscribed(&mut inbox).await);
        assert_eq!(next_message(&mut inbox).await.offset(), Offset::new(3));
        first.ack();
        let which = AckWhich::Through(Offset::new(2));
        let ack = Ack { sub: sub(), topic: None, which };
        assert_eq!(line.next().await.body, ClientBody::Ack(ack), "and nothing was asked for");
    }
}

#[tokio::test]
async fn an_inbox_that_nobody_wants_is_declined_and_can_be_had_later() {
    let peer = Peer::start().await;
    let client = builder(&peer).build().unwrap();
    let (mut line, _) = peer.accept().await;
    line.announce(place(1, 1)).await;
    line.messages("user/alice", [1]).await;
    assert_eq!(line.next().await.body, ClientBody::Unsubscribe { sub: sub() });
    // The server says it once per connection, so now it has to be asked for.
    let (mut inbox, asked) = tokio::join!(inbox_of(&client), line.subscribed(place(1, 1)));
    let SubscribeMode::Durable { name, .. } = asked.mode else { panic!("a durable one") };
    assert_eq!((asked.sub, name.as_str()), (sub(), "phone"));
    next_subscribed(&mut inbox).await;
    line.say_all([message("user/alice", 1, 2)]).await;
    assert_eq!(next_message(&mut inbox).await.attempt(), 2);
    let error = client.inbox(AckMode::Auto).await.unwrap_err();
    assert!(matches!(error, SubscribeError::AlreadySubscribed { .. }), "{error}");
    // Dropped, it is declined from then on.
    drop(inbox);
    assert_eq!(line.next().await.body, ClientBody::Unsubscribe { sub: sub() });
    drop(line);
    let (mut line, _) = peer.accept().await;
    line.announce(place(1, 1)).await;
    assert_eq!(line.next().await.body, ClientBody::Unsubscribe { sub: sub() });
}

#[tokio::test]
async fn what_the_application_asks_for_itself_comes_first() {
    let peer = Peer::start().await;
    let client = builder(&peer).build().unwrap();
    let request = SubscribeRequest::durable("user/alice", "tablet").unwrap();
    let serving = async {
        let (mut line, _) = peer.accept().await;
        line.announce(place(1, 1)).await;
        line.messages("user/alice", [1]).await;
        line.subscribed(place(1, 1)).await;
        line.messages("user/alice", [1]).await;
        line
    };
    let (subscription, mut line) = tokio::join!(client.subscribe(request), serving);
    let mut subscription = subscription.unwrap();
    assert!(!next_subscribed(&mut subscription).await);
    next_message(&mut subscription).await;
    line.say(ServerBody::Ping).await;
    assert_eq!(line.next().await.body, ClientBody::Pong, "nothing is declined");
}

#[tokio::test]
async fn an_inbox_that_overlaps_is_refused_with_the_reason_and_declined() {
    let peer = Peer::start().await;
    let client = builder(&peer).build().unwrap();
    let (mut line, _) = peer.accept().await;
    let live = SubscribeRequest::live("user/#").unwrap();
    let (live, _) = tokio::join!(client.subscribe(live), line.subscribed_filter());
    let _live = live.unwrap();
    let announcing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        line.announce(place(1, 1)).await;
        line.next().await.body
    };
    let (refused, declined) = tokio::join!(client.inbox(AckMode::Auto), announcing);
    assert!(matches!(refused, Err(SubscribeError::Overlaps { .. })), "{refused:?}");
    assert_eq!(declined, ClientBody::Unsubscribe { sub: sub() });
}

#[tokio::test]
async fn an_inbox_that_the_server_no_longer_starts_is_asked_for() {
    let peer = Peer::start().await;
    let client = builder(&peer).build().unwrap();
    let serving = async {
        let (mut line, _) = peer.accept().await;
        line.announce(place(1, 0)).await;
        line
    };
    let (mut inbox, line) = tokio::join!(inbox_of(&client), serving);
    next_subscribed(&mut inbox).await;
    drop(line);
    let (mut line, _) = peer.accept().await;
    let asked = line.subscribed(place(1, 0)).await;
    assert!(matches!(asked.mode, SubscribeMode::Durable { .. }));
    assert!(next_subscribed(&mut inbox).await);
}

#[tokio::test]
async fn a_client_without_a_name_has_no_inbox_and_the_end_is_told() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let error = client.inbox(AckMode::Auto).await.unwrap_err();
    assert!(matches!(error, SubscribeError::InboxWithoutName), "{error}");
    let client = builder(&peer).build().unwrap();
    let closing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.clone().close().await
    };
    let (ended, _) =
        within("the end", async { tokio::join!(client.inbox(AckMode::Auto), closing) }).await;
    assert!(matches!(ended, Err(SubscribeError::Closed { .. })), "{ended:?}");
}
