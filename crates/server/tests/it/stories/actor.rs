//! Those who take part in a story: each on a connection of its own, which is read all the time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::events::Events;
use crate::peer::http;

/// What somebody has seen and was not yet told of.
pub(super) type Seen = Arc<Mutex<Vec<String>>>;

/// Somebody who takes part.
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) seen: Seen,
    sink: Option<SplitSink<WebSocketStream<TcpStream>, Message>>,
    reading: Option<JoinHandle<()>>,
}

/// An HTTP request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: String,
    pub(super) token: Option<String>,
}

fn push(seen: &Seen, line: String) {
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

impl Actor {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), seen: Seen::default(), sink: None, reading: None }
    }

    /// Opens a WebSocket in the place of what was open.
    pub(super) async fn open(&mut self, address: SocketAddr) {
        self.drop_connection();
        let request = format!("ws://{address}/v1/ws").into_client_request().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        let (sink, mut stream) = socket.split();
        let seen = Arc::clone(&self.seen);
        self.sink = Some(sink);
        self.reading = Some(tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                match message {
                    Message::Text(text) => {
                        let frames = text.as_str().lines().filter(|line| !line.is_empty());
                        frames.for_each(|frame| push(&seen, format!("<- {frame}")));
                    }
                    Message::Close(Some(close)) => {
                        return push(&seen, format!("closed {}", u16::from(close.code)));
                    }
                    Message::Close(None) => return push(&seen, "closed".to_owned()),
                    other => push(&seen, format!("<- {other:?}")),
                }
            }
            push(&seen, "cut off".to_owned());
        }));
    }

    pub(super) async fn send(&mut self, frame: &str) -> Result<(), String> {
        let sink = self.sink.as_mut().ok_or_else(|| format!("`{}` has no WebSocket", self.name))?;
        sink.send(Message::text(frame)).await.map_err(|error| error.to_string())
    }

    pub(super) async fn close(&mut self) -> Result<(), String> {
        let sink = self.sink.as_mut().ok_or_else(|| format!("`{}` has no WebSocket", self.name))?;
        sink.close().await.map_err(|error| error.to_string())
    }

    /// Is gone without a word.
    pub(super) fn drop_connection(&mut self) {
        self.sink = None;
        if let Some(reading) = self.reading.take() {
            reading.abort();
        }
    }

    /// Opens an event stream.
    pub(super) fn stream(&mut self, address: SocketAddr, query: String, after: Option<String>) {
        self.drop_connection();
        let seen = Arc::clone(&self.seen);
        self.reading = Some(tokio::spawn(async move {
            let mut events = Events::resume(address, &query, after.as_deref()).await;
            if events.status != 200 {
                let problem = events.problem().await;
                return push(&seen, format!("<- {} {problem}", events.status));
            }
            while let Some(event) = events.next().await {
                let id = event.id.map(|id| format!(" id={id}")).unwrap_or_default();
                push(&seen, format!("<- {}{id} {}", event.kind, event.text));
            }
            push(&seen, "ended".to_owned());
        }));
    }

    /// Asks, and has seen the answer when this is done.
    pub(super) async fn ask(&self, address: SocketAddr, request: Request) {
        answer(address, request, &self.seen).await;
    }

    /// Asks, and sees the answer when it comes.
    pub(super) fn wait_for(&mut self, address: SocketAddr, request: Request) {
        self.drop_connection();
        let seen = Arc::clone(&self.seen);
        self.reading = Some(tokio::spawn(async move { answer(address, request, &seen).await }));
    }
}

async fn answer(address: SocketAddr, request: Request, seen: &Seen) {
    let bearer = request.token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let Request { method, path, body, .. } = request;
    let (status, _, body) = http(address, &method, &path, &headers, &body).await;
    push(seen, format!("<- {status} {body}").trim_end().to_owned());
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.drop_connection();
    }
}
