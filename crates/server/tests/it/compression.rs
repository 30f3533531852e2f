//! Compressed messages over a socket: agreed only where it is configured, for everybody the same
//! message, and no way around a limit.

use std::net::SocketAddr;
use std::time::Duration;

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress};
use miniz_oxide::inflate::decompress_to_vec;
use serde_json::{Value, json};
use tidings_server::{ByteSize, Config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::peer::{Peer, config, start};

const PATIENCE: Duration = Duration::from_secs(20);
const OFFER: &str = "permessage-deflate; client_max_window_bits";
const AGREED: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;

fn compressing() -> Config {
    let mut config = config();
    config.websocket.compression = true;
    config.websocket.compression_min = ByteSize::from_bytes(200);
    config
}

/// A peer that sees frames as they are on the wire.
struct RawPeer {
    socket: TcpStream,
    /// The answer to its upgrade request.
    head: String,
}

/// A frame from the server: its first byte and payload.
type Frame = (u8, Vec<u8>);

impl RawPeer {
    async fn open(address: SocketAddr, offer: &str) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\n\
             connection: Upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-extensions: {offer}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, socket.read_u8()).await.unwrap();
            head.push(byte.unwrap());
        }
        Self { socket, head: String::from_utf8(head).unwrap() }
    }

    /// A peer that has connected and subscribed.
    async fn subscribed(address: SocketAddr, topic: &str) -> Self {
        let peer = Self::subscribed_with(address, topic, OFFER).await;
        assert!(peer.head.contains(AGREED), "{}", peer.head);
        peer
    }

    async fn subscribed_with(address: SocketAddr, topic: &str, offer: &str) -> Self {
        let mut peer = Self::open(address, offer).await;
        peer.send(FIN | RSV1 | TEXT, &deflate(br#"{"id":1,"connect":{}}"#)).await;
        let (_, connected) = peer.frame().await;
        assert!(String::from_utf8(connected).unwrap().contains("connected"));
        let subscribe = json!({"id": 2, "subscribe": {"topic": topic}}).to_string();
        peer.send(FIN | TEXT, subscribe.as_bytes()).await;
        let (_, subscribed) = peer.frame().await;
        assert!(String::from_utf8(subscribed).unwrap().contains("subscribed"));
        peer
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first, 0x80 | 127];
        match payload.len() {
            short @ 0..126 => frame[1] = 0x80 | short as u8,
            middle @ 126..65_536 => {
                frame[1] = 0x80 | 126;
                frame.extend_from_slice(&(middle as u16).to_be_bytes());
            }
            long => frame.extend_from_slice(&(long as u64).to_be_bytes()),
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame).await.unwrap();
    }

    async fn frame(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.read_frame()).await.expect("a frame in time").unwrap()
    }

    async fn read_frame(&mut self) -> std::io::Result<Frame> {
        let first = self.socket.read_u8().await?;
        let length = match self.socket.read_u8().await? {
            126 => u64::from(self.socket.read_u16().await?),
            127 => self.socket.read_u64().await?,
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.socket.read_exact(&mut payload).await?;
        Ok((first, payload))
    }

    async fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = self.frame().await;
            if first == FIN | CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}

fn deflate(message: &[u8]) -> Vec<u8> {
    let mut out = vec![0; message.len() + 1024];
    let mut stream =
        CompressorOxide::with_format_and_level(DataFormat::Raw, CompressionLevel::BestCompression);
    let (_, taken, given) = compress(&mut stream, message, &mut out, TDEFLFlush::Sync);
    assert_eq!(taken, message.len());
    out.truncate(given - 4);
    out
}

fn inflate(payload: &[u8]) -> Value {
    let whole = [payload, &[0, 0, 0xff, 0xff, 3, 0]].concat();
    serde_json::from_slice(&decompress_to_vec(&whole).unwrap()).unwrap()
}

