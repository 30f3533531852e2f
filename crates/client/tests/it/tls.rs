//! `wss://` with a root from a file, and without.

use std::path::Path;
use std::sync::Arc;

use tidings_client::{Client, CloseReason, Codec, Disconnect, State};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::peer::within;

/// A listener with a certificate for `localhost`, and the certificate in PEM form.
async fn listen() -> (TcpListener, TlsAcceptor, String) {
    listen_as(rcgen::IsCa::NoCa).await
}

async fn listen_as(kind: rcgen::IsCa) -> (TcpListener, TlsAcceptor, String) {
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.is_ca = kind;
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = parameters.self_signed(&key).unwrap();
    let key = key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, TlsAcceptor::from(Arc::new(config)), cert.pem())
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
        |state: &State| matches!(state, State::Closed { reason } if is(reason, "no trusted root"));
    within("the client", state.wait_for(left)).await.unwrap();
}

fn is(reason: &CloseReason, text: &str) -> bool {
    matches!(reason, CloseReason::Failed(Disconnect::Tls { .. }))
        && reason.to_string().contains(text)
}

/// What a client says that cannot come to terms with one connection.
async fn end(url: &str, root: &Path, listener: &TcpListener, acceptor: &TlsAcceptor) -> String {
    let client = Client::builder(url).root_certificates(root).build().unwrap();
    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    assert!(within("no TLS", acceptor.accept(socket)).await.is_err());
    within("the end", client.ready()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn what_never_will_be_right_ends_at_once_with_what_to_do() {
    let (listener, acceptor, pem) = listen_as(rcgen::IsCa::NoCa).await;
    let port = listener.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root.pem");
    std::fs::write(&root, pem).unwrap();
    let said = end(&format!("wss://127.0.0.1:{port}"), &root, &listener, &acceptor).await;
    assert!(said.contains("use a name of the certificate"), "{said}");
    let said = end(&format!("ws://localhost:{port}"), &root, &listener, &acceptor).await;
    assert!(said.contains("perhaps it speaks TLS: use wss://"), "{said}");

    let (listener, acceptor, pem) =
        listen_as(rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)).await;
    let port = listener.local_addr().unwrap().port();
    std::fs::write(&root, pem).unwrap();
    let said = end(&format!("wss://localhost:{port}"), &root, &listener, &acceptor).await;
    assert!(said.contains("CA:FALSE"), "{said}");

    let client =
        Client::builder(&format!("wss://localhost:{port}")).root_certificates(&root).build();
    let (mut socket, _) = within("a connection", listener.accept()).await.unwrap();
    socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let said = within("the end", client.unwrap().ready()).await.unwrap_err().to_string();
    assert!(said.contains("does not speak TLS: use ws://"), "{said}");
}
