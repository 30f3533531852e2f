//! Promises about reading.

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use tidings_core::{
    ContentType, Data, Durability, NewMessage, Offset, PolicyTable, Timestamp, TopicState,
};

use super::trial::{publish, published, text, texts};
use super::{Engine, START, Trial, topic};
use crate::store::{ReadFrom, ReadLimit, Write};

pub(super) fn all_fields_read_back(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let full = NewMessage {
        data: Data::json(Bytes::from_static(b"{\"a\":[1,2]}")),
        content_type: ContentType::parse("application/json"),
        headers: [("a", "1"), ("b", "zwei")].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        sender: Some("alice".parse().expect("a valid user")),
        key: Some("k".parse().expect("a valid key")),
        order_key: Some("account 7".parse().expect("a valid order key")),
        ttl: Some(Duration::from_millis(1500)),
        ..NewMessage::new(topic("Zürich/Halle 3"), Data::binary(Bytes::new()))
    };
    let empty = NewMessage::new(topic("Zürich/Halle 3"), Data::binary(Bytes::new()));
    for content in [full, empty] {
        let write =
            Write::Publish { message: content.clone(), durability: Durability::Sync, id: None };
        let told = published(trial.write_one(write));
        assert_eq!(told.content, content);
        assert_eq!(told.published_at, START);
        assert_eq!(told.id.time_ms(), START.as_ms());
        assert_eq!(trial.read_all("Zürich/Halle 3").last(), Some(&told));
    }
    let ids: Vec<_> = trial.read_all("Zürich/Halle 3").iter().map(|m| m.id).collect();
    assert!(ids[0] < ids[1], "ids rise");
}

pub(super) fn reads_go_on(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    // Among others, in commits of different sizes.
    for round in 0..20 {
        let writes = (0..round).flat_map(|n| {
            [publish("a", &format!("{round} {n}")), publish("b", "x"), publish("c", "y")]
        });
        trial.write(writes.collect());
    }
    let expected: Vec<String> =
        (0..20).flat_map(|round| (0..round).map(move |n| format!("{round} {n}"))).collect();
    assert_eq!(texts(&trial.read_all("a")), expected);
    for step in [1, 7, 64, 189, 190, 1000] {
        let (mut read, mut next) = (Vec::new(), Offset::ORIGIN);
        while read.len() < expected.len() {
            let batch = trial.read("a", ReadFrom::Offset(next), step);
            assert!(batch.messages.len() <= step && !batch.messages.is_empty());
            assert_eq!(batch.state.head, Offset::new(190));
            read.extend(texts(&batch.messages));
            next = batch.next;
        }
        assert_eq!(read, expected);
        assert_eq!(next, Offset::new(191));
        let end = trial.read("a", ReadFrom::Offset(next), step);
        assert!(end.messages.is_empty());
        assert_eq!(end.next, Offset::new(191));
    }
    let limit = ReadLimit { messages: 10, bytes: 1 };
    let one = trial.store().read(&topic("a"), ReadFrom::Offset(Offset::new(5)), limit);
    let one = one.expect("the store is sound");
    assert_eq!((one.messages.len(), one.next), (1, Offset::new(6)));
    let limit = ReadLimit { messages: 0, bytes: 100 };
    let one = trial.store().read(&topic("a"), ReadFrom::Offset(Offset::new(5)), limit);
    assert_eq!(one.expect("the store is sound").messages.len(), 1);
}

pub(super) fn reads_start_at_a_time(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    for n in 0..30 {
        trial.publish("a", &n.to_string());
        trial.publish("b", "among others");
        trial.clock.advance(Duration::from_secs(60));
    }
    for n in [0, 1, 15, 29] {
        let time = START.plus(Duration::from_secs(60 * n));
        let batch = trial.read("a", ReadFrom::Time(time), 3);
        assert_eq!(batch.messages.first().map(|m| text(m)), Some(n.to_string()));
        let after = Timestamp::from_ms(time.as_ms() + 1);
        let batch = trial.read("a", ReadFrom::Time(after), 3);
        let expected = (n < 29).then(|| (n + 1).to_string());
        assert_eq!(batch.messages.first().map(|m| text(m)), expected);
    }
    let late = trial.read("a", ReadFrom::Time(START.plus(Duration::from_secs(7200))), 3);
    assert_eq!(late.next, Offset::new(31));
}

pub(super) fn topics_are_listed(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    for name in ["b", "a/1", "c", "a/2", "a/1"] {
        trial.publish(name, "x");
    }
    let list_from = |from: Bound<&str>, limit| {
        let listed = trial.store().topics(from, limit);
        listed.into_iter().map(|(topic, state)| (topic.to_string(), state.head.get())).collect()
    };
    let list = |after: Option<&str>, limit| -> Vec<(String, u64)> {
        list_from(after.map_or(Bound::Unbounded, Bound::Excluded), limit)
    };
    let all = list(None, 10);
    assert_eq!(all, [("a/1", 2), ("a/2", 1), ("b", 1), ("c", 1)].map(|(t, n)| (t.into(), n)));
    assert_eq!(list(None, 2), all[..2]);
    assert_eq!(list(Some("a/2"), 1), all[2..3]);
    assert_eq!(list(Some("aa"), 10), all[2..]);
    assert_eq!(list(Some("c"), 10), []);
    // From any text, which need be no topic.
    assert_eq!(list_from(Bound::Included("a/1"), 1), all[..1]);
    assert_eq!(list_from(Bound::Included("a/"), 10), all);
    assert_eq!(list_from(Bound::Included("a/1\u{1}"), 1), all[1..2]);
    assert_eq!(list_from(Bound::Excluded(""), 10), all);
    assert_eq!(trial.store().status().topics, 4);
    assert_eq!(trial.store().status().messages, 5);
}

pub(super) fn empty_topics_have_an_epoch(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let before = trial.store().topic_state(&topic("a"));
    assert_eq!(before, TopicState::empty(before.epoch));
    assert_eq!(trial.read("a", ReadFrom::Offset(Offset::FIRST), 10).next, Offset::FIRST);
    assert_eq!(trial.publish("a", "x").epoch, before.epoch);
}