#[tokio::test]
async fn nothing_is_agreed_unless_it_is_configured() {
    let server = start(config()).await;
    let mut peer = RawPeer::open(server.public_addr(), OFFER).await;
    assert!(!peer.head.to_ascii_lowercase().contains("extensions"), "{}", peer.head);
    peer.send(FIN | RSV1 | TEXT, &deflate(br#"{"id":1,"connect":{}}"#)).await;
    assert_eq!(peer.close_code().await, 1002);
    server.shutdown().await;
}

#[tokio::test]
async fn an_offer_that_cannot_be_met_leaves_the_connection_as_it_is() {
    let server = start(compressing()).await;
    let offer = "permessage-deflate; server_max_window_bits=7";
    let peer = RawPeer::open(server.public_addr(), offer).await;
    assert!(peer.head.starts_with("HTTP/1.1 101"), "{}", peer.head);
    assert!(!peer.head.to_ascii_lowercase().contains("extensions"), "{}", peer.head);
    let both = format!("{offer}, {OFFER}");
    let peer = RawPeer::open(server.public_addr(), &both).await;
    assert!(peer.head.contains(AGREED), "{}", peer.head);
    server.shutdown().await;
}

#[tokio::test]
async fn one_message_reaches_all_compressed_or_plain_as_each_agreed() {
    let server = start(compressing()).await;
    let mut plain = Peer::connect(server.public_addr()).await;
    plain.ask(json!({"subscribe": {"topic": "news"}})).await;
    let mut first = RawPeer::subscribed(server.public_addr(), "news").await;
    let mut second = RawPeer::subscribed(server.public_addr(), "news").await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let long = json!("extra ".repeat(100));
    publisher.publish("news", long.clone()).await;
    publisher.publish("news", json!("short")).await;
    assert_eq!(plain.data(2).await, [long.clone(), json!("short")]);
    let compressed = first.frame().await;
    assert_eq!(compressed.0, FIN | RSV1 | TEXT);
    assert!(compressed.1.len() < 250, "{} bytes", compressed.1.len());
    assert_eq!(inflate(&compressed.1)["message"]["data"], long);
    assert_eq!(second.frame().await, compressed, "the same bytes for all");
    let (kind, short) = first.frame().await;
    assert_eq!(kind, FIN | TEXT, "below the least length");
    assert!(String::from_utf8(short).unwrap().contains("short"));
    server.shutdown().await;
}

#[tokio::test]
async fn a_small_window_takes_what_fits_and_the_rest_plain() {
    let server = start(compressing()).await;
    let offer = "permessage-deflate; server_max_window_bits=9";
    let mut small = RawPeer::subscribed_with(server.public_addr(), "news", offer).await;
    assert!(small.head.contains("server_max_window_bits=9\r\n"), "{}", small.head);
    let mut large = RawPeer::subscribed(server.public_addr(), "news").await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    for (repeats, first_byte) in [(40, FIN | RSV1 | TEXT), (100, FIN | TEXT)] {
        let data = json!("extra ".repeat(repeats));
        publisher.publish("news", data.clone()).await;
        let (first, payload) = small.frame().await;
        assert_eq!(first, first_byte, "{repeats}");
        let message = if first & RSV1 == 0 {
            serde_json::from_slice(&payload).unwrap()
        } else {
            inflate(&payload)
        };
        assert_eq!(message["message"]["data"], data);
        assert_eq!(large.frame().await.0, FIN | RSV1 | TEXT, "{repeats}");
    }
    server.shutdown().await;
}

/// Such connections are read in smaller pieces: what is beyond the first must not wait for more.
#[tokio::test]
async fn a_burst_is_read_to_its_end() {
    let server = start(compressing()).await;
    let mut peer = RawPeer::subscribed(server.public_addr(), "t").await;
    for _ in 0..20 {
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        peer.socket.write_all(&ping.repeat(10_000)).await.unwrap();
        for _ in 0..10_000 {
            assert_eq!(peer.frame().await, (FIN | 10, Vec::new()));
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_compressed_publish_counts_as_what_it_becomes() {
    let server = start(compressing()).await;
    let mut peer = RawPeer::subscribed(server.public_addr(), "t").await;
    let text = "x".repeat(50_000);
    let publish = json!({"id": 3, "publish": {"topic": "t", "data": text}}).to_string();
    let payload = deflate(publish.as_bytes());
    // In three fragments, with a ping between.
    peer.send(RSV1 | TEXT, &payload[..10]).await;
    peer.send(FIN | 9, b"?").await;
    peer.send(0, &payload[10..20]).await;
    peer.send(FIN, &payload[20..]).await;
    assert_eq!(peer.frame().await, (FIN | 10, b"?".to_vec()));
    let mut published = false;
    let mut delivered = false;
    while !(published && delivered) {
        let (first, payload) = peer.frame().await;
        if first & RSV1 == 0 {
            published = String::from_utf8(payload).unwrap().contains("published");
        } else {
            assert_eq!(inflate(&payload)["message"]["data"], text);
            delivered = true;
        }
    }
    let over = json!({"id": 4, "publish": {"topic": "t", "data": "x".repeat(70_000)}}).to_string();
    peer.send(FIN | RSV1 | TEXT, &deflate(over.as_bytes())).await;
    let (_, refused) = peer.frame().await;
    assert!(String::from_utf8(refused).unwrap().contains("too_large"));
    server.shutdown().await;
}

#[tokio::test]
async fn a_bomb_closes_its_connection_and_no_other() {
    let server = start(compressing()).await;
    let mut bystander = Peer::connect(server.public_addr()).await;
    bystander.ask(json!({"subscribe": {"topic": "calm"}})).await;
    // Before `connect` the limit is that of strangers: 32 KiB.
    let mut stranger = RawPeer::open(server.public_addr(), OFFER).await;
    stranger.send(FIN | RSV1 | TEXT, &deflate(&vec![b' '; 33 * 1024])).await;
    assert_eq!(stranger.close_code().await, 1009);
    let mut peer = RawPeer::subscribed(server.public_addr(), "t").await;
    peer.send(FIN | RSV1 | TEXT, &deflate(&vec![b' '; 100 << 20])).await;
    assert_eq!(peer.close_code().await, 1009);
    let mut peer = RawPeer::subscribed(server.public_addr(), "t").await;
    peer.send(FIN | RSV1 | TEXT, b"no deflate").await;
    assert_eq!(peer.close_code().await, 1007);
    let mut publisher = Peer::connect(server.public_addr()).await;
    publisher.publish("calm", json!("still here")).await;
    assert_eq!(bystander.data(1).await, ["still here"]);
    server.shutdown().await;
}
