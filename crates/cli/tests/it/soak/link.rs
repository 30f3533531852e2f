//! One connection, frame by frame as `docs/protocol.md` has them: what a library would hide is
//! what a soak has to see.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

use super::ledger::Ledger;

/// How long one look for frames takes at most.
const LOOK: Duration = Duration::from_millis(5);
/// How long the server has to answer a request, on a busy machine.
const ANSWER: Duration = Duration::from_secs(20);

/// The connection is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

/// A connection to a known process of the server.
#[derive(Debug)]
pub(crate) struct Link {
    socket: WebSocket<TcpStream>,
    pub(crate) process: u64,
    id: u64,
    frames: VecDeque<Value>,
}

impl Link {
    /// Connects and shows itself.
    pub(crate) fn open(ledger: &Ledger, port: u16) -> Result<Self, Gone> {
        Self::open_with(ledger, port, json!({})).map(|(link, _)| link)
    }

    /// Connects, says of itself what `connect` has, and gives the answer too.
    pub(crate) fn open_with(
        ledger: &Ledger,
        port: u16,
        connect: Value,
    ) -> Result<(Self, Value), Gone> {
        let process = ledger.process();
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|_| Gone)?;
        let _ = stream.set_nodelay(true);
        stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|_| Gone)?;
        let mut request =
            format!("ws://127.0.0.1:{port}/v1/ws").into_client_request().map_err(|_| Gone)?;
        let protocol = "tidings.v1.json".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (socket, _) = client(request, stream).map_err(|_| Gone)?;
        socket.get_ref().set_read_timeout(Some(LOOK)).map_err(|_| Gone)?;
        let mut link = Self { socket, process, id: 0, frames: VecDeque::new() };
        let id = link.request("connect", connect)?;
        let mut answer = link.answer(id)?;
        let connected = answer["connected"].take();
        // A connection that may be to either of two processes says nothing about both.
        let known = connected.is_object() && ledger.process() == process;
        if known { Ok((link, connected)) } else { Err(Gone) }
    }

    /// Sends a request; gives its id.
    pub(crate) fn request(&mut self, kind: &str, body: Value) -> Result<u64, Gone> {
        self.id += 1;
        let mut frame = json!({"id": self.id});
        frame[kind] = body;
        self.socket.send(Message::text(frame.to_string())).map_err(|_| Gone)?;
        Ok(self.id)
    }

    /// The next frame, if one comes soon.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, Gone> {
        if let Some(frame) = self.frames.pop_front() {
            return Ok(Some(frame));
        }
        match self.socket.read() {
            Ok(Message::Text(text)) => {
                let lines = text.lines().filter(|line| !line.is_empty());
                self.frames.extend(lines.map(|line| serde_json::from_str::<Value>(line).unwrap()));
                let frame = self.frames.pop_front();
                if frame.as_ref().is_some_and(|frame| frame.get("ping").is_some()) {
                    self.socket.send(Message::text(r#"{"pong":{}}"#)).map_err(|_| Gone)?;
                }
                Ok(frame)
            }
            Ok(Message::Close(_)) => Err(Gone),
            Ok(_) => Ok(None),
            Err(Error::Io(error))
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                Ok(None)
            }
            Err(_) => Err(Gone),
        }
    }

    /// Waits for the answer to a request; what comes before it waits for its turn.
    pub(crate) fn answer(&mut self, id: u64) -> Result<Value, Gone> {
        let until = Instant::now() + ANSWER;
        let mut before = VecDeque::new();
        while Instant::now() < until {
            let Some(frame) = self.next()? else { continue };
            if frame["id"] == id {
                before.append(&mut self.frames);
                self.frames = before;
                return Ok(frame);
            }
            before.push_back(frame);
        }
        Err(Gone)
    }

    /// Ends in good order.
    pub(crate) fn close(mut self) {
        // The frame may be refused by a connection that is gone, which is an end as well.
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }

    /// Ends without a word, as a network does.
    pub(crate) fn cut(self) {
        let _ = self.socket.get_ref().shutdown(std::net::Shutdown::Both);
    }
}
