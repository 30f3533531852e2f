//! Promises about writing.

use std::sync::Arc;

use bytes::Bytes;
use tidings_core::{Data, Durability, MessageId, NewMessage, Offset, PolicyTable, Timestamp};

use super::trial::{message, publish, published, text};
use super::{Engine, START, Setup, Trial, topic};
use crate::store::{Outcome, ReadFrom, StoreError, Submission, Write};

pub(super) fn offsets_rise(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let mut tags = Vec::new();
    for round in 0..50 {
        let writes = (0..6).map(|n| publish(["a", "b", "c"][n % 3], &format!("{round} {n}")));
        tags.extend(trial.submit(writes.collect()));
    }
    let mut heads = [0; 3];
    for (n, tag) in tags.iter().enumerate() {
        let message = published(trial.recorder.outcome(*tag));
        heads[n % 3] += 1;
        assert_eq!(message.offset.get(), heads[n % 3]);
        assert_eq!(text(&message), format!("{} {}", n / 6, n % 6));
    }
    assert_eq!(heads, [100; 3]);
    // The observer heard of each topic in the order of its offsets.
    let mut heard = [0; 3];
    for (_, outcome) in trial.recorder.all() {
        let message = published(outcome);
        let n = ["a", "b", "c"].iter().position(|name| *name == message.topic().as_str());
        let heard = &mut heard[n.expect("one of the three")];
        *heard += 1;
        assert_eq!(message.offset.get(), *heard);
    }
}

pub(super) fn threads_keep_their_order(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let trial = &trial;
            scope.spawn(move || {
                for n in 0..100 {
                    trial.submit(vec![publish("a", &format!("{thread} {n}"))]);
                }
            });
        }
    });
    trial.publish("a", "last");
    let messages = trial.read_all("a");
    let offsets: Vec<u64> = messages.iter().map(|message| message.offset.get()).collect();
    assert_eq!(offsets, (1..=401).collect::<Vec<u64>>());
    for thread in 0..4 {
        let prefix = format!("{thread} ");
        let own = messages.iter().map(|message| text(message));
        let own: Vec<String> = own.filter(|text| text.starts_with(&prefix)).collect();
        assert_eq!(own, (0..100).map(|n| format!("{thread} {n}")).collect::<Vec<_>>());
    }
}

pub(super) fn tickets_come_back(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let unwatched = Submission { write: publish("a", "nobody waits"), ticket: None };
    trial.store().submit(vec![unwatched]).expect("the queue is empty");
    let message = trial.publish("a", "somebody waits");
    assert_eq!(message.offset, Offset::new(2));
    let told = trial.recorder.all();
    let tickets: Vec<_> = told.iter().map(|(ticket, _)| ticket.map(|t| t.lane)).collect();
    assert_eq!(tickets, [None, Some(7)]);
}

pub(super) fn told_is_readable(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    for durability in [Durability::Sync, Durability::Async] {
        for n in 0..20 {
            let name = format!("{durability:?}");
            let message = message(&name, &n.to_string());
            let message =
                published(trial.write_one(Write::Publish { message, durability, id: None }));
            let state = trial.store().topic_state(&topic(&name));
            assert_eq!(state.head, message.offset);
            assert_eq!(state.epoch, message.epoch);
            assert_eq!(trial.read_all(&name).last(), Some(&message));
        }
    }
}

/// A write that publishes with an id of its own.
pub(super) fn publish_as(id: MessageId, name: &str, data: &str, key: Option<&str>) -> Write {
    let key = key.map(|key| key.parse().expect("a valid key"));
    let message = NewMessage { key, ..message(name, data) };
    Write::Publish { message, durability: Durability::Sync, id: Some(id) }
}

pub(super) fn given_ids_are_kept(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let before = trial.publish("a", "1");
    // Long ago, far ahead, and the very next one the store would make.
    let next = MessageId::from_bits(before.id.to_bits() + 1);
    let given = [MessageId::new(5, 9, 7), MessageId::new(u64::MAX >> 17, 9, 8), next];
    for (n, id) in given.into_iter().enumerate() {
        let told = published(trial.write_one(publish_as(id, "a", &n.to_string(), None)));
        assert_eq!((told.id, told.published_at), (id, START));
        assert_eq!(told.offset.get(), n as u64 + 2);
        assert_eq!(trial.read_all("a").last(), Some(&told));
    }
    let after = trial.publish("a", "last");
    assert_eq!(after.id.to_bits(), before.id.to_bits() + 1, "given ids take none of the store's");
    let late = trial.read("a", ReadFrom::Time(Timestamp::from_ms(START.as_ms() + 1)), 10);
    assert!(late.messages.is_empty(), "times are when a message was published");
    let all = trial.read("a", ReadFrom::Time(START), 10);
    assert_eq!(all.messages.len(), 5);
}

pub(super) fn too_large_is_refused_alone(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let huge = NewMessage::new(topic("a"), Data::binary(Bytes::from(vec![0; 17 << 20])));
    let huge = Write::Publish { message: huge, durability: Durability::Sync, id: None };
    let refused = trial.write_one(huge);
    assert!(
        matches!(&refused, Outcome::Refused(error @ StoreError::TooLarge { .. }) if !error.is_temporary()),
        "{refused:?}"
    );
    assert_eq!(trial.publish("a", "small").offset, Offset::FIRST);
}

pub(super) fn too_large_a_submission_is_refused_whole(engine: Box<dyn Engine>) {
    let small = |setup: &mut Setup| setup.queue_bytes_max = 20_000;
    let trial = Trial::with(engine, PolicyTable::default(), small);
    let data = "x".repeat(1000);
    let submission = |_| Submission { write: publish("a", &data), ticket: None };
    let error = trial.store().submit((0..40).map(submission).collect()).expect_err("too large");
    assert!(matches!(error, StoreError::Overloaded { .. }), "{error:?}");
    assert!(error.is_temporary(), "each of the writes may succeed");
    // In pieces it fits, and so does a single write of any size.
    for offset in 1..=4 {
        let outcomes = trial.write((0..10).map(|_| publish("a", &data)).collect());
        assert_eq!(published(outcomes[9].clone()).offset, Offset::new(10 * offset));
    }
    assert_eq!(trial.publish("a", &"x".repeat(50_000)).offset, Offset::new(41));
}

pub(super) fn close_is_final(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let tags = trial.submit((0..100).map(|n| publish("a", &n.to_string())).collect());
    trial.store().close();
    for tag in tags {
        let outcome = trial.recorder.outcome_by_now(tag).expect("told before close returns");
        published(outcome);
    }
    let late = Submission { write: publish("a", "late"), ticket: None };
    assert_eq!(trial.store().submit(vec![late]), Err(StoreError::Closed));
    trial.store().close();
    assert_eq!(Arc::strong_count(trial.store()), 1);
}
