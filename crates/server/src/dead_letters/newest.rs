//! Finding dead letters from the newest on. The log is read forwards only, so it is read in
//! stretches, each before the last one.

use std::sync::Arc;

use tidings_core::{Message, Offset, Topic, limits};
use tidings_protocol::ErrorBody;
use tidings_storage::{ReadFrom, ReadLimit, Store};

use super::DeadLetter;
use super::selection::{Cursor, Page, Scanned, Selection};
use crate::problem::store_error;

/// Offsets of the first stretch.
const STRETCH: u64 = limits::READ_MESSAGES_MAX as u64;

/// What is found from one offset down to another, and the next one to look at, if any is left.
pub(super) fn first(
    store: &dyn Store,
    topic: &Topic,
    selection: &Selection,
    page: Page,
    Cursor { mut next, end, epoch: _ }: Cursor,
) -> Result<(Vec<DeadLetter>, Option<Offset>), ErrorBody> {
    let (mut letters, mut scanned, mut stretch) = (Vec::new(), Scanned::default(), STRETCH);
    let is_left = |next: Offset| next >= end && next > Offset::ORIGIN;
    // Enough is said between stretches, so that each request gets on.
    while is_left(next) && letters.len() < page.limit && !scanned.is_enough() {
        let mut batch = stretch_before(store, topic, &mut stretch, (next, end), &mut scanned)?;
        next = batch.from.previous();
        for message in batch.messages.drain(..).rev() {
            letters.extend(DeadLetter::of(&message).filter(|letter| selection.matches(letter)));
            if letters.len() == page.limit {
                next = message.offset.previous();
                break;
            }
        }
    }
    Ok((letters, is_left(next).then_some(next)))
}

/// Some messages next to each other, all there are from an offset on to where the last ones began.
struct Stretch {
    from: Offset,
    messages: Vec<Arc<Message>>,
}

/// The messages up to `last`, about as many as one read holds, and none before `end`.
fn stretch_before(
    store: &dyn Store,
    topic: &Topic,
    offsets: &mut u64,
    (last, end): (Offset, Offset),
    scanned: &mut Scanned,
) -> Result<Stretch, ErrorBody> {
    let limit = ReadLimit { messages: limits::READ_MESSAGES_MAX, bytes: limits::READ_BYTES_MAX };
    loop {
        let from = Offset::new((last.get() + 1).saturating_sub(*offsets)).max(end);
        let from = from.max(Offset::FIRST);
        let batch = store.read(topic, ReadFrom::Offset(from), limit);
        let batch = batch.map_err(|error| store_error(&error))?;
        scanned.add(&batch.messages);
        // More than one read holds: less of it. One offset is always read whole.
        if batch.next <= last && from < last {
            *offsets = (last.get() - from.get()).div_ceil(2);
            continue;
        }
        let mut messages = batch.messages;
        messages.retain(|message| message.offset <= last);
        // Where most were removed, a stretch of the same length would hold little each time.
        if messages.len() < limits::READ_MESSAGES_MAX / 4 {
            *offsets = offsets.saturating_mul(2);
        }
        return Ok(Stretch { from, messages });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidings_core::{Data, Durability, NewMessage, PolicyTable};
    use tidings_storage::{
        Commit, CommitObserver, MemoryConfig, MemoryStore, Submission, SystemClock, Write,
    };

    use super::super::selection::{Query, find};
    use super::super::{DEAD_LETTERS_TOPIC, header};
    use super::*;

    struct Unheard;

    impl CommitObserver for Unheard {
        fn committed(&self, _: Commit) {}
    }

    fn store() -> MemoryStore {
        let policies = Arc::new(PolicyTable::default());
        let clock = Arc::new(SystemClock);
        MemoryStore::new(&MemoryConfig::default(), policies, Arc::new(Unheard), clock)
    }

    fn write(store: &MemoryStore, write: Write) {
        store.submit(vec![Submission { write, ticket: None }]).unwrap();
    }

    /// A dead letter whose data takes so many bytes.
    fn bury(store: &MemoryStore, bytes: usize) {
        let headers = [
            (header::TOPIC, "jobs/1"),
            (header::EPOCH, "1"),
            (header::OFFSET, "1"),
            (header::ID, "01JD0M2Q8G00Z0000000000003"),
            (header::ATTEMPTS, "1"),
            (header::USER, "alice"),
            (header::DURABLE, "phone"),
        ];
        let topic = Topic::parse(DEAD_LETTERS_TOPIC).unwrap();
        let headers: BTreeMap<_, _> =
            headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let data = Data::binary(vec![0; bytes].into());
        let message = NewMessage { headers, ..NewMessage::new(topic, data) };
        write(store, Write::Publish { message, durability: Durability::Sync, id: None });
    }

    /// Every page of a list, one after the other.
    fn all(store: &MemoryStore, order: &str, limit: usize) -> Vec<u64> {
        let (mut offsets, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..10_000 {
            let mut query = serde_json::json!({"order": order, "limit": limit});
            if let Some(cursor) = &cursor {
                query["cursor"] = serde_json::json!(cursor);
            }
            let query: Query = serde_json::from_value(query).unwrap();
            let (selection, page) = query.check().unwrap();
            let found = find(store, &selection, page).unwrap();
            assert!(found.letters.len() <= limit);
            offsets.extend(found.letters.iter().map(|letter| letter.message.offset.get()));
            match found.cursor {
                Some(next) => cursor = Some(next.to_string()),
                None => return offsets,
            }
        }
        panic!("a list without an end");
    }

    fn check(store: &MemoryStore, expected: &[u64]) {
        for limit in [1, 7, 500] {
            assert_eq!(all(store, "oldest", limit), expected, "by {limit}");
            let newest: Vec<u64> = expected.iter().rev().copied().collect();
            assert_eq!(all(store, "newest", limit), newest, "by {limit}");
        }
    }

    #[test]
    fn both_orders_have_the_same_letters_where_many_were_removed() {
        let store = store();
        check(&store, &[]);
        (0..6000).for_each(|_| bury(&store, 1));
        // The dense and the sparse next to each other, and one alone at the beginning.
        let is_kept = |offset: &u64| match offset {
            1..=2500 => *offset == 3,
            2501..=4000 => offset.is_multiple_of(400),
            _ => *offset < 5990,
        };
        for offset in (1..=6000).filter(|offset| !is_kept(offset)) {
            let topic = Topic::parse(DEAD_LETTERS_TOPIC).unwrap();
            write(&store, Write::Remove { topic, offset: Offset::new(offset) });
        }
        let kept: Vec<u64> = (1..=6000).filter(is_kept).collect();
        for limit in [37, 500] {
            assert_eq!(all(&store, "oldest", limit), kept);
            let newest: Vec<u64> = kept.iter().rev().copied().collect();
            assert_eq!(all(&store, "newest", limit), newest);
        }
    }

    /// Each is more than one read holds, and a few are more than one request looks at.
    #[test]
    fn large_letters_are_all_listed() {
        let store = store();
        (0..30).for_each(|_| bury(&store, limits::READ_BYTES_MAX + 1));
        check(&store, &(1..=30).collect::<Vec<_>>());
    }
}
