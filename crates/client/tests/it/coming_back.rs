//! When a client comes back, when it does not, and what it says then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidings_client::{
    BuildError, Client, CloseReason, Disconnect, Event, PublishError, PublishRequest, State,
    SubscribeRequest,
};
use tidings_core::Timestamp;
use tidings_protocol::{ClientBody, ErrorCode, Goaway, ServerBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::peer::{Peer, next, next_subscribed, place, within};

/// Waits for the end and gives its reason.
async fn end(client: &Client) -> CloseReason {
    within("the end", async {
        let mut state = client.state();
        let state = state.wait_for(|state| matches!(state, State::Closed { .. })).await;
        match &*state.unwrap() {
            State::Closed { reason } => reason.clone(),
            other => panic!("{other:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn a_final_close_code_ends_the_client_and_everybody_hears_why() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let subscribing = client.subscribe(SubscribeRequest::live("t").unwrap());
    let serving = async {
        let (mut line, _) = peer.accept().await;
        line.subscribed(place(1, 0)).await;
        line
    };
    let (subscription, mut line) = tokio::join!(subscribing, serving);
    let mut subscription = subscription.unwrap();
    let ticket = client.enqueue(PublishRequest::json("t", &1).unwrap()).await;
    line.next_publish().await;
    line.close(4003, "taken_over").await;
    let reason = end(&client).await;
    assert_eq!(reason.to_string(), "the server closed the connection: taken_over (4003)");
    let error = within("the ticket", ticket).await.unwrap_err();
    assert!(matches!(error, PublishError::Closed { .. }), "{error}");
    let error = within("no ticket", client.publish(PublishRequest::json("t", &1).unwrap())).await;
    assert!(error.unwrap_err().to_string().contains("taken_over"));
    assert!(!next_subscribed(&mut subscription).await);
    assert!(matches!(next(&mut subscription).await, Event::Ended(_)));
    assert!(within("nothing", subscription.next()).await.is_none());
    assert!(within("ready", client.ready()).await.is_err());
    within("close", client.close()).await.unwrap();
}

#[tokio::test]
async fn a_goaway_without_a_time_leaves_the_decision_to_the_close_code() {
    for (code, reason, comes_back) in [(4401, "pong_timeout", true), (4002, "forbidden", false)] {
        let peer = Peer::start().await;
        let client = peer.builder().build().unwrap();
        let (mut line, _) = peer.accept().await;
        let goaway = Goaway { reason: reason.to_owned(), retry_after: None };
        line.say(ServerBody::Goaway(goaway)).await;
        line.close(code, reason).await;
        match comes_back {
            true => drop(within("the next connection", peer.accept()).await),
            false => assert!(end(&client).await.to_string().contains(reason)),
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_replaced_if_there_is_a_source() {
    let peer = Peer::start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let source = move || {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok::<_, std::io::Error>(format!("token-{number}")) }
    };
    let client = peer.builder().token_source(source).build().unwrap();
    let (line, connect) = peer.accept().await;
    assert_eq!(connect.token.as_deref(), Some("token-1"));
    line.close(4200, "token_expired").await;
    let (_line, connect) = peer.accept().await;
    assert_eq!(connect.token.as_deref(), Some("token-2"));
    within("ready", client.ready()).await.unwrap();

    let fixed = peer.builder().token("always").build().unwrap();
    let (line, connect) = peer.accept().await;
    assert_eq!(connect.token.as_deref(), Some("always"));
    line.close(4200, "token_expired").await;
    assert!(matches!(end(&fixed).await, CloseReason::Failed(Disconnect::Closed { .. })));
    assert!(!format!("{fixed:?}{:?}", peer.builder().token("always")).contains("always"));
}

#[tokio::test]
async fn a_token_is_refreshed_before_it_expires() {
    let mut peer = Peer::start().await;
    let in_two_seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
            + Duration::from_secs(2);
    let ms = u64::try_from(in_two_seconds.as_millis()).unwrap();
    peer.connected.expires_at = Some(Timestamp::from_ms(ms));
    let source = || async { Ok::<_, std::io::Error>("fresh".to_owned()) };
    let _client = peer.builder().token_source(source).build().unwrap();
    let (mut line, _) = peer.accept().await;
    let frame = line.next().await;
    assert_eq!(frame.body, ClientBody::Refresh { token: "fresh".to_owned() });
    line.reply(frame.id, ServerBody::Refreshed { expires_at: None }).await;
    line.say(ServerBody::Ping).await;
    assert_eq!(line.next().await.body, ClientBody::Pong);
}

#[tokio::test]
async fn a_refused_connect_is_final_and_a_refused_session_is_not() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (line, _) = peer.accept().await;
    within("ready", client.ready()).await.unwrap();
    drop(line);
    let mut line = peer.upgrade().await;
    let connect = line.next().await;
    assert!(matches!(&connect.body, ClientBody::Connect(c) if c.session.is_some()));
    line.refuse(connect.id, ErrorCode::SessionDenied).await;
    let mut line = peer.upgrade().await;
    let connect = line.next().await;
    assert!(matches!(&connect.body, ClientBody::Connect(c) if c.session.is_none()));
    line.refuse(connect.id, ErrorCode::Unauthenticated).await;
    assert_eq!(
        end(&client).await.to_string(),
        "the server refuses the connection: not today (unauthenticated)"
    );
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let mut peer = Peer::start().await;
    peer.connected.ping = Duration::from_millis(100);
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    assert_eq!(line.next().await.body, ClientBody::Ping, "it asks first");
    line.say(ServerBody::Pong).await;
    assert_eq!(line.next().await.body, ClientBody::Ping);
    let mut state = client.state();
    let left =
        |state: &State| matches!(state, State::Reconnecting { cause: Disconnect::Silent, .. });
    within("the client to leave", state.wait_for(left)).await.unwrap();
    peer.accept().await;
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_costs_the_connection_and_an_unknown_one_does_not() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (mut line, _) = peer.accept().await;
    line.say_text(r#"{"from_the_future":{"x":1}}"#).await;
    line.say(ServerBody::Ping).await;
    assert_eq!(line.next().await.body, ClientBody::Pong);
    let mut state = client.state();
    line.say_text(r#"{"message":{"topic":"t"}}"#).await;
    let left = |state: &State| {
        matches!(state, State::Reconnecting { cause: Disconnect::BadFrame { .. }, .. })
    };
    within("the client to leave", state.wait_for(left)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for_and_named() {
    let peer = Peer::start().await;
    let (url, address) = (peer.url(), peer.listener.local_addr().unwrap());
    drop(peer);
    let backoff = Duration::from_millis(10);
    let client = Client::builder(&url).backoff(backoff, backoff).build().unwrap();
    let mut state = client.state();
    let waiting = |state: &State| matches!(state, State::Reconnecting { attempt: 3, .. });
    let text = match &*within("attempts", state.wait_for(waiting)).await.unwrap() {
        State::Reconnecting { cause, .. } => cause.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text, format!("cannot reach {url}: is the server running there?"));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let peer = Peer { listener, ..Peer::start().await };
    let (_line, _) = peer.accept().await;
    within("ready", client.ready()).await.unwrap();
}

/// Answers the next connection with `response` instead of a WebSocket.
async fn answer_http(peer: &Peer, response: &str) {
    let (mut socket, _) = peer.listener.accept().await.unwrap();
    let mut request = [0; 4096];
    let _ = socket.read(&mut request).await.unwrap();
    socket.write_all(response.as_bytes()).await.unwrap();
    let _ = socket.shutdown().await;
    // Closed with bytes unread, the socket would be reset before the answer is read.
    while socket.read(&mut request).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn an_answer_that_is_no_websocket_is_explained() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    answer_http(&peer, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    let reason = end(&client).await.to_string();
    let expected = format!(
        "{} answered with HTTP status 404 instead of a WebSocket: is the path right? it usually \
         is /v1/ws",
        peer.url()
    );
    assert_eq!(reason, expected);

    let client = peer.builder().build().unwrap();
    let problem = r#"{"title":"overloaded","detail":"too many connections"}"#;
    let response = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: {}\r\n\r\n{problem}",
        problem.len()
    );
    let asked_at = std::time::Instant::now();
    answer_http(&peer, &response).await;
    let (_line, _) = peer.accept().await;
    assert!(asked_at.elapsed() >= Duration::from_millis(900), "Retry-After is honoured");
    within("ready", client.ready()).await.unwrap();
}

#[tokio::test]
async fn an_answer_may_come_byte_by_byte() {
    let peer = Peer::start().await;
    let client = peer.builder().build().unwrap();
    let (mut socket, _) = peer.listener.accept().await.unwrap();
    socket.set_nodelay(true).unwrap();
    let _ = socket.read(&mut [0; 4096]).await.unwrap();
    let date = "Date: Sat, 21 Nov 2026 03:00:00 GMT\r\n".repeat(4);
    for byte in format!("HTTP/1.1 404 Not Found\r\n{date}\r\n").bytes() {
        socket.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reason = end(&client).await.to_string();
    assert!(reason.contains("HTTP status 404"), "{reason}");
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let error = Client::builder("ws://127.0.0.1:1").build().unwrap_err();
    assert!(matches!(error, BuildError::NoRuntime), "{error}");
}
