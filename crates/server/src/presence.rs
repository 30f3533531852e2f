//! Who is on which topic of this node: one table for all shards, and what is told of it.
//!
//! The table is touched when subscriptions come and go and when somebody asks, never on delivery.
//! One shard announces what is due for all, since a topic's watchers are spread over them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tidings_core::{
    Admission, Announcement, Departure, Instant, Member, News, Presence, PresenceCounts,
    PresenceSettings, Timestamp, Topic, limits,
};
use tidings_protocol::{
    Codec, Member as Named, PresenceChange, Present, ServerBody, ServerFrame, encode_server_frame,
};

use crate::commit::append_frame;
use crate::inbox::Inbox;

/// Topics announced in one turn of a shard, so that its sockets do not wait.
const ANNOUNCEMENTS_PER_TURN: usize = 256;

/// The lane of the shard that announces.
const ANNOUNCER: usize = 0;

/// Whether a connection that joins wants to be told of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    Yes,
    No,
}

/// What was announced, encoded once for each codec by whichever shard needs it first.
#[derive(Debug)]
pub(crate) struct SharedNews {
    pub(crate) topic: Topic,
    change: PresenceChange,
    frames: [OnceLock<Bytes>; Codec::ALL.len()],
}

impl SharedNews {
    fn new(Announcement { topic, news }: Announcement) -> Self {
        let change = match news {
            News::Changes { joined, left } => PresenceChange {
                topic: topic.clone(),
                joined: joined.into_iter().map(named).collect(),
                left: left.into_iter().map(named).collect(),
                reset: false,
            },
            News::TooMany => reset(topic.clone()),
        };
        Self { topic, change, frames: Default::default() }
    }

    /// Whether nobody is named, because there are too many.
    pub(crate) const fn is_reset(&self) -> bool {
        self.change.reset
    }

    /// The WebSocket frame.
    pub(crate) fn frame(&self, codec: Codec) -> &Bytes {
        self.frames[codec.index()].get_or_init(|| {
            let body = ServerBody::Presence(self.change.clone());
            let frame = ServerFrame { id: None, body };
            let mut out = Vec::new();
            append_frame(codec, &mut out, |out| encode_server_frame(codec, &frame, out));
            out.into()
        })
    }
}

/// What whoever missed something is told: the list has to be asked for anew.
pub(crate) const fn reset(topic: Topic) -> PresenceChange {
    PresenceChange { topic, joined: Vec::new(), left: Vec::new(), reset: true }
}

fn named(present: tidings_core::Present) -> Named {
    let tidings_core::Present { member: Member { user, client }, since } = present;
    Named { user, client, since }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Roster {
    presence: Mutex<Presence>,
    /// When something is due, in milliseconds of the server's clock, so that the announcer need
    /// not lock to know how long it may sleep; [`u64::MAX`] for never.
    due: AtomicU64,
    announcer: Arc<Inbox>,
}

impl Roster {
    pub(crate) fn new(settings: PresenceSettings, inboxes: &[Arc<Inbox>]) -> Self {
        Self {
            presence: Mutex::new(Presence::new(settings)),
            due: AtomicU64::new(u64::MAX),
            announcer: Arc::clone(&inboxes[ANNOUNCER]),
        }
    }

    /// A connection is on a topic, and perhaps watches it. It [leaves](Self::left) with what this
    /// returns.
    pub(crate) fn joined(
        &self,
        now: Instant,
        wall: Timestamp,
        topic: &Topic,
        member: &Member,
        watch: Watch,
    ) -> Admission {
        self.change(|presence| {
            let admission = presence.joined(now, wall, topic, member);
            match watch {
                Watch::Yes => presence.watched(topic),
                Watch::No => {}
            }
            admission
        })
    }

    /// A connection is no longer on a topic, and no longer watches it.
    pub(crate) fn left(
        &self,
        now: Instant,
        topic: &Topic,
        member: &Member,
        (admission, watch): (Admission, Watch),
        departure: Departure,
    ) {
        self.change(|presence| {
            match watch {
                Watch::Yes => presence.unwatched(topic),
                Watch::No => {}
            }
            presence.left(now, topic, member, admission, departure);
        });
    }

    /// Who is on a topic.
    pub(crate) fn present(&self, topic: &Topic) -> Present {
        let list = self.lock().present(topic, limits::PRESENCE_MEMBERS_MAX);
        let members = list.members.into_iter().map(named).collect();
        Present { topic: topic.clone(), members, total: list.total }
    }

    pub(crate) fn counts(&self) -> PresenceCounts {
        self.lock().counts()
    }

    /// When the shard of `inbox` has something to announce.
    pub(crate) fn due(&self, inbox: &Inbox) -> Option<Instant> {
        let due = self.due.load(Ordering::Acquire);
        (inbox.lane() as usize == ANNOUNCER && due != u64::MAX).then(|| Instant::from_ms(due))
    }

    /// What is to be announced now; what was too much for one turn is still due.
    pub(crate) fn announcements(&self, now: Instant) -> Vec<Arc<SharedNews>> {
        let mut presence = self.lock();
        let announcements = presence.deadline_passed(now, ANNOUNCEMENTS_PER_TURN);
        self.note_deadline(&presence);
        drop(presence);
        announcements.into_iter().map(|one| Arc::new(SharedNews::new(one))).collect()
    }

    fn change<T>(&self, act: impl FnOnce(&mut Presence) -> T) -> T {
        let mut presence = self.lock();
        let before = self.due.load(Ordering::Acquire);
        let result = act(&mut presence);
        let sooner = self.note_deadline(&presence) < before;
        drop(presence);
        if sooner {
            // It may sleep for longer than that.
            self.announcer.nudge();
        }
        result
    }

    fn note_deadline(&self, presence: &Presence) -> u64 {
        let due = presence.next_deadline().map_or(u64::MAX, Instant::as_ms);
        self.due.store(due, Ordering::Release);
        due
    }

    fn lock(&self) -> MutexGuard<'_, Presence> {
        // A panic in the machine ends its shard, and with it the process.
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
