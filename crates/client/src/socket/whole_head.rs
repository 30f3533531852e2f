//! A stream that gives the head of the server's answer in one piece, however it arrives.
//!
//! The WebSocket library counts the pieces and takes many small ones for an attack. A client asked
//! for the answer, and a bad link may bring it byte by byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::ANSWER_HEAD_BYTES_MAX;

/// What every answer begins with; anything else is passed on at once, to be told of.
const BEGINNING: &[u8] = b"HTTP/1.";
const END: &[u8] = b"\r\n\r\n";

/// Bytes read at once.
const PIECE: usize = 1024;

#[derive(Debug)]
enum Phase {
    Gathering(Vec<u8>),
    /// What was gathered, and how much of it is given.
    Giving(Vec<u8>, usize),
    Passing,
}

/// See the module.
#[derive(Debug)]
pub(super) struct WholeHead<S> {
    stream: S,
    phase: Phase,
}

impl<S> WholeHead<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, phase: Phase::Gathering(Vec::new()) }
    }
}

/// Whether there is nothing more to wait for.
fn is_whole(head: &[u8]) -> bool {
    let compared = head.len().min(BEGINNING.len());
    head[..compared] != BEGINNING[..compared]
        || head.len() >= ANSWER_HEAD_BYTES_MAX
        || head.windows(END.len()).any(|bytes| bytes == END)
}

impl<S: AsyncRead + Unpin> AsyncRead for WholeHead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.phase {
                Phase::Gathering(head) => {
                    let mut piece = [0; PIECE];
                    let mut read = ReadBuf::new(&mut piece);
                    ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
                    head.extend_from_slice(read.filled());
                    if read.filled().is_empty() || is_whole(head) {
                        this.phase = Phase::Giving(std::mem::take(head), 0);
                    }
                }
                Phase::Giving(head, given) => {
                    let rest = &head[*given..];
                    if rest.is_empty() {
                        this.phase = Phase::Passing;
                        continue;
                    }
                    let count = rest.len().min(out.remaining());
                    out.put_slice(&rest[..count]);
                    *given += count;
                    return Poll::Ready(Ok(()));
                }
                Phase::Passing => return Pin::new(&mut this.stream).poll_read(cx, out),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WholeHead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";

    /// What the first read gives of `sent`, which arrives byte by byte, and what follows.
    async fn read(sent: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut far, near) = tokio::io::duplex(1);
        let mut near = WholeHead::new(near);
        let sending = async {
            far.write_all(sent).await.unwrap();
            drop(far);
        };
        let reading = async {
            let mut first = [0; 2 * ANSWER_HEAD_BYTES_MAX];
            let count = near.read(&mut first).await.unwrap();
            let mut rest = Vec::new();
            near.read_to_end(&mut rest).await.unwrap();
            (first[..count].to_vec(), rest)
        };
        tokio::join!(sending, reading).1
    }

    #[tokio::test]
    async fn a_head_comes_in_one_piece_and_what_follows_as_it_is() {
        let frames = b"frames".to_vec();
        let expected = (ANSWER.to_vec(), frames.clone());
        assert_eq!(read(&[ANSWER, &frames].concat()).await, expected);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_passed_on_at_once() {
        let (first, rest) = read(b"SSH-2.0-x\r\n").await;
        assert_eq!((first.as_slice(), rest.as_slice()), (&b"S"[..], &b"SH-2.0-x\r\n"[..]));
        assert_eq!(read(b"").await, (Vec::new(), Vec::new()));
        let cut = &ANSWER[..20];
        assert_eq!(read(cut).await, (cut.to_vec(), Vec::new()), "its end is the end");
    }

    #[tokio::test]
    async fn a_head_without_end_is_bounded() {
        let endless = [BEGINNING, &vec![b'x'; 3 * ANSWER_HEAD_BYTES_MAX]].concat();
        let (first, rest) = read(&endless).await;
        assert_eq!(first.len(), ANSWER_HEAD_BYTES_MAX);
        assert_eq!(first.len() + rest.len(), endless.len());
    }
}
