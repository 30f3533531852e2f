//! Bad input: each kind has its own error, nothing crashes, and nobody else notices.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::peer::{Peer, config, start};

#[tokio::test]
async fn every_bad_frame_has_its_own_error_and_the_connection_goes_on() {
    let server = start(config()).await;
    let mut bystander = Peer::connect(server.public_addr()).await;
    bystander.ask(json!({"subscribe": {"topic": "calm"}})).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    for (text, code) in [
        ("not json", "bad_frame"),
        ("[1,2]", "bad_frame"),
        ("{}", "bad_frame"),
        (r#"{"id":1,"dance":{}}"#, "unknown_frame"),
        (r#"{"id":1,"publish":{"topic":"a","data":1,"tpoic":"b"}}"#, "unknown_field"),
        (r#"{"id":1,"publish":{"topic":"a/+","data":1}}"#, "bad_topic"),
        (r#"{"id":1,"publish":{"topic":"","data":1}}"#, "bad_topic"),
        (r#"{"id":1,"subscribe":{"filter":"a#"}}"#, "bad_filter"),
        (r#"{"id":1,"publish":{"topic":"$dead-letters","data":1}}"#, "permission_denied"),
        (r#"{"publish":{"topic":"a","data":1}}"#, "bad_field"),
        (r#"{"id":1,"publish":{"topic":"a","data":1,"ttl_ms":0}}"#, "bad_field"),
        (r#"{"id":1,"connect":{}}"#, "already_connected"),
        (r#"{"id":1,"unsubscribe":{"sub":"never"}}"#, "not_subscribed"),
        (r#"{"id":1,"ack":{"sub":"never","offset":1}}"#, "not_subscribed"),
        (r#"{"id":1,"subscribe":{"filter":"a/#","group":"g","from":"last"}}"#, "bad_field"),
        (r#"{"id":1,"presence":{"topic":"a"}}"#, "unsupported"),
        (r#"{"id":1,"subscribe":{"topic":"a","presence":true}}"#, "unsupported"),
        (r#"{"presence":{"topic":"a"}}"#, "bad_field"),
        (
            r#"{"id":1,"publish":{"topic":"a","data":1,"headers":{"tidings-replay":"x"}}}"#,
            "bad_field",
        ),
        (r#"{"id":1,"publish":{"topic":"a","data":1,"deliver_at":9999999999999}}"#, "bad_field"),
        (r#"{"id":1,"subscribe":{"filter":"a/#","durable":"d"}}"#, "unsupported"),
        (r#"{"id":1,"history":{"topic":"a","after":{"epoch":"zz","offset":1}}}"#, "epoch_changed"),
        (r#"{"id":1,"refresh":{"token":"x.y.z"}}"#, "unauthenticated"),
    ] {
        peer.send_text(text).await;
        let reply = peer.frame().await;
        assert_eq!(reply["error"]["code"], code, "{text} -> {reply}");
        assert_eq!(reply["error"]["temporary"], false, "{text} -> {reply}");
    }
    peer.publish("calm", json!("still here")).await;
    assert_eq!(bystander.data(1).await, ["still here"]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_position_in_the_future_is_told_by_history() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let epoch = peer.publish("t", json!(1)).await["epoch"].clone();
    let history = json!({"history": {"topic": "t", "after": {"epoch": epoch, "offset": 99}}});
    assert_eq!(peer.ask(history).await["error"]["code"], "offset_ahead");
    server.shutdown().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_an_oversized_frame_closes() {
    let server = start(config()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let big = "x".repeat(70_000);
    let reply = peer.ask(json!({"publish": {"topic": "t", "data": big}})).await;
    assert_eq!(reply["error"]["code"], "too_large");
    peer.send_text(&"x".repeat(3 << 20)).await;
    assert_eq!(peer.close_code().await, 1009);
    server.shutdown().await;
}

#[tokio::test]
async fn the_first_frame_must_be_connect() {
    let server = start(config()).await;
    let mut peer = Peer::open(server.public_addr()).await;
    let reply = peer.ask(json!({"subscribe": {"topic": "t"}})).await;
    assert_eq!(reply["error"]["code"], "not_connected");
    assert_eq!(peer.close_code().await, 4001);
    server.shutdown().await;
}

/// Upgrades by hand and sends bytes no client library would; gives the close code, and what
/// was said before it.
async fn hostile(address: std::net::SocketAddr, bytes: &[u8]) -> Option<(u16, Option<Value>)> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
        connection: upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
    let _ = read.await.expect("the server closes");
    // A close frame: 0x88, length, code. Before it perhaps one of text: 0x81, length, JSON.
    let at = answer.windows(2).position(|pair| pair[0] == 0x88 && pair[1] < 126)?;
    let said = answer[..at].get(2..).map(|text| serde_json::from_slice(text).unwrap());
    Some((u16::from_be_bytes([*answer.get(at + 2)?, *answer.get(at + 3)?]), said))
}

#[tokio::test]
async fn broken_websocket_frames_close_with_the_code_of_the_rfc() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut bystander = Peer::connect(address).await;
    for (name, bytes, code, reason) in [
        ("unmasked", &b"\x81\x02hi"[..], 1002, None),
        ("reserved bit", b"\xc1\x80\0\0\0\0", 1002, None),
        ("reserved opcode", b"\x83\x80\0\0\0\0", 1002, None),
        ("2^62 bytes", b"\x81\xff\x40\0\0\0\0\0\0\0\0\0\0\0", 1009, Some("too_big")),
        ("top bit of the length", b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 1002, None),
        ("continuation of nothing", b"\x80\x80\0\0\0\0", 1002, None),
        ("invalid UTF-8", b"\x81\x81\0\0\0\0\xff", 1007, Some("invalid_data")),
        ("binary to a JSON codec", b"\x82\x81\0\0\0\0x", 1003, Some("unsupported_data")),
        ("a ping of 126 bytes", b"\x89\xfe\0\x7e", 1002, None),
    ] {
        let said = reason.map(|reason| json!({"goaway": {"reason": reason}}));
        assert_eq!(hostile(address, bytes).await, Some((code, said)), "{name}");
    }
    bystander.publish("t", json!(1)).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_frame_in_single_bytes_is_still_a_frame() {
    let server = start(config()).await;
    let mut stream = TcpStream::connect(server.public_addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let payload = br#"{"id":1,"connect":{}}"#;
    let mut bytes = b"GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
        connection: upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    bytes.extend([0x81, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    bytes.extend(payload);
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("\"connected\"") {
        answer.push(stream.read_u8().await.unwrap());
    }
    server.shutdown().await;
}
