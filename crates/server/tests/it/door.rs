//! Limits at the door, deadlines, and leaving in good order.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::peer::{Peer, config, metric, raw, start};

#[tokio::test]
async fn a_full_server_says_503_and_when_to_come_back() {
    let mut config = config();
    config.server.connections_max = 2;
    let server = start(config).await;
    let first = Peer::connect(server.public_addr()).await;
    let _second = Peer::connect(server.public_addr()).await;
    let answer = raw(server.public_addr(), b"GET /v1/ws HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("Retry-After: "), "{answer}");
    assert_eq!(metric(&server, "tidings_connections_refused_total").await, 1.0);
    // A seat that is given back is taken again.
    drop(first);
    for _ in 0..100 {
        if metric(&server, "tidings_connections").await < 2.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Peer::connect(server.public_addr()).await;
    server.shutdown().await;
}

#[tokio::test]
async fn silent_sockets_do_not_stay() {
    let mut config = config();
    config.limits.handshake_timeout = Duration::from_millis(300);
    let server = start(config).await;
    // Connected, and not a byte.
    let mut silent = TcpStream::connect(server.public_addr()).await.unwrap();
    // Half a request.
    let mut slow = TcpStream::connect(server.public_addr()).await.unwrap();
    slow.write_all(b"GET /v1/ws HTT").await.unwrap();
    // Upgraded, and no `connect` frame.
    let mut mute = Peer::open(server.public_addr()).await;
    assert_eq!(mute.close_code().await, 4400);
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest));
        let _ = end.await.expect("closed by the deadline");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_sockets_that_say_nothing() {
    let mut config = config();
    config.limits.handshake_timeout = Duration::from_secs(15);
    config.server.drain_timeout = Duration::from_secs(15);
    let server = start(config).await;
    let mut silent = TcpStream::connect(server.public_addr()).await.unwrap();
    // The next one is served, so the one before was accepted.
    Peer::open(server.public_addr()).await.close(1000).await;
    let begun = std::time::Instant::now();
    server.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
}

/// An upgrade request with this method and version.
fn upgrade_request(method: &str, version: u32) -> String {
    format!(
        "{method} /v1/ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: {version}\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Reads the head of an answer.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn another_version_of_websocket_is_told_which_one_is_spoken() {
    let server = start(config()).await;
    let mut stream = TcpStream::connect(server.public_addr()).await.unwrap();
    stream.write_all(upgrade_request("GET", 12).as_bytes()).await.unwrap();
    let head = head(&mut stream).await;
    assert!(head.starts_with("http/1.1 426 "), "{head}");
    assert!(head.contains("\r\nsec-websocket-version: 13\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("bad_frame"), &json!(426)));
    server.shutdown().await;
}

#[tokio::test]
async fn only_get_opens_a_socket() {
    let server = start(config()).await;
    for method in ["HEAD", "POST"] {
        let mut stream = TcpStream::connect(server.public_addr()).await.unwrap();
        stream.write_all(upgrade_request(method, 13).as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        assert!(head.starts_with("http/1.1 405 "), "{head}");
        assert!(head.contains("\r\nallow: get\r\n"), "{head}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn who_takes_no_answers_loses_the_seat() {
    let mut config = config();
    config.http.request_timeout = Duration::from_secs(1);
    let server = start(config).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    for _ in 0..20 {
        publisher.publish("t", json!("x".repeat(60_000))).await;
    }
    drop(publisher);
    let mut deaf = TcpStream::connect(server.public_addr()).await.unwrap();
    // More than all the buffers in between hold.
    let request = "GET /v1/history?topic=t&limit=20 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    deaf.write_all(request.repeat(40).as_bytes()).await.unwrap();
    let mut left = false;
    for _ in 0..100 {
        left = metric(&server, "tidings_connections").await == 0.0;
        if left {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(left, "the seat is still taken");
    drop(deaf);
    server.shutdown().await;
}

#[tokio::test]
async fn a_socket_that_comes_during_a_drain_is_sent_away() {
    let server = start(config()).await;
    let address = server.public_addr();
    // The request has begun when the drain does, so it will be answered.
    let request = upgrade_request("GET", 13);
    let (first, rest) = request.split_at(20);
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(first.as_bytes()).await.unwrap();
    let mut peer = Peer::connect(address).await;
    let stopping = tokio::spawn(server.shutdown());
    assert_eq!(peer.frame().await["goaway"]["reason"], "draining");
    late.write_all(rest.as_bytes()).await.unwrap();
    let head = head(&mut late).await;
    assert!(head.starts_with("http/1.1 503 ") && head.contains("retry-after: "), "{head}");
    drop((late, peer));
    tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dead_peer_is_found_and_a_living_one_pinged() {
    let mut config = config();
    config.limits.ping_interval = Duration::from_secs(1);
    config.limits.pong_timeout = Duration::from_millis(500);
    let server = start(config).await;
    // This peer never answers the server's pings.
    let mut peer = Peer::connect(server.public_addr()).await;
    assert_eq!(peer.close_code().await, 4401);
    server.shutdown().await;
}

#[tokio::test]
async fn a_drain_tells_clients_when_to_come_back_and_saves_what_they_acked() {
    let server = start(config()).await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(Peer::connect(server.public_addr()).await);
    }
    let address = server.public_addr();
    let stopping = tokio::spawn(server.shutdown());
    for mut peer in peers {
        let frame = peer.frame().await;
        assert_eq!(frame["goaway"]["reason"], "draining");
        let retry_after = frame["goaway"]["retry_after_ms"].as_u64().unwrap();
        assert!(retry_after <= 5_000, "{retry_after}");
        assert_eq!(peer.close_code().await, 4402);
    }
    tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// Connections close in waves, and until its own one has closed a subscriber may give a message up.
#[tokio::test]
async fn what_is_given_up_during_a_drain_does_not_hold_it_up() {
    let mut config = config();
    config.server.drain_timeout = Duration::from_secs(15);
    config.server.shards = 1;
    let server = start(config).await;
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(Peer::connect(server.public_addr()).await);
    }
    let mut reader = Peer::connect(server.public_addr()).await;
    reader.ask(json!({"subscribe": {"topic": "t", "durable": "phone"}})).await;
    others[0].publish("t", json!(1)).await;
    assert_eq!(reader.message().await["offset"], 1);
    let begun = std::time::Instant::now();
    let stopping = tokio::spawn(server.shutdown());
    tokio::time::sleep(Duration::from_millis(300)).await;
    reader.send(json!({"nack": {"sub": "t", "offset": 1, "dead": true}})).await;
    for mut peer in others {
        assert_eq!(peer.close_code().await, 4402);
    }
    assert_eq!(reader.close_code().await, 4402);
    stopping.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = start(config()).await;
    let mut second = config();
    second.server.listen = first.public_addr();
    let error = tidings_server::Server::builder(second)
        .engine(tidings_server::Engine::Memory)
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("server.listen") && error.contains("in use"), "{error}");
    first.shutdown().await;
}

#[tokio::test]
async fn many_connections_come_and_go() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut rounds = Vec::new();
    for round in 0..8 {
        rounds.push(tokio::spawn(async move {
            for n in 0..25 {
                let mut peer = Peer::connect(address).await;
                let topic = format!("round/{round}");
                peer.ask(json!({"subscribe": {"topic": topic, "durable": "d"}})).await;
                peer.publish(&topic, json!(n)).await;
            }
        }));
    }
    for round in rounds {
        round.await.unwrap();
    }
    for _ in 0..200 {
        if metric(&server, "tidings_subscriptions").await == 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(metric(&server, "tidings_subscriptions").await, 0.0, "nothing is left behind");
    assert_eq!(metric(&server, "tidings_sessions_connected").await, 0.0);
    server.shutdown().await;
}
