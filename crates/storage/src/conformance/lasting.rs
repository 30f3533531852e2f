//! Promises about what is there after the store was closed and opened again.

use std::ops::Bound;
use std::sync::Arc;

use tidings_core::{
    Durability, MessageId, NewMessage, Offset, PolicyTable, Retention, TopicPolicy,
};

use super::once::duplicate;
use super::publishing::publish_as;
use super::states::{cursor, group_key, key, save, session};
use super::trial::{eventually, message, publish_keyed, published};
use super::{Engine, LONG, Lasting, Trial, keeping, topic};
use crate::clock::Clock as _;
use crate::store::Write;

/// A trial, unless the engine's data do not outlive a store.
fn trial(engine: Box<dyn Engine>, policies: PolicyTable) -> Option<Trial> {
    (engine.lasting() == Lasting::Yes).then(|| Trial::new(engine, policies))
}

pub(super) fn messages(engine: Box<dyn Engine>) {
    let Some(mut trial) = trial(engine, PolicyTable::default()) else { return };
    let (mut told, mut told_of_b) = (Vec::new(), Vec::new());
    for round in 0..4 {
        for n in 0..20 {
            told.push(trial.publish("a", &format!("{round} {n}")));
            let order_key = Some("account 7".parse().expect("a valid order key"));
            let message = NewMessage { order_key, ..message("b", "nobody waits for the disk") };
            let write = Write::Publish { message, durability: Durability::Async, id: None };
            told_of_b.push(published(trial.write_one(write)));
        }
        let states = trial.store().topics(Bound::Unbounded, 10);
        trial.reopen();
        assert_eq!(trial.store().topics(Bound::Unbounded, 10), states);
        assert_eq!(trial.read_all("a"), told);
        assert_eq!(trial.read_all("b"), told_of_b);
    }
    let next = trial.publish("a", "after");
    assert_eq!(next.offset, Offset::new(81));
    assert!(told.iter().all(|message| message.id < next.id), "ids rise over all lives");
}

pub(super) fn keys(engine: Box<dyn Engine>) {
    let Some(mut trial) = trial(engine, PolicyTable::default()) else { return };
    let first = published(trial.write_one(publish_keyed("a", "1", "k")));
    for _ in 0..3 {
        trial.reopen();
        let again = trial.write_one(publish_keyed("a", "2", "k"));
        assert_eq!(duplicate(&again), (first.id, first.position()));
    }
    trial.clock.advance(LONG);
    published(trial.write_one(publish_keyed("a", "3", "k")));
}

pub(super) fn keys_over_jumps(engine: Box<dyn Engine>) {
    let Some(mut trial) = trial(engine, PolicyTable::default()) else { return };
    let publish = |trial: &Trial, key: &str| trial.write_one(publish_keyed("a", "x", key));
    let first = published(publish(&trial, "before"));
    let jumped = trial.clock.now().plus(LONG * 100);
    trial.clock.set(jumped);
    let second = published(publish(&trial, "after"));
    for _ in 0..3 {
        trial.reopen();
        assert_eq!(duplicate(&publish(&trial, "before")).0, first.id);
        assert_eq!(duplicate(&publish(&trial, "after")).0, second.id);
    }
    trial.clock.advance(LONG);
    published(publish(&trial, "before"));
}

pub(super) fn given_ids(engine: Box<dyn Engine>) {
    let Some(mut trial) = trial(engine, PolicyTable::default()) else { return };
    let id = MessageId::new(5, 9, 7);
    let publish = |trial: &Trial| trial.write_one(publish_as(id, "a", "x", Some("k")));
    let first = published(publish(&trial));
    let made = trial.publish("a", "y");
    // The second time, from a checkpoint.
    for _ in 0..2 {
        trial.reopen();
        assert_eq!(trial.read_all("a"), [Arc::clone(&first), Arc::clone(&made)]);
        assert_eq!(duplicate(&publish(&trial)), (id, first.position()));
    }
    assert!(trial.publish("a", "z").id > made.id);
    trial.clock.advance(LONG);
    published(publish(&trial));
}

pub(super) fn cursors_and_sessions(engine: Box<dyn Engine>) {
    let Some(mut trial) = trial(engine, PolicyTable::default()) else { return };
    save(&trial, Write::SaveCursor { key: key("phone"), state: cursor(5) });
    save(&trial, Write::SaveCursor { key: key("tablet"), state: cursor(6) });
    let group = group_key("workers", "user/#");
    save(&trial, Write::SaveCursor { key: group.clone(), state: cursor(7) });
    save(&trial, Write::SaveCursor { key: group_key("gone", "user/#"), state: cursor(8) });
    save(&trial, Write::SaveSession(session("s1", LONG).into()));
    save(&trial, Write::SaveSession(session("s2", LONG).into()));
    trial.reopen();
    save(&trial, Write::DeleteCursor { key: key("tablet") });
    save(&trial, Write::DeleteCursor { key: group_key("gone", "user/#") });
    save(&trial, Write::DeleteSession(session("s2", LONG).id));
    for _ in 0..2 {
        assert_eq!(trial.store().cursor(&key("phone")), Some(cursor(5)));
        assert_eq!(trial.store().cursor(&key("tablet")), None);
        assert_eq!(trial.store().cursor(&group), Some(cursor(7)));
        assert_eq!(trial.store().cursor(&group_key("gone", "user/#")), None);
        assert_eq!(trial.store().session(&session("s1", LONG).id), Some(session("s1", LONG)));
        assert_eq!(trial.store().session(&session("s2", LONG).id), None);
        trial.reopen();
    }
}

pub(super) fn times_of_cursors(engine: Box<dyn Engine>) {
    let Some(mut trial) = trial(engine, PolicyTable::default()) else { return };
    save(&trial, Write::SaveCursor { key: key("phone"), state: cursor(5) });
    trial.clock.advance(20 * LONG);
    trial.reopen();
    save(&trial, Write::SaveCursor { key: key("tablet"), state: cursor(6) });
    trial.clock.advance(20 * LONG);
    trial.reopen();
    eventually("the cursor is forgotten", || trial.store().cursor(&key("phone")).is_none());
    assert_eq!(trial.store().cursor(&key("tablet")), Some(cursor(6)));
}

pub(super) fn trimming(engine: Box<dyn Engine>) {
    let retention = Retention { age: LONG, messages: Some(2), bytes: None };
    let Some(mut trial) = trial(engine, keeping(retention)) else { return };
    for n in 1..=5 {
        trial.publish("a", &n.to_string());
    }
    eventually("trimming", || trial.store().topic_state(&topic("a")).first == Offset::new(4));
    trial.reopen();
    assert_eq!(trial.store().topic_state(&topic("a")).first, Offset::new(4));
    assert_eq!(trial.read_all("a").len(), 2);
}

pub(super) fn memory_epoch_changes(engine: Box<dyn Engine>) {
    let policy = TopicPolicy { durability: Durability::Memory, ..TopicPolicy::default() };
    let Some(mut trial) = trial(engine, PolicyTable::new(Vec::new(), policy)) else { return };
    let publish = |trial: &Trial| {
        let message = message("a", "x");
        published(trial.write_one(Write::Publish {
            message,
            durability: Durability::Memory,
            id: None,
        }))
    };
    let before = publish(&trial);
    trial.reopen();
    let after = publish(&trial);
    assert_eq!(before.offset, after.offset);
    assert_ne!(before.epoch, after.epoch);
    assert_ne!(before.id, after.id);
}
