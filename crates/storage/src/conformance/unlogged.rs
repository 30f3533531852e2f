//! Promises about messages that are kept nowhere.

use std::collections::BTreeSet;
use std::ops::Bound;

use tidings_core::{Durability, NewMessage, Offset, PolicyTable, TopicPolicy, TopicState};

use super::trial::{message, publish, published, text};
use super::{Engine, Trial, topic};
use crate::store::{Outcome, StoreError, Submission, Write};

fn keeping_nothing() -> PolicyTable {
    let policy = TopicPolicy { durability: Durability::Memory, ..TopicPolicy::default() };
    PolicyTable::new(Vec::new(), policy)
}

fn unlogged(name: &str, data: &str, key: Option<&str>) -> Write {
    let key = key.map(|key| key.parse().expect("a valid key"));
    let message = NewMessage { key, ..message(name, data) };
    Write::Publish { message, durability: Durability::Memory, id: None }
}

pub(super) fn memory_is_kept_nowhere(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, keeping_nothing());
    let before = trial.store().topic_state(&topic("a"));
    let publish = |data| published(trial.write_one(unlogged("a", data, None)));
    let (first, second) = (publish("1"), publish("2"));
    assert_eq!((first.offset, second.offset), (Offset::new(1), Offset::new(2)));
    assert_eq!(before, TopicState::empty(first.epoch));
    let after = trial.store().topic_state(&topic("a"));
    let expected = TopicState { epoch: first.epoch, first: Offset::new(3), head: Offset::new(2) };
    assert_eq!(after, expected);
    assert!(trial.read_all("a").is_empty());
    assert!(trial.store().topics(Bound::Unbounded, 10).is_empty());
    assert_eq!(trial.store().status().appended, 0);
}

pub(super) fn order_alone(engine: Box<dyn Engine>) {
    orders(engine, |_| false);
}

pub(super) fn order_among_keys(engine: Box<dyn Engine>) {
    orders(engine, |n| n % 7 == 3);
}

/// Some have keys, which only the writer knows; and messages that are kept go with them.
fn orders(engine: Box<dyn Engine>, has_key: fn(u64) -> bool) {
    const THREADS: u64 = 4;
    const EACH: u64 = 300;
    let trial = Trial::new(engine, keeping_nothing());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let trial = &trial;
            scope.spawn(move || {
                for n in 0..EACH {
                    let data = format!("{thread} {n}");
                    let key = has_key(n).then_some(data.as_str());
                    let kept = (n % 5 == 4).then(|| publish("kept", &data));
                    let writes = [Some(unlogged("a", &data, key)), kept];
                    trial.submit(writes.into_iter().flatten().collect());
                }
            });
        }
    });
    let last = published(trial.write_one(unlogged("a", "last", Some("last"))));
    assert_eq!(last.offset.get(), THREADS * EACH + 1);
    let told = trial.recorder.all().into_iter().map(|(_, outcome)| published(outcome));
    let told: Vec<_> = told.filter(|message| message.topic().as_str() == "a").collect();
    let offsets: Vec<_> = told.iter().map(|message| message.offset.get()).collect();
    assert_eq!(offsets, (1..=THREADS * EACH + 1).collect::<Vec<_>>(), "told in their order");
    for thread in 0..THREADS {
        let prefix = format!("{thread} ");
        let own = told.iter().map(|message| text(message));
        let own: Vec<_> = own.filter(|text| text.starts_with(&prefix)).collect();
        let submitted: Vec<_> = (0..EACH).map(|n| format!("{thread} {n}")).collect();
        assert_eq!(own, submitted, "in the order of submission");
    }
    let ids: BTreeSet<_> =
        trial.recorder.all().into_iter().map(|(_, outcome)| published(outcome).id).collect();
    assert_eq!(ids.len(), trial.recorder.all().len(), "no id is given twice");
}

pub(super) fn keys_are_known(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, keeping_nothing());
    let first = published(trial.write_one(unlogged("a", "1", Some("k"))));
    published(trial.write_one(unlogged("a", "2", None)));
    let again = trial.write_one(unlogged("a", "3", Some("k")));
    let position = first.position();
    assert!(
        matches!(again, Outcome::Duplicate { id, position: p } if (id, p) == (first.id, position)),
        "{again:?}"
    );
}

pub(super) fn close_is_final(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, keeping_nothing());
    trial.store().close();
    for key in [None, Some("k")] {
        let late = Submission { write: unlogged("a", "late", key), ticket: None };
        assert_eq!(trial.store().submit(vec![late]), Err(StoreError::Closed));
    }
}
