//! TLS from the first byte, and the hand-over of its state to a shard.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tidings_server::TlsSection;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

use crate::peer::{config, raw, start};

#[tokio::test]
async fn a_client_talks_to_a_shard_through_tls() {
    let directory = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate_file, key_file) =
        (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate_file, pair.cert.pem()).unwrap();
    std::fs::write(&key_file, pair.signing_key.serialize_pem()).unwrap();
    let mut config = config();
    config.tls = Some(TlsSection { certificate_file, key_file });
    let server = start(config).await;

    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.public_addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    let (mut socket, _) =
        tokio_tungstenite::client_async("wss://localhost/v1/ws", stream).await.unwrap();

    let mut ask = async |frame: Value| -> Value {
        socket.send(Message::text(frame.to_string())).await.unwrap();
        let reply = socket.next().await.unwrap().unwrap();
        serde_json::from_str(reply.to_text().unwrap()).unwrap()
    };
    assert!(ask(json!({"id": 1, "connect": {}})).await.get("connected").is_some());
    let big = "y".repeat(60_000);
    for n in 1..=20 {
        let publish = json!({"id": n + 1, "publish": {"topic": "t", "data": big}});
        assert_eq!(ask(publish).await["published"]["offset"], n);
    }
    // A megabyte and more through the shard's own TLS writer.
    let first = ask(json!({"id": 99, "subscribe": {"topic": "t", "from": "first"}})).await;
    assert_eq!(first["subscribed"]["pending"], 20);
    for n in 1..=20 {
        let message = socket.next().await.unwrap().unwrap();
        let frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        assert_eq!(frame["message"]["offset"], n);
        assert_eq!(frame["message"]["data"].as_str().unwrap().len(), 60_000);
    }
    // Plain text to a TLS port ends, and nothing else notices.
    let answer = raw(server.public_addr(), b"GET /v1/ws HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1 200"));
    socket.close(None).await.unwrap();
    server.shutdown().await;
}
