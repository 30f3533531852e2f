//! The contract of a store, in words. `conformance` checks it; an engine passes or is not shipped.

use std::ops::Bound;
use std::sync::Arc;

use tidings_core::{
    CursorKey, CursorState, Durability, GroupKey, Message, MessageId, NewMessage, Offset,
    OffsetSet, Position, Priority, Session, SessionId, Timestamp, Topic, TopicState, UserId,
};

/// Whom the outcome of a write is for. The store hands it back untouched.
///
/// `lane` is the part of the program that waits (a shard, the HTTP door), `tag` is that part's
/// own name for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which part of the program waits.
    pub lane: u32,
    /// What it waits for.
    pub tag: u64,
}

/// One change to what the store keeps.
#[derive(Clone, Debug)]
pub enum Write {
    /// Append a message: give it an offset and a time, and an id if it has none, unless its key
    /// was seen before.
    Publish {
        /// What to append.
        message: NewMessage,
        /// What must have happened before the outcome is told. `Memory` messages get a place
        /// and are told at once, but are kept nowhere.
        durability: Durability,
        /// The id it keeps: it is a message's second life, or its id was told before it was
        /// published. Usually `None`: the store makes one. Ids that the store makes rise with
        /// time, whatever ids are given; that a given one is used once is the caller's care.
        id: Option<MessageId>,
    },
    /// Remove one message from its topic's log for good: reads and searches pass over it as if it
    /// had been trimmed, also after a restart, and its space is used again. One that is not there
    /// (any more, or yet) is fine. The topic's head stays; its `first` moves on if nothing is
    /// kept before it. The message's key stays known. As durable as a `Sync` publish before it is
    /// told or seen, together with all that was submitted before it with the same priority.
    ///
    /// If an earlier write of the same submission was refused, so is this one, with the same
    /// error: who publishes a message elsewhere and removes it here submits both together, the
    /// publish first, and finds it, after a crash too, in at least one place.
    Remove {
        /// From where.
        topic: Topic,
        /// Which message.
        offset: Offset,
    },
    /// Remember where a durable or shared subscription stands in a topic. The first one of a
    /// subscription is told when it is on disk: where it begins is a promise. A later save replaces an earlier one. One
    /// that is not saved again for the store's cursor expiry may be forgotten: whoever needs it
    /// for longer, also where nothing moves, saves it again before that.
    SaveCursor {
        /// Whose cursor.
        key: CursorKey,
        /// Where it stands.
        state: CursorState,
    },
    /// Forget a cursor. Forgetting one that does not exist is fine.
    DeleteCursor {
        /// Whose cursor.
        key: CursorKey,
    },
    /// Remember a session, replacing one with the same id.
    SaveSession(Arc<Session>),
    /// Forget a session. Forgetting one that does not exist is fine.
    DeleteSession(SessionId),
}

/// A write and whom to tell.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What to do.
    pub write: Write,
    /// Whom to tell; `None` if nobody waits.
    pub ticket: Option<Ticket>,
}

/// What came of one write.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The message has its place and is as durable as was asked.
    Published(Arc<Message>),
    /// A message with this key in this topic had been published before, within the window;
    /// nothing was appended.
    Duplicate {
        /// The first message's name.
        id: MessageId,
        /// The first message's place.
        position: Position,
    },
    /// The cursor or session is saved or forgotten, as durably as an `Async` publish; or it is the
    /// first cursor of a subscription, or the message is removed, as durably as a `Sync` one.
    Saved,
    /// Nothing was kept, and the write may be tried again if the error is temporary.
    Refused(StoreError),
}

/// One write's outcome.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Whom to tell.
    pub ticket: Option<Ticket>,
    /// What to tell.
    pub outcome: Outcome,
}

/// The outcomes of one group commit, in the order of the log.
#[derive(Clone, Debug)]
pub struct Commit {
    /// In the order of the log: of one topic, by rising offset.
    pub outcomes: Vec<Committed>,
}

/// Who is told of commits.
///
/// Called from the store's own thread, in the order of the log, one commit at a time. It must
/// not block and not call back into [`Store::submit`] with a wait: the log stands still
/// meanwhile.
///
/// Messages that are kept nowhere (`Memory`) may be told on the thread that submits them, before
/// [`Store::submit`] returns, and while another commit is told: whoever submits must hold nothing
/// that the observer waits for. Those of one topic come one after the other all the same.
pub trait CommitObserver: Send + Sync {
    /// These writes are done.
    fn committed(&self, commit: Commit);
}

