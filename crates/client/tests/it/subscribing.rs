//! Subscriptions go on where they were: nothing lost, nothing told twice.

use std::time::Duration;

use tidings_client::{
    AckMode, Client, Codec, EndReason, Event, StartFrom, SubscribeError, SubscribeRequest,
    Subscription,
};
use tidings_core::{Epoch, Filter, Offset, ResetReason};
use tidings_protocol::{
    Ack, AckWhich, ClientBody, ClientFrame, Nack, Reset, ServerBody, SubscribeMode, Subscribed,
    SubscribedPlace, UnsubscribeReason,
};

use crate::peer::{
    EPOCH, Line, Peer, at, message, next, next_message, next_subscribed, place, within,
};

/// A client with one subscription, whose server has said `told`.
async fn subscribed(
    peer: &Peer,
    request: SubscribeRequest,
    told: SubscribedPlace,
) -> (Client, Line, Subscription) {
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let (subscription, _) = tokio::join!(client.subscribe(request), line.subscribed(told));
    let mut subscription = subscription.unwrap();
    if told.recovered {
        assert!(!next_subscribed(&mut subscription).await);
    }
    (client, line, subscription)
}

fn durable() -> SubscribeRequest {
    SubscribeRequest::durable("user/alice", "phone").unwrap()
}

fn ack(which: AckWhich) -> ClientBody {
    ClientBody::Ack(Ack { sub: Filter::parse("user/alice").unwrap(), topic: None, which })
}

fn ack_through(offset: u64) -> ClientBody {
    ack(AckWhich::Through(Offset::new(offset)))
}

#[tokio::test]
async fn a_live_subscription_resumes_after_the_last_message() {
    for codec in Codec::ALL {
        let peer = Peer::with_codec(codec).await;
        let request = SubscribeRequest::live("room/42").unwrap();
        let (_client, mut line, mut subscription) = subscribed(&peer, request, place(1, 5)).await;
        line.messages("room/42", [6, 7]).await;
        assert_eq!(next_message(&mut subscription).await.position(), Some(at(6)));
        // 7 is in the client's hands though the application has not asked for it yet.
        line.say(ServerBody::Ping).await;
        assert_eq!(line.next().await.body, ClientBody::Pong);
        drop(line);
        let (mut line, _) = peer.accept().await;
        let asked = line.subscribed(place(1, 8)).await;
        assert_eq!(asked.mode, SubscribeMode::Live { from: StartFrom::After(at(7)) });
        line.messages("room/42", [7, 8]).await;
        assert_eq!(next_message(&mut subscription).await.offset(), Offset::new(7));
        assert!(next_subscribed(&mut subscription).await, "again");
        assert_eq!(next_message(&mut subscription).await.offset(), Offset::new(8));
        assert_eq!(subscription.position(), Some(at(8)));
    }
}

#[tokio::test]
async fn a_lost_place_is_told() {
    let peer = Peer::start().await;
    let lost =
        SubscribedPlace { recovered: false, reason: Some(ResetReason::Trimmed), ..place(10, 20) };
    let request = SubscribeRequest::live("t").unwrap().from(StartFrom::After(at(2)));
    let (_client, mut line, mut subscription) = subscribed(&peer, request, lost).await;
    let Event::Reset(reset) = next(&mut subscription).await else { panic!("a reset") };
    assert_eq!((reset.reason, reset.first), (ResetReason::Trimmed, Offset::new(10)));
    let reset = Reset {
        sub: Filter::parse("t").unwrap(),
        topic: tidings_core::Topic::parse("t").unwrap(),
        reason: ResetReason::EpochChanged,
        epoch: Epoch::new(8),
        first: Offset::FIRST,
        offset: Offset::new(3),
    };
    line.messages("t", [10]).await;
    line.say(ServerBody::Reset(reset.clone())).await;
    line.messages("t", [1]).await;
    assert_eq!(next_message(&mut subscription).await.position(), Some(at(10)));
    let Event::Reset(told) = next(&mut subscription).await else { panic!("a reset") };
    assert_eq!(told, reset);
    let position = next_message(&mut subscription).await.position().unwrap();
    assert_eq!((position.epoch, position.offset), (Epoch::new(8), Offset::FIRST));
}

#[tokio::test]
async fn a_log_that_was_lost_with_its_cursors_is_told() {
    let peer = Peer::start().await;
    let (_client, mut line, mut inbox) = subscribed(&peer, durable(), place(1, 3)).await;
    drop(line);
    (line, _) = peer.accept().await;
    // To the server it is a new cursor, which misses nothing.
    line.subscribed(SubscribedPlace { epoch: Epoch::new(8), ..place(1, 2) }).await;
    let Event::Reset(reset) = next(&mut inbox).await else { panic!("no reset") };
    assert_eq!(reset.reason, ResetReason::EpochChanged);
    assert_eq!((reset.epoch, reset.first), (Epoch::new(8), Offset::new(1)));
    drop(line);
    (line, _) = peer.accept().await;
    line.subscribed(SubscribedPlace { epoch: Epoch::new(8), ..place(1, 2) }).await;
    assert!(next_subscribed(&mut inbox).await, "once");
}

