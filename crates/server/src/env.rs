//! What every part of the server shares: built once, at the start.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tidings_core::{
    ConnectionSettings, Jitter, MessageId, NodeId, Offset, PolicyTable, Topic, UserId,
};
use tidings_protocol::ConnectionLimits;
use tidings_storage::Store;
use tokio::sync::{Semaphore, oneshot};

use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::disconnects::Disconnects;
use crate::door_lane::DoorLane;
use crate::door_reads::DoorReads;
use crate::inbox::{Inbox, Letter, Recalled, UserConnections, UsersWanted, Whose};
use crate::kept_attempts::KeptAttempts;
use crate::metrics::Metrics;
use crate::presence::Roster;
use crate::reader::Readers;
use crate::resting_groups::RestingGroups;
use crate::schedule::{ScheduleLimits, SharedSchedule};
use crate::spans::Spans;
use crate::watchers::Watchers;

/// Settings as the shards and the door use them.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) node: NodeId,
    pub(crate) connection: ConnectionSettings,
    pub(crate) limits: ConnectionLimits,
    /// Unsent bytes of a connection at which it falls back to reading the log.
    pub(crate) outbound_bytes: usize,
    /// The shortest message that is compressed, for who takes that; `None` if none is.
    pub(crate) deflate_bytes_min: Option<usize>,
    pub(crate) session_expiry: Duration,
    pub(crate) window_default: u32,
    pub(crate) subscribe_inbox: bool,
    pub(crate) cursors_per_user: usize,
    pub(crate) schedule: ScheduleLimits,
    pub(crate) replays_per_second: NonZeroU32,
    pub(crate) drain_timeout: Duration,
    pub(crate) http_body_bytes: usize,
    pub(crate) token_in_query: bool,
    pub(crate) request_timeout: Duration,
    /// Delivery events that each shard remembers.
    pub(crate) record_events: usize,
}

/// Components shared by shards and door.
#[derive(Debug)]
pub(crate) struct Env {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) readers: Readers,
    pub(crate) directory: Directory,
    pub(crate) disconnects: Disconnects,
    pub(crate) roster: Roster,
    pub(crate) attempts: KeptAttempts,
    pub(crate) resting_groups: RestingGroups,
    pub(crate) authenticator: Authenticator,
    pub(crate) policies: Arc<PolicyTable>,
    pub(crate) metrics: Metrics,
    pub(crate) spans: Spans,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) door_lane: Arc<DoorLane>,
    pub(crate) schedule: Arc<SharedSchedule>,
    pub(crate) door_reads: DoorReads,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) seats: Arc<Seats>,
    /// Whose turn it is to have every shard look through all of its connections: one operator at a time,
    /// since a shard does nothing else meanwhile.
    pub(crate) looks_at_users: Semaphore,
    pub(crate) seeds: Seeds,
}

/// Seeds for jitter and request ids: unpredictable from outside, not for secrets.
#[derive(Debug)]
pub(crate) struct Seeds(AtomicU64);

impl Seeds {
    pub(crate) const fn from(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    /// Another one each time.
    pub(crate) fn next(&self) -> u64 {
        Jitter::new(self.0.fetch_add(1, Ordering::Relaxed)).next_u64()
    }
}

/// Clients that are sent away come back within this time, spread evenly.
const COMEBACK_SPREAD: Duration = Duration::from_secs(5);

impl Env {
    /// Another seed each time.
    pub(crate) fn random_seed(&self) -> u64 {
        self.seeds.next()
    }

    /// A name for one HTTP request, unique enough to be found in the log.
    pub(crate) fn request_id(&self) -> String {
        MessageId::new(Clock::wall().as_ms(), 0, self.random_seed()).to_string()
    }

    /// Has every shard close a user's connections, and ends the user's streams, finally.
    pub(crate) fn disconnect(&self, user: &UserId, which: Whose) {
        for inbox in &self.inboxes {
            inbox.post(Letter::Disconnect { user: user.clone(), which });
        }
        self.watchers.send_away(user, which);
    }

    /// The connections a user has now, on each shard.
    pub(crate) async fn describe(&self, user: &UserId) -> Vec<UserConnections> {
        let _turn = self.looks_at_users.acquire().await;
        self.ask_shards(|reply| Letter::Describe { user: user.clone(), reply }).await
    }

    /// The first users of those that are wanted who have connections, with how many, from each shard.
    pub(crate) async fn list_users(&self, wanted: &UsersWanted) -> Vec<(UserId, u64)> {
        let _turn = self.looks_at_users.acquire().await;
        let letter = |reply| Letter::ListUsers { wanted: wanted.clone(), reply };
        self.ask_shards(letter).await.into_iter().flatten().collect()
    }

    /// What each shard knows of the message at this place.
    pub(crate) async fn recall(&self, topic: &Topic, offset: Offset) -> Vec<Recalled> {
        self.ask_shards(|reply| Letter::Recall { topic: topic.clone(), offset, reply }).await
    }

    /// Subscriptions of connections that get the messages of a topic, those of groups left out.
    pub(crate) async fn count_subscribers(&self, topic: &Topic) -> u64 {
        let letter = |reply| Letter::CountSubscribers { topic: topic.clone(), reply };
        self.ask_shards(letter).await.into_iter().sum()
    }

    /// What every shard answers to a letter. One that has ended has nothing to say.
    async fn ask_shards<T>(&self, letter: impl Fn(oneshot::Sender<T>) -> Letter) -> Vec<T> {
        let ask = |inbox: &Arc<Inbox>| {
            let (reply, answer) = oneshot::channel();
            inbox.post(letter(reply));
            answer
        };
        let asked: Vec<_> = self.inboxes.iter().map(ask).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.extend(answer.await);
        }
        answers
    }

    /// When a client that is sent away may come back.
    pub(crate) fn spread_comeback(&self) -> Duration {
        COMEBACK_SPREAD.mul_f64(Jitter::new(self.random_seed()).fraction())
    }
}

/// How many connections there are and may be.
#[derive(Debug)]
pub(crate) struct Seats {
    taken: AtomicUsize,
    max: usize,
}

impl Seats {
    pub(crate) const fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max }
    }

    /// Takes a seat, unless all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Seat> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { seats: Arc::clone(self) };
        (before < self.max).then_some(seat)
    }

    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
