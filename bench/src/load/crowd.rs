//! Many connections to one server in one event loop.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::load::link::{Link, Place, TakeFrame};
use crate::machine;
use crate::target::Target;
use crate::wire;

/// Sockets looked at in one turn of the loop.
const EVENTS_MAX: usize = 1024;
/// Shared by all connections, and so the longest frame a server may send.
const READ_BUFFER_BYTES: usize = 1024 * 1024;
/// How long a server may take to make one more connection ready.
const GREETING_MAX: Duration = Duration::from_secs(20);

/// How subscribers subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// The client remembers its place.
    Live,
    /// The server remembers it, under a name for each connection.
    Durable,
}

/// Who is in a crowd: publishers first, then subscribers to one topic.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) topic: String,
    pub(crate) subscription: Subscription,
    pub(crate) token: Option<String>,
}

impl Members {
    fn count(&self) -> usize {
        self.publishers + self.subscribers
    }

    /// What the client at `index` sends after it has connected.
    pub(crate) fn subscribe(&self, index: usize) -> Option<String> {
        let subscriber = index.checked_sub(self.publishers)?;
        let name = match self.subscription {
            Subscription::Live => None,
            Subscription::Durable => Some(format!("bench-{subscriber}")),
        };
        Some(wire::subscribe(&self.topic, name.as_deref()))
    }
}

/// What a crowd does once it is ready. Bytes appended to `out` are ready for the socket.
pub(crate) trait Traffic {
    /// Client `from` got a frame.
    fn frame(
        &mut self,
        now: Duration,
        from: usize,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()>;

    /// Appends what is due by itself and says which client sends it; `None` for nothing. Asked
    /// again after each answer and after each socket, so that a long turn delays nothing.
    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>>;
}

/// A crowd that only listens.
#[derive(Debug)]
pub(crate) struct Silent;

impl Traffic for Silent {
    fn frame(&mut self, _: Duration, _: usize, _: &[u8], _: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }

    fn due(&mut self, _: Duration, _: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        Ok(None)
    }
}

/// Connections and the loop that serves them.
#[derive(Debug)]
pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    links: Vec<Link>,
    ready: usize,
    buffer: Vec<u8>,
    out: Vec<u8>,
    target: Target,
    members: Members,
    started: Instant,
}

/// A frame's way from its link to the traffic.
struct Inbox<'a, T> {
    traffic: &'a mut T,
    now: Duration,
    from: usize,
}

impl<T: Traffic> TakeFrame for Inbox<'_, T> {
    fn take(&mut self, frame: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.traffic.frame(self.now, self.from, frame, out)
    }
}

impl Crowd {
    /// Connects all members, `at_once` at a time, and returns when each is ready.
    pub(crate) fn open(target: &Target, members: Members, at_once: usize) -> anyhow::Result<Self> {
        let count = members.count();
        machine::check_open_files(count)?;
        let mut crowd = Self {
            poll: Poll::new().context("cannot make an event loop")?,
            events: Events::with_capacity(EVENTS_MAX),
            links: Vec::with_capacity(count),
            ready: 0,
            buffer: vec![0; READ_BUFFER_BYTES],
            out: Vec::new(),
            target: target.clone(),
            members,
            started: Instant::now(),
        };
        let mut progress = (0, crowd.now());
        while crowd.ready < count {
            while crowd.links.len() < count && crowd.links.len() - crowd.ready < at_once {
                crowd.dial()?;
            }
            crowd.turn(Duration::from_millis(100), &mut Silent)?;
            if crowd.ready > progress.0 {
                progress = (crowd.ready, crowd.now());
            } else if crowd.now() - progress.1 > GREETING_MAX {
                bail!("only {} of {count} clients of {target} became ready", crowd.ready);
            }
        }
        Ok(crowd)
    }

    /// The time since the crowd was opened: the clock of the run.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn dial(&mut self) -> anyhow::Result<()> {
        let address = self.target.address;
        let mut stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        // Without waiting states afterwards: many runs in a row would use up all ports.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(self.links.len()), interest)?;
        self.links.push(Link::new(stream, self.target.dialect));
        Ok(())
    }

    /// One turn of the loop: waits at most `wait`, then serves what is there. The kernel waits
    /// whole milliseconds. They are rounded down here, so that a caller who is due within one
    /// comes back at once and again rather than late.
    pub(crate) fn turn<T: Traffic>(
        &mut self,
        wait: Duration,
        traffic: &mut T,
    ) -> anyhow::Result<()> {
        let wait = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other.context("cannot wait for sockets")?,
        }
        let Self { events, links, ready, buffer, out, target, members, started, .. } = self;
        send_due(*started, links, out, traffic)?;
        for event in events.iter() {
            let index = event.token().0;
            let place = Place { index, target, members };
            let link = &mut links[index];
            let was_ready = link.is_ready();
            let outcome = if event.is_writable() { link.writable(place) } else { Ok(()) };
            let outcome = outcome.and_then(|()| {
                if !event.is_readable() {
                    return Ok(());
                }
                let peer_closed = event.is_read_closed() || event.is_error();
                let mut inbox = Inbox { traffic, now: started.elapsed(), from: index };
                link.readable(place, peer_closed, buffer, out, &mut inbox)
            });
            outcome.with_context(|| format!("client {index} of {target} failed"))?;
            *ready += usize::from(link.is_ready() && !was_ready);
            send_due(*started, links, out, traffic)?;
        }
        Ok(())
    }
}

fn send_due<T: Traffic>(
    started: Instant,
    links: &mut [Link],
    out: &mut Vec<u8>,
    traffic: &mut T,
) -> anyhow::Result<()> {
    loop {
        out.clear();
        let Some(index) = traffic.due(started.elapsed(), out)? else { return Ok(()) };
        links[index].write(out).with_context(|| format!("client {index} failed"))?;
    }
}
