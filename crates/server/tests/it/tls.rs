//! TLS from the first byte, and the hand-over of its state to a shard.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::{Value, json};
use tidings_server::{RunningServer, TlsSection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::peer::{config, metric, raw, start};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

const PATIENCE: Duration = Duration::from_secs(20);

const UPGRADE: &str = "GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A server that speaks TLS, and the certificate to trust.
struct Secured {
    server: RunningServer,
    certificate: CertificateDer<'static>,
}

impl Secured {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate_file, key_file) =
            (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        std::fs::write(&certificate_file, pair.cert.pem()).unwrap();
        std::fs::write(&key_file, pair.signing_key.serialize_pem()).unwrap();
        let mut config = config();
        config.tls = Some(TlsSection { certificate_file, key_file });
        Self { server: start(config).await, certificate: pair.cert.der().clone() }
    }

    async fn dial(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.server.public_addr()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap()
    }

    async fn open(&self) -> Socket {
        let stream = self.dial(&VERSIONS).await;
        tokio_tungstenite::client_async("wss://localhost/v1/ws", stream).await.unwrap().0
    }
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn frame(socket: &mut Socket) -> Value {
    let reply = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a frame in time");
    serde_json::from_str(reply.unwrap().unwrap().to_text().unwrap()).unwrap()
}

async fn ask(socket: &mut Socket, request: Value) -> Value {
    socket.send(Message::text(request.to_string())).await.unwrap();
    frame(socket).await
}

/// The bytes of a text frame of a client, masked with zeros.
fn masked(frame: &Value) -> Vec<u8> {
    // Not so short that its length would have to be written otherwise.
    let text = format!("{:<126}", frame.to_string());
    let mut bytes = vec![0x81, 0x80 | 126];
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(text.as_bytes());
    bytes
}

#[tokio::test]
async fn a_client_talks_to_a_shard_through_tls() {
    let secured = Secured::start().await;
    let mut socket = secured.open().await;
    assert!(ask(&mut socket, json!({"id": 1, "connect": {}})).await.get("connected").is_some());
    let big = "y".repeat(60_000);
    for n in 1..=20 {
        let publish = json!({"id": n + 1, "publish": {"topic": "t", "data": big}});
        assert_eq!(ask(&mut socket, publish).await["published"]["offset"], n);
    }
    // A megabyte and more through the shard's own TLS writer.
    let subscribe = json!({"id": 99, "subscribe": {"topic": "t", "from": "first"}});
    assert_eq!(ask(&mut socket, subscribe).await["subscribed"]["pending"], 20);
    for n in 1..=20 {
        let message = frame(&mut socket).await;
        assert_eq!(message["message"]["offset"], n);
        assert_eq!(message["message"]["data"].as_str().unwrap().len(), 60_000);
    }
    // Plain text to a TLS port ends, and nothing else notices.
    let answer = raw(secured.server.public_addr(), UPGRADE.as_bytes()).await;
    assert!(!answer.contains("HTTP/1.1 "));
    socket.close(None).await.unwrap();
    secured.server.shutdown().await;
}

/// Frames that do not wait for the answer to the request: the door reads a part of them, decrypts
/// another, and the rest is in the socket when the shard gets it.
#[tokio::test]
async fn what_comes_with_the_request_reaches_the_shard() {
    let secured = Secured::start().await;
    for version in VERSIONS {
        let mut stream = secured.dial(&[version]).await;
        let mut bytes = UPGRADE.as_bytes().to_vec();
        bytes.extend(masked(&json!({"id": 1, "connect": {}})));
        for n in 2..=20 {
            let publish = json!({"id": n, "publish": {"topic": "t", "data": "z".repeat(3_000)}});
            bytes.extend(masked(&publish));
        }
        // In a single record there is room for the first of them.
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
            head.push(byte.expect("an answer in time").unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        for n in 1..=20 {
            assert_eq!(frame(&mut socket).await["id"], n);
        }
    }
    secured.server.shutdown().await;
}

#[tokio::test]
async fn http_requests_go_through_tls_and_end_with_a_word() {
    let secured = Secured::start().await;
    for version in VERSIONS {
        let mut stream = secured.dial(&[version]).await;
        let body = json!({"topic": "t", "data": "d".repeat(50_000)}).to_string();
        // The first leaves the connection open.
        for connection in ["keep-alive", "close"] {
            let head = format!(
                "POST /v1/publish HTTP/1.1\r\nhost: localhost\r\nconnection: {connection}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
        }
        let mut answers = Vec::new();
        // An end without close_notify would be an error here.
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answers)).await;
        end.expect("an end in time").unwrap();
        let answers = String::from_utf8(answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    }
    secured.server.shutdown().await;
}

#[tokio::test]
async fn a_slow_reader_gets_everything_through_tls() {
    const MESSAGES: usize = 1_500;
    let secured = Secured::start().await;
    let mut slow = secured.open().await;
    ask(&mut slow, json!({"id": 1, "connect": {}})).await;
    ask(&mut slow, json!({"id": 2, "subscribe": {"topic": "flood"}})).await;
    let mut publisher = secured.open().await;
    ask(&mut publisher, json!({"id": 1, "connect": {}})).await;
    let filler = "x".repeat(8_000);
    for n in 0..MESSAGES {
        let publish = json!({"id": n + 1, "publish": {"topic": "flood", "data": [n, filler]}});
        let reply = ask(&mut publisher, publish).await;
        assert!(reply.get("published").is_some(), "{reply}");
    }
    let sent = metric(&secured.server, "tidings_sent_bytes_total").await;
    assert!(sent < 6_000_000.0, "of 12 MB {sent} bytes were sent to one that does not read");
    for n in 0..MESSAGES {
        assert_eq!(frame(&mut slow).await["message"]["data"][0], n);
    }
    secured.server.shutdown().await;
}

#[tokio::test]
async fn a_changed_record_ends_the_connection_and_nobody_else_notices() {
    let secured = Secured::start().await;
    let mut calm = secured.open().await;
    ask(&mut calm, json!({"id": 1, "connect": {}})).await;
    let mut socket = secured.open().await;
    ask(&mut socket, json!({"id": 1, "connect": {}})).await;
    // Past the client's own TLS: a record that nobody encrypted.
    let forged = [&[23, 3, 3, 0, 32], [7; 32].as_slice()].concat();
    let tcp = socket.get_mut().get_mut().0;
    tcp.write_all(&forged).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, socket.next()).await.expect("an end in time");
    let Some(Err(error)) = end else { panic!("expected an alert: {end:?}") };
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    assert!(ask(&mut calm, json!({"id": 2, "ping": {}})).await.get("pong").is_some());
    secured.server.shutdown().await;
}
