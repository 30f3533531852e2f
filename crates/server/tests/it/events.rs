//! A client of event streams that reads exactly what is asked of it and no more.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Longest wait for anything; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a stream says: an event, a comment, or how long to wait before coming back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
    /// The data as it came.
    pub(crate) text: String,
    pub(crate) retry: Option<u64>,
    pub(crate) is_comment: bool,
}

/// An open stream, or the answer of a server that refused it.
pub(crate) struct Events {
    socket: BufReader<TcpStream>,
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    /// What was taken out of chunks and not yet out of events.
    decoded: Vec<u8>,
    /// The last id there was, as a browser would show it.
    pub(crate) last_id: Option<String>,
}

impl Events {
    /// Opens a stream. `query` is what follows the `?`.
    pub(crate) async fn open(address: SocketAddr, query: &str, headers: &[(&str, &str)]) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), query, headers).await
    }

    /// One whose socket takes little before it is read.
    pub(crate) async fn open_narrow(address: SocketAddr, query: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::over(socket.connect(address).await.unwrap(), query, &[]).await
    }

    async fn over(mut stream: TcpStream, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = format!("GET /v1/stream?{query} HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        let mut socket = BufReader::with_capacity(4096, stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = tokio::time::timeout(PATIENCE, socket.read_line(&mut head)).await;
            assert!(read.expect("a head in time").unwrap() > 0, "the server hung up: {head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_ascii_lowercase();
        Self { socket, status, head, decoded: Vec::new(), last_id: None }
    }

    /// Goes on where a stream with this cursor ended.
    pub(crate) async fn resume(address: SocketAddr, query: &str, id: Option<&str>) -> Self {
        match id {
            Some(id) => Self::open(address, query, &[("last-event-id", id)]).await,
            None => Self::open(address, query, &[]).await,
        }
    }

    /// Whatever comes next; `None` once the server has ended the stream in order.
    pub(crate) async fn any(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.read_any()).await.expect("an event in time")
    }

    async fn read_any(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.decoded.windows(2).position(|pair| pair == b"\n\n") {
                let text: Vec<u8> = self.decoded.drain(..end + 2).collect();
                return Some(self.parse(std::str::from_utf8(&text).unwrap()));
            }
            let mut size = String::new();
            self.socket.read_line(&mut size).await.unwrap();
            let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
            let mut chunk = vec![0; size + 2];
            self.socket.read_exact(&mut chunk).await.unwrap();
            if size == 0 {
                assert!(self.decoded.is_empty(), "the stream ended within an event");
                return None;
            }
            self.decoded.extend_from_slice(&chunk[..size]);
        }
    }

    fn parse(&mut self, text: &str) -> Event {
        let mut event = Event::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("event", kind) => event.kind = kind.to_owned(),
                ("id", id) => event.id = Some(id.to_owned()),
                ("data", data) => {
                    event.data = serde_json::from_str(data).unwrap();
                    event.text = data.to_owned();
                }
                ("retry", ms) => event.retry = Some(ms.parse().unwrap()),
                (":", "") => event.is_comment = true,
                other => panic!("{other:?} in {text}"),
            }
        }
        if event.id.is_some() {
            self.last_id.clone_from(&event.id);
        }
        event
    }

    /// The next event; comments and `retry` are skipped.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.any().await?;
            if !event.kind.is_empty() {
                return Some(event);
            }
        }
    }

    /// The next event, which is of this kind.
    pub(crate) async fn expect(&mut self, kind: &str) -> Event {
        let event = self.next().await.expect("an event, not the end");
        assert_eq!(event.kind, kind, "{event:?}");
        event
    }

    /// The data of the next `count` messages.
    pub(crate) async fn data(&mut self, count: usize) -> Vec<Value> {
        let mut data = Vec::new();
        for _ in 0..count {
            data.push(self.expect("message").await.data["data"].clone());
        }
        data
    }

    /// The problem that a refused stream was answered with.
    pub(crate) async fn problem(&mut self) -> Value {
        let length = self.head.split("content-length: ").nth(1).expect("a length");
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}
