//! Closing says what is to be said, and does not take for ever.

use std::time::{Duration, Instant};

use tidings_client::{
    AckMode, Client, CloseError, Event, PublishError, PublishRequest, SubscribeRequest,
};
use tidings_protocol::{ClientBody, SubscribeMode};

use crate::peer::{Peer, next, next_message, next_subscribed, place, within};

#[tokio::test]
async fn close_waits_for_answers_and_says_the_acks() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let request = SubscribeRequest::durable("inbox", "d").unwrap().ack(AckMode::Manual);
    let (inbox, asked) = tokio::join!(client.subscribe(request), line.subscribed(place(1, 2)));
    assert!(matches!(asked.mode, SubscribeMode::Durable { .. }));
    let mut inbox = inbox.unwrap();
    line.messages("inbox", [1, 2]).await;
    next_subscribed(&mut inbox).await;
    let ticket = client.enqueue(PublishRequest::json("t", &1).unwrap()).await;
    let (id, ..) = line.next_publish().await;
    let first = next_message(&mut inbox).await;
    let closing = tokio::spawn(client.close());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!closing.is_finished(), "a publish is without an answer");
    first.ack();
    assert!(matches!(line.next().await.body, ClientBody::Ack(_)));
    line.published(id, 1).await;
    assert!(line.next_or_end().await.is_none(), "a close, and nothing before it");
    within("close", closing).await.unwrap().unwrap();
    within("the ticket", ticket).await.unwrap();
    // What is left in the queue can still be taken, and then the end is told.
    next_message(&mut inbox).await;
    assert!(matches!(next(&mut inbox).await, Event::Ended(_)));
}

#[tokio::test]
async fn close_is_bounded_and_counts_what_was_not_answered() {
    let peer = Peer::start().await;
    let wait = Duration::from_millis(200);
    let client = peer.builder().close_timeout(wait).build().unwrap();
    let (mut line, _) = peer.accept().await;
    let ticket = client.enqueue(PublishRequest::json("t", &1).unwrap()).await;
    line.next_publish().await;
    let start = Instant::now();
    let closing = tokio::spawn(client.close());
    assert!(line.next_or_end().await.is_none());
    let error = within("close", closing).await.unwrap().unwrap_err();
    assert_eq!(error, CloseError::Unanswered { count: 1 });
    assert!(start.elapsed() >= wait);
    let error = within("the ticket", ticket).await.unwrap_err();
    assert!(matches!(error, PublishError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn a_client_that_never_connected_closes_at_once() {
    let backoff = Duration::from_secs(60);
    let client = Client::builder("ws://127.0.0.1:1").backoff(backoff, backoff).build().unwrap();
    let start = Instant::now();
    within("close", client.close()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn dropping_the_last_handle_closes_after_the_answers() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let clone = client.clone();
    let ticket = client.enqueue(PublishRequest::json("t", &1).unwrap()).await;
    let (mut line, _) = peer.accept().await;
    let (id, ..) = line.next_publish().await;
    drop(client);
    let second = clone.enqueue(PublishRequest::json("t", &2).unwrap()).await;
    drop(clone);
    line.published(id, 1).await;
    let (id, ..) = line.next_publish().await;
    line.published(id, 2).await;
    for ticket in [ticket, second] {
        within("an answer", ticket).await.unwrap();
    }
    assert!(line.next_or_end().await.is_none());
}
