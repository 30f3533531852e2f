//! Promises about repeated publishes.

use std::time::Duration;

use tidings_core::{Durability, MessageId, NewMessage, Offset, PolicyTable, Position, Timestamp};

use super::publishing::publish_as;
use super::trial::{message, publish_keyed, published, texts};
use super::{Engine, Trial};
use crate::clock::Clock as _;
use crate::store::{Outcome, Write};

/// The first one's name and place, which must be told.
pub(super) fn duplicate(outcome: &Outcome) -> (MessageId, Position) {
    match outcome {
        Outcome::Duplicate { id, position } => (*id, *position),
        Outcome::Published(_) | Outcome::Saved | Outcome::Refused(_) => {
            panic!("not recognised as repeated: {outcome:?}")
        }
    }
}

pub(super) fn repeated_keys(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let first = published(trial.write_one(publish_keyed("a", "1", "k")));
    published(trial.write_one(publish_keyed("a", "2", "other")));
    for _ in 0..3 {
        let again = trial.write_one(publish_keyed("a", "3", "k"));
        assert_eq!(duplicate(&again), (first.id, first.position()));
    }
    assert_eq!(texts(&trial.read_all("a")), ["1", "2"]);
    assert_eq!(trial.store().status().duplicates, 3);
}

pub(super) fn repeated_in_one_commit(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let outcomes = trial.write(vec![
        publish_keyed("a", "1", "k"),
        publish_keyed("a", "2", "k"),
        publish_keyed("a", "3", "other"),
        publish_keyed("a", "4", "k"),
    ]);
    let first = published(outcomes[0].clone());
    assert_eq!(duplicate(&outcomes[1]), (first.id, first.position()));
    assert_eq!(published(outcomes[2].clone()).offset, Offset::new(2));
    assert_eq!(duplicate(&outcomes[3]), (first.id, first.position()));
    assert_eq!(texts(&trial.read_all("a")), ["1", "3"]);
}

/// Ids made long ago or far ahead; a key counts from when it was published.
pub(super) fn keys_with_given_ids(engine: Box<dyn Engine>) {
    let window = Duration::from_secs(60);
    let trial = Trial::with(engine, PolicyTable::default(), |setup| setup.dedup_window = window);
    let kept = published(trial.write_one(publish_keyed("a", "0", "kept")));
    let ids = [MessageId::new(5, 9, 7), MessageId::new(u64::MAX >> 17, 9, 8)];
    let publish = |n: usize| trial.write_one(publish_as(ids[n], "a", "x", Some(&n.to_string())));
    for (n, id) in ids.iter().enumerate() {
        let first = published(publish(n));
        assert_eq!(duplicate(&publish(n)), (*id, first.position()));
    }
    trial.clock.advance(window / 2);
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(duplicate(&publish(n)).0, *id);
    }
    assert_eq!(duplicate(&trial.write_one(publish_keyed("a", "0", "kept"))).0, kept.id);
    trial.clock.advance(window / 2);
    for n in 0..2 {
        published(publish(n));
    }
}

pub(super) fn keys_are_per_topic(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    for name in ["a", "b", "a/b"] {
        let message = published(trial.write_one(publish_keyed(name, "x", "k")));
        assert_eq!(message.offset, Offset::FIRST);
    }
}

pub(super) fn keys_are_per_sender(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let publish_as = |sender: Option<&str>| {
        let sender = sender.map(|sender| sender.parse().expect("a valid user"));
        let key = Some("k".parse().expect("a valid key"));
        let message = NewMessage { sender, key, ..message("a", "x") };
        Write::Publish { message, durability: Durability::Sync, id: None }
    };
    let senders = [None, Some("alice"), Some("bob")];
    let mut firsts = Vec::new();
    for (sender, offset) in senders.into_iter().zip(1..) {
        let message = published(trial.write_one(publish_as(sender)));
        assert_eq!(message.offset, Offset::new(offset));
        firsts.push((message.id, message.position()));
    }
    for (sender, first) in senders.into_iter().zip(firsts) {
        assert_eq!(duplicate(&trial.write_one(publish_as(sender))), first);
    }
}

pub(super) fn window_passes(engine: Box<dyn Engine>) {
    let window = Duration::from_secs(60);
    let trial = Trial::with(engine, PolicyTable::default(), |setup| setup.dedup_window = window);
    let first = published(trial.write_one(publish_keyed("a", "1", "k")));
    trial.clock.advance(window - Duration::from_millis(1));
    let again = trial.write_one(publish_keyed("a", "2", "k"));
    assert_eq!(duplicate(&again), (first.id, first.position()));
    trial.clock.advance(Duration::from_millis(1));
    let second = published(trial.write_one(publish_keyed("a", "3", "k")));
    assert_eq!(second.offset, Offset::new(2));
    let again = trial.write_one(publish_keyed("a", "4", "k"));
    assert_eq!(duplicate(&again), (second.id, second.position()));
    assert_eq!(trial.store().status().keys_evicted_early, 0);
}

pub(super) fn clock_jumps(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let publish = |n: usize| trial.write_one(publish_keyed("a", "x", &n.to_string()));
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let start = trial.clock.now();
    let mut firsts = Vec::new();
    for (n, time) in [start, start.plus(year), start, Timestamp::from_ms(7)].into_iter().enumerate()
    {
        trial.clock.set(time);
        firsts.push(published(publish(n)));
        for (n, first) in firsts.iter().enumerate() {
            assert_eq!(duplicate(&publish(n)), (first.id, first.position()));
        }
    }
}

pub(super) fn oldest_keys_go(engine: Box<dyn Engine>) {
    let trial = Trial::with(engine, PolicyTable::default(), |setup| setup.dedup_keys_max = 10);
    for n in 0..11 {
        published(trial.write_one(publish_keyed("a", "x", &n.to_string())));
    }
    assert_eq!(trial.store().status().keys_evicted_early, 1);
    duplicate(&trial.write_one(publish_keyed("a", "x", "1")));
    published(trial.write_one(publish_keyed("a", "x", "0")));
}
