//! Limits at the door, deadlines, and leaving in good order.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
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
    tokio::io::AsyncWriteExt::write_all(&mut slow, b"GET /v1/ws HTT").await.unwrap();
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
