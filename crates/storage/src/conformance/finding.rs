//! Promises about finding a message by its id.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Message, MessageId, PolicyTable, Retention};

use super::publishing::publish_as;
use super::states::save;
use super::trial::{eventually, publish, published};
use super::{Engine, LONG, Trial, keeping, topic};
use crate::store::Write;

fn find(trial: &Trial, id: MessageId) -> Option<Arc<Message>> {
    trial.store().find(id).expect("the check's store is sound")
}

fn remove(message: &Message) -> Write {
    Write::Remove { topic: message.topic().clone(), offset: message.offset }
}

pub(super) fn by_made_ids(engine: Box<dyn Engine>) {
    let retention = Retention { age: LONG, messages: None, bytes: None };
    let mut trial = Trial::new(engine, keeping(retention));
    let mut told = Vec::new();
    for round in 0..30_u64 {
        let writes = (0..20).map(|n| publish(&format!("t/{}", n % 7), &format!("{round} {n}")));
        told.extend(trial.write(writes.collect()).into_iter().map(published));
        // Within a second, after some, and back: set back too far to be waited for.
        match round % 4 {
            0 => trial.clock.advance(Duration::from_millis(300)),
            1 => trial.clock.advance(Duration::from_secs(40)),
            2 => {}
            _ => trial.clock.set(super::START.plus(Duration::from_secs(round))),
        }
    }
    for _ in 0..2 {
        for message in &told {
            assert_eq!(find(&trial, message.id).as_ref(), Some(message));
            let unknown = MessageId::from_bits(message.id.to_bits() ^ 1 << 63);
            assert_eq!(find(&trial, unknown), None);
        }
        if trial.lasting() == super::Lasting::Yes {
            trial.reopen();
        }
    }
    save(&trial, remove(&told[100]));
    assert_eq!(find(&trial, told[100].id), None);
    assert_eq!(find(&trial, told[101].id).as_ref(), Some(&told[101]));
    trial.clock.advance(2 * LONG);
    eventually("retention", || trial.store().topic_state(&topic("t/0")).first.get() > 1);
    eventually("retention", || find(&trial, told[0].id).is_none());
}

pub(super) fn by_given_ids(engine: Box<dyn Engine>) {
    let mut trial = Trial::new(engine, PolicyTable::default());
    let first = trial.publish("a", "1");
    trial.clock.advance(Duration::from_secs(60));
    let id = first.id;
    let again = published(trial.write_one(publish_as(id, "b", "2", None)));
    let last = published(trial.write_one(publish_as(id, "a", "3", None)));
    assert_eq!((again.id, last.id), (id, id));
    // The last life first, and once it is gone the one the id was made for.
    for _ in 0..2 {
        assert_eq!(find(&trial, id).as_ref(), Some(&last));
        if trial.lasting() == super::Lasting::Yes {
            trial.reopen();
        }
    }
    save(&trial, remove(&last));
    assert_eq!(find(&trial, id).as_ref(), Some(&first));
    save(&trial, remove(&first));
    assert_eq!(find(&trial, id), None);
}
