//! What the clients of a soak did and were told, in the words of the simulation's checker.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant as Clock, SystemTime};

use tidings_core::{Epoch, Instant, Offset, Timestamp, TopicState};
use tidings_sim::history::groups::{GroupRecord, MemberNumber};
use tidings_sim::history::presence::PresenceRecord;
use tidings_sim::history::schedule::ScheduleRecord;
use tidings_sim::history::{Name, Record};

use super::{jobs, later};

/// How far a soak is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Everything goes wrong.
    Trouble,
    /// Nothing goes wrong any more; publishers finish what they began.
    Finishing,
    /// Everything is published; subscribers take what they are owed.
    Draining,
}

/// Counted for the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Published,
    PublishedAgain,
    Acknowledged,
    Duplicates,
    Live,
    Durable,
    Repeats,
    Streamed,
    Polled,
    Jobs,
    JobsAgain,
    JobsDone,
    Members,
    Goodbyes,
    Scheduled,
    Cancelled,
    Visits,
    Listed,
    Acked,
    Settled,
    Nacked,
    Refused,
    Ignored,
    Left,
    TakenOver,
    Sessions,
    Recovered,
    Reset,
    Errors,
}

impl Count {
    pub(crate) const ALL: [(Self, &str); 29] = [
        (Self::Published, "messages published"),
        (Self::PublishedAgain, "published again after no answer"),
        (Self::Acknowledged, "publishes acknowledged"),
        (Self::Duplicates, "of these recognised as repeated"),
        (Self::Live, "live deliveries"),
        (Self::Durable, "durable deliveries"),
        (Self::Repeats, "of these with attempt 2 or more"),
        (Self::Streamed, "messages of event streams"),
        (Self::Polled, "messages of long polls"),
        (Self::Jobs, "deliveries to members of groups"),
        (Self::JobsAgain, "of these with attempt 2 or more"),
        (Self::JobsDone, "acks of members answered"),
        (Self::Members, "memberships of groups"),
        (Self::Goodbyes, "of these ended in good order"),
        (Self::Scheduled, "messages kept for later"),
        (Self::Cancelled, "of these cancelled"),
        (Self::Visits, "visits to a topic with presence"),
        (Self::Listed, "names on its lists"),
        (Self::Acked, "acks sent"),
        (Self::Settled, "acks answered"),
        (Self::Nacked, "nacks"),
        (Self::Refused, "nacks for good"),
        (Self::Ignored, "deliveries left to their timeout"),
        (Self::Left, "connections cut by clients"),
        (Self::TakenOver, "durable subscriptions taken over"),
        (Self::Sessions, "sessions taken up again"),
        (Self::Recovered, "subscriptions resumed, nothing missing"),
        (Self::Reset, "subscriptions told that something is missing"),
        (Self::Errors, "errors told"),
    ];
}

/// The history of one topic.
pub(crate) type History = Vec<Record>;

/// Shared by all clients.
#[derive(Debug)]
pub(crate) struct Ledger {
    began: Clock,
    /// The same moment as data has it, in milliseconds.
    began_at: u64,
    process: AtomicU64,
    names: AtomicU64,
    members: AtomicU64,
    topics: Vec<Mutex<History>>,
    epochs: Vec<OnceLock<Epoch>>,
    groups: Mutex<Vec<GroupRecord>>,
    schedule: Mutex<Vec<ScheduleRecord>>,
    presence: Mutex<Vec<PresenceRecord>>,
    heads: Vec<AtomicU64>,
    counts: [AtomicU64; Count::ALL.len()],
    finishing: AtomicBool,
    draining: AtomicBool,
    jobs_done: AtomicBool,
    overdue: AtomicBool,
}

impl Ledger {
    pub(crate) fn new(topics: usize) -> Self {
        Self {
            began: Clock::now(),
            began_at: wall_ms(),
            process: AtomicU64::new(1),
            names: AtomicU64::new(0),
            members: AtomicU64::new(0),
            topics: (0..topics).map(|_| Mutex::default()).collect(),
            epochs: (0..topics).map(|_| OnceLock::new()).collect(),
            groups: Mutex::default(),
            schedule: Mutex::default(),
            presence: Mutex::default(),
            heads: (0..topics).map(|_| AtomicU64::new(u64::MAX)).collect(),
            counts: Default::default(),
            finishing: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            jobs_done: AtomicBool::new(false),
            overdue: AtomicBool::new(false),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_ms(u64::try_from(self.began.elapsed().as_millis()).unwrap())
    }

    /// What the clock that the server shares shows.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_ms(wall_ms())
    }

    /// The moment that the server's clock showed so; they share a machine.
    pub(crate) fn at(&self, wall_ms: u64) -> Instant {
        Instant::from_ms(wall_ms.saturating_sub(self.began_at))
    }

