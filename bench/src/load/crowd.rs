//! Many connections to one server in one event loop.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::load::ServerOptions;
use crate::load::link::{Link, Place, TakeFrame};
use crate::machine;
use crate::stream::{ClientTls, Stream};
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
    /// All divide the messages among them.
    Shared,
}

/// What the subscribers of a group subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topics {
    /// All to this one.
    One(String),
    /// Each to one of its own: this, `/` and its number in the group.
    Each(String),
}

/// Subscribers that are alike.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) count: usize,
    pub(crate) topics: Topics,
    pub(crate) subscription: Subscription,
}

/// What one client shows of itself: who it is, and what it has from an earlier connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) token: Option<String>,
    pub(crate) session: Option<String>,
    /// The epoch and offset after which it wants to go on.
    pub(crate) position: Option<(String, u64)>,
}

/// Who is in a crowd: first those who only connect, such as publishers, then the subscribers,
/// group after group.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub(crate) publishers: usize,
    pub(crate) groups: Vec<Group>,
    /// Shown by all who have no identity of their own.
    pub(crate) token: Option<String>,
    /// One for each client, or none at all. With them, what the server answers to `connect` and
    /// `subscribe` is kept.
    pub(crate) identities: Vec<Identity>,
}

impl Members {
    fn count(&self) -> usize {
        self.publishers + self.groups.iter().map(|group| group.count).sum::<usize>()
    }

    /// Whether what the server answers to the greeting is of interest.
    pub(crate) fn keep_greetings(&self) -> bool {
        !self.identities.is_empty()
    }

    /// What the client at `index` sends first.
    pub(crate) fn connect(&self, index: usize) -> String {
        let client = format!("bench-{index}");
        let identity = self.identities.get(index);
        let token = identity.map_or(self.token.as_deref(), |identity| identity.token.as_deref());
        let session = identity.and_then(|identity| identity.session.as_deref());
        wire::connect(&client, token, session)
    }

    /// What the client at `index` subscribes to, and how.
    fn subscription(&self, index: usize) -> Option<(String, Subscription)> {
        let mut place = index.checked_sub(self.publishers)?;
        let group = self.groups.iter().find(|group| {
            let inside = place < group.count;
            if !inside {
                place -= group.count;
            }
            inside
        })?;
        let topic = match &group.topics {
            Topics::One(topic) => topic.clone(),
            Topics::Each(topic) => format!("{topic}/{place}"),
        };
        Some((topic, group.subscription))
    }

    /// What the client at `index` subscribes to.
    pub(crate) fn topic(&self, index: usize) -> Option<String> {
        self.subscription(index).map(|(topic, _)| topic)
    }

    /// What the client at `index` sends after it has connected.
    pub(crate) fn subscribe(&self, index: usize) -> Option<String> {
        let (topic, subscription) = self.subscription(index)?;
        let position = self.identities.get(index).and_then(|identity| identity.position.as_ref());
        let name = format!("bench-{}", index - self.publishers);
        let start = match (subscription, position) {
            (Subscription::Durable, _) => wire::Start::Durable(&name),
            (Subscription::Shared, _) => wire::Start::Shared("bench"),
            (Subscription::Live, Some((epoch, offset))) => wire::Start::After(epoch, *offset),
            (Subscription::Live, None) => wire::Start::New,
        };
        // The request after `connect`.
        Some(wire::subscribe(2, &topic, start))
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
    /// When each client became ready, in the order in which they did.
    ready_at: Vec<Duration>,
    buffer: Vec<u8>,
    out: Vec<u8>,
    target: Target,
    tls: Option<ClientTls>,
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
    pub(crate) fn open(
        server: &ServerOptions,
        members: Members,
        at_once: usize,
    ) -> anyhow::Result<Self> {
        let mut crowd = Self {
            poll: Poll::new().context("cannot make an event loop")?,
            events: Events::with_capacity(EVENTS_MAX),
            links: Vec::new(),
            ready: 0,
            ready_at: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
            out: Vec::new(),
            target: server.url.clone(),
            tls: server.tls()?,
            members,
            started: Instant::now(),
        };
        crowd.connect_all(at_once)?;
        Ok(crowd)
    }

    /// Connects one more group, and returns when each of it is ready. Without identities: a crowd has
    /// them for all or for nobody.
    pub(crate) fn grow(&mut self, group: Group, at_once: usize) -> anyhow::Result<()> {
        self.members.groups.push(group);
        self.connect_all(at_once)
    }

    fn connect_all(&mut self, at_once: usize) -> anyhow::Result<()> {
        let count = self.members.count();
        machine::check_open_files(count)?;
        let mut progress = (self.ready, self.now());
        while self.ready < count {
            while self.links.len() < count && self.links.len() - self.ready < at_once {
                self.dial()?;
            }
            self.turn(Duration::from_millis(100), &mut Silent)?;
            if self.ready > progress.0 {
                progress = (self.ready, self.now());
            } else if self.now() - progress.1 > GREETING_MAX {
                bail!("only {} of {count} clients of {} became ready", self.ready, self.target);
            }
        }
        Ok(())
    }

    /// The time since the crowd was opened: the clock of the run.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When each client became ready, in the order in which they did.
    pub(crate) fn ready_at(&self) -> &[Duration] {
        &self.ready_at
    }

    /// What the server answered to each client's greeting, a frame a line. Only of members with
    /// identities.
    pub(crate) fn greetings(&self) -> impl Iterator<Item = &[u8]> {
        self.links.iter().map(Link::greeting)
    }

    /// How many heartbeats of the server were answered so far, of all clients.
    pub(crate) fn pings(&self) -> u64 {
        self.links.iter().map(Link::pings).sum()
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
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => tls.connect(stream)?,
        };
        self.links.push(Link::new(stream, self.target.dialect));
        Ok(())
    }

    /// Is silent for so long, but for answers to heartbeats; fails when the server drops somebody.
    pub(crate) fn stay(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = self.now() + time;
        while self.now() < until {
            self.turn(Duration::from_millis(50), &mut Silent)?;
        }
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
        let Self { events, links, ready, ready_at, buffer, out, target, members, started, .. } =
            self;
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
            if link.is_ready() && !was_ready {
                *ready += 1;
                ready_at.push(started.elapsed());
            }
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
