//! What core decides about a delivery: live, durable, and in a group.

use std::collections::VecDeque;
use std::hint::black_box;

use tidings_core::{
    CursorState, DeliveryEffect, DeliveryWindow, Epoch, Group, GroupEffect, Instant, LiveCursor,
    LiveStep, MemberId, Offset, OrderKey, Priority, SettleOutcome, Topic, TopicPolicy,
};

const EPOCH: Epoch = Epoch::new(3);
const NOW: Instant = Instant::from_ms(1_000);
const WINDOW: u32 = 256;
/// How many deliveries stay unacked meanwhile.
const UNACKED: usize = 64;

/// One message for 1 000 live subscribers: only whether each gets it. What is queued and written for
/// each is the shard's, and is measured over sockets by `tidings-bench`.
pub(crate) fn live(rounds: u64) {
    let mut cursors = vec![LiveCursor::new(Offset::new(1)); 1_000];
    let mut delivered = 0;
    for round in 0..rounds {
        let (head, offset) = (Offset::new(round), Offset::new(round + 1));
        for cursor in &mut cursors {
            // Each is looked at by itself, as each has a connection of its own.
            let step = black_box(cursor).appended(head, offset);
            delivered += u64::from(black_box(step) == LiveStep::Deliver);
        }
    }
    assert_eq!(delivered, rounds * 1_000, "every subscriber is at the tail");
}

/// A message is appended and sent, and the oldest of 64 is acked.
pub(crate) fn window(rounds: u64) {
    let policy = TopicPolicy::default().delivery;
    let first = Offset::new(1);
    let state = CursorState::beginning(EPOCH, first, WINDOW);
    let reserved = state.reserved;
    let mut window = DeliveryWindow::new(policy, WINDOW, state, Offset::ORIGIN, 7);
    window.begins(reserved);
    let mut unacked = VecDeque::new();
    let mut acked = 0;
    for round in 0..rounds {
        window.tail_advanced(Offset::new(round + 1));
        while let Some(effect) = window.next_effect(NOW) {
            match effect {
                DeliveryEffect::Send { offset, .. } => unacked.push_back(offset),
                DeliveryEffect::Reserve => window.saved(black_box(window.state()).reserved),
                DeliveryEffect::SaveCursor => {}
                DeliveryEffect::DeadLetter { .. } => unreachable!("nothing fails here"),
            }
        }
        if unacked.len() > UNACKED {
            let offset = unacked.pop_front().expect("it has some");
            assert_eq!(window.acked(offset), SettleOutcome::Done, "it was sent");
            acked += 1;
        }
    }
    assert_eq!(acked + unacked.len() as u64, rounds, "every message is sent");
}

pub(crate) fn group(rounds: u64) {
    divide(rounds, |_| None);
}

pub(crate) fn group_ordered(rounds: u64) {
    let keys: Vec<_> = (0..100)
        .map(|number| OrderKey::parse(&format!("order-{number}")).expect("the key is valid"))
        .collect();
    divide(rounds, |offset| keys.get(offset.get() as usize % keys.len()).cloned());
}

/// A message is appended, fetched and given to one of eight members, and the oldest of 64 is acked.
fn divide(rounds: u64, key_of: impl Fn(Offset) -> Option<OrderKey>) {
    let topic = Topic::parse("jobs/resize").expect("the topic is valid");
    let state = CursorState::beginning(EPOCH, Offset::new(1), WINDOW);
    let reserved = state.reserved;
    let mut group = Group::new(7);
    for number in 0..8 {
        group.member_joined(MemberId::new(number), 32);
    }
    let policy = TopicPolicy::default().delivery;
    group.topic_opened(&topic, (policy, Priority::Normal), state, Offset::ORIGIN);
    group.topic_begins(&topic, reserved);
    let mut unacked = VecDeque::new();
    let mut acked = 0;
    for round in 0..rounds {
        group.tail_advanced(&topic, Offset::new(round + 1));
        while let Some(effect) = group.next_effect(NOW) {
            match effect {
                GroupEffect::Fetch { topic, offset } => {
                    group.fetched(&topic, offset, key_of(offset));
                }
                GroupEffect::Deliver { member, offset, .. } => unacked.push_back((member, offset)),
                GroupEffect::Reserve { topic } => {
                    let state = group.state(&topic).expect("the topic is open");
                    group.saved(&topic, black_box(state).reserved);
                }
                GroupEffect::SaveCursor { .. } => {}
                GroupEffect::DeadLetter { .. } | GroupEffect::Rest { .. } => {
                    unreachable!("nothing fails here")
                }
            }
        }
        if unacked.len() > UNACKED {
            let (member, offset) = unacked.pop_front().expect("it has some");
            let outcome = group.acked(member, &topic, offset);
            assert_eq!(outcome, SettleOutcome::Done, "it was delivered");
            acked += 1;
        }
    }
    // Of an order key one message at a time is with a member: with 100 keys none waits here.
    assert_eq!(acked + unacked.len() as u64, rounds, "every message is delivered");
}
