//! A shard: one thread, one epoll loop, and the sockets it owns for good.
//!
//! Nothing in here waits for anything but the poll: reads of the log go to the readers, writes to
//! the store's queue, and their outcomes come back through the inbox. A turn of the loop gathers
//! all that has arrived and writes to each connection once.

mod attach;
mod backlog;
mod catch_up;
mod close;
mod connect;
mod connection;
mod dead_letter;
mod durable;
mod failed;
mod fan_out;
mod groups;
mod input;
mod member;
mod output;
mod own_inbox;
mod parting;
mod presence;
mod publish;
mod reads;
mod recall;
mod requests;
mod settle;
mod stream;
mod subscribe;
mod subscription;
#[cfg(test)]
mod tests;
mod timers;
mod topics;
mod trace;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tidings_core::{CloseCode, Durability, DurableKey, Instant, Priority, TimerWheel, Timestamp};
use tidings_protocol::{ErrorBody, RequestId, ServerBody, ServerFrame};
use tidings_storage::{Submission, Ticket, Write, fault_point};

use crate::clock::Stopwatch;
use crate::delivery_record::DeliveryRecord;
use crate::env::Env;
use crate::group_letter::GroupSlot;
use crate::inbox::{Inbox, Letter, Waiting};
use crate::spans::PublishSpan;
use crate::websocket::{Deflater, Inflater};
use connection::{Connection, Phase};
use groups::Groups;
use input::ReadUntil;
pub(crate) use stream::{Handoff, Hidden, Stream};
pub(crate) use subscribe::start;
use topics::Topics;

/// History requests of one connection that may be under way.
pub(crate) const HISTORY_IN_FLIGHT_MAX: u8 = 4;

/// Names a connection of a shard. The generation tells a connection from a later one in the same
/// slot, so that an answer which comes late goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// What a write that was submitted is for.
#[derive(Debug)]
enum PendingWrite {
    Publish {
        connection: ConnectionKey,
        id: RequestId,
        span: PublishSpan,
        /// When it was handed to the store, for one of each submission.
        submitted: Option<Stopwatch>,
    },
    /// A message for later.
    Schedule {
        connection: ConnectionKey,
        id: RequestId,
        deliver_at: Timestamp,
        span: PublishSpan,
    },
    DeadLetter {
        connection: ConnectionKey,
        key: DurableKey,
        offset: tidings_core::Offset,
    },
    /// A first cursor: the durable subscription begins once it is saved.
    Open {
        key: DurableKey,
        connection: ConnectionKey,
    },
    /// A cursor on its way: saved again if it could not be, else so much may be sent.
    Cursor {
        connection: ConnectionKey,
        key: DurableKey,
        reserved: tidings_core::Offset,
    },
    /// A session on its way: saved again later if it could not be.
    Session {
        connection: ConnectionKey,
    },
    /// A session whose connection has ended: nobody holds it once it is saved.
    LastSession {
        connection: ConnectionKey,
        id: tidings_core::SessionId,
    },
    /// A group's first cursor in its topic: members join once it is saved.
    GroupOpen {
        group: GroupSlot,
        topic: tidings_core::Topic,
    },
    /// A group's cursor on its way: marked again if it could not be saved.
    GroupCursor {
        group: GroupSlot,
        topic: tidings_core::Topic,
        reserved: tidings_core::Offset,
    },
    GroupDeadLetter {
        group: GroupSlot,
        topic: tidings_core::Topic,
        offset: tidings_core::Offset,
    },
    /// A final cursor: the durable subscription is free once it is saved.
    Release {
        key: DurableKey,
        connection: ConnectionKey,
    },
}

/// Whether messages are kept anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Keeping {
    Nowhere,
    Kept,
}

impl Keeping {
    const fn of(durability: Durability) -> Self {
        match durability {
            Durability::Memory => Self::Nowhere,
            Durability::Sync | Durability::Async => Self::Kept,
        }
    }
}

