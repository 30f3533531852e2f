//! Good histories of groups pass, and each rule finds a history that was doctored.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{Epoch, Instant, Offset};

use crate::history::Name;
use crate::history::groups::{
    GroupNumber, GroupRecord, LaneNumber, MemberNumber, Place, TopicNumber,
};
use crate::violation::Promise;

const GROUP: GroupNumber = GroupNumber::new(0);
const PATIENCE: Duration = Duration::from_secs(60);
const LAG: Duration = Duration::from_secs(1);

/// Topics and members are their numbers; so are messages, which stand at that offset of their topic.
fn place((topic, offset): (usize, u64)) -> Place {
    Place { topic: TopicNumber::new(topic), epoch: Epoch::new(1), offset: Offset::new(offset) }
}

fn name((topic, offset): (usize, u64)) -> Name {
    Name::new(topic as u64 * 100 + offset)
}

type Message = (usize, u64);

const A1: Message = (0, 1);
const A2: Message = (0, 2);
const B1: Message = (1, 1);

fn delivered(member: u64, message: Message, attempt: u32, at: u64) -> GroupRecord {
    GroupRecord::Delivered {
        member: MemberNumber::new(member),
        place: place(message),
        name: name(message),
        attempt,
        published_at: Instant::ORIGIN,
        at: Instant::from_ms(at),
    }
}

fn acked(member: u64, message: Message, at: u64) -> GroupRecord {
    let (member, at) = (MemberNumber::new(member), Instant::from_ms(at));
    GroupRecord::Acked { member, place: place(message), at }
}

fn nacked(member: u64, message: Message, at: u64) -> GroupRecord {
    let (member, at) = (MemberNumber::new(member), Instant::from_ms(at));
    GroupRecord::Nacked { member, place: place(message), at }
}

fn settled(member: u64, message: Message, at: u64) -> GroupRecord {
    let (member, at) = (MemberNumber::new(member), Instant::from_ms(at));
    GroupRecord::Settled { member, place: place(message), at }
}

fn left(member: u64, at: u64) -> GroupRecord {
    GroupRecord::Left { member: MemberNumber::new(member), at: Instant::from_ms(at) }
}

fn dead(message: Message, at: u64) -> GroupRecord {
    GroupRecord::DeadLettered { group: GROUP, place: place(message), at: Instant::from_ms(at) }
}

fn killed(process: u64, at: u64) -> GroupRecord {
    GroupRecord::Killed { process, at: Instant::from_ms(at) }
}

/// Members 1 and 2 are of process 1, members 3 and 4 of process 2. `A1` and `A2` have one topic, and
/// `B1` is of another; all three have one order key if there is `lane`.
fn judged(lane: Option<u64>, story: Vec<GroupRecord>, ends: &[GroupRecord]) -> Option<Promise> {
    let topics: BTreeMap<_, _> =
        [0, 1].map(|topic| (TopicNumber::new(topic), PATIENCE)).into_iter().collect();
    let mut history = vec![GroupRecord::Opened { group: GROUP, topics }];
    let lane = lane.map(LaneNumber::new);
    history.extend([A1, A2, B1].map(|m| GroupRecord::Published { name: name(m), lane }));
    history.extend([(1, 1), (2, 1), (3, 2), (4, 2)].map(|(member, process)| {
        let (member, at) = (MemberNumber::new(member), Instant::ORIGIN);
        GroupRecord::Joining { member, group: GROUP, process, at }
    }));
    history.extend(story);
    history.extend(ends.iter().cloned());
    let messages = [A1, A2, B1].map(|message| (place(message), name(message))).to_vec();
    history.push(GroupRecord::LogFound { messages });
    super::check(&history, LAG).err().map(|violation| violation.promise)
}

/// A history in which everything else is acked in the end.
fn ends(story: Vec<GroupRecord>) -> Option<Promise> {
    judged(None, story, &[acked(1, A1, 90_000), acked(1, A2, 90_000), acked(1, B1, 90_000)])
}

#[test]
fn what_is_in_the_log_is_acked_or_a_dead_letter() {
    let two =
        vec![delivered(1, A1, 1, 1), acked(1, A1, 2), delivered(2, A2, 1, 1), acked(2, A2, 2)];
    assert_eq!(judged(None, two.clone(), &[]), Some(Promise::AtLeastOnce));
    assert_eq!(judged(None, two.clone(), &[acked(2, B1, 3)]), None);
    assert_eq!(judged(None, two, &[dead(B1, 3)]), None);
}

#[test]
fn what_a_member_got_is_in_the_log() {
    assert_eq!(ends(vec![delivered(1, (0, 3), 1, 1)]), Some(Promise::SeenIsDurable));
    let mut other = delivered(1, A1, 1, 1);
    if let GroupRecord::Delivered { name, .. } = &mut other {
        *name = Name::new(2);
    }
    assert_eq!(ends(vec![other]), Some(Promise::OneOrder));
}

