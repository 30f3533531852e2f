//! One WebSocket: bytes of frames in and out, nothing about what they mean.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tidings_protocol::Codec;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::limits::FAREWELL_MAX;
use crate::state::Disconnect;

mod open;
mod whole_head;

/// A TCP or TLS stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What happened on a socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// Everything written is with the system.
    Flushed,
    /// Frames, and perhaps nothing but a sign of life.
    Received(Bytes),
    /// The end.
    Ended(Disconnect),
}

/// An open WebSocket. Reads and writes go on side by side in one task: while the peer does not
/// take what is written, what it sends is still read.
pub(crate) struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    codec: Codec,
    /// Whether something written is not with the system yet.
    is_flushing: bool,
    /// Writing failed; the peer's reason may still be readable.
    broken: Option<Disconnect>,
}

impl Socket {
    fn new(stream: WebSocketStream<Box<dyn Stream>>, codec: Codec) -> Self {
        Self { stream, codec, is_flushing: false, broken: None }
    }

    /// Whether everything written is with the system, so that more may be written.
    pub(crate) const fn is_idle(&self) -> bool {
        !self.is_flushing
    }

    /// Starts to write `frames` as one WebSocket message; [`Self::event`] carries it on. Only
    /// when idle.
    pub(crate) async fn write(&mut self, frames: Vec<u8>) {
        let message = if self.codec.is_text() {
            let text = Utf8Bytes::try_from(frames).expect("the JSON codec writes UTF-8");
            Message::Text(text)
        } else {
            Message::Binary(frames.into())
        };
        self.is_flushing = true;
        // The stream buffers without waiting when everything before is flushed.
        if let Err(error) = self.stream.feed(message).await {
            self.is_flushing = false;
            self.broken = Some(lost(error));
        }
    }

    /// What happens next. With `may_read` false the peer's bytes stay where they are. Cancel
    /// safe.
    pub(crate) async fn event(&mut self, may_read: bool) -> SocketEvent {
        poll_fn(|cx| self.poll_event(cx, may_read)).await
    }

    /// What has happened already.
    pub(crate) fn event_now(&mut self) -> Option<SocketEvent> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match self.poll_event(&mut cx, true) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, may_read: bool) -> Poll<SocketEvent> {
        if self.is_flushing
            && let Poll::Ready(result) = self.stream.poll_flush_unpin(cx)
        {
            self.is_flushing = false;
            match result {
                Ok(()) => return Poll::Ready(SocketEvent::Flushed),
                Err(error) => self.broken = Some(lost(error)),
            }
        }
        if may_read && let Poll::Ready(message) = Pin::new(&mut self.stream).poll_next_unpin(cx) {
            return Poll::Ready(self.received(message));
        }
        // Nothing more can be read, so the reason for the end will not come either.
        match self.broken.take() {
            Some(cause) => Poll::Ready(SocketEvent::Ended(cause)),
            None => Poll::Pending,
        }
    }

    fn received(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> SocketEvent {
        match message {
            Some(Ok(Message::Text(text))) => SocketEvent::Received(text.into()),
            Some(Ok(Message::Binary(bytes))) => SocketEvent::Received(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                // An answer to a ping is in the stream's buffer and wants to leave.
                self.is_flushing = true;
                SocketEvent::Received(Bytes::new())
            }
            Some(Ok(Message::Close(frame))) => SocketEvent::Ended(closed(frame)),
            Some(Err(error)) => {
                SocketEvent::Ended(self.broken.take().unwrap_or_else(|| lost(error)))
            }
            None => {
                SocketEvent::Ended(self.broken.take().unwrap_or(Disconnect::Lost { source: None }))
            }
        }
    }

    /// Says goodbye and waits a little for the peer to do so as well.
    pub(crate) async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let farewell = async {
            if self.stream.close(Some(frame)).await.is_ok() {
                // Unread messages are in the way of the peer's answer.
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // Late or not, nothing of value is on its way any more.
        let _ = tokio::time::timeout(FAREWELL_MAX, farewell).await;
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("codec", &self.codec).finish_non_exhaustive()
    }
}

fn closed(frame: Option<CloseFrame>) -> Disconnect {
    // RFC 6455 §7.1.5: a close without a code counts as 1005.
    frame.map_or(Disconnect::Closed { code: 1005, reason: "no reason given".to_owned() }, |frame| {
        Disconnect::Closed { code: frame.code.into(), reason: frame.reason.to_string() }
    })
}

fn lost(error: tungstenite::Error) -> Disconnect {
    let source = match error {
        tungstenite::Error::Io(source) => source,
        other => io::Error::other(other),
    };
    Disconnect::Lost { source: Some(Arc::new(source)) }
}
