//! What every engine must pass before it is shipped: one function per promise of
//! [`Store`].
//!
//! An engine under test is an [`Engine`]: something that opens a store over the same data as
//! often as it is asked. [`run`] makes a fresh one for each check.
//!
//! A check panics with what it expected; the suite is for tests.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{PolicyTable, Retention, Timestamp, Topic, TopicPolicy};

use crate::clock::ManualClock;
use crate::store::{CommitObserver, Store};

mod finding;
mod lasting;
mod listing;
mod once;
mod publishing;
mod reading;
mod removing;
mod retention;
mod states;
mod trial;
mod unlogged;

pub use trial::{Recorder, Trial};

/// What a store under test is opened with.
#[derive(Clone)]
pub struct Setup {
    /// The `[[topic]]` sections.
    pub policies: Arc<PolicyTable>,
    /// Who is told of commits.
    pub observer: Arc<dyn CommitObserver>,
    /// The time, which the checks move.
    pub clock: Arc<ManualClock>,
    /// How long keys are remembered.
    pub dedup_window: Duration,
    /// How many keys are remembered.
    pub dedup_keys_max: usize,
    /// After how long a cursor is forgotten that is not saved again.
    pub cursor_expiry: Duration,
    /// Most bytes that may wait to be written.
    pub queue_bytes_max: usize,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("policies", &self.policies).finish_non_exhaustive()
    }
}

/// Whether a store keeps its contents when it is closed and opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// An engine under test, with its data.
pub trait Engine: Send + Sync {
    /// Opens a store over this engine's data. The one opened before is closed by then.
    fn open(&mut self, setup: Setup) -> Arc<dyn Store>;

    /// Whether the data outlive a store.
    fn lasting(&self) -> Lasting;
}

/// One promise and how it is checked.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The promise, in words.
    pub promise: &'static str,
    /// Checks it with a fresh engine.
    pub run: fn(Box<dyn Engine>),
}

const fn check(promise: &'static str, run: fn(Box<dyn Engine>)) -> Check {
    Check { promise, run }
}

/// Every check.
pub const CHECKS: &[Check] = &[
    check("offsets start at 1 and rise in the order of submission", publishing::offsets_rise),
    check("threads keep their own order", publishing::threads_keep_their_order),
    check("outcomes carry the ticket they are for", publishing::tickets_come_back),
    check("no reader is ahead, and none is behind what was told", publishing::told_is_readable),
    check("messages with `Memory` are told and kept nowhere", unlogged::memory_is_kept_nowhere),
    check("messages with `Memory` are told in the order of submission", unlogged::order_alone),
    check("and so they are where some have keys", unlogged::order_among_keys),
    check("keys of messages with `Memory` are known", unlogged::keys_are_known),
    check("after close no message with `Memory` is taken", unlogged::close_is_final),
    check("a given id is kept, and ids made go on rising", publishing::given_ids_are_kept),
    check("a message that is too large is refused alone", publishing::too_large_is_refused_alone),
    check(
        "a submission larger than the queue is refused whole",
        publishing::too_large_a_submission_is_refused_whole,
    ),
    check("after close nothing is taken", publishing::close_is_final),
    check("a message reads back as it was published", reading::all_fields_read_back),
    check("reads go on where the one before ended", reading::reads_go_on),
    check("reads start at a time", reading::reads_start_at_a_time),
    check("topics are listed by name", reading::topics_are_listed),
    check("a topic without messages is empty in its epoch", reading::empty_topics_have_an_epoch),
    check("a repeated key gets the first place", once::repeated_keys),
    check("a repeated key in one submission gets the first place", once::repeated_in_one_commit),
    check("a key is its topic's own", once::keys_are_per_topic),
    check("the same key of another sender is another message", once::keys_are_per_sender),
    check("a key is forgotten after the window", once::window_passes),
    check("a key is remembered though the wall clock jumps", once::clock_jumps),
    check("a given id does not change how long a key is remembered", once::keys_with_given_ids),
    check("the oldest keys go at the bound", once::oldest_keys_go),
    check("a cursor is the one saved last", states::cursors),
    check("each group has its own cursor, which is no user's", states::cursors_of_groups),
    check("a session is the one saved last", states::sessions),
    check("a user's cursors are counted", states::cursors_are_counted),
    check("cursors are listed by user, topic and group", listing::cursors),
    check("cursors are listed in pages", listing::cursors_in_pages),
    check("a user's sessions are listed", listing::sessions),
    check("users are listed by name", listing::users),
    check("a session that has expired is forgotten", states::expired_sessions_are_forgotten),
    check(
        "a cursor that is not saved for long is forgotten",
        states::outdated_cursors_are_forgotten,
    ),
    check("retention trims by number", retention::by_number),
    check("retention trims by age", retention::by_age),
    check("retention trims by bytes", retention::by_bytes),
    check("a message that is removed is gone, and nothing else", removing::removed_is_gone),
    check("reads pass over what is removed", removing::reads_pass_over),
    check("what is removed is what was there at its turn", removing::turns_are_kept),
    check("the key of a removed message stays known", removing::keys_stay_known),
    check(
        "nothing is removed after a refusal in its submission",
        removing::nothing_is_removed_after_a_refusal,
    ),
    check("what is removed stays so", removing::lasts),
    check("a message is found by its id while it is kept", finding::by_made_ids),
    check("a message is found by an id it was given", finding::by_given_ids),
    check("messages outlive the store", lasting::messages),
    check("keys outlive the store", lasting::keys),
    check("keys outlive the store though the wall clock jumped", lasting::keys_over_jumps),
    check("given ids and their keys outlive the store", lasting::given_ids),
    check("cursors and sessions outlive the store", lasting::cursors_and_sessions),
    check("when a cursor was saved outlives the store", lasting::times_of_cursors),
    check("trimming outlives the store", lasting::trimming),
    check(
        "nobody resumes into another life of what is kept nowhere",
        lasting::memory_epoch_changes,
    ),
];

/// Runs every check, each with a fresh engine.
pub fn run(make: &dyn Fn() -> Box<dyn Engine>) {
    for check in CHECKS {
        eprintln!("{}", check.promise);
        (check.run)(make());
    }
}

fn topic(text: &str) -> Topic {
    Topic::parse(text).expect("the suite's topics are valid")
}

/// A day is longer than any check takes, also by the checks' clock.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

const START: Timestamp = Timestamp::from_ms(1_795_000_000_000);

fn keeping(retention: Retention) -> PolicyTable {
    PolicyTable::new(Vec::new(), TopicPolicy { retention, ..TopicPolicy::default() })
}