/// Why a store refuses. Cheap to clone: one failed sync is told to all who waited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The queue of what is to be written has no room for this submission. Temporary for each of
    /// its writes, but several that are larger together than the whole queue only fit in pieces.
    #[error(
        "the store's write queue has no room for {submitted_bytes} bytes ({waiting_bytes} wait): try again later, or in smaller pieces"
    )]
    Overloaded {
        /// How much waits, bytes.
        waiting_bytes: usize,
        /// How much was to be added, bytes.
        submitted_bytes: usize,
    },
    /// There is no space for another segment. Temporary: writing goes on when there is.
    #[error("no space left for the log in {directory}: free some, or shorten the retention")]
    Full {
        /// Where the log is.
        directory: String,
    },
    /// A write or a sync failed. Final for this process: what the disk holds is unknown
    /// ("fsyncgate"; Rebello et al., ATC 2020), so nothing is acknowledged any more. Reads go on.
    #[error(
        "the store has stopped writing after a failed {operation}: {reason}; restart the server once the disk is sound"
    )]
    Poisoned {
        /// What failed (`fdatasync`, `write`).
        operation: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The write is larger than a segment can hold. Final.
    #[error("a record of {bytes} bytes is larger than the log takes ({bytes_max})")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// The store is closed. Final.
    #[error("the store is closed")]
    Closed,
    /// Reading failed.
    #[error("reading the log failed: {reason}")]
    Read {
        /// What the system said.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same write may succeed later without an operator's help to the process.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::Full { .. } => true,
            Self::Poisoned { .. } | Self::TooLarge { .. } | Self::Closed | Self::Read { .. } => {
                false
            }
        }
    }
}

/// Where a read starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The first message kept with this offset or a later one.
    Offset(Offset),
    /// The first message kept that was published at this time or later.
    Time(Timestamp),
}

/// How much one read returns: it stops at whichever bound is reached first, but returns at least
/// one message if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most messages.
    pub messages: usize,
    /// Most bytes of data.
    pub bytes: usize,
}

/// Which cursors are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorsOf {
    /// Those of a user's durable subscriptions, by name and topic.
    User(UserId),
    /// Those of the durable subscriptions of all users, by user, name and topic.
    Users,
    /// Those of a topic: groups first, by name and filter; then by user and name.
    Topic(Topic),
    /// Those of a group, by topic.
    Group(GroupKey),
    /// Those of all groups, by name, filter and topic.
    Groups,
}

/// A saved cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Whose it is.
    pub key: CursorKey,
    /// Where it stands.
    pub state: CursorState,
    /// When it was last saved.
    pub saved_at: Timestamp,
}

/// What a read returned.
#[derive(Clone, Debug)]
pub struct ReadBatch {
    /// By rising offset. Gaps are messages that were trimmed, removed or damaged, or that never
    /// were.
    pub messages: Vec<Arc<Message>>,
    /// Which of the gaps are damage: messages before `next` that were lost, and after damage that
    /// was found when the store was opened perhaps some at a topic's end that never were.
    pub damaged: OffsetSet,
    /// What the log held when it was read.
    pub state: TopicState,
    /// Where the next read of the same kind goes on; everything kept before it was returned.
    /// One past the head when nothing is left.
    pub next: Offset,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Why it does not take writes, if it does not.
    pub refusing: Option<StoreError>,
    /// Topics that have a log.
    pub topics: u64,
    /// Messages kept.
    pub messages: u64,
    /// Bytes of disk used.
    pub disk_bytes: u64,
    /// Group commits since the start.
    pub commits: u64,
    /// Syncs to disk since the start.
    pub syncs: u64,
    /// Messages appended since the start.
    pub appended: u64,
    /// Publishes recognised as repeated since the start.
    pub duplicates: u64,
    /// Messages trimmed by retention since the start.
    pub trimmed: u64,
    /// Deduplication keys forgotten before their time because there were too many.
    pub keys_evicted_early: u64,
    /// Records found damaged since the start, never served.
    pub damaged: u64,
    /// Bytes waiting in the write queue.
    pub waiting_bytes: u64,
}

