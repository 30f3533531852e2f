//! The checker of sessions is shown good histories and bad ones: it has to tell them apart.

use super::*;

const ALICE: Subscriber = Subscriber::Live(0);
const BOB: Subscriber = Subscriber::Durable(0);

const EXPIRY: u64 = 1_000;

const UNSYNCED: u64 = 50;

const fn name(session: u64) -> SessionName {
    SessionName::new(session)
}

fn rules() -> SessionRecord {
    let (expiry, lag) = (Duration::from_millis(EXPIRY), Duration::from_millis(10));
    SessionRecord::Rules { expiry, lag, unsynced: Duration::from_millis(UNSYNCED) }
}

/// The wall clock shows what the other clock shows.
fn entered(
    subscriber: Subscriber,
    connection: u64,
    shown: Option<u64>,
    session: u64,
    at: u64,
) -> SessionRecord {
    SessionRecord::Entered {
        subscriber,
        connection: ConnectionName::new(connection),
        shown: shown.map(name),
        session: name(session),
        resumed: shown == Some(session),
        wall: Timestamp::from_ms(at),
        at: Instant::from_ms(at),
    }
}

/// As long before its end as a session lasts.
fn kept(session: u64, expires_at: u64) -> SessionRecord {
    let (at, expires_at) = (Instant::from_ms(expires_at - EXPIRY), Timestamp::from_ms(expires_at));
    SessionRecord::Kept { session: name(session), expires_at, at }
}

fn left(connection: u64, at: u64) -> SessionRecord {
    SessionRecord::Left { connection: ConnectionName::new(connection), at: Instant::from_ms(at) }
}

fn told_taken_over(connection: u64) -> SessionRecord {
    SessionRecord::ToldTakenOver { connection: ConnectionName::new(connection) }
}

fn found(sessions: &[(u64, u64)], wall: u64) -> SessionRecord {
    let sessions = sessions.iter().map(|(n, ends)| (name(*n), Timestamp::from_ms(*ends)));
    let (sessions, wall) = (sessions.collect(), Timestamp::from_ms(wall));
    SessionRecord::Found { sessions, wall }
}

/// Somebody sets the wall clock back.
fn clock_set(before: u64) -> SessionRecord {
    let (at, before) = (Instant::from_ms(before), Timestamp::from_ms(before));
    SessionRecord::ClockSet { at, before }
}

fn denied(subscriber: Subscriber, shown: u64) -> SessionRecord {
    SessionRecord::Denied { subscriber, shown: name(shown) }
}

/// Which promise is broken by this history, if one is.
fn broken(records: impl IntoIterator<Item = SessionRecord>) -> Option<Promise> {
    let records: Vec<_> = [rules()].into_iter().chain(records).map(Record::Session).collect();
    check(&records).err().map(|violation| violation.promise)
}

/// Alice has session 1, saved, and has left.
fn alice_was_here(then: SessionRecord) -> Vec<SessionRecord> {
    vec![entered(ALICE, 1, None, 1, 0), kept(1, EXPIRY), left(1, 100), then]
}

#[test]
fn a_session_is_resumed_while_it_lasts_and_not_after() {
    assert_eq!(broken(alice_was_here(entered(ALICE, 2, Some(1), 1, 999))), None);
    assert_eq!(broken(alice_was_here(entered(ALICE, 2, Some(1), 2, 1_000))), None);
    let too_late = entered(ALICE, 2, Some(1), 1, 1_000);
    assert_eq!(broken(alice_was_here(too_late)), Some(Promise::ToldWhenReset));
    let too_early = entered(ALICE, 2, Some(1), 2, 999);
    assert_eq!(broken(alice_was_here(too_early)), Some(Promise::ToldWhenReset));
}

#[test]
fn a_new_session_was_nobodys_before() {
    let anothers = entered(BOB, 2, None, 1, 200);
    assert_eq!(broken(alice_was_here(anothers)), Some(Promise::Contract));
    let used_before = entered(ALICE, 2, None, 1, 200);
    assert_eq!(broken(alice_was_here(used_before)), Some(Promise::ToldWhenReset));
}

#[test]
fn only_the_session_of_another_user_is_denied() {
    assert_eq!(broken(alice_was_here(denied(BOB, 1))), None);
    assert_eq!(broken(alice_was_here(denied(ALICE, 1))), Some(Promise::Contract));
}

#[test]
fn a_saved_session_is_found_again_unless_the_log_was_lost() {
    assert_eq!(broken(alice_was_here(found(&[(1, EXPIRY)], 200))), None);
    assert_eq!(broken(alice_was_here(found(&[(1, EXPIRY - 1)], 200))), Some(Promise::SettledStays));
    assert_eq!(broken(alice_was_here(found(&[], 200))), Some(Promise::SettledStays));
    let mut lost: Vec<_> =
        alice_was_here(found(&[], 200)).into_iter().map(Record::Session).collect();
    lost.insert(3, Record::LogLost);
    assert_eq!(check(&lost), Ok(()));
}

