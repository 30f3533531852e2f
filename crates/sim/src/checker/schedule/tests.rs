//! Good histories of messages for later pass, and each rule finds one that was doctored.

use std::time::Duration;

use tidings_core::Timestamp;

use crate::history::Name;
use crate::history::schedule::ScheduleRecord::{
    self, Cancelled, Cancelling, Ending, Found, Kept, Ready, Scheduling, Seen,
};
use crate::violation::Promise;

const NAME: Name = Name::new(1);

fn at(ms: u64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// What is said of a message that was kept at 1 000 and is due at 5 000, with 500 to spare.
fn judged(more: impl IntoIterator<Item = ScheduleRecord>) -> Option<Promise> {
    let start = [
        Ready { at: at(0) },
        Scheduling { name: NAME, due: at(5_000) },
        Kept { name: NAME, at: at(1_000) },
    ];
    let history: Vec<_> = start.into_iter().chain(more).collect();
    super::check(&history, Duration::from_millis(500)).err().map(|violation| violation.promise)
}

fn found(ms: u64) -> ScheduleRecord {
    Found { name: NAME, at: at(ms) }
}

#[test]
fn a_message_is_not_early() {
    assert_eq!(judged([found(5_000)]), None);
    assert_eq!(judged([found(4_999)]), Some(Promise::InTime));
    assert_eq!(judged([Seen { name: NAME, at: at(4_999) }, found(5_000)]), Some(Promise::InTime));
    assert_eq!(judged([Seen { name: NAME, at: at(5_000) }, found(5_000)]), None);
}

#[test]
fn a_message_is_not_late_while_the_server_is_there() {
    assert_eq!(judged([found(5_500)]), None);
    assert_eq!(judged([found(5_501)]), Some(Promise::InTime));
    let away =
        |published| judged([Ending { at: at(4_000) }, Ready { at: at(8_000) }, found(published)]);
    assert_eq!(away(8_400), None);
    assert_eq!(away(8_501), Some(Promise::InTime));
    // A process that was there long enough and did nothing.
    let slept = [Ending { at: at(5_600) }, Ready { at: at(8_000) }, found(8_001)];
    assert_eq!(judged(slept), Some(Promise::InTime));
}

#[test]
fn a_message_is_published_once() {
    assert_eq!(judged([found(5_000), found(5_100)]), Some(Promise::OncePerKey));
    assert_eq!(judged([]), Some(Promise::AcknowledgedIsDurable));
}

#[test]
fn a_cancelled_message_is_not_published() {
    let cancelled = || [Cancelling { name: NAME }, Cancelled { name: NAME }];
    assert_eq!(judged(cancelled()), None);
    let after = cancelled().into_iter().chain([found(5_000)]);
    assert_eq!(judged(after), Some(Promise::SettledStays));
    // Nobody knows what became of a request without an answer.
    assert_eq!(judged([Cancelling { name: NAME }]), None);
    assert_eq!(judged([Cancelling { name: NAME }, found(5_000)]), None);
}

#[test]
fn lateness_is_counted_from_when_a_server_was_there() {
    let history = [
        Ready { at: at(0) },
        Scheduling { name: NAME, due: at(5_000) },
        Kept { name: NAME, at: at(1_000) },
        Ending { at: at(4_000) },
        Ready { at: at(8_000) },
        found(8_030),
    ];
    assert_eq!(super::lateness(&history), Ok(vec![Duration::from_millis(30)]));
}
