//! What other threads tell a shard: commits and letters.

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_core::{
    ClientId, CursorKey, DurableKey, Instant, Offset, Position, Timestamp, Topic, UserId,
};
use tidings_protocol::RequestId;
use tidings_storage::{ReadBatch, StoreError, Ticket};
use tokio::sync::oneshot;

use crate::commit::SharedCommit;
use crate::dead_letters::ToldAttempt;
use crate::delivery_record::{Happening, Reader};
use crate::group_letter::{GroupLetter, GroupSlot, MemberLetter, Survey};
use crate::presence::SharedNews;
use crate::shard::{ConnectionKey, Handoff};

/// Messages that may wait in a shard's inbox. A shard that is further behind than this is told
/// so and reads what it missed from the log; the commit thread never waits for it.
const WAITING_MESSAGES_MAX: usize = 16 * 1024;

/// Announcements of presence that may wait in a shard's inbox. A shard that is further behind
/// tells its watchers that they missed some.
const WAITING_NEWS_MAX: usize = 4 * 1024;

/// One thing to tell a shard, other than a commit.
#[derive(Debug)]
pub(crate) enum Letter {
    /// A socket to own from now on. Not in a box: what the door allocates and a shard frees would be
    /// where the shard puts its next session, for good, amid what is only needed for the handshake.
    Adopt(Handoff),
    /// What a reader found for a subscription.
    Read(ReadDone),
    /// Another connection wants this durable subscription: let it go.
    Evict { key: DurableKey, holder: ConnectionKey },
    /// The durable subscription is free for the one who waits.
    Released { key: DurableKey, waiter: ConnectionKey },
    /// Another connection took this one's session.
    TakeOver { holder: ConnectionKey },
    /// Close connections of a user.
    Disconnect { user: UserId, which: Whose },
    /// Tell which connections a user has here.
    Describe { user: UserId, reply: oneshot::Sender<UserConnections> },
    /// Tell which users have connections here, and how many.
    ListUsers { wanted: UsersWanted, reply: oneshot::Sender<Vec<(UserId, u64)>> },
    /// From a member's shard to the one that owns its group.
    ToGroup(Box<GroupLetter>),
    /// From the shard that owns a group to a member's.
    ToMember(MemberLetter),
    /// The topics of a group that have messages for it.
    Found(FoundTopics),
    /// Somebody asks how the groups of this shard stand.
    Survey(Survey),
    /// Tell what is known of the message at this place.
    Recall { topic: Topic, offset: Offset, reply: oneshot::Sender<Recalled> },
    /// Tell how many subscriptions get the messages of a topic.
    CountSubscribers { topic: Topic, reply: oneshot::Sender<u64> },
    /// Close everything in waves until `due`, then stop.
    Drain { due: Instant },
}

impl Letter {
    /// Whether it only asks for something, and whoever asked has given up.
    fn is_moot(&self) -> bool {
        match self {
            Self::Describe { reply, .. } => reply.is_closed(),
            Self::ListUsers { reply, .. } => reply.is_closed(),
            Self::Recall { reply, .. } => reply.is_closed(),
            Self::CountSubscribers { reply, .. } => reply.is_closed(),
            Self::Adopt(_)
            | Self::Read(_)
            | Self::Evict { .. }
            | Self::Released { .. }
            | Self::TakeOver { .. }
            | Self::Disconnect { .. }
            | Self::ToGroup(_)
            | Self::ToMember(_)
            | Self::Found(_)
            | Self::Survey(_)
            | Self::Drain { .. } => false,
        }
    }
}

/// Which connections of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// Every one.
    All,
    /// Those let in by a token that was issued by this moment, or has no date.
    IssuedBy(Timestamp),
}

/// A connection of a user, as an operator sees it.
#[derive(Clone, Debug)]
pub(crate) struct UserConnection {
    pub(crate) client: ClientId,
    /// When it was authenticated.
    pub(crate) since: Timestamp,
    pub(crate) subscriptions: usize,
}

/// The connections of a user on a shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserConnections {
    /// The oldest ones, [so many](Self::TOLD_MAX) at most.
    pub(crate) oldest: Vec<UserConnection>,
    pub(crate) total: usize,
}

impl UserConnections {
    /// Connections that are told: nobody reads more.
    pub(crate) const TOLD_MAX: usize = 100;
}

/// Which users are listed.
#[derive(Clone, Debug)]
pub(crate) struct UsersWanted {
    pub(crate) from: Bound<UserId>,
    /// What their names begin with.
    pub(crate) prefix: String,
    /// The first ones, so many at most.
    pub(crate) users_max: usize,
}

impl UsersWanted {
    pub(crate) fn has(&self, user: &UserId) -> bool {
        let bounds = (self.from.as_ref(), Bound::Unbounded);
        bounds.contains(user) && user.as_str().starts_with(&self.prefix)
    }
}

/// For whom the log is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker {
    /// A connection of the shard.
    Connection(ConnectionKey),
    /// A group that the shard owns.
    Group(GroupSlot),
}

/// The outcome of a [`crate::reader::FindJob`].
#[derive(Debug)]
pub(crate) struct FoundTopics {
    pub(crate) group: GroupSlot,
    /// Topics in which something waits for the group, and where it goes on in them.
    pub(crate) topics: Vec<(Topic, Offset)>,
    /// There are more than were asked for.
    pub(crate) more: bool,
}

/// What a shard knows of one message.
#[derive(Clone, Debug)]
pub(crate) struct Recalled {
    /// From when on no event is missing; `None` if none are remembered.
    pub(crate) since: Option<Timestamp>,
    /// Oldest first.
    pub(crate) events: Vec<RecalledEvent>,
    pub(crate) unsettled: Vec<Unsettled>,
}

