//! A server on random ports, and plain peers that speak JSON frames or raw bytes to it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidings_server::{Config, Engine, RunningServer, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Longest wait for anything; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration for tests: open, on random ports, ending quickly.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.auth.open = true;
    config.server.listen = "127.0.0.1:0".parse().unwrap();
    config.server.operator = "127.0.0.1:0".parse().unwrap();
    config.server.drain_timeout = Duration::from_millis(300);
    config.server.shards = 2;
    config
}

pub(crate) async fn start(config: Config) -> RunningServer {
    Server::builder(config).engine(Engine::Memory).start().await.unwrap()
}

/// A WebSocket client that does nothing by itself but answer pings of the socket.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    next_id: u64,
}

impl Peer {
    /// A connection without a `connect` frame.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let request = format!("ws://{address}/v1/ws").into_client_request().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        Self { socket, next_id: 1 }
    }

    /// A connection that is connected.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut peer = Self::open(address).await;
        peer.ask(json!({"connect": {}})).await;
        peer
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends a frame on a connection that may be over.
    pub(crate) async fn try_send(&mut self, frame: Value) {
        // If it is, that shows when reading.
        let _ = self.socket.send(Message::text(frame.to_string())).await;
    }

    /// The next frame that is no ping; `None` once the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next());
            match message.await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(text.as_str()).unwrap();
                    if frame.get("ping").is_none() {
                        return Some(frame);
                    }
                }
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return None,
                Some(Ok(other)) => panic!("unexpected {other:?}"),
            }
        }
    }

    pub(crate) async fn frame(&mut self) -> Value {
        self.next().await.expect("a frame, not the end")
    }

    /// Sends a request and gives the frame that answers it; what comes before is dropped.
    pub(crate) async fn ask(&mut self, mut request: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = json!(id);
        self.send(request).await;
        loop {
            let frame = self.frame().await;
            if frame["id"] == json!(id) {
                return frame;
            }
        }
    }

    pub(crate) async fn publish(&mut self, topic: &str, data: Value) -> Value {
        let reply = self.ask(json!({"publish": {"topic": topic, "data": data}})).await;
        assert!(reply.get("published").is_some(), "{reply}");
        reply["published"].clone()
    }

    /// The next `message` frame's body; nothing else may come before it.
    pub(crate) async fn message(&mut self) -> Value {
        let frame = self.frame().await;
        assert!(frame.get("message").is_some(), "expected a message: {frame}");
        frame["message"].clone()
    }

    /// The data of the next `count` messages.
    pub(crate) async fn data(&mut self, count: usize) -> Vec<Value> {
        let mut data = Vec::new();
        for _ in 0..count {
            data.push(self.message().await["data"].clone());
        }
        data
    }

    /// Asserts that nothing was sent: a ping's pong is the next thing to come.
    pub(crate) async fn assert_quiet(&mut self) {
        self.send(json!({"ping": {}})).await;
        let frame = self.frame().await;
        assert!(frame.get("pong").is_some(), "expected nothing but a pong: {frame}");
    }

    /// Closes the connection properly, with `code`, and waits for the server to answer.
    pub(crate) async fn close(self, code: u16) {
        self.close_saying(code, "").await;
    }

    /// The same with a text.
    pub(crate) async fn close_saying(mut self, code: u16, reason: &str) {
        let close = CloseFrame { code: code.into(), reason: reason.into() };
        self.socket.close(Some(close)).await.unwrap();
        while self.next().await.is_some() {}
    }

    /// The close code the server ends the connection with.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a close in time")
            {
                Some(Ok(Message::Close(Some(close)))) => return close.code.into(),
                Some(Ok(_)) => {}
                other => panic!("the connection ended without a close frame: {other:?}"),
            }
        }
    }
}

/// Sends raw bytes and gives everything that comes back until the server closes.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset after the answer is an end as well.
    let _ = read.expect("an end in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// An HTTP request on a connection of its own: status and body.
pub(crate) async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    let answer = raw(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// The value of a metric without labels, or with exactly these.
pub(crate) async fn metric(server: &RunningServer, name: &str) -> f64 {
    let (_, _, text) = http(server.operator_addr(), "GET", "/metrics", &[], "").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no metric {name} in\n{text}")).parse().unwrap()
}