#[test]
fn one_delivery_alone_is_the_first() {
    let again = |attempt| vec![delivered(1, A1, 1, 1), left(1, 2), delivered(2, A1, attempt, 3)];
    assert_eq!(ends(again(2)), None);
    assert_eq!(ends(again(1)), Some(Promise::AtLeastOnce));
    // Over a crash too.
    let after = |attempt| vec![delivered(1, A1, 1, 1), killed(1, 2), delivered(3, A1, attempt, 3)];
    assert_eq!(ends(after(2)), None);
    assert_eq!(ends(after(1)), Some(Promise::AtLeastOnce));
}

#[test]
fn a_message_is_done_by_one_member() {
    let done = |more| [vec![delivered(1, A1, 1, 1), settled(1, A1, 1_000)], more].concat();
    assert_eq!(ends(done(vec![settled(2, A1, 1_100)])), Some(Promise::SettledStays));
    // A crash just after the first time is the one excuse.
    assert_eq!(ends(done(vec![killed(1, 1_900), settled(3, A1, 3_000)])), None);
    let late = done(vec![killed(1, 2_100), settled(3, A1, 3_000)]);
    assert_eq!(ends(late), Some(Promise::SettledStays));
    let stopped = done(vec![GroupRecord::Stopping { process: 1 }, delivered(3, A1, 2, 3_000)]);
    assert_eq!(ends(stopped), Some(Promise::SettledStays));
}

#[test]
fn what_is_done_is_no_dead_letter() {
    let done = |more| [vec![settled(1, A1, 1_000), dead(A1, 1_500)], more].concat();
    assert_eq!(ends(done(vec![])), Some(Promise::SettledStays));
    assert_eq!(ends(done(vec![killed(1, 1_600)])), None);
    assert_eq!(ends(done(vec![killed(1, 2_600)])), Some(Promise::SettledStays));
}

#[test]
fn a_message_is_with_one_member_at_a_time() {
    let then = |more: Vec<_>| ends([vec![delivered(1, A1, 1, 10)], more].concat());
    assert_eq!(then(vec![delivered(2, A1, 2, 50_000)]), Some(Promise::OneOrder));
    assert_eq!(then(vec![delivered(2, A1, 2, 60_010)]), None);
    assert_eq!(then(vec![nacked(1, A1, 20), delivered(2, A1, 2, 30)]), None);
    assert_eq!(then(vec![left(1, 20), delivered(2, A1, 2, 30)]), None);
    // What was given back and sent again has its whole time again.
    let twice = vec![nacked(1, A1, 9_000), delivered(2, A1, 2, 9_100), delivered(1, A1, 3, 61_000)];
    assert_eq!(then(twice), Some(Promise::OneOrder));
    // Whoever ends may have ended before its clients hear of it.
    assert_eq!(then(vec![GroupRecord::Stopping { process: 1 }, delivered(2, A1, 2, 30)]), None);
    assert_eq!(then(vec![killed(1, 20), delivered(3, A1, 2, 30)]), None);
}

#[test]
fn a_frame_that_lay_unread_is_no_second_holder() {
    let late = vec![delivered(2, A1, 2, 60_010), delivered(1, A1, 1, 60_020)];
    assert_eq!(ends(late), None);
}

/// A history of three messages of one order key.
fn in_lane(story: Vec<GroupRecord>) -> Option<Promise> {
    judged(Some(7), story, &[acked(1, A1, 90_000), acked(1, A2, 90_000), acked(1, B1, 90_000)])
}

#[test]
fn messages_of_a_key_come_one_after_the_other() {
    let in_turn = vec![delivered(1, A1, 1, 1), acked(1, A1, 2), delivered(2, A2, 1, 3)];
    assert_eq!(in_lane(in_turn), None);
    let not_done = || vec![delivered(1, A1, 1, 1), nacked(1, A1, 2), delivered(2, A2, 1, 3)];
    assert_eq!(in_lane(not_done()), Some(Promise::OneOrder));
    // Without a common key they may.
    assert_eq!(ends(not_done()), None);
}

#[test]
fn the_order_of_a_key_is_that_of_its_topic() {
    let skips = vec![delivered(1, A2, 1, 1), acked(1, A2, 2), delivered(1, A1, 1, 3)];
    assert_eq!(in_lane(skips), Some(Promise::OneOrder));
    assert_eq!(in_lane(vec![dead(A1, 1), delivered(1, A2, 1, 3)]), None);
    assert_eq!(in_lane(vec![dead(A1, 500), delivered(1, A2, 1, 3)]), Some(Promise::OneOrder));
}

#[test]
fn a_key_is_one_over_all_topics() {
    let both = vec![delivered(1, A1, 1, 1), delivered(2, B1, 1, 2)];
    assert_eq!(in_lane(both), Some(Promise::OneOrder));
    let after = vec![delivered(1, A1, 1, 1), acked(1, A1, 2), delivered(2, B1, 1, 3)];
    assert_eq!(in_lane(after), None);
    // A crash forgets who had what.
    let crash = vec![delivered(1, A1, 1, 1), killed(1, 2), delivered(3, B1, 1, 3)];
    assert_eq!(in_lane(crash), None);
    // And acks: what was done has to be done again before the next may come.
    let forgot = vec![
        delivered(1, A1, 1, 1),
        acked(1, A1, 2),
        killed(1, 3),
        delivered(3, A1, 2, 4),
        delivered(4, B1, 1, 5),
    ];
    assert_eq!(in_lane(forgot), Some(Promise::OneOrder));
}
