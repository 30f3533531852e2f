//! `wss://` with a root from a file, and without.

use std::sync::Arc;

use tidings_client::{Client, Codec, Disconnect, State};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::peer::within;

/// A listener with a certificate for `localhost`, and the certificate in PEM form.
async fn listen() -> (TcpListener, TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

#[tokio::test]
async fn trusts_the_given_root_and_nothing_else() {
    let (listener, acceptor, pem) = listen().await;
    let url = format!("wss://localhost:{}/v1/ws", listener.local_addr().unwrap().port());
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root.pem");
    std::fs::write(&root, pem).unwrap();
    let other = directory.path().join("other.pem");
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();

    let client = Client::builder(&url).root_certificates(&root).build().unwrap();
    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    let stream = within("TLS", acceptor.accept(socket)).await.unwrap();
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let choose = |_: &Request, mut response: Response| {
        let chosen = HeaderValue::from_static(Codec::Json.subprotocol());
        response.headers_mut().insert("sec-websocket-protocol", chosen);
        Ok(response)
    };
    let _socket =
        within("an upgrade", tokio_tungstenite::accept_hdr_async(stream, choose)).await.unwrap();
    let mut state = client.state();
    let there = |state: &State| matches!(state, State::Authenticating);
    within("the client", state.wait_for(there)).await.unwrap();

    let client = Client::builder(&url).root_certificates(&other).build().unwrap();
    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    assert!(within("no TLS", acceptor.accept(socket)).await.is_err());
    let mut state = client.state();
    let left =
        |state: &State| matches!(state, State::Reconnecting { cause: Disconnect::Tls { .. }, .. });
    within("the client", state.wait_for(left)).await.unwrap();
}