/// Something that happened to a delivery.
#[derive(Clone, Debug)]
pub(crate) struct RecalledEvent {
    pub(crate) at: Timestamp,
    pub(crate) reader: Reader,
    /// Which delivery, from 1; 0 where that is not known.
    pub(crate) attempt: u32,
    pub(crate) what: Happening,
}

/// How a message stands with a subscription that has a connection and has not settled it.
#[derive(Clone, Debug)]
pub(crate) struct Unsettled {
    pub(crate) key: CursorKey,
    /// Whose connection has it; none if no member of a group does now.
    pub(crate) client: Option<ClientId>,
    /// Which delivery waits for an answer, and since when.
    pub(crate) sent: Option<(u32, Timestamp)>,
    pub(crate) failed: Vec<ToldAttempt>,
}

/// The outcome of a [`crate::reader::ReadJob`].
#[derive(Debug)]
pub(crate) struct ReadDone {
    pub(crate) asker: Asker,
    pub(crate) want: Want,
    pub(crate) from: Offset,
    pub(crate) result: Result<ReadBatch, StoreError>,
}

/// What a read is for.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    /// A live subscription catches up in a topic.
    Live { topic: Topic },
    /// A durable subscription fetches what its window asked for.
    Durable { topic: Topic },
    /// A durable subscription whose connection has let go of it fetches what it gave up.
    Parting { key: DurableKey },
    /// A group fetches what it asked for.
    Shared { topic: Topic },
    /// A history request.
    History { topic: Topic, id: RequestId, position: Option<Position> },
}

/// The inbox of one shard.
#[derive(Debug)]
pub(crate) struct Inbox {
    lane: u32,
    waiting: Mutex<Waiting>,
    waker: mio::Waker,
}

/// Everything that waits, taken by the shard in one go.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    letters: VecDeque<Letter>,
    pub(crate) commits: Vec<Arc<SharedCommit>>,
    /// Messages were left out of `commits` before its first one: they are in the log.
    pub(crate) missed_messages: bool,
    pub(crate) news: Vec<Arc<SharedNews>>,
    /// Announcements were left out before the first one in `news`.
    pub(crate) missed_news: bool,
    messages: usize,
    /// Whether the shard has been woken and not looked yet.
    woken: bool,
}

impl Inbox {
    pub(crate) fn new(lane: u32, waker: mio::Waker) -> Self {
        Self { lane, waiting: Mutex::default(), waker }
    }

    /// The number of the shard.
    pub(crate) const fn lane(&self) -> u32 {
        self.lane
    }

    /// Tells the shard of a commit. Never waits.
    pub(crate) fn post_commit(&self, commit: &Arc<SharedCommit>) {
        let mut waiting = self.lock();
        waiting.messages += commit.entries.len();
        if waiting.messages > WAITING_MESSAGES_MAX {
            waiting.forget_messages(self.lane);
        }
        waiting.commits.push(Arc::clone(commit));
        self.wake(waiting);
    }

    /// Tells the shard who joined and left a topic. Never waits.
    pub(crate) fn post_news(&self, news: &Arc<SharedNews>) {
        let mut waiting = self.lock();
        if waiting.news.len() >= WAITING_NEWS_MAX {
            waiting.news.clear();
            waiting.missed_news = true;
        }
        waiting.news.push(Arc::clone(news));
        self.wake(waiting);
    }

    /// Has the shard look at its deadlines anew.
    pub(crate) fn nudge(&self) {
        self.wake(self.lock());
    }

    /// Tells the shard something else.
    pub(crate) fn post(&self, letter: Letter) {
        let mut waiting = self.lock();
        waiting.letters.push_back(letter);
        self.wake(waiting);
    }

    /// The shard is awake and will take what there is: until then nobody has to wake it.
    pub(crate) fn will_look(&self) {
        self.lock().woken = true;
    }

    /// Takes everything, leaving `emptied` to be filled.
    pub(crate) fn take(&self, emptied: &mut Waiting) {
        emptied.clear();
        std::mem::swap(&mut *self.lock(), emptied);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Plain data: a panic elsewhere leaves nothing half-done in it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let sleeping = !std::mem::replace(&mut waiting.woken, true);
        drop(waiting);
        if sleeping && let Err(error) = self.waker.wake() {
            tracing::error!(%error, lane = self.lane, "cannot wake a shard");
        }
    }
}

impl Waiting {
    /// The next letter. Questions that nobody waits for any more are left out: each may take a look
    /// through all connections.
    pub(crate) fn next_letter(&mut self) -> Option<Letter> {
        std::iter::from_fn(|| self.letters.pop_front()).find(|letter| !letter.is_moot())
    }

    fn clear(&mut self) {
        self.letters.clear();
        self.commits.clear();
        self.missed_messages = false;
        self.news.clear();
        self.missed_news = false;
        self.messages = 0;
        self.woken = false;
    }

    /// Keeps only what publishers of `lane` wait for: that is bounded by what they have in
    /// flight.
    fn forget_messages(&mut self, lane: u32) {
        self.missed_messages = true;
        self.messages = 0;
        let mine = |commit: &Arc<SharedCommit>| {
            commit.entries.iter().any(|entry| entry.ticket.is_some_and(|t| t.lane == lane))
        };
        self.commits.retain(mine);
    }
}

/// Whether `entry` answers a write of `lane`, and which.
pub(crate) fn ticket_of(lane: u32, ticket: Option<Ticket>) -> Option<u64> {
    ticket.filter(|ticket| ticket.lane == lane).map(|ticket| ticket.tag)
}
