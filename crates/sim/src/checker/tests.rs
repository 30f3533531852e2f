//! The checker is shown good histories and bad ones: it has to tell them apart.

use tidings_core::{CursorState, Epoch, Offset, Position, TopicState};

use std::time::Duration;

use super::{check as check_with, check_trimmed};
use crate::history::{Name, Record, Subscriber};
use crate::violation::{Promise, Violation};

fn check(history: &[Record]) -> Result<(), Violation> {
    check_with(history, Duration::from_secs(1))
}

const LIVE: Subscriber = Subscriber::Live(0);
const DURABLE: Subscriber = Subscriber::Durable(0);

fn place(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch::new(epoch), offset: Offset::new(offset) }
}

fn published(name: u64) -> Record {
    Record::Published { name: Name::new(name), keyed: true }
}

fn unkeyed(name: u64) -> Record {
    Record::Published { name: Name::new(name), keyed: false }
}

fn acknowledged(name: u64, offset: u64) -> Record {
    Record::Acknowledged { name: Name::new(name), position: place(1, offset) }
}

fn found_in(epoch: u64, first: u64, names: &[u64]) -> Record {
    let messages: Vec<_> =
        (first..).zip(names).map(|(o, n)| (Offset::new(o), Name::new(*n))).collect();
    let head = Offset::new(first + names.len() as u64 - 1);
    let state = TopicState { epoch: Epoch::new(epoch), first: Offset::new(first), head };
    Record::LogFound { state, messages }
}

/// A log of the first life.
fn found(first: u64, names: &[u64]) -> Record {
    found_in(1, first, names)
}

fn trimmed(first: u64) -> Record {
    Record::Trimmed { first: Offset::new(first) }
}

fn subscribed(
    subscriber: Subscriber,
    after: Option<Position>,
    recovered: bool,
    next: Position,
) -> Record {
    Record::Subscribed { subscriber, after, recovered, epoch: next.epoch, next: next.offset }
}

fn joined(next: u64) -> Record {
    Record::Joined { subscriber: LIVE, epoch: Epoch::new(1), next: Offset::new(next) }
}

fn told(epoch: u64, next: u64) -> Record {
    Record::ToldOfGap { subscriber: LIVE, epoch: Epoch::new(epoch), next: Offset::new(next) }
}

fn delivered(subscriber: Subscriber, offset: u64, name: u64) -> Record {
    let (position, name) = (place(1, offset), Name::new(name));
    Record::Delivered { subscriber, position, name, attempt: 1 }
}

fn acked(offset: u64) -> Record {
    Record::Acked { subscriber: DURABLE, position: place(1, offset) }
}

fn saved(next: u64, settled: &[(u64, u64)]) -> Record {
    let mut state = CursorState::at(Epoch::new(1), Offset::new(next));
    state.settled = settled.iter().map(|(f, l)| (Offset::new(*f), Offset::new(*l))).collect();
    Record::CursorSaved { subscriber: DURABLE, state }
}

/// Two messages, published and acknowledged.
fn two_messages() -> Vec<Record> {
    vec![found(1, &[]), published(1), acknowledged(1, 1), published(2), acknowledged(2, 2)]
}

fn with(more: impl IntoIterator<Item = Record>) -> Vec<Record> {
    two_messages().into_iter().chain(more).collect()
}

#[test]
fn good_histories_pass() {
    for (name, history) in [
        ("nothing but publishes", with([found(1, &[1, 2])])),
        ("trimmed after it was told", with([trimmed(2), found(2, &[2])])),
        ("stored and never answered", with([unkeyed(3), found(1, &[1, 2, 3])])),
        ("neither stored nor answered", with([unkeyed(3), found(1, &[1, 2])])),
        (
            "live, with a gap told",
            with([
                subscribed(LIVE, Some(place(1, 0)), true, place(1, 1)),
                joined(1),
                trimmed(2),
                told(1, 2),
                delivered(LIVE, 2, 2),
                found(2, &[2]),
            ]),
        ),
        (
            "durable, out of order, one dead letter",
            with([
                subscribed(DURABLE, None, true, place(1, 1)),
                delivered(DURABLE, 1, 1),
                delivered(DURABLE, 2, 2),
                acked(2),
                saved(1, &[(2, 2)]),
                Record::DeadLettered { subscriber: DURABLE, position: place(1, 1) },
                saved(3, &[]),
                found(1, &[1, 2]),
            ]),
        ),
        (
            "a lost log, told",
            with([
                Record::LogLost,
                found_in(2, 1, &[]),
                subscribed(LIVE, Some(place(1, 2)), false, place(2, 1)),
                told(2, 1),
                found_in(2, 1, &[]),
            ]),
        ),
    ] {
        assert_eq!(check(&history), Ok(()), "{name}");
    }
}

#[track_caller]
fn breaks(promise: Promise, history: &[Record]) {
    let violation = check(history).expect_err("the history is bad");
    assert_eq!(violation.promise, promise, "{violation}");
}