    pub(crate) fn history(&self, topic: usize) -> MutexGuard<'_, History> {
        self.topics[topic].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self, topic: usize, record: Record) {
        self.history(topic).push(record);
    }

    /// The history of all groups.
    pub(crate) fn group_history(&self) -> MutexGuard<'_, Vec<GroupRecord>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record_group(&self, record: GroupRecord) {
        self.group_history().push(record);
    }

    /// The history of messages for later.
    pub(crate) fn schedule(&self) -> MutexGuard<'_, Vec<ScheduleRecord>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record_schedule(&self, record: ScheduleRecord) {
        self.schedule().push(record);
    }

    /// A live subscriber got a message.
    pub(crate) fn seen(&self, topic: usize, name: Name) {
        if topic == later::LATER {
            self.record_schedule(ScheduleRecord::Seen { name, at: self.wall() });
        }
    }

    /// The history of who was there.
    pub(crate) fn presence(&self) -> MutexGuard<'_, Vec<PresenceRecord>> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record_presence(&self, record: PresenceRecord) {
        self.presence().push(record);
    }

    /// A new member of a group.
    pub(crate) fn member(&self) -> MemberNumber {
        MemberNumber::new(self.members.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// The life of a topic's log, once it was looked at. The soak's logs have one each.
    pub(crate) fn epoch(&self, topic: usize) -> Epoch {
        *self.epochs[topic].get().expect("the log was looked at")
    }

    /// A message that is about to be published for the first time.
    pub(crate) fn name(&self, topic: usize, keyed: bool) -> Name {
        // Under the lock, so that names rise along the history.
        let mut history = self.history(topic);
        let name = Name::new(self.names.fetch_add(1, Ordering::SeqCst) + 1);
        history.push(Record::Published { name, keyed });
        if jobs::JOBS.contains(&topic) {
            self.record_group(GroupRecord::Published { name, lane: jobs::lane(name) });
        }
        self.count(Count::Published, 1);
        name
    }

    pub(crate) fn count(&self, count: Count, by: u64) {
        self.counts[count as usize].fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn counted(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// Which process of the server answers now.
    pub(crate) fn process(&self) -> u64 {
        self.process.load(Ordering::SeqCst)
    }

    /// The server is about to be killed.
    pub(crate) fn killing(&self) {
        let (process, at) = (self.process(), self.now());
        for topic in 0..self.topics.len() {
            self.record(topic, Record::Killed { process, at });
        }
        self.record_group(GroupRecord::Killed { process, at });
        self.ending();
    }

    /// The server is about to be asked to stop.
    pub(crate) fn stopping(&self) {
        self.record_group(GroupRecord::Stopping { process: self.process() });
        self.ending();
    }

    fn ending(&self) {
        self.record_presence(PresenceRecord::Ending { process: self.process() });
        self.record_schedule(ScheduleRecord::Ending { at: self.wall() });
    }

    /// A process of the server is ready.
    pub(crate) fn ready(&self) {
        self.record_schedule(ScheduleRecord::Ready { at: self.wall() });
    }

    /// The old process is gone, the next one not there yet.
    pub(crate) fn next_process(&self) {
        self.process.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn stage(&self) -> Stage {
        match (self.finishing.load(Ordering::SeqCst), self.draining.load(Ordering::SeqCst)) {
            (_, true) => Stage::Draining,
            (true, false) => Stage::Finishing,
            (false, false) => Stage::Trouble,
        }
    }

    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::SeqCst);
    }

    /// Everything is published: this is where each topic ends.
    pub(crate) fn drain(&self, heads: &[Offset]) {
        for (slot, head) in self.heads.iter().zip(heads) {
            slot.store(head.get(), Ordering::SeqCst);
        }
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Nothing waits for any group any more.
    pub(crate) fn jobs_are_done(&self) {
        self.jobs_done.store(true, Ordering::SeqCst);
    }

    pub(crate) fn all_jobs_are_done(&self) -> bool {
        self.jobs_done.load(Ordering::SeqCst)
    }

    /// What is owed did not come in time: nobody waits for it any more, and the checker says what.
    pub(crate) fn give_up(&self) {
        self.overdue.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue.load(Ordering::SeqCst)
    }

    /// Where a topic ends; after everything before that is known.
    pub(crate) fn head(&self, topic: usize) -> Offset {
        Offset::new(self.heads[topic].load(Ordering::SeqCst))
    }

    /// A moment of a topic's history, before the log is looked at.
    pub(crate) fn moment(&self, topic: usize) -> Moment {
        let history = self.history(topic);
        Moment { at: history.len(), last: self.names.load(Ordering::SeqCst) }
    }

    /// What the log was found to hold after `moment`. What was begun since says nothing.
    pub(crate) fn found(
        &self,
        topic: usize,
        moment: &Moment,
        state: TopicState,
        mut messages: Vec<(Offset, Name)>,
    ) {
        self.epochs[topic].get_or_init(|| state.epoch);
        messages.retain(|(_, name)| name.number() <= moment.last);
        self.history(topic).insert(moment.at, Record::LogFound { state, messages });
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A place in a history, and the last name given by then.
#[derive(Debug)]
pub(crate) struct Moment {
    at: usize,
    last: u64,
}