#[tokio::test]
async fn asking_for_the_next_message_acks_the_one_before() {
    let peer = Peer::start().await;
    let (_client, mut line, mut inbox) = subscribed(&peer, durable(), place(1, 3)).await;
    line.messages("user/alice", [1, 2]).await;
    next_message(&mut inbox).await;
    let early = tokio::time::timeout(Duration::from_millis(100), line.next()).await;
    assert!(early.is_err(), "not acked before the next is asked for: {early:?}");
    next_message(&mut inbox).await;
    assert_eq!(line.next().await.body, ack_through(1));
    assert!(tokio::time::timeout(Duration::from_millis(50), inbox.next()).await.is_err());
    assert_eq!(line.next().await.body, ack_through(2));
}

#[tokio::test]
async fn answers_reach_the_server_and_acks_are_cumulative() {
    let peer = Peer::start().await;
    let request = durable().ack(AckMode::Manual).window(16);
    let (_client, mut line, mut inbox) = subscribed(&peer, request, place(1, 9)).await;
    line.messages("user/alice", 1..=6).await;
    let mut hands = Vec::new();
    for _ in 0..6 {
        hands.push(next_message(&mut inbox).await);
    }
    let mut hands = hands.into_iter();
    let mut take = || hands.next().unwrap();
    take().ack();
    take().ack();
    assert_eq!(last_ack(&mut line, ack_through(2)).await, ack_through(2));
    let third = take();
    third.extend(Duration::from_secs(60)).await;
    let ClientBody::Extend(extend) = line.next().await.body else { panic!("an extend") };
    assert_eq!((extend.offset, extend.by), (Offset::new(3), Duration::from_secs(60)));
    third.nack(Some(Duration::from_millis(5)), Some("db down"));
    let ClientBody::Nack(nack) = line.next().await.body else { panic!("a nack") };
    assert_eq!(
        nack,
        Nack {
            sub: Filter::parse("user/alice").unwrap(),
            topic: None,
            offset: Offset::new(3),
            delay: Some(Duration::from_millis(5)),
            reason: Some("db down".to_owned()),
            dead: false,
        }
    );
    take().ack();
    let each = |offset| ack(AckWhich::Each(vec![Offset::new(offset)]));
    assert_eq!(line.next().await.body, each(4), "3 is not acked with it");
    take().give_up(Some("never"));
    let ClientFrame { id: Some(id), body: ClientBody::Nack(nack) } = line.next().await else {
        panic!("giving up wants an answer")
    };
    assert!(nack.dead && nack.offset == Offset::new(5));
    line.reply(Some(id), ServerBody::Settled { count: 1 }).await;
    line.say_all([message("user/alice", 3, 2)]).await;
    let third = next_message(&mut inbox).await;
    assert_eq!(third.attempt(), 2);
    third.ack();
    assert_eq!(line.next().await.body, ack_through(5));
}

/// Acks may leave one by one or together: reads until `wanted`, or what is no ack.
async fn last_ack(line: &mut Line, wanted: ClientBody) -> ClientBody {
    loop {
        let body = line.next().await.body;
        if body == wanted || !matches!(body, ClientBody::Ack(_)) {
            return body;
        }
    }
}

#[tokio::test]
async fn a_message_is_handed_out_once_even_if_its_ack_was_lost() {
    let peer = Peer::start().await;
    let request = durable().ack(AckMode::Manual);
    let (_client, mut line, mut inbox) = subscribed(&peer, request, place(1, 3)).await;
    line.messages("user/alice", [1, 2, 3]).await;
    let first = next_message(&mut inbox).await;
    let second = next_message(&mut inbox).await;
    let third = next_message(&mut inbox).await;
    first.ack();
    assert_eq!(line.next().await.body, ack_through(1));
    drop(line);
    let (mut line, _) = peer.accept().await;
    second.ack();
    let asked = line.subscribed(place(1, 4)).await;
    assert!(matches!(asked.mode, SubscribeMode::Durable { .. }));
    // The server never saw an ack, and repeats all three.
    line.say_all((1..=3).map(|offset| message("user/alice", offset, 2))).await;
    assert_eq!(last_ack(&mut line, ack_through(2)).await, ack_through(2));
    third.ack();
    assert_eq!(line.next().await.body, ack_through(3));
    line.messages("user/alice", [4]).await;
    assert!(next_subscribed(&mut inbox).await);
    assert_eq!(next_message(&mut inbox).await.offset(), Offset::new(4));
}

#[tokio::test]
async fn dropping_a_subscription_unsubscribes_after_its_acks() {
    let peer = Peer::start().await;
    let request = durable().ack(AckMode::Manual);
    let (client, mut line, mut inbox) = subscribed(&peer, request.clone(), place(1, 1)).await;
    line.messages("user/alice", [1]).await;
    next_message(&mut inbox).await.ack();
    drop(inbox);
    assert_eq!(line.next().await.body, ack_through(1));
    let sub = Filter::parse("user/alice").unwrap();
    assert_eq!(line.next().await.body, ClientBody::Unsubscribe { sub });
    let (again, _) = tokio::join!(client.subscribe(request), line.subscribed(place(1, 1)));
    again.unwrap();
}