#[test]
fn a_lost_message_is_noticed() {
    breaks(Promise::AcknowledgedIsDurable, &with([found(1, &[1])]));
    breaks(Promise::AcknowledgedIsDurable, &with([found(1, &[1]), found(1, &[1, 2])]));
    let seen_only = [published(1), joined(1), delivered(LIVE, 1, 1), found(1, &[])];
    breaks(Promise::SeenIsDurable, &seen_only);
}

#[test]
fn another_order_is_noticed() {
    breaks(Promise::OneOrder, &with([found(1, &[2, 1])]));
    breaks(Promise::OneOrder, &with([joined(1), delivered(LIVE, 1, 2), found(1, &[1, 2])]));
    let late = [joined(1), delivered(LIVE, 1, 1), delivered(LIVE, 1, 1), found(1, &[1, 2])];
    breaks(Promise::OneOrder, &with(late));
    breaks(Promise::OneOrder, &with([found(1, &[1, 2, 3])]));
}

#[test]
fn a_message_stored_twice_is_noticed() {
    breaks(Promise::OncePerKey, &with([found(1, &[1, 2, 1])]));
    breaks(Promise::OncePerKey, &with([acknowledged(1, 3), found(1, &[1, 2])]));
}

#[test]
fn a_hole_is_noticed() {
    breaks(Promise::NothingSilent, &with([joined(1), delivered(LIVE, 2, 2), found(1, &[1, 2])]));
    let jumped = [joined(1), joined(2), delivered(LIVE, 2, 2), found(1, &[1, 2])];
    breaks(Promise::NothingSilent, &with(jumped));
    // The gap that it was told of is not one.
    breaks(Promise::NothingSilent, &with([joined(1), told(1, 2), found(1, &[1, 2])]));
    // The log begins later than it was trimmed.
    breaks(Promise::NothingSilent, &with([found(2, &[2])]));
}

#[test]
fn a_client_that_is_told_wrongly_is_noticed() {
    let behind = Some(place(1, 0));
    breaks(
        Promise::ToldWhenReset,
        &with([trimmed(2), subscribed(LIVE, behind, true, place(1, 1)), found(2, &[2])]),
    );
    breaks(
        Promise::ToldWhenReset,
        &with([subscribed(LIVE, behind, false, place(1, 1)), found(1, &[1, 2])]),
    );
    breaks(
        Promise::ToldWhenReset,
        &with([Record::LogLost, found_in(2, 1, &[]), subscribed(LIVE, behind, true, place(2, 1))]),
    );
    breaks(Promise::ToldWhenReset, &with([Record::LogLost, found(1, &[])]));
    breaks(Promise::ToldWhenReset, &with([found_in(2, 1, &[])]));
    breaks(
        Promise::AtLeastOnce,
        &with([subscribed(DURABLE, behind, true, place(1, 3)), found(1, &[1, 2])]),
    );
}

#[test]
fn a_cursor_that_leads_is_noticed() {
    let started = || subscribed(DURABLE, None, true, place(1, 1));
    let leads = with([started(), acked(1), saved(3, &[]), acked(2), found(1, &[1, 2])]);
    breaks(Promise::AtLeastOnce, &leads);
    let out_of_order =
        with([started(), saved(1, &[(2, 2)]), acked(2), acked(1), found(1, &[1, 2])]);
    breaks(Promise::AtLeastOnce, &out_of_order);
    breaks(Promise::AtLeastOnce, &with([started(), acked(1), found(1, &[1, 2])]));
}

#[test]
fn what_never_arrives_is_noticed() {
    breaks(Promise::Liveness, &with([published(3), found(1, &[1, 2])]));
    breaks(Promise::Liveness, &with([joined(1), delivered(LIVE, 1, 1), found(1, &[1, 2])]));
    let gone = [subscribed(DURABLE, None, true, place(1, 3)), Record::LogLost, found_in(2, 1, &[])];
    breaks(Promise::Liveness, &with(gone));
}

/// Repeats to the durable subscriber, for whose judgement it matters which process sent them.
mod repeats {
    use tidings_core::Instant;

    use super::*;

    fn again(offset: u64, name: u64, attempt: u32) -> Record {
        let (position, name) = (place(1, offset), Name::new(name));
        Record::Delivered { subscriber: DURABLE, position, name, attempt }
    }

    fn connected(process: u64) -> Record {
        Record::Connected { subscriber: DURABLE, process }
    }

    fn settled(offset: u64, at: u64) -> Record {
        let at = Instant::from_ms(at);
        Record::Settled { subscriber: DURABLE, position: place(1, offset), at }
    }

    fn killed(process: u64, at: u64) -> Record {
        Record::Killed { process, at: Instant::from_ms(at) }
    }

    /// What is said of a history in which both messages are acked in the end.
    fn judged(more: Vec<Record>) -> Option<Promise> {
        let start = [subscribed(DURABLE, None, true, place(1, 1)), connected(1)];
        let end = [acked(1), acked(2), found(1, &[1, 2])];
        let history = with(start.into_iter().chain(more).chain(end));
        check(&history).err().map(|violation| violation.promise)
    }

