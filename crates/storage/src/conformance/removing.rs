//! Promises about messages that are removed one by one.

use bytes::Bytes;
use tidings_core::{Data, Durability, NewMessage, Offset, PolicyTable};

use super::once::duplicate;
use super::states::save;
use super::trial::{publish, publish_keyed, published, texts};
use super::{Engine, Lasting, Trial, topic};
use crate::store::{Outcome, ReadFrom, StoreError, Write};

fn remove(name: &str, offset: u64) -> Write {
    Write::Remove { topic: topic(name), offset: Offset::new(offset) }
}

/// First and head of topic `a`, and what it holds.
fn contents(trial: &Trial) -> (u64, u64, Vec<String>) {
    let state = trial.store().topic_state(&topic("a"));
    (state.first.get(), state.head.get(), texts(&trial.read_all("a")))
}

fn holding(first: u64, head: u64, kept: &[u64]) -> (u64, u64, Vec<String>) {
    (first, head, kept.iter().map(u64::to_string).collect())
}

fn publish_numbers(trial: &Trial, numbers: impl Iterator<Item = u64>) {
    trial.write(numbers.map(|n| publish("a", &n.to_string())).collect());
}

pub(super) fn removed_is_gone(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    save(&trial, remove("a", 1));
    publish_numbers(&trial, 1..=6);
    let other = trial.publish("b", "1");
    for (offset, expected) in [
        (3, holding(1, 6, &[1, 2, 4, 5, 6])),
        (3, holding(1, 6, &[1, 2, 4, 5, 6])),
        (1, holding(2, 6, &[2, 4, 5, 6])),
        (2, holding(4, 6, &[4, 5, 6])),
        (6, holding(4, 6, &[4, 5])),
        (7, holding(4, 6, &[4, 5])),
        (0, holding(4, 6, &[4, 5])),
        (5, holding(4, 6, &[4])),
        (4, holding(7, 6, &[])),
    ] {
        save(&trial, remove("a", offset));
        assert_eq!(contents(&trial), expected, "after removing {offset}");
        let kept = expected.2.len() as u64;
        assert_eq!(trial.store().status().messages, kept + 1);
        assert_eq!(trial.store().count_messages(&topic("a")), kept, "after removing {offset}");
    }
    let all = trial.read("a", ReadFrom::Offset(Offset::ORIGIN), 10);
    assert_eq!(all.next, Offset::new(7));
    assert_eq!(trial.publish("a", "7").offset, Offset::new(7));
    assert_eq!(contents(&trial), holding(7, 7, &[7]));
    assert_eq!(trial.read_all("b"), [other]);
    assert_eq!(trial.store().count_messages(&topic("c")), 0);
}

pub(super) fn reads_pass_over(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    publish_numbers(&trial, 1..=100);
    trial.write((1..=100).filter(|n| n % 3 != 0).map(|n| remove("a", n)).collect());
    let kept: Vec<String> = (1..=33).map(|n| (3 * n).to_string()).collect();
    for step in [1, 2, 10, 33, 100] {
        let (mut read, mut next) = (Vec::new(), Offset::new(2));
        while read.len() < kept.len() {
            let batch = trial.read("a", ReadFrom::Offset(next), step);
            assert_eq!(batch.messages.len(), step.min(kept.len() - read.len()));
            read.extend(texts(&batch.messages));
            next = batch.next;
        }
        assert_eq!(read, kept);
        assert!(trial.read("a", ReadFrom::Offset(next), step).messages.is_empty());
    }
    assert_eq!(trial.store().status().damaged, 0);
}

/// What is removed is what had the offset when its turn came.
pub(super) fn turns_are_kept(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let outcomes = trial.write(vec![
        remove("a", 1),
        publish("a", "1"),
        publish("a", "2"),
        remove("a", 2),
        remove("a", 3),
        publish("a", "3"),
    ]);
    assert_eq!(published(outcomes[5].clone()).offset, Offset::new(3));
    assert_eq!(contents(&trial), holding(1, 3, &[1, 3]));
}

pub(super) fn keys_stay_known(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let first = published(trial.write_one(publish_keyed("a", "1", "k")));
    save(&trial, remove("a", 1));
    let again = trial.write_one(publish_keyed("a", "1", "k"));
    assert_eq!(duplicate(&again), (first.id, first.position()));
    assert_eq!(contents(&trial), holding(2, 1, &[]));
}

/// Who moves a message publishes it there and removes it here: it must not end up nowhere.
pub(super) fn nothing_is_removed_after_a_refusal(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    publish_numbers(&trial, 1..=2);
    let huge = NewMessage::new(topic("b"), Data::binary(Bytes::from(vec![0; 17 << 20])));
    let huge = Write::Publish { message: huge, durability: Durability::Sync, id: None };
    let outcomes = trial.write(vec![remove("a", 1), huge, publish("b", "x"), remove("a", 2)]);
    assert!(matches!(outcomes[0], Outcome::Saved));
    published(outcomes[2].clone());
    assert!(
        matches!(outcomes[3], Outcome::Refused(StoreError::TooLarge { .. })),
        "{:?}",
        outcomes[3]
    );
    assert_eq!(contents(&trial), holding(2, 2, &[2]));
    // The next submission is another matter.
    save(&trial, remove("a", 2));
    assert_eq!(contents(&trial), holding(3, 2, &[]));
}

pub(super) fn lasts(engine: Box<dyn Engine>) {
    if engine.lasting() == Lasting::No {
        return;
    }
    let mut trial = Trial::new(engine, PolicyTable::default());
    publish_numbers(&trial, 1..=10);
    for offset in [4, 5, 9, 1, 10] {
        save(&trial, remove("a", offset));
    }
    for _ in 0..3 {
        assert_eq!(contents(&trial), holding(2, 10, &[2, 3, 6, 7, 8]));
        trial.reopen();
    }
    for offset in [2, 8, 6, 7, 3] {
        save(&trial, remove("a", offset));
    }
    for _ in 0..3 {
        assert_eq!(contents(&trial), holding(11, 10, &[]));
        assert_eq!(trial.store().status().messages, 0);
        trial.reopen();
    }
    assert_eq!(trial.publish("a", "11").offset, Offset::new(11));
}
