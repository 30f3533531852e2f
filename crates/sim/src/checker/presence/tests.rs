//! Good histories of who is there pass, and each rule finds one that was doctored.

use std::time::Duration;

use tidings_core::Instant;

use crate::history::presence::{ClientNumber, Farewell, PresenceRecord};
use crate::violation::Promise;

fn client(number: usize) -> ClientNumber {
    ClientNumber::new(number)
}

/// Client 1 is there with process 1 from now on.
fn comes(process: u64) -> [PresenceRecord; 2] {
    let client = client(1);
    [PresenceRecord::Entering { client, process }, PresenceRecord::Here { client, process }]
}

fn leaves(farewell: Farewell, ms: u64) -> [PresenceRecord; 2] {
    let (client, at) = (client(1), Instant::from_ms(ms));
    [PresenceRecord::Leaving { client }, PresenceRecord::Left { client, farewell, at }]
}

fn asking(ms: u64) -> [PresenceRecord; 1] {
    [PresenceRecord::Asking { question: 1, at: Instant::from_ms(ms) }]
}

fn answered(process: u64, listed: &[usize]) -> [PresenceRecord; 1] {
    let listed = listed.iter().copied().map(client).collect();
    [PresenceRecord::Answered { question: 1, process, listed }]
}

/// Whoever breaks off may stay on the list for a second.
fn judged(parts: &[&[PresenceRecord]]) -> Option<Promise> {
    let violation = super::check(&parts.concat(), Duration::from_secs(1)).err();
    violation.map(|violation| violation.promise)
}

#[test]
fn whoever_is_there_is_listed() {
    assert_eq!(judged(&[&comes(1), &asking(5), &answered(1, &[1])]), None);
    let missing = judged(&[&comes(1), &asking(5), &answered(1, &[])]);
    assert_eq!(missing, Some(Promise::NothingSilent));
    // Whoever comes or goes meanwhile may be listed or not.
    for listed in [&[][..], &[1]] {
        assert_eq!(judged(&[&asking(5), &comes(1), &answered(1, listed)]), None);
        let goes = leaves(Farewell::Answered, 6);
        assert_eq!(judged(&[&comes(1), &asking(5), &goes, &answered(1, listed)]), None);
        let ending = [PresenceRecord::Ending { process: 1 }];
        assert_eq!(judged(&[&comes(1), &asking(5), &ending, &answered(1, listed)]), None);
    }
}

#[test]
fn a_crash_leaves_no_ghosts() {
    let ending = [PresenceRecord::Ending { process: 1 }];
    let ghost = judged(&[&comes(1), &ending, &asking(5), &answered(2, &[1])]);
    assert_eq!(ghost, Some(Promise::NoGhosts));
    assert_eq!(judged(&[&comes(1), &ending, &asking(5), &answered(2, &[])]), None);
    // Who comes back is none.
    assert_eq!(judged(&[&comes(1), &ending, &comes(2), &asking(5), &answered(2, &[1])]), None);
    assert_eq!(judged(&[&asking(5), &answered(1, &[2])]), Some(Promise::NoGhosts));
}

#[test]
fn whoever_leaves_is_not_listed_any_more() {
    let after = |farewell, ms| {
        judged(&[&comes(1), &leaves(farewell, 1_000), &asking(ms), &answered(1, &[1])])
    };
    assert_eq!(after(Farewell::Answered, 1_001), Some(Promise::NoGhosts));
    assert_eq!(after(Farewell::Broken, 2_000), None);
    assert_eq!(after(Farewell::Broken, 2_001), Some(Promise::NoGhosts));
}