#[tokio::test]
async fn an_ack_before_subscribing_again_counts() {
    let peer = Peer::start().await;
    let request = durable().ack(AckMode::Manual);
    let (client, mut line, mut inbox) = subscribed(&peer, request.clone(), place(1, 99)).await;
    // The ack and the next subscribe take different ways to the task, and either may be first.
    for offset in 1..=20 {
        line.messages("user/alice", [offset]).await;
        next_message(&mut inbox).await.ack();
        drop(inbox);
        let serving = async {
            assert_eq!(line.next().await.body, ack_through(offset));
            assert!(matches!(line.next().await.body, ClientBody::Unsubscribe { .. }));
            line.subscribed(place(1, 99)).await;
        };
        let (again, ()) = tokio::join!(client.subscribe(request.clone()), serving);
        inbox = again.unwrap();
        next_subscribed(&mut inbox).await;
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let peer = Peer::start().await;
    let (client, mut line, _inbox) = subscribed(&peer, durable(), place(1, 0)).await;
    let error = client.subscribe(durable()).await.unwrap_err();
    assert!(matches!(error, SubscribeError::AlreadySubscribed { .. }), "{error}");
    let overlapping = SubscribeRequest::live("user/#").unwrap();
    let error = client.subscribe(overlapping).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`user/#` overlaps with this client's subscription to `user/alice`, and one of them is \
         durable: use a second client for one of them"
    );
    let refusing = async {
        let (id, _) = line.next_subscribe().await;
        line.refuse(id, tidings_client::ErrorCode::PermissionDenied).await;
    };
    let request = SubscribeRequest::live("secret").unwrap();
    let (refused, ()) = tokio::join!(client.subscribe(request), refusing);
    assert!(matches!(refused, Err(SubscribeError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_server_can_end_a_subscription_and_the_client_goes_on() {
    let peer = Peer::start().await;
    let (client, mut line, mut inbox) = subscribed(&peer, durable(), place(1, 0)).await;
    let sub = Filter::parse("user/alice").unwrap();
    let reason = Some(UnsubscribeReason::TakenOver);
    line.say(ServerBody::Unsubscribed { sub, reason }).await;
    let Event::Ended(EndReason::Server(reason)) = next(&mut inbox).await else { panic!("an end") };
    assert_eq!(reason, UnsubscribeReason::TakenOver);
    let request = SubscribeRequest::live("other").unwrap();
    let (other, _) = tokio::join!(client.subscribe(request), line.subscribed(place(1, 0)));
    other.unwrap();
}

#[tokio::test]
async fn overlapping_live_subscriptions_each_get_a_message_once() {
    let peer = Peer::start().await;
    let request = SubscribeRequest::live("room/+").unwrap();
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let answering = async {
        let (id, asked) = line.next_subscribe().await;
        let subscribed = Subscribed { sub: asked.sub, place: None, pending: None, durable: None };
        line.reply(id, ServerBody::Subscribed(subscribed)).await;
    };
    let (all, ()) = tokio::join!(client.subscribe(request), answering);
    let mut all = all.unwrap();
    assert!(matches!(next(&mut all).await, Event::Subscribed { place: None, again: false }));
    line.messages("room/1", [5]).await;
    let delivery = next_message(&mut all).await;
    assert_eq!((delivery.position(), delivery.offset()), (None, Offset::new(5)));
    let request = SubscribeRequest::live("room/1").unwrap().from(StartFrom::First);
    let (one, _) = tokio::join!(client.subscribe(request), line.subscribed(place(5, 5)));
    let mut one = one.unwrap();
    next_subscribed(&mut one).await;
    line.messages("room/1", [5, 6]).await;
    for offset in [5, 6] {
        assert_eq!(next_message(&mut one).await.offset(), Offset::new(offset));
    }
    assert_eq!(next_message(&mut all).await.offset(), Offset::new(6));
}

#[tokio::test]
async fn history_is_read_and_asked_for_again_after_a_disconnect() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let request = tidings_client::HistoryRequest {
        topic: tidings_core::Topic::parse("t").unwrap(),
        from: tidings_client::HistoryFrom::First,
        limit: Some(10),
    };
    let answering = async {
        let (mut line, _) = peer.accept().await;
        line.next().await;
        drop(line);
        let (mut line, _) = peer.accept().await;
        let frame = line.next().await;
        let ServerBody::Message(only) = message("t", 4, 1).body else { panic!("a message") };
        let history = tidings_client::History {
            topic: only.topic.clone(),
            epoch: EPOCH,
            offset: Offset::new(4),
            first: Offset::new(4),
            recovered: true,
            more: false,
            messages: vec![only],
        };
        line.reply(frame.id, ServerBody::History(history)).await;
        line
    };
    let (history, _line) =
        within("history", async { tokio::join!(client.history(request), answering) }).await;
    assert_eq!(history.unwrap().messages.len(), 1);
}
