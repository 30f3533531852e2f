//! Subscribers that give a message up and leave before its dead letter is durable.

use tidings_core::{CloseCode, Filter, Offset, Topic};
use tidings_protocol::{Ack, AckWhich, Nack, StartFrom, SubscribeMode};
use tidings_storage::{CursorsOf, ReadFrom, ReadLimit};

use super::Rig;
use crate::disconnects::Loss;
use crate::shard::durable::held;

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Closes,
    Breaks,
    Unsubscribes,
}

const EVERY_WAY: [Leaving; 3] = [Leaving::Closes, Leaving::Breaks, Leaving::Unsubscribes];

impl Rig {
    fn durable(&mut self, slot: u32) {
        let (name, from) = ("phone".parse().unwrap(), StartFrom::First);
        self.subscribe_as(slot, "jobs/a", SubscribeMode::Durable { name, window: None, from });
    }

    fn member(&mut self, slot: u32) {
        let (group, from) = ("workers".parse().unwrap(), StartFrom::First);
        self.subscribe_as(slot, "jobs/a", SubscribeMode::Shared { group, window: None, from });
    }

    fn give_up(&mut self, slot: u32, offset: u64) {
        let nack = Nack {
            sub: Filter::parse("jobs/a").unwrap(),
            topic: None,
            offset: Offset::new(offset),
            delay: None,
            reason: None,
            dead: true,
        };
        self.shard.nack(slot, None, nack);
    }

    fn ack(&mut self, slot: u32, offset: u64) {
        let which = AckWhich::Each(vec![Offset::new(offset)]);
        let ack = Ack { sub: Filter::parse("jobs/a").unwrap(), topic: None, which };
        self.shard.ack(slot, None, &ack);
    }

    fn leave(&mut self, slot: u32, leaving: Leaving) {
        match leaving {
            Leaving::Closes => self.shard.close(slot, CloseCode::Normal),
            Leaving::Breaks => self.shard.remove(slot, Loss::PeerEnded),
            Leaving::Unsubscribes => {
                self.shard.unsubscribe(slot, None, &Filter::parse("jobs/a").unwrap());
            }
        }
    }

    fn dead_letters(&self) -> usize {
        let topic = Topic::parse("$dead-letters").unwrap();
        let limit = ReadLimit { messages: 100, bytes: usize::MAX };
        let from = ReadFrom::Offset(Offset::FIRST);
        self.shard.env.store.read(&topic, from, limit).unwrap().messages.len()
    }
}

/// Message 1 is given up and its subscriber leaves within one turn, at each step of the way to the
/// dead letters: `turns` between the two. Who comes next gets message 2 and no other.
async fn given_up_and_left(turns: usize, leaving: Leaving, subscribe: fn(&mut Rig, u32)) {
    let mut rig = Rig::start().await;
    let first = rig.connect();
    subscribe(&mut rig, first);
    rig.publish("jobs/a");
    assert_eq!(rig.offsets(first, 1), [1]);
    rig.give_up(first, 1);
    for _ in 0..turns {
        rig.turn_once();
    }
    rig.leave(first, leaving);
    let second = rig.connect();
    subscribe(&mut rig, second);
    rig.publish("jobs/a");
    assert_eq!(rig.offsets(second, 1), [2], "{turns} turns, {leaving:?}");
    assert_eq!(rig.dead_letters(), 1, "{turns} turns, {leaving:?}");
}

#[tokio::test]
async fn what_a_subscriber_gave_up_does_not_come_again_however_soon_it_leaves() {
    for leaving in EVERY_WAY {
        for turns in 0..5 {
            given_up_and_left(turns, leaving, Rig::durable).await;
        }
    }
}

#[tokio::test]
async fn what_the_last_member_gave_up_does_not_come_again_however_soon_it_leaves() {
    for leaving in EVERY_WAY {
        for turns in 0..5 {
            given_up_and_left(turns, leaving, Rig::member).await;
        }
    }
}

/// A connection without room has nothing carried out: what it gave up is still with its window.
#[tokio::test]
async fn what_was_given_up_and_not_taken_up_is_set_aside_when_its_subscriber_leaves() {
    let mut rig = Rig::start().await;
    let first = rig.connect();
    rig.durable(first);
    rig.publish("jobs/a");
    assert_eq!(rig.offsets(first, 1), [1]);
    let topic = Topic::parse("jobs/a").unwrap();
    let durable = held(&mut rig.shard.connections[first as usize], &topic).unwrap();
    durable.window.refused(Offset::new(1));
    rig.leave(first, Leaving::Breaks);
    let second = rig.connect();
    rig.durable(second);
    rig.publish("jobs/a");
    assert_eq!(rig.offsets(second, 1), [2]);
    assert_eq!(rig.dead_letters(), 1);
}

/// Nobody reads the log any more, so nothing can be set aside: what was acked is saved all the same.
#[tokio::test]
async fn a_drain_that_is_out_of_time_saves_how_far_a_subscriber_was() {
    for subscribe in [Rig::durable, Rig::member] {
        let mut rig = Rig::start().await;
        let slot = rig.connect();
        subscribe(&mut rig, slot);
        rig.publish("jobs/a");
        rig.publish("jobs/a");
        assert_eq!(rig.offsets(slot, 2), [1, 2]);
        rig.stop_readers();
        rig.give_up(slot, 2);
        rig.ack(slot, 1);
        rig.turn_once();
        rig.leave(slot, Leaving::Breaks);
        rig.turn_once();
        rig.shard.start_drain(rig.shard.now);
        while !rig.shard.is_drained() {
            rig.turn_once();
        }
        rig.turn_once();
        let topic = Topic::parse("jobs/a").unwrap();
        let cursors = rig.shard.env.store.cursors(&CursorsOf::Topic(topic), None, 10);
        let next: Vec<_> = cursors.iter().map(|cursor| cursor.state.next.get()).collect();
        assert_eq!(next, [2]);
        assert!(cursors[0].state.reserved < Offset::new(3), "{:?}", cursors[0].state);
    }
}