    #[test]
    fn a_repeat_has_to_say_so() {
        assert_eq!(judged(vec![again(1, 1, 1), again(1, 1, 2), again(2, 2, 1)]), None);
        assert_eq!(judged(vec![again(1, 1, 1), again(1, 1, 1)]), Some(Promise::AtLeastOnce));
        // Nobody knows whether a first delivery was the first that was sent.
        assert_eq!(judged(vec![again(1, 1, 2), again(2, 2, 2)]), None);
    }

    #[test]
    fn what_comes_first_comes_in_order() {
        assert_eq!(judged(vec![again(2, 2, 1), again(1, 1, 1)]), Some(Promise::OneOrder));
        // Sent before, but lost; and what came after it was not.
        assert_eq!(judged(vec![again(2, 2, 1), again(1, 1, 2)]), None);
    }

    #[test]
    fn an_answer_on_its_way_says_nothing_of_a_cursor_that_lags_meanwhile() {
        let lags = Record::CursorLags { subscriber: DURABLE };
        let ends = |middle: Vec<Record>| {
            judged([vec![again(1, 1, 1)], middle, vec![connected(1), again(1, 1, 2)]].concat())
        };
        let answer = settled(1, 5_000);
        assert_eq!(ends(vec![acked(1), lags.clone(), answer.clone()]), None);
        let unexcused = Some(Promise::SettledStays);
        assert_eq!(ends(vec![lags.clone(), acked(1), answer.clone()]), unexcused);
        // The excuse is of that answer alone.
        let next = [acked(1), settled(1, 6_000)];
        assert_eq!(ends([vec![acked(1), lags, answer], next.to_vec()].concat()), unexcused);
    }

    #[test]
    fn an_answered_ack_is_forgotten_only_by_a_crash_soon_after() {
        let after = |more: Vec<Record>| {
            judged([vec![again(1, 1, 1), settled(1, 5_000)], more, vec![again(1, 1, 2)]].concat())
        };
        assert_eq!(after(vec![]), Some(Promise::SettledStays));
        assert_eq!(after(vec![connected(1)]), Some(Promise::SettledStays));
        assert_eq!(after(vec![killed(1, 5_900), connected(2)]), None);
        assert_eq!(after(vec![killed(1, 6_100), connected(2)]), Some(Promise::SettledStays));
        assert_eq!(after(vec![connected(2)]), Some(Promise::SettledStays));
        assert_eq!(after(vec![Record::CursorLags { subscriber: DURABLE }, connected(1)]), None);
    }
}

/// Topics that are trimmed nobody knows when.
mod trimmed {
    use super::*;

    fn told(subscriber: Subscriber, next: u64) -> Record {
        Record::ToldOfGap { subscriber, epoch: Epoch::new(1), next: Offset::new(next) }
    }

    /// What is said of a log from which the first of two messages is gone in the end.
    fn judged(more: impl IntoIterator<Item = Record>) -> Result<u64, Promise> {
        let history = with(more.into_iter().chain([found(2, &[2])]));
        check_trimmed(&history, Duration::from_secs(1), 1).map_err(|violation| violation.promise)
    }

    fn started() -> Record {
        subscribed(DURABLE, None, true, place(1, 1))
    }

    #[test]
    fn what_a_durable_subscription_lost_it_was_told() {
        assert_eq!(judged([started(), acked(1), acked(2)]), Ok(0));
        assert_eq!(judged([started(), told(DURABLE, 2), acked(2)]), Ok(1));
        assert_eq!(judged([started(), acked(2)]), Err(Promise::NothingSilent));
        // What is still there is owed, whatever was told.
        assert_eq!(judged([started(), told(DURABLE, 2)]), Err(Promise::AtLeastOnce));
    }

    #[test]
    fn what_was_lost_is_told_in_time() {
        let got = || delivered(DURABLE, 2, 2);
        let again = |attempt| {
            let (position, name) = (place(1, 2), Name::new(2));
            Record::Delivered { subscriber: DURABLE, position, name, attempt }
        };
        let end = || [told(DURABLE, 2), acked(2)];
        let within = [started(), got(), again(2)];
        assert_eq!(judged(within.into_iter().chain(end())), Ok(1));
        let late = [started(), got(), again(2), again(3)];
        assert_eq!(judged(late.into_iter().chain(end())), Err(Promise::NothingSilent));
    }

    #[test]
    fn nobody_is_told_of_more_than_is_gone() {
        let durable = [started(), told(DURABLE, 3), acked(1), acked(2)];
        assert_eq!(judged(durable), Err(Promise::NothingSilent));
        assert_eq!(judged([told(LIVE, 3)]), Err(Promise::NothingSilent));
    }

    #[test]
    fn a_live_hole_is_told() {
        let second = || delivered(LIVE, 2, 2);
        assert_eq!(judged([joined(1), told(LIVE, 2), second()]), Ok(0));
        assert_eq!(judged([joined(1), second()]), Err(Promise::NothingSilent));
    }

    #[test]
    fn what_the_log_held_meanwhile_may_be_gone() {
        let middle = [started(), acked(1), found(1, &[1, 2]), told(DURABLE, 2), acked(2)];
        assert_eq!(judged(middle), Ok(0));
    }
}
