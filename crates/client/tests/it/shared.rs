//! A member of a group takes its messages, and answers for each of them.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_client::{
    AckMode, Client, Codec, Delivery, Event, StartFrom, SubscribeError, SubscribeRequest,
    Subscription,
};
use tidings_core::{Epoch, Filter, GroupName, Offset, ResetReason, Topic};
use tidings_protocol::{
    Ack, AckWhich, ClientBody, ClientFrame, Nack, Reset, ServerBody, SubscribeMode,
};

use crate::peer::{
    Line, Peer, at, next, next_message, next_subscribed, place, shared_message, within,
};

const JOBS: &str = "jobs/#";

fn jobs() -> SubscribeRequest {
    SubscribeRequest::shared(JOBS, "workers").unwrap().ack(AckMode::Manual)
}

/// A client that is a member of a group.
async fn member(peer: &Peer, request: SubscribeRequest) -> (Client, Line, Subscription) {
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let (subscription, _) = tokio::join!(client.subscribe(request), line.subscribed_filter());
    let mut subscription = subscription.unwrap();
    assert!(!next_subscribed(&mut subscription).await);
    (client, line, subscription)
}

async fn take(subscription: &mut Subscription, count: usize) -> BTreeMap<(String, u64), Delivery> {
    let mut hands = BTreeMap::new();
    for _ in 0..count {
        let delivery = next_message(subscription).await;
        let name = (delivery.topic().to_string(), delivery.offset().get());
        assert!(hands.insert(name, delivery).is_none(), "each comes once");
    }
    hands
}

/// Reads acks until `count` messages are acked: which, by topic.
async fn acks(line: &mut Line, count: usize) -> Vec<(Option<String>, u64)> {
    let mut acked = Vec::new();
    while acked.len() < count {
        let ClientBody::Ack(Ack { sub, topic, which: AckWhich::Each(offsets) }) =
            line.next().await.body
        else {
            panic!("single acks and nothing else")
        };
        assert_eq!(sub.as_str(), JOBS);
        let topic = topic.map(|topic| topic.to_string());
        acked.extend(offsets.into_iter().map(|offset| (topic.clone(), offset.get())));
    }
    acked.sort();
    acked
}

fn of(topic: &str, offset: u64) -> (Option<String>, u64) {
    (Some(topic.to_owned()), offset)
}

#[tokio::test]
async fn acks_of_a_member_are_single_and_name_the_topic() {
    for codec in Codec::ALL {
        let peer = Peer::with_codec(codec).await;
        let client = peer.builder().build().unwrap();
        let (mut line, _) = peer.accept().await;
        let joining = client.subscribe(jobs().window(16).from(StartFrom::New));
        let (subscription, asked) = tokio::join!(joining, line.subscribed_filter());
        let group = GroupName::parse("workers").unwrap();
        let mode = SubscribeMode::Shared { group, window: Some(16), from: StartFrom::New };
        assert_eq!((asked.sub.as_str(), asked.mode), (JOBS, mode));
        let mut subscription = subscription.unwrap();
        next_subscribed(&mut subscription).await;
        let sent = [("jobs/a", 2), ("jobs/a", 5), ("jobs/bb", 2), ("jobs/a", 9)];
        line.say_all(sent.map(|(topic, offset)| shared_message(JOBS, topic, offset, 1))).await;
        let mut hands = take(&mut subscription, 4).await;
        let mut answer = |topic: &str, offset| hands.remove(&(topic.to_owned(), offset)).unwrap();
        for (topic, offset) in [("jobs/a", 9), ("jobs/bb", 2), ("jobs/a", 2)] {
            answer(topic, offset).ack();
        }
        assert_eq!(acks(&mut line, 3).await, [of("jobs/a", 2), of("jobs/a", 9), of("jobs/bb", 2)]);
        let last = answer("jobs/a", 5);
        last.extend(Duration::from_secs(60)).await;
        let ClientBody::Extend(extend) = line.next().await.body else { panic!("an extend") };
        assert_eq!((extend.topic, extend.offset), (Topic::parse("jobs/a").ok(), Offset::new(5)));
        last.nack(None, Some("db down"));
        let nack = Nack {
            sub: Filter::parse(JOBS).unwrap(),
            topic: Topic::parse("jobs/a").ok(),
            offset: Offset::new(5),
            delay: None,
            reason: Some("db down".to_owned()),
            dead: false,
        };
        assert_eq!(line.next().await.body, ClientBody::Nack(nack));
        // Given back, it may come to this member again.
        line.say_all([shared_message(JOBS, "jobs/a", 5, 2)]).await;
        next_message(&mut subscription).await.give_up(Some("broken"));
        let ClientFrame { id: Some(_), body: ClientBody::Nack(nack) } = line.next().await else {
            panic!("a giving up, with an id")
        };
        assert_eq!((nack.topic, nack.dead), (Topic::parse("jobs/a").ok(), true));
    }
}