/// The waker's token; connections have their slot.
const WAKER: Token = Token(usize::MAX);

/// Precision of timers: heartbeats and redeliveries need no better.
const TIMER_SLOT: Duration = Duration::from_millis(50);

/// Cursors are saved this long after they moved, or later where the connection has no room for
/// more. A crash in between repeats what was acked meanwhile, and loses nothing.
const CURSOR_SAVE_INTERVAL: Duration = Duration::from_millis(25);

/// Writes submitted together: small enough that the store's queue refuses few at a time.
const PIECE_BYTES: usize = 1024 * 1024;
/// See [`PIECE_BYTES`].
const PIECE_WRITES: usize = 4096;

/// Events taken from one poll: messages that were committed meanwhile wait for the turn that deals with
/// them, and an event takes some 20 µs where an answer has to wake who reads it.
const EVENTS_PER_TURN: usize = 64;

pub(crate) struct Shard {
    env: Arc<Env>,
    inbox: Arc<Inbox>,
    poll: Poll,
    connections: Slab<Connection>,
    topics: Topics,
    attendance: presence::Attendance,
    /// The groups that this shard owns.
    groups: Groups,
    /// Members that connections of this shard have become.
    members_made: u64,
    generation: u32,
    /// Writes gathered in this turn, submitted together at its end: by their priority, and apart
    /// those that are kept nowhere, which need not wait for a disk.
    submissions: BTreeMap<(Priority, Keeping), Vec<Submission>>,
    pending: Slab<PendingWrite>,
    timers: TimerWheel<ConnectionKey>,
    /// Connections with something to write in this turn.
    unflushed: Vec<u32>,
    /// Connections whose input was not read to its end, because of the budget of a turn.
    unread: Vec<u32>,
    /// Durable subscriptions whose cursor moved since it was saved.
    unsaved: Vec<(ConnectionKey, tidings_core::Topic)>,
    save_at: Option<Instant>,
    partings: parting::Partings,
    /// The store refused a cursor: none is saved before.
    saves_rest_until: Instant,
    drain: Option<close::Drain>,
    read_buffer: Box<[u8]>,
    reads: reads::Reads,
    /// For the connections that take compressed messages; without any, these own no memory.
    deflater: Deflater,
    inflater: Inflater,
    /// The latest durable deliveries.
    record: DeliveryRecord,
    now: Instant,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("lane", &self.inbox.lane()).finish_non_exhaustive()
    }
}

/// A poll and the inbox that wakes it; made before the store, which needs the inboxes.
#[derive(Debug)]
pub(crate) struct ShardSeat {
    pub(crate) poll: Poll,
    pub(crate) inbox: Arc<Inbox>,
}

impl ShardSeat {
    pub(crate) fn new(lane: u32) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        Ok(Self { poll, inbox: Arc::new(Inbox::new(lane, waker)) })
    }
}

/// Bytes read from a socket in one go.
const READ_BUFFER_BYTES: usize = 128 * 1024;

impl Shard {
    pub(crate) fn new(env: Arc<Env>, seat: ShardSeat) -> Self {
        let now = env.clock.now();
        let deflater = Deflater::new(env.settings.deflate_bytes_min.unwrap_or(usize::MAX));
        let record_events = env.settings.record_events;
        Self {
            env,
            inbox: seat.inbox,
            poll: seat.poll,
            connections: Slab::new(),
            topics: Topics::default(),
            attendance: presence::Attendance::default(),
            groups: Groups::new(now),
            members_made: 0,
            generation: 0,
            submissions: BTreeMap::new(),
            pending: Slab::new(),
            timers: TimerWheel::new(now, TIMER_SLOT),
            unflushed: Vec::new(),
            unread: Vec::new(),
            unsaved: Vec::new(),
            save_at: None,
            partings: parting::Partings::default(),
            saves_rest_until: now,
            drain: None,
            reads: reads::Reads::default(),
            read_buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            deflater,
            inflater: Inflater::default(),
            record: DeliveryRecord::new(record_events, now),
            now,
        }
    }

