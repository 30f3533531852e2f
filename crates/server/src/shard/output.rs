//! What a connection has still to write. Empty, it owns no memory.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use tidings_core::Priority;

use super::stream::Stream;

/// Slices given to one `writev`.
const SLICES_MAX: usize = 64;

/// Frames of its own up to this size are gathered in one piece of memory.
const GATHER_BYTES: usize = 16 * 1024;

/// Memory that the first frame of its own takes.
const OWN_BYTES: usize = 256;

/// Bytes on their way to a socket: shared frames as they are, its own ones gathered.
#[derive(Debug, Default)]
pub(super) struct Output {
    waiting: Waiting,
    /// The socket took no more when last asked.
    blocked: bool,
}

/// What waits to be written. Most of the time that is nothing, or for the length of a turn one
/// frame that others get too, or an answer: they need no memory beyond their own.
#[derive(Debug)]
enum Waiting {
    /// A frame that others get too, of which nothing is written; or nothing, if it is empty.
    One(Bytes),
    /// Frames of this connection alone, of which nothing is written.
    Own(Vec<u8>),
    Queue(Box<Queue>),
}

impl Waiting {
    const NOTHING: Self = Self::One(Bytes::new());
}

impl Default for Waiting {
    fn default() -> Self {
        Self::NOTHING
    }
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Everything is written.
    All,
    /// The socket takes no more now.
    Blocked,
}

impl Output {
    /// Bytes not written.
    pub(super) fn unsent(&self) -> usize {
        match &self.waiting {
            Waiting::One(frame) => frame.len(),
            Waiting::Own(own) => own.len(),
            Waiting::Queue(queue) => queue.unsent,
        }
    }

    /// Whether the socket took no more when last asked: to ask again is for the turn's end.
    pub(super) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Adds a frame that others get too.
    pub(super) fn push_shared(&mut self, frame: &Bytes) {
        match &mut self.waiting {
            Waiting::One(nothing) if nothing.is_empty() => *nothing = frame.clone(),
            Waiting::One(_) | Waiting::Own(_) | Waiting::Queue(_) => {
                self.queue().push(frame.clone())
            }
        }
    }

    /// Adds a frame that goes before what is not urgent.
    pub(super) fn push_urgent(&mut self, frame: Bytes) {
        self.queue().push_urgent(frame);
    }

    /// What is queued so far, and what is queued next, goes before anything urgent to come.
    pub(super) fn let_nothing_overtake(&mut self) {
        self.queue().let_nothing_overtake();
    }

    /// Adds frames of this connection's own, written by `write`.
    pub(super) fn push_own(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Waiting::One(nothing) = &self.waiting
            && nothing.is_empty()
        {
            // Room for an answer or two, so that the first one is not copied as it grows.
            self.waiting = Waiting::Own(Vec::with_capacity(OWN_BYTES));
        }
        match &mut self.waiting {
            Waiting::Own(own) if own.len() < GATHER_BYTES => write(own),
            Waiting::One(_) | Waiting::Own(_) | Waiting::Queue(_) => self.queue().push_own(write),
        }
    }

    fn queue(&mut self) -> &mut Queue {
        if !matches!(self.waiting, Waiting::Queue(_)) {
            let mut queue = Box::<Queue>::default();
            match std::mem::take(&mut self.waiting) {
                Waiting::One(nothing) if nothing.is_empty() => {}
                Waiting::One(frame) => queue.push(frame),
                Waiting::Own(own) => queue.push(own.into()),
                Waiting::Queue(_) => unreachable!("it is none"),
            }
            self.waiting = Waiting::Queue(queue);
        }
        match &mut self.waiting {
            Waiting::Queue(queue) => queue,
            Waiting::One(_) | Waiting::Own(_) => unreachable!("it was made a queue"),
        }
    }

    /// What is to be written with nothing before or behind it.
    fn lone(&self) -> Option<&[u8]> {
        match &self.waiting {
            Waiting::One(frame) => {
                Some(frame).filter(|frame| !frame.is_empty()).map(|frame| &**frame)
            }
            Waiting::Own(own) => Some(own),
            Waiting::Queue(_) => None,
        }
    }

    /// Writes as much as the socket takes.
    pub(super) fn flush(&mut self, stream: &mut Stream) -> io::Result<Flushed> {
        self.blocked = true;
        if let Some(bytes) = self.lone() {
            match stream.write(&[IoSlice::new(bytes)]) {
                Ok(written) if written == bytes.len() => self.waiting = Waiting::NOTHING,
                Ok(written) => self.queue().advance(written),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                    // Goes on below.
                    io::ErrorKind::Interrupted => {
                        self.queue();
                    }
                    _ => return Err(error),
                },
            }
        }
        if let Waiting::Queue(queue) = &mut self.waiting {
            if queue.flush(stream)? == Flushed::Blocked {
                return Ok(Flushed::Blocked);
            }
            self.waiting = Waiting::NOTHING;
        }
        stream.push()?;
        self.blocked = stream.wants_write();
        Ok(if self.blocked { Flushed::Blocked } else { Flushed::All })
    }
}

/// More than one frame.
#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Bytes>,
    /// Frames of this connection alone, after everything in `chunks`.
    own: Vec<u8>,
    unsent: usize,
    /// How many of the first chunks go before the rest: the last urgent frame is among them, so the
    /// next one comes behind them.
    ahead: u32,
    /// Urgent frames in a row that went before others.
    overtakes: u8,
    /// The first chunk is written in part: nothing can go before the rest of it.
    begun: bool,
}

