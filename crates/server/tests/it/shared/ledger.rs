//! Judges what members got: order per key, and everything handled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What became of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acked,
    Nacked,
    /// Its member died with it.
    Lost,
}

#[derive(Debug, Default)]
struct Pages {
    /// What of each key is being handled, and by whom.
    open: BTreeMap<String, (usize, u64)>,
    /// The last offset of each key that was handled to its end.
    done: BTreeMap<String, u64>,
    /// How often each message was acked.
    acked: BTreeMap<u64, u32>,
    wrong: Vec<String>,
}

/// Written by all members, so it knows what happened before what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Pages>>);

impl Ledger {
    /// A member begins to handle a message.
    pub(crate) fn begin(&self, member: usize, message: &Value) {
        let mut pages = self.0.lock().unwrap();
        let (key, offset) = which(message);
        if let Some((other, open)) = pages.open.insert(key.clone(), (member, offset)) {
            let wrong = format!("{key}: {offset} at {member} while {other} handles {open}");
            pages.wrong.push(wrong);
        }
        if pages.done.get(&key).is_some_and(|done| offset <= *done) {
            pages.wrong.push(format!("{key}: {offset} comes after it was done"));
        }
    }

    /// A member ends with it. Written before its ack is sent.
    pub(crate) fn end(&self, message: &Value, end: End) {
        let mut pages = self.0.lock().unwrap();
        let (key, offset) = which(message);
        pages.open.remove(&key);
        if end == End::Acked {
            pages.done.insert(key, offset);
            *pages.acked.entry(offset).or_default() += 1;
        }
    }

    pub(crate) fn handled(&self) -> usize {
        self.0.lock().unwrap().acked.len()
    }

    /// Every one of `count` messages was handled exactly once, each key in its order.
    pub(crate) fn judge(&self, count: usize) {
        let pages = self.0.lock().unwrap();
        assert!(pages.wrong.is_empty(), "{:#?}", pages.wrong);
        let offsets: Vec<_> = pages.acked.keys().copied().collect();
        assert_eq!(offsets, (1..=count as u64).collect::<Vec<_>>());
        assert!(pages.acked.values().all(|times| *times == 1), "{:?}", pages.acked);
    }
}

fn which(message: &Value) -> (String, u64) {
    let key = message["order_key"].as_str().unwrap_or_else(|| panic!("no key: {message}"));
    (key.to_owned(), message["offset"].as_u64().unwrap())
}
