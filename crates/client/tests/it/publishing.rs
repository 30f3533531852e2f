//! Publishes reach the server once, in order, whatever happens to the connection.

use std::time::{Duration, Instant};

use tidings_client::{
    Codec, DedupKey, ErrorCode, OrderKey, PublishError, PublishOutcome, PublishRequest, Timestamp,
};
use tidings_core::{Data, MessageId, Topic};
use tidings_protocol::{
    ClientBody, ClientFrame, ErrorBody, Goaway, Published, Scheduled, ServerBody, ServerFrame,
};

use crate::peer::{Peer, at, within};

fn request(number: u32) -> PublishRequest {
    PublishRequest::json("t", &number).unwrap()
}

#[tokio::test]
async fn unanswered_publishes_are_repeated_in_order_with_their_keys() {
    for codec in Codec::ALL {
        let peer = Peer::with_codec(codec).await;
        let client = peer.builder().build().unwrap();
        let mut tickets = Vec::new();
        for number in 0..10 {
            tickets.push(client.enqueue(request(number)).await);
        }
        let (mut line, connect) = peer.accept().await;
        assert_eq!(connect.session, None);
        let mut sent = Vec::new();
        for _ in 0..10 {
            sent.push(line.next_publish().await);
        }
        for place in [1, 3] {
            line.published(sent[place].0, place as u64 + 1).await;
        }
        for place in [3, 1] {
            let published = within("an answer", tickets.remove(place)).await.unwrap();
            assert_eq!(published.position(), Some(at(place as u64 + 1)));
        }
        drop(line);
        let (mut line, connect) = peer.accept().await;
        assert_eq!(connect.session.as_ref().map(|s| s.as_str()), Some("s1"));
        for place in [0, 2, 4, 5, 6, 7, 8, 9] {
            let (id, key, data) = line.next_publish().await;
            assert_eq!((&key, &data), (&sent[place].1, &place.to_string()));
            line.published(id, place as u64 + 1).await;
        }
        for ticket in tickets {
            within("an answer", ticket).await.unwrap();
        }
    }
}

#[tokio::test]
async fn keys_are_unique_and_a_given_key_is_kept() {
    let peer = Peer::start().await;
    let clients = [peer.builder().build().unwrap(), peer.builder().build().unwrap()];
    let mut keys = Vec::new();
    for client in &clients {
        let (mut line, _) = peer.accept().await;
        for _ in 0..3 {
            client.enqueue(request(1)).await;
            keys.push(line.next_publish().await.1);
        }
        client.enqueue(request(1).key(DedupKey::parse("mine").unwrap())).await;
        assert_eq!(line.next_publish().await.1, "mine");
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 6);
}

#[tokio::test]
async fn temporary_errors_are_retried_as_asked_and_others_are_told() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let first = client.enqueue(request(1)).await;
    let (id, key, _) = line.next_publish().await;
    let wait = Duration::from_millis(300);
    let mut error = ErrorBody::new(ErrorCode::Overloaded, "busy");
    error.retry_after = Some(wait);
    let refused_at = Instant::now();
    line.reply(Some(id), ServerBody::Error(error)).await;
    let (id, key_again, _) = line.next_publish().await;
    assert!(refused_at.elapsed() >= wait);
    assert_eq!(key, key_again);
    line.refuse(Some(id), ErrorCode::PermissionDenied).await;
    let error = within("the refusal", first).await.unwrap_err();
    assert_eq!(error.to_string(), "the server refused the message: not today (permission_denied)");
    let PublishError::Refused { error } = error else { panic!("{error:?}") };
    assert_eq!(error.code, ErrorCode::PermissionDenied);
}

#[tokio::test]
async fn the_servers_limits_are_kept() {
    let mut peer = Peer::start().await;
    peer.connected.limits.frame_bytes = 4096;
    peer.connected.limits.message_bytes = 3000;
    peer.connected.limits.publishes_in_flight = 5;
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let sized = |bytes: usize| PublishRequest::bytes("t", vec![7; bytes]).unwrap();
    let mut tickets = Vec::new();
    for bytes in [100, 2000, 2900, 1500, 1500, 1500, 1500] {
        tickets.push(client.enqueue(sized(bytes)).await);
    }
    let too_long = client.enqueue(sized(3001)).await;
    let with_headers = client.enqueue(sized(2900).header("h", "x".repeat(500))).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(publish_id(&line.next().await));
    }
    let sixth = tokio::time::timeout(Duration::from_millis(200), line.next()).await;
    assert!(sixth.is_err(), "only five may be without an answer");
    for (place, offset) in (1..=7).enumerate() {
        line.published(ids[place], offset).await;
        if ids.len() < 7 {
            ids.push(publish_id(&line.next().await));
        }
    }
    for (offset, ticket) in (1..=7).zip(tickets) {
        assert_eq!(within("an answer", ticket).await.unwrap().position(), Some(at(offset)));
    }
    let error = within("the refusal", too_long).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { bytes: 3001, bytes_max: 3000 }), "{error}");
    // The whole frame is judged as well: in JSON, bytes grow by a third.
    let error = within("the refusal", with_headers).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { bytes_max: 4096, .. }), "{error}");
    assert!(line.largest <= 4096, "{}", line.largest);
}

fn publish_id(frame: &ClientFrame) -> tidings_protocol::RequestId {
    assert!(matches!(frame.body, ClientBody::Publish(_)), "{frame:?}");
    frame.id.unwrap()
}