#[tokio::test]
async fn a_group_of_one_topic_leaves_it_out_and_knows_positions() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let request = SubscribeRequest::shared("jobs", "workers").unwrap();
    let (subscription, _) = tokio::join!(client.subscribe(request), line.subscribed(place(1, 9)));
    let mut subscription = subscription.unwrap();
    next_subscribed(&mut subscription).await;
    line.say_all([3, 8].map(|offset| shared_message("jobs", "jobs", offset, 1))).await;
    assert_eq!(next_message(&mut subscription).await.position(), Some(at(3)));
    assert_eq!(next_message(&mut subscription).await.position(), Some(at(8)));
    let which = AckWhich::Each(vec![Offset::new(3)]);
    let ack = Ack { sub: Filter::parse("jobs").unwrap(), topic: None, which };
    assert_eq!(line.next().await.body, ClientBody::Ack(ack), "asking for the next one acks");
}

#[tokio::test]
async fn what_a_member_acked_does_not_come_to_it_again_after_a_disconnect() {
    let peer = Peer::start().await;
    let (_client, mut line, mut subscription) = member(&peer, jobs()).await;
    let all = |attempt| (1..=3).map(move |offset| shared_message(JOBS, "jobs/a", offset, attempt));
    line.say_all(all(1)).await;
    let mut hands = take(&mut subscription, 3).await.into_values();
    hands.next().unwrap().ack();
    assert_eq!(acks(&mut line, 1).await, [of("jobs/a", 1)]);
    drop(line);
    let (mut line, _) = peer.accept().await;
    hands.next().unwrap().ack();
    line.subscribed_filter().await;
    // Whatever was acked without this connection's word is not acked on it: the offset may have
    // gone to another member.
    line.say(ServerBody::Ping).await;
    assert_eq!(line.next().await.body, ClientBody::Pong);
    line.say_all(all(2)).await;
    assert_eq!(acks(&mut line, 2).await, [of("jobs/a", 1), of("jobs/a", 2)]);
    // The third is in the application's hands all the while.
    hands.next().unwrap().ack();
    assert_eq!(acks(&mut line, 1).await, [of("jobs/a", 3)]);
    line.say_all([shared_message(JOBS, "jobs/a", 4, 1)]).await;
    assert!(next_subscribed(&mut subscription).await);
    assert_eq!(next_message(&mut subscription).await.offset(), Offset::new(4));
}

#[tokio::test]
async fn an_ack_of_another_life_of_the_log_is_not_given() {
    let peer = Peer::start().await;
    let (_client, mut line, mut subscription) = member(&peer, jobs()).await;
    line.say_all([shared_message(JOBS, "jobs/a", 1, 1)]).await;
    let old = next_message(&mut subscription).await;
    let reset = Reset {
        sub: Filter::parse(JOBS).unwrap(),
        topic: Topic::parse("jobs/a").unwrap(),
        reason: ResetReason::EpochChanged,
        epoch: Epoch::new(8),
        first: Offset::FIRST,
        offset: Offset::FIRST,
    };
    line.say(ServerBody::Reset(reset.clone())).await;
    let Event::Reset(told) = next(&mut subscription).await else { panic!("a reset") };
    assert_eq!(told, reset);
    // Another message at the same place.
    let mut other = shared_message(JOBS, "jobs/a", 1, 1);
    if let ServerBody::Message(message) = &mut other.body {
        message.id = tidings_core::MessageId::from_bits(99);
    }
    line.say_all([other]).await;
    let new = next_message(&mut subscription).await;
    old.ack();
    line.say(ServerBody::Ping).await;
    assert_eq!(line.next().await.body, ClientBody::Pong);
    new.ack();
    assert_eq!(acks(&mut line, 1).await, [of("jobs/a", 1)]);
}