impl Queue {
    fn push(&mut self, frame: Bytes) {
        self.seal();
        self.unsent += frame.len();
        self.chunks.push_back(frame);
    }

    /// After so many in a row, one chunk of the others goes first, so that they do not stand
    /// still.
    fn push_urgent(&mut self, frame: Bytes) {
        self.unsent += frame.len();
        let mut at = (self.ahead as usize).max(usize::from(self.begun));
        if u32::from(self.overtakes) >= Priority::Urgent.share() {
            self.overtakes = 0;
            at += 1;
        }
        if at >= self.chunks.len() {
            self.seal();
            at = at.min(self.chunks.len());
        }
        self.overtakes = if at < self.chunks.len() { self.overtakes + 1 } else { 0 };
        self.chunks.insert(at, frame);
        self.ahead = at as u32 + 1;
    }

    fn let_nothing_overtake(&mut self) {
        self.seal();
        self.ahead = self.chunks.len() as u32 + 1;
    }

    fn push_own(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.own.len();
        write(&mut self.own);
        self.unsent += self.own.len() - before;
        if self.own.len() >= GATHER_BYTES {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.own.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.own).into());
        }
    }

    fn flush(&mut self, stream: &mut Stream) -> io::Result<Flushed> {
        self.seal();
        while !self.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            match stream.write(&slices[..count]) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::All)
    }

    fn advance(&mut self, mut written: usize) {
        self.unsent -= written;
        while let Some(chunk) = self.chunks.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                self.begun |= written > 0;
                return;
            }
            written -= chunk.len();
            self.chunks.pop_front();
            self.ahead = self.ahead.saturating_sub(1);
            self.begun = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be written from now on.
    fn rest(output: &mut Output) -> String {
        let queue = output.queue();
        queue.seal();
        queue.chunks.iter().map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()).collect()
    }

    fn own(output: &mut Output, text: &str) {
        output.push_own(|out| out.extend_from_slice(text.as_bytes()));
    }

    fn shared(output: &mut Output, text: &'static str) {
        output.push_shared(&Bytes::from_static(text.as_bytes()));
    }

    fn urgent(output: &mut Output, text: &'static str) {
        output.push_urgent(Bytes::from_static(text.as_bytes()));
    }

    #[test]
    fn urgent_frames_overtake_in_their_order_and_cut_no_frame() {
        let mut output = Output::default();
        shared(&mut output, "(abc)");
        own(&mut output, "(own)");
        output.queue().advance(2);
        urgent(&mut output, "<1>");
        urgent(&mut output, "<2>");
        assert_eq!(rest(&mut output), "bc)<1><2>(own)");
        output.queue().advance(4);
        urgent(&mut output, "<3>");
        assert_eq!(rest(&mut output), "1><2><3>(own)");
        let unsent = output.unsent();
        output.queue().advance(unsent);
        assert_eq!((rest(&mut output), output.unsent()), (String::new(), 0));
        urgent(&mut output, "<4>");
        own(&mut output, "(later)");
        assert_eq!(rest(&mut output), "<4>(later)");
    }

    #[test]
    fn nothing_overtakes_what_says_where_a_subscription_stands() {
        let mut output = Output::default();
        shared(&mut output, "(a)");
        output.let_nothing_overtake();
        own(&mut output, "(subscribed)");
        urgent(&mut output, "<1>");
        own(&mut output, "(b)");
        urgent(&mut output, "<2>");
        assert_eq!(rest(&mut output), "(a)(subscribed)<1><2>(b)");
    }

    #[test]
    fn others_keep_a_share_under_a_rush() {
        let mut output = Output::default();
        for _ in 0..100 {
            shared(&mut output, ".");
        }
        for _ in 0..160 {
            urgent(&mut output, "!");
        }
        let line = rest(&mut output);
        assert!(line.starts_with(&"!".repeat(16)), "{line}");
        assert!(!line.contains(&"!".repeat(17)), "{line}");
        assert_eq!(line.len(), 260);
    }

    /// A peer that reads late gets every byte in its order, whichever frame the socket cut.
    #[test]
    fn what_the_socket_cuts_goes_on_where_it_was_cut() {
        use std::io::Read as _;
        use std::net::{TcpListener, TcpStream};

        let large = |byte: u8| vec![byte; 8 * 1024 * 1024];
        let first: [fn(&mut Output, Vec<u8>); 2] = [
            |output, bytes| output.push_own(|out| out.extend_from_slice(&bytes)),
            |output, bytes| output.push_shared(&bytes.into()),
        ];
        for push in first {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, _) = listener.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut stream = Stream::Plain(mio::net::TcpStream::from_std(socket));
            let mut output = Output::default();
            push(&mut output, large(b'a'));
            let mut expected = large(b'a');
            assert_eq!(output.flush(&mut stream).unwrap(), Flushed::Blocked);
            assert!(output.is_blocked() && output.unsent() < expected.len());
            own(&mut output, "(own)");
            shared(&mut output, "(shared)");
            expected.extend_from_slice(b"(own)(shared)");
            let mut got = vec![0; expected.len()];
            let reader = std::thread::spawn(move || peer.read_exact(&mut got).map(|()| got));
            while output.flush(&mut stream).unwrap() == Flushed::Blocked {
                std::thread::yield_now();
            }
            assert_eq!((output.unsent(), output.is_blocked()), (0, false));
            assert!(reader.join().unwrap().unwrap() == expected, "bytes were lost or moved");
        }
    }
}