    /// Runs until it is drained.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut waiting = Waiting::default();
        while !self.is_drained() {
            if let Err(error) = self.poll.poll(&mut events, self.sleep()) {
                // Without its poll a shard is deaf: the process must not run on with it.
                assert_eq!(
                    error.kind(),
                    std::io::ErrorKind::Interrupted,
                    "polling failed: {error}"
                );
                events.clear();
            }
            self.now = self.env.clock.now();
            self.turn(&events, &mut waiting);
        }
    }

    /// One turn: what came by socket, what came by inbox, what is due; then everything leaves.
    fn turn(&mut self, events: &Events, waiting: &mut Waiting) {
        self.inbox.will_look();
        for slot in std::mem::take(&mut self.unread) {
            if let Some(connection) = self.connections.get_mut(slot as usize) {
                connection.read_queued = false;
                self.read_input(slot, ReadUntil::Empty);
            }
        }
        for event in events {
            if event.token() == WAKER {
                continue;
            }
            let slot = event.token().0 as u32;
            if event.is_read_closed() || event.is_error() {
                self.read_input(slot, ReadUntil::Empty);
            } else if event.is_readable() {
                self.read_input(slot, ReadUntil::Short);
            }
            if event.is_writable() {
                self.flush_if_blocked(slot);
            }
        }
        self.submit();
        self.inbox.take(waiting);
        if waiting.missed_messages {
            self.refresh_heads();
        }
        for commit in &waiting.commits {
            self.fan_out(commit);
        }
        if waiting.missed_news {
            self.tell_missed_news();
        }
        for news in &waiting.news {
            self.tell_news(news);
        }
        while let Some(letter) = waiting.next_letter() {
            self.open(letter);
        }
        self.run_timers();
        self.announce_presence();
        self.save_cursors_if_due();
        self.submit();
        fault_point("answers-unsent");
        for slot in std::mem::take(&mut self.unflushed) {
            self.flush(slot);
        }
        fault_point("answers-sent");
        self.submit();
    }

    fn open(&mut self, letter: Letter) {
        match letter {
            Letter::Adopt(handoff) => self.adopt(handoff),
            Letter::Read(done) => self.read_done(done),
            Letter::Evict { key, holder } => self.evict(&key, holder),
            Letter::Released { key, waiter } => self.released(&key, waiter),
            Letter::TakeOver { holder } => self.close_with(holder, CloseCode::TakenOver),
            Letter::Disconnect { user, which } => self.disconnect_user(&user, which),
            Letter::Describe { user, reply } => self.describe_user(&user, reply),
            Letter::ListUsers { wanted, reply } => self.list_users(&wanted, reply),
            Letter::ToGroup(letter) => self.tell_group(*letter),
            Letter::ToMember(letter) => self.tell_member(letter),
            Letter::Found(found) => self.topics_found(found),
            Letter::Survey(survey) => self.answer_survey(survey),
            Letter::Recall { topic, offset, reply } => self.recall(&topic, offset, reply),
            Letter::CountSubscribers { topic, reply } => {
                // Whoever asked may have given up.
                let _ = reply.send(self.topics.count_subscribers(&topic));
            }
            Letter::Drain { due } => self.start_drain(due),
        }
    }

    /// How long the poll may sleep.
    fn sleep(&self) -> Option<Duration> {
        if !self.unread.is_empty() || !self.unflushed.is_empty() {
            return Some(Duration::ZERO);
        }
        let presence = self.env.roster.due(&self.inbox);
        let timers = [self.timers.next_deadline(), self.groups.next_deadline(), presence];
        let next = timers.into_iter().chain([self.save_at, self.next_drain_step()]);
        let next = next.flatten().min()?;
        Some(next.since(self.env.clock.now()))
    }

    fn adopt(&mut self, handoff: Handoff) {
        let entry = self.connections.vacant_entry();
        let slot = entry.key() as u32;
        self.generation = self.generation.wrapping_add(1);
        let Handoff { mut stream, codec, agreement, token, input, seat } = handoff;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) =
            self.poll.registry().register(stream.source(), Token(slot as usize), interest)
        {
            tracing::warn!(%error, "cannot watch a socket");
            return;
        }
        let settings = &self.env.settings.connection;
        let mut connection =
            Connection::new(self.generation, stream, codec, token, settings, self.now, seat);
        connection.agreement = agreement;
        entry.insert(connection);
        self.arm(slot);
        if !input.is_empty() {
            let mut input = input.to_vec();
            self.take_input(slot, &mut input);
        }
        self.read_input(slot, ReadUntil::Empty);
    }

    fn key(&self, slot: u32) -> Option<ConnectionKey> {
        let connection = self.connections.get(slot as usize)?;
        Some(ConnectionKey { slot, generation: connection.generation })
    }

    fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(key.slot as usize)?;
        (connection.generation == key.generation).then_some(connection)
    }

    /// Queues a frame for a connection; it leaves at the end of the turn. Nothing follows a close
    /// frame (RFC 6455 §5.5.1).
    fn send(&mut self, slot: u32, id: Option<RequestId>, body: ServerBody) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if matches!(connection.phase, Phase::Closing { .. }) {
            return;
        }
        connection.send(&ServerFrame { id, body });
        connection.queue_flush(slot, &mut self.unflushed);
    }

    fn send_error(&mut self, slot: u32, id: Option<RequestId>, error: ErrorBody) {
        self.env.metrics.errors(error.code).inc();
        self.send(slot, id, ServerBody::Error(error));
    }

    /// Adds a write to this turn's.
    fn write(&mut self, write: Write, pending: Option<PendingWrite>) {
        let ticket = pending.map(|pending| {
            let tag = self.pending.insert(pending) as u64;
            Ticket { lane: self.inbox.lane(), tag }
        });
        let group = match &write {
            Write::Publish { message, durability, .. } => {
                (self.env.policies.priority(&message.topic), Keeping::of(*durability))
            }
            Write::Remove { .. }
            | Write::SaveCursor { .. }
            | Write::DeleteCursor { .. }
            | Write::SaveSession(_)
            | Write::DeleteSession(_) => (Priority::Normal, Keeping::Kept),
        };
        self.submissions.entry(group).or_default().push(Submission { write, ticket });
    }

    /// Hands this turn's writes to the store in the order they were asked for, in pieces, so that
    /// a burst of one publisher is refused by itself.
    fn submit(&mut self) {
        for ((priority, _), mut rest) in std::mem::take(&mut self.submissions) {
            while !rest.is_empty() {
                let next = rest.split_off(piece(&rest));
                let tickets: Vec<_> = rest.iter().filter_map(|s| s.ticket).collect();
                self.time_submission(&rest);
                fault_point("writes-submitting");
                if let Err(error) = self.env.store.submit_as(priority, rest) {
                    for ticket in tickets {
                        self.write_refused(ticket.tag, &error);
                    }
                }
                fault_point("writes-submitted");
                rest = next;
            }
        }
    }
}

/// How many of these writes are submitted together.
fn piece(submissions: &[Submission]) -> usize {
    let mut bytes = 0;
    let fits = |submission: &&Submission| {
        bytes += match &submission.write {
            Write::Publish { message, .. } => message.data.bytes().len(),
            Write::Remove { .. }
            | Write::SaveCursor { .. }
            | Write::DeleteCursor { .. }
            | Write::SaveSession(_)
            | Write::DeleteSession(_) => 0,
        };
        bytes <= PIECE_BYTES
    };
    submissions.iter().take_while(fits).count().clamp(1, PIECE_WRITES)
}