/// Where topics, cursors and sessions live.
///
/// # What every store promises
///
/// - **Order.** Offsets of a topic start at 1 and rise strictly, in the order of submission by
///   any one thread. The observer hears of commits in that order.
/// - **Durability.** `Published` with [`Durability::Sync`] is told only after the message, its
///   deduplication entry and its place are on disk *together*: after a crash there are all of
///   them or none. `Async` survives a crash of the process, and of the machine within the
///   store's sync bound.
/// - **No reader is ahead of durability.** A message is returned by [`read`](Self::read) and
///   counted by [`topic_state`](Self::topic_state) only once it is as durable as was asked (P3),
///   and from just before its commit is told: who hears of it can read it.
/// - **Once.** A publish with a key seen in the same topic from the same sender within the window
///   is answered with the first one's place, also after a restart, also when both are in one
///   commit, and whatever the wall clock did meanwhile. The same key of another sender is another message: nobody can use up another's keys.
/// - **Cursors lag, never lead.** A cursor returned after a crash is one that was saved.
/// - **Forgetting.** Sessions that have expired and cursors that were not saved for the store's
///   cursor expiry are forgotten, in the background. One that was saved again meanwhile stays.
/// - **Failure.** After a failed write or sync no write is ever told as done; reads go on.
/// - **Bounds.** The queue of submissions is bounded; at the bound `submit` refuses. A submission
///   of several writes larger than the queue is refused also when nothing waits; a single write
///   is always taken when nothing waits.
/// - **Threads.** All methods may be called from any thread.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Queues writes in this order and returns at once; the outcome goes to the observer. An
    /// error means that none of them was queued. Who may have more to write than the queue holds
    /// submits it in pieces.
    ///
    /// Where much waits, what has a higher priority is written first, and every priority keeps its
    /// share ([`Priority::share`]); bulk also finds the queue full earlier, and urgent later. So the
    /// order of submission, and what is said of one submission's writes, holds for those of one
    /// priority: messages of one topic are always submitted with the same.
    fn submit_as(&self, priority: Priority, submissions: Vec<Submission>)
    -> Result<(), StoreError>;

    /// The same with the priority of most.
    fn submit(&self, submissions: Vec<Submission>) -> Result<(), StoreError> {
        self.submit_as(Priority::Normal, submissions)
    }

    /// What the topic's log holds. Answers from memory. A topic that never had a message is
    /// empty, in the epoch its first message will have.
    fn topic_state(&self, topic: &Topic) -> TopicState;

    /// How many messages of a topic are kept: fewer than its first and head tell where some were
    /// removed or damaged. Answers from memory.
    fn count_messages(&self, topic: &Topic) -> u64;

    /// Messages of a topic in order. May block on the disk: not for a shard's thread. Damaged
    /// records are skipped, counted and logged.
    fn read(
        &self,
        topic: &Topic,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, StoreError>;

    /// The message with this id, in whatever topic. May block on the disk: not for a shard's
    /// thread. Ids that the store made are found by the time in them, so the search costs memory
    /// accesses for every topic and a read for each run of messages of that second; it does not
    /// grow with what else is kept. Where a message was given an id, the last one that was is
    /// found, for as long as it is kept, and after that the one the id was made for.
    fn find(&self, id: MessageId) -> Result<Option<Arc<Message>>, StoreError>;

    /// Where a durable or shared subscription stood in a topic when that was last saved. One that was not saved for long
    /// may be forgotten. Answers from memory.
    fn cursor(&self, key: &CursorKey) -> Option<CursorState>;

    /// How many cursors a user has, counted up to `limit`: to bound them. Those of groups are no
    /// user's. Answers from memory.
    fn count_cursors(&self, user: &UserId, limit: usize) -> usize;

    /// Cursors with where they stand, in the order of [`CursorsOf`], after the one with the key
    /// `after`, at most `limit`. A key that is not of these begins anew. Answers from memory, in
    /// time that grows with what is returned alone.
    fn cursors(&self, of: &CursorsOf, after: Option<&CursorKey>, limit: usize) -> Vec<Cursor>;

    /// A user's sessions by id, at most `limit`. Some may have expired. Answers from memory.
    fn sessions_of(&self, user: &UserId, limit: usize) -> Vec<Session>;

    /// Users who have a session or the cursor of a durable subscription, by name, those with a name
    /// from `from` on, at most `limit`. Some may have nothing but sessions that have expired. Answers
    /// from memory, in time that grows with what is returned alone.
    fn users(&self, from: Bound<&UserId>, limit: usize) -> Vec<UserId>;

    /// The session with this id. One that has expired may be forgotten. Answers from memory.
    fn session(&self, id: &SessionId) -> Option<Session>;

    /// Topics with a log, by name, those with a name from `from` on, at most `limit`: which may be
    /// any text, such as what names begin with. Answers from memory, in time that grows with what is
    /// returned alone.
    fn topics(&self, from: Bound<&str>, limit: usize) -> Vec<(Topic, TopicState)>;

    /// How the store is.
    fn status(&self) -> StoreStatus;

    /// Writes and syncs what is queued, tells the outcomes, and takes no more. Blocks until done.
    /// Closing twice is fine.
    fn close(&self);
}