#[tokio::test]
async fn a_shared_subscription_may_overlap_with_others_on_the_same_client() {
    let peer = Peer::start().await;
    let (client, mut line, mut shared) = member(&peer, jobs()).await;
    let request = SubscribeRequest::durable("jobs/a", "audit").unwrap().ack(AckMode::Manual);
    let (durable, _) = tokio::join!(client.subscribe(request), line.subscribed(place(1, 0)));
    let mut durable = durable.unwrap();
    next_subscribed(&mut durable).await;
    let request = SubscribeRequest::live("jobs/b").unwrap();
    let (live, _) = tokio::join!(client.subscribe(request), line.subscribed(place(1, 0)));
    let mut live = live.unwrap();
    next_subscribed(&mut live).await;
    // Each gets its own, and an unmarked message is not the group's.
    line.messages("jobs/a", [1]).await;
    line.messages("jobs/b", [1]).await;
    let marked = [("jobs/a", 1), ("jobs/b", 2), ("jobs/a", 2)];
    line.say_all(marked.map(|(topic, offset)| shared_message(JOBS, topic, offset, 1))).await;
    let hands = take(&mut shared, 3).await;
    let names: Vec<_> = hands.keys().map(|(topic, offset)| (topic.as_str(), *offset)).collect();
    assert_eq!(names, [("jobs/a", 1), ("jobs/a", 2), ("jobs/b", 2)]);
    assert_eq!(next_message(&mut live).await.offset(), Offset::new(1));
    next_message(&mut durable).await.ack();
    let ClientBody::Ack(ack) = line.next().await.body else { panic!("an ack") };
    assert_eq!((ack.sub.as_str(), ack.which), ("jobs/a", AckWhich::Through(Offset::new(1))));
    line.messages("jobs/a", [2]).await;
    assert_eq!(next_message(&mut durable).await.offset(), Offset::new(2));
    let nothing = tokio::time::timeout(Duration::from_millis(100), async {
        tokio::select! {
            event = live.next() => event,
            event = shared.next() => event,
        }
    });
    assert!(nothing.await.is_err(), "each message is for one");
    // The one overlap that nothing in a message resolves.
    let error = client.subscribe(SubscribeRequest::live("jobs/+").unwrap()).await.unwrap_err();
    assert!(matches!(error, SubscribeError::Overlaps { .. }), "{error}");
    let error = client.subscribe(SubscribeRequest::live(JOBS).unwrap()).await.unwrap_err();
    assert!(matches!(error, SubscribeError::AlreadySubscribed { .. }), "{error}");
}

#[tokio::test]
async fn a_message_that_is_not_marked_is_not_the_groups() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let request = SubscribeRequest::shared("jobs", "workers").unwrap();
    let (shared, _) = tokio::join!(client.subscribe(request), line.subscribed(place(1, 0)));
    let mut shared = shared.unwrap();
    next_subscribed(&mut shared).await;
    let all = SubscribeRequest::live("+").unwrap();
    let (all, _) = tokio::join!(client.subscribe(all), line.subscribed_filter());
    let mut all = all.unwrap();
    next_subscribed(&mut all).await;
    // The first is another member's.
    line.messages("jobs", [1]).await;
    line.say_all([shared_message("jobs", "jobs", 2, 1)]).await;
    line.messages("jobs", [2]).await;
    assert_eq!(next_message(&mut shared).await.offset(), Offset::new(2));
    for offset in [1, 2] {
        assert_eq!(next_message(&mut all).await.offset(), Offset::new(offset));
    }
}

#[tokio::test]
async fn leaving_a_group_acks_what_is_done_first() {
    let peer = Peer::start().await;
    let (_client, mut line, mut subscription) = member(&peer, jobs()).await;
    line.say_all([shared_message(JOBS, "jobs/a", 1, 1)]).await;
    within("a message", next_message(&mut subscription)).await.ack();
    drop(subscription);
    assert_eq!(acks(&mut line, 1).await, [of("jobs/a", 1)]);
    let sub = Filter::parse(JOBS).unwrap();
    assert_eq!(line.next().await.body, ClientBody::Unsubscribe { sub });
}