#[tokio::test]
async fn a_full_outbox_makes_publishing_wait() {
    let peer = Peer::start().await;
    let client = peer.builder().outbox(2, 4096).build().unwrap();
    let first = client.enqueue(request(1)).await;
    let second = client.enqueue(request(2)).await;
    let (waited, third) = {
        let mut third = Box::pin(client.enqueue(request(3)));
        let waited = tokio::time::timeout(Duration::from_millis(100), &mut third).await.is_err();
        let (mut line, _) = peer.accept().await;
        let (id, ..) = line.next_publish().await;
        line.published(id, 1).await;
        let third = within("room", third).await;
        for offset in [2, 3] {
            let (id, ..) = line.next_publish().await;
            line.published(id, offset).await;
        }
        (waited, third)
    };
    assert!(waited);
    for (ticket, offset) in [(first, 1), (second, 2), (third, 3)] {
        assert_eq!(within("an answer", ticket).await.unwrap().position(), Some(at(offset)));
    }
    let large = client.enqueue(PublishRequest::bytes("t", vec![0; 4096]).unwrap()).await.await;
    assert!(matches!(large, Err(PublishError::OutboxTooSmall { .. })), "{large:?}");
}

#[tokio::test]
async fn after_a_goaway_nothing_new_is_published_until_the_next_connection() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    let first = client.enqueue(request(1)).await;
    let (first_id, ..) = line.next_publish().await;
    let wait = Duration::from_millis(300);
    let goaway = Goaway { reason: "draining".to_owned(), retry_after: Some(wait) };
    line.say(ServerBody::Goaway(goaway)).await;
    // The answer to what was on its way still comes, and tells that the goaway was read.
    line.published(first_id, 1).await;
    within("an answer", first).await.unwrap();
    let second = client.enqueue(request(2)).await;
    let early = tokio::time::timeout(Duration::from_millis(100), line.next()).await;
    assert!(early.is_err(), "{early:?}");
    let closed_at = Instant::now();
    line.close(4402, "draining").await;
    let (mut line, _) = peer.accept().await;
    assert!(closed_at.elapsed() >= wait, "{:?}", closed_at.elapsed());
    let (id, _, data) = line.next_publish().await;
    assert_eq!(data, "2");
    line.published(id, 2).await;
    within("an answer", second).await.unwrap();
}

/// Prints the rate; what it asserts is that nothing is lost and that messages leave in batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_messages_leave_in_batches() {
    const COUNT: u64 = 100_000;
    for codec in Codec::ALL {
        let peer = Peer::with_codec(codec).await;
        let client = peer.builder().build().unwrap();
        let answering = tokio::spawn(async move {
            let (mut line, _) = peer.accept().await;
            let (mut offset, mut batches) = (0, 0);
            while offset < COUNT {
                let mut frames = vec![line.next().await];
                frames.extend(line.received_already());
                batches += 1;
                let replies = frames.into_iter().map(|frame| {
                    offset += 1;
                    let id = MessageId::from_bits(u128::from(offset));
                    let published = Published { id, position: at(offset), duplicate: false };
                    ServerFrame { id: frame.id, body: ServerBody::Published(published) }
                });
                let replies: Vec<_> = replies.collect();
                line.say_all(replies).await;
            }
            batches
        });
        let topic = Topic::parse("load/one").unwrap();
        let data = Data::json(bytes::Bytes::from_static(b"{\"text\":\"a small message\"}"));
        let start = Instant::now();
        let mut tickets = Vec::new();
        for _ in 0..COUNT {
            let request = PublishRequest::new(topic.clone(), data.clone());
            tickets.push(client.enqueue(request).await);
        }
        for (offset, ticket) in (1..).zip(tickets) {
            assert_eq!(within("an answer", ticket).await.unwrap().position(), Some(at(offset)));
        }
        let rate = COUNT as f64 / start.elapsed().as_secs_f64();
        let batches = within("the peer", answering).await.unwrap();
        println!("{codec:?}: {rate:.0} messages/s in {batches} WebSocket messages");
        assert!(batches < COUNT / 10, "{batches} WebSocket messages");
    }
}

#[tokio::test]
async fn a_message_for_later_is_scheduled_or_published() {
    for codec in Codec::ALL {
        let peer = Peer::with_codec(codec).await;
        let client = peer.builder().build().unwrap();
        let later = Timestamp::from_ms(1_795_000_060_000);
        let order_key = OrderKey::parse("account-9").unwrap();
        let ticket =
            client.enqueue(request(1).order_key(order_key.clone()).deliver_at(later)).await;
        let due = client.enqueue(request(2).deliver_at(later)).await;
        let (mut line, _) = peer.accept().await;
        let ClientFrame { id, body: ClientBody::Publish(publish) } = line.next().await else {
            panic!("a publish")
        };
        assert_eq!((publish.order_key, publish.deliver_at), (Some(order_key), Some(later)));
        let (second, ..) = line.next_publish().await;
        let scheduled =
            Scheduled { id: MessageId::from_bits(7), deliver_at: later, duplicate: true };
        line.reply(id, ServerBody::Scheduled(scheduled)).await;
        // By the time it arrived, the other one was due.
        line.published(second, 9).await;
        let outcome = within("an answer", ticket).await.unwrap();
        assert_eq!(outcome, PublishOutcome::Scheduled(scheduled));
        assert_eq!((outcome.position(), outcome.is_duplicate()), (None, true));
        let outcome = within("an answer", due).await.unwrap();
        assert_eq!((outcome.position(), outcome.is_duplicate()), (Some(at(9)), false));
    }
}