#[test]
fn what_is_stored_may_be_seen_before_it_is_told() {
    let stored = |then: SessionRecord| {
        let stored = SessionRecord::Stored {
            session: name(1),
            expires_at: Timestamp::from_ms(EXPIRY + 200),
        };
        broken(alice_was_here(stored).into_iter().chain([then]))
    };
    assert_eq!(stored(entered(ALICE, 2, Some(1), 1, 1_100)), None);
    assert_eq!(stored(entered(ALICE, 2, Some(1), 2, 1_100)), None);
    assert_eq!(stored(entered(ALICE, 2, Some(1), 2, 999)), Some(Promise::ToldWhenReset));
    assert_eq!(stored(entered(ALICE, 2, Some(1), 1, 1_200)), Some(Promise::ToldWhenReset));
}

#[test]
fn a_session_is_forgotten_only_after_its_end() {
    assert_eq!(broken(alice_was_here(found(&[], EXPIRY))), None);
    assert_eq!(broken(alice_was_here(found(&[], EXPIRY - 1))), Some(Promise::SettledStays));
    let set_back =
        |before, then| broken(alice_was_here(clock_set(before)).into_iter().chain([then]));
    assert_eq!(set_back(EXPIRY, found(&[], 200)), None);
    assert_eq!(set_back(EXPIRY - 1, found(&[], 200)), Some(Promise::SettledStays));
    assert_eq!(set_back(EXPIRY, entered(ALICE, 2, Some(1), 2, 200)), None);
    assert_eq!(set_back(EXPIRY, entered(ALICE, 2, Some(1), 1, 200)), None);
}

#[test]
fn what_ended_before_it_was_told_as_saved_may_be_forgotten() {
    let ends = EXPIRY + 200;
    let saved_late = |before| {
        let stored =
            SessionRecord::Stored { session: name(1), expires_at: Timestamp::from_ms(ends) };
        let then = [stored, clock_set(before), kept(1, ends), found(&[], 300)];
        broken(alice_was_here(entered(ALICE, 2, Some(1), 1, 200)).into_iter().chain(then))
    };
    assert_eq!(saved_late(ends), None);
    assert_eq!(saved_late(ends - 1), Some(Promise::SettledStays));
}

#[test]
fn a_power_cut_takes_only_what_was_saved_last() {
    let power_cut = |killed: u64, found: SessionRecord| {
        let before = [entered(ALICE, 1, None, 1, 0), kept(1, EXPIRY), kept(1, EXPIRY + 100)];
        let killed = Record::Killed { process: 0, at: Instant::from_ms(killed) };
        let records = [rules()].into_iter().chain(before).map(Record::Session);
        let left = SessionRecord::Left { connection: ConnectionName::new(1), at: Instant::ORIGIN };
        let after = [Record::PowerLost { process: 0 }, killed];
        let after = after.into_iter().chain([left, found].map(Record::Session));
        let records: Vec<_> = records.chain(after).collect();
        check(&records).err().map(|violation| violation.promise)
    };
    // Forgotten after its end, and then saved again: that is what the power cut takes.
    assert_eq!(power_cut(UNSYNCED + 1, found(&[], EXPIRY)), None);
    let unsynced = 100 + UNSYNCED;
    assert_eq!(power_cut(unsynced, found(&[(1, EXPIRY)], 200)), None);
    assert_eq!(power_cut(unsynced, found(&[], 200)), Some(Promise::SettledStays));
    assert_eq!(power_cut(UNSYNCED, found(&[], 200)), None);
    assert_eq!(power_cut(unsynced + 1, found(&[(1, EXPIRY)], 200)), Some(Promise::SettledStays));
}

/// The server says that it expired at 1 000; but its client was there until 990.
#[test]
fn a_session_does_not_expire_under_its_client() {
    let history = |between: Option<SessionRecord>| {
        let stays = vec![entered(ALICE, 1, None, 1, 0), kept(1, EXPIRY)];
        let comes_back = vec![left(1, 990), entered(ALICE, 2, Some(1), 2, 1_200)];
        stays.into_iter().chain(between).chain(comes_back)
    };
    assert_eq!(broken(history(None)), Some(Promise::SettledStays));
    let clock_set = clock_set(500);
    assert_eq!(broken(history(Some(clock_set))), None);
    assert_eq!(broken(history(Some(SessionRecord::Lags { session: name(1) }))), None);
}

#[test]
fn who_loses_its_session_to_another_connection_is_told() {
    let taken_over = |then: Option<SessionRecord>| {
        let records =
            vec![entered(ALICE, 1, None, 1, 0), kept(1, EXPIRY), entered(ALICE, 2, Some(1), 1, 10)];
        broken(records.into_iter().chain(then))
    };
    assert_eq!(taken_over(Some(told_taken_over(1))), None);
    assert_eq!(taken_over(Some(left(1, 20))), None);
    assert_eq!(taken_over(None), Some(Promise::NothingSilent));
    assert_eq!(taken_over(Some(told_taken_over(2))), Some(Promise::Contract));
}
