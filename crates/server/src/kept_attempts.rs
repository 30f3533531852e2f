//! What failed on a durable subscription's last connection, or with the last members of a group, kept
//! for the next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidings_core::{AttemptLog, CursorKey, Epoch};

/// Most memory for all subscriptions without a connection, bytes. The oldest go first: what is lost
/// is when and how attempts ended, not how many there were.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Touched when a subscription or group comes or goes, never on delivery.
#[derive(Debug, Default)]
pub(crate) struct KeptAttempts(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    logs: HashMap<CursorKey, Entry>,
    /// By age.
    order: BTreeMap<u64, CursorKey>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    age: u64,
    epoch: Epoch,
    bytes: usize,
    log: AttemptLog,
}

impl KeptAttempts {
    /// Keeps `log`, whose offsets are of `epoch`.
    pub(crate) fn keep(&self, key: &CursorKey, epoch: Epoch, log: AttemptLog) {
        let mut kept = self.lock();
        kept.remove(key);
        let bytes = log.bytes() + size_of::<Entry>() + size_of::<CursorKey>();
        let age = kept.next;
        kept.next += 1;
        kept.bytes += bytes;
        kept.order.insert(age, key.clone());
        kept.logs.insert(key.clone(), Entry { age, epoch, bytes, log });
        while kept.bytes > BYTES_MAX
            && let Some((_, oldest)) = kept.order.pop_first()
        {
            kept.remove(&oldest);
        }
    }

    /// Gives back what was kept of `epoch`. Kept of another one, it means nothing.
    pub(crate) fn take(&self, key: &CursorKey, epoch: Epoch) -> AttemptLog {
        let entry = self.lock().remove(key).filter(|entry| entry.epoch == epoch);
        entry.map_or_else(AttemptLog::default, |entry| entry.log)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, key: &CursorKey) -> Option<Entry> {
        let entry = self.logs.remove(key)?;
        self.order.remove(&entry.age);
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{
        Attempt, AttemptEnd, ClientId, DurableKey, Offset, SubscriptionName, Timestamp, Topic,
        UserId,
    };

    use super::*;

    fn key(n: usize) -> CursorKey {
        CursorKey::Durable(DurableKey {
            user: UserId::parse("alice").unwrap(),
            name: SubscriptionName::parse(&n.to_string()).unwrap(),
            topic: Topic::parse("jobs").unwrap(),
        })
    }

    fn log() -> AttemptLog {
        let mut log = AttemptLog::default();
        let attempt = Attempt {
            number: 1,
            client: ClientId::parse("phone").unwrap(),
            sent_at: Timestamp::from_ms(1),
            ended_at: Timestamp::from_ms(2),
            end: AttemptEnd::Nacked,
            reason: Some("x".repeat(512).into()),
        };
        log.failed(Offset::FIRST, attempt);
        log
    }

    #[test]
    fn gives_back_once_and_only_what_is_of_the_same_epoch() {
        let kept = KeptAttempts::default();
        kept.keep(&key(1), Epoch::new(7), log());
        assert_eq!(kept.take(&key(1), Epoch::new(7)), log());
        assert!(kept.take(&key(1), Epoch::new(7)).is_empty());
        kept.keep(&key(1), Epoch::new(7), log());
        assert!(kept.take(&key(1), Epoch::new(8)).is_empty());
        assert_eq!(kept.lock().bytes, 0);
    }

    #[test]
    fn the_oldest_make_room() {
        let kept = KeptAttempts::default();
        for n in 0..30_000 {
            kept.keep(&key(n), Epoch::new(1), log());
        }
        assert!(kept.lock().bytes <= BYTES_MAX);
        assert!(kept.take(&key(0), Epoch::new(1)).is_empty());
        assert!(!kept.take(&key(29_999), Epoch::new(1)).is_empty());
        let kept = kept.lock();
        let lengths = (kept.logs.len(), kept.order.len());
        assert!(lengths.0 == lengths.1 && lengths.0 > 10_000, "{lengths:?}");
    }
}
