//! Who waits at the door for topics to grow: event streams and history requests that wait.
//!
//! A watch is registered before the log is read. So whoever reads what there was and then waits is
//! woken by whatever came since: nothing is asked for again and again, and nothing is missed. While
//! nobody waits, a commit costs a look at an empty table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use slab::Slab;
use tidings_core::{Principal, Topic, UserId};
use tidings_storage::{Commit, Outcome};
use tokio::sync::Notify;

use crate::inbox::Whose;

/// Why somebody need not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The user was sent away.
    SentAway,
    /// The server is going away.
    Draining,
}

/// Why nobody can be let in to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait as may.
    Full {
        /// How many that is.
        max: usize,
    },
    /// The server is going away.
    Draining,
}

/// Everybody who waits.
#[derive(Debug)]
pub(crate) struct Watchers {
    max: usize,
    table: Mutex<Table>,
    /// Some topics have grown whose watchers were not told yet.
    due: Notify,
}

#[derive(Debug, Default)]
struct Table {
    watchers: Slab<Watcher>,
    topics: HashMap<Topic, Watched>,
    /// Topics that have grown since the bells were last rung.
    due: Vec<Topic>,
    is_draining: bool,
}

#[derive(Debug)]
struct Watcher {
    principal: Arc<Principal>,
    bell: Arc<Bell>,
}

/// A topic that somebody waits for.
#[derive(Debug, Default)]
struct Watched {
    bells: Slab<Arc<Bell>>,
    is_due: bool,
}

/// What one watcher listens to. A ring that nobody waits for is kept until somebody does.
#[derive(Debug, Default)]
struct Bell {
    rung: Notify,
    ended: OnceLock<Ended>,
}

/// The right to wait for some topics; given back when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    watchers: Arc<Watchers>,
    bell: Arc<Bell>,
    key: usize,
    topics: Vec<(Topic, usize)>,
}

impl Watchers {
    /// At most `max` at once.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, table: Mutex::default(), due: Notify::new() }
    }

    /// Registers somebody who waits for `topics`. What is committed from here on wakes the watch;
    /// what was before can be read.
    pub(crate) fn watch(
        self: &Arc<Self>,
        principal: &Arc<Principal>,
        topics: impl IntoIterator<Item = Topic>,
    ) -> Result<Watch, Refused> {
        let mut table = self.lock();
        if table.is_draining {
            return Err(Refused::Draining);
        }
        if table.watchers.len() >= self.max {
            return Err(Refused::Full { max: self.max });
        }
        let bell = Arc::new(Bell::default());
        let watcher = Watcher { principal: Arc::clone(principal), bell: Arc::clone(&bell) };
        let key = table.watchers.insert(watcher);
        let register = |topic: Topic| {
            let watched = table.topics.entry(topic.clone()).or_default();
            (topic, watched.bells.insert(Arc::clone(&bell)))
        };
        let topics = topics.into_iter().map(register).collect();
        drop(table);
        Ok(Watch { watchers: Arc::clone(self), bell, key, topics })
    }

    /// Notes which topics a commit made longer. Called by the log's writer, so the bells, of which
    /// there may be thousands for one topic, are left to [`ring`](Self::ring).
    pub(crate) fn committed(&self, commit: &Commit) {
        let mut table = self.lock();
        if table.topics.is_empty() {
            return;
        }
        let Table { topics, due, .. } = &mut *table;
        for committed in &commit.outcomes {
            let Outcome::Published(message) = &committed.outcome else { continue };
            if let Some(watched) = topics.get_mut(message.topic())
                && !std::mem::replace(&mut watched.is_due, true)
            {
                due.push(message.topic().clone());
            }
        }
        let is_due = !due.is_empty();
        drop(table);
        if is_due {
            self.due.notify_one();
        }
    }

    /// Wakes the watchers of topics that have grown, for as long as it is polled.
    pub(crate) async fn ring(&self) {
        loop {
            self.due.notified().await;
            for bell in self.take_due() {
                bell.rung.notify_one();
            }
        }
    }

    /// Ends what waits for a user.
    pub(crate) fn send_away(&self, user: &UserId, which: Whose) {
        self.end(Ended::SentAway, |principal| {
            principal.user == *user
                && match which {
                    Whose::All => true,
                    Whose::IssuedBy(moment) => principal.is_issued_by(moment),
                }
        });
    }

    /// Ends everything that waits, and lets nobody in any more.
    pub(crate) fn drain(&self) {
        self.lock().is_draining = true;
        self.end(Ended::Draining, |_| true);
    }

    fn end(&self, ended: Ended, is_meant: impl Fn(&Principal) -> bool) {
        let table = self.lock();
        for (_, watcher) in &table.watchers {
            if is_meant(&watcher.principal) {
                // What ended it first is what it is told.
                let _ = watcher.bell.ended.set(ended);
                watcher.bell.rung.notify_one();
            }
        }
    }

    fn take_due(&self) -> Vec<Arc<Bell>> {
        let mut table = self.lock();
        let Table { topics, due, .. } = &mut *table;
        let mut bells = Vec::new();
        for topic in due.drain(..) {
            if let Some(watched) = topics.get_mut(&topic) {
                watched.is_due = false;
                bells.extend(watched.bells.iter().map(|(_, bell)| Arc::clone(bell)));
            }
        }
        bells
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Resolves once one of the topics may have grown since the last time. May be early, never
    /// missing: look, and wait again. Dropping the future loses no ring.
    pub(crate) async fn grown(&self) -> Result<(), Ended> {
        self.check()?;
        self.bell.rung.notified().await;
        self.check()
    }

    /// Whether waiting still makes sense.
    pub(crate) fn check(&self) -> Result<(), Ended> {
        self.bell.ended.get().map_or(Ok(()), |ended| Err(*ended))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut table = self.watchers.lock();
        table.watchers.remove(self.key);
        for (topic, key) in &self.topics {
            let Some(watched) = table.topics.get_mut(topic) else { continue };
            watched.bells.remove(*key);
            if watched.bells.is_empty() {
                table.topics.remove(topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tidings_core::{
        Capabilities, Data, Epoch, Message, MessageId, NewMessage, Offset, Timestamp,
    };
    use tidings_storage::Committed;

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::parse(text).unwrap()
    }

    fn principal(user: &str) -> Arc<Principal> {
        Arc::new(Principal {
            user: UserId::parse(user).unwrap(),
            capabilities: Capabilities::default(),
            issued_at: None,
            expires_at: None,
        })
    }

    fn commit(topics: &[&str]) -> Commit {
        let message = |text: &&str| Message {
            id: MessageId::new(0, 0, 0),
            epoch: Epoch::new(1),
            offset: Offset::FIRST,
            published_at: Timestamp::from_ms(0),
            content: NewMessage::new(topic(text), Data::json("1".into())),
        };
        let published = |text| Outcome::Published(Arc::new(message(text)));
        let committed = |text| Committed { ticket: None, outcome: published(text) };
        Commit { outcomes: topics.iter().map(committed).collect() }
    }

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// One turn of the task that rings.
    fn ring(watchers: &Watchers) {
        assert!(poll(watchers.ring()).is_pending());
    }

    #[test]
    fn a_watch_hears_of_its_topics_and_of_no_others() {
        let watchers = Arc::new(Watchers::new(10));
        let ab = watchers.watch(&principal("u"), [topic("a"), topic("b")]).unwrap();
        let b = watchers.watch(&principal("u"), [topic("b")]).unwrap();
        watchers.committed(&commit(&["a", "c", "a"]));
        ring(&watchers);
        assert_eq!(poll(ab.grown()), Poll::Ready(Ok(())));
        assert!(poll(ab.grown()).is_pending(), "two messages of one commit ring once");
        assert!(poll(b.grown()).is_pending());
        watchers.committed(&commit(&["b"]));
        ring(&watchers);
        assert_eq!(poll(ab.grown()), Poll::Ready(Ok(())));
        assert_eq!(poll(b.grown()), Poll::Ready(Ok(())));
        watchers.committed(&commit(&["b"]));
        ring(&watchers);
        assert_eq!(poll(b.grown()), Poll::Ready(Ok(())), "every time anew");
    }

    #[test]
    fn a_ring_waits_for_whoever_looks_elsewhere() {
        let watchers = Arc::new(Watchers::new(10));
        let watch = watchers.watch(&principal("u"), [topic("a")]).unwrap();
        watchers.committed(&commit(&["a"]));
        ring(&watchers);
        // It was reading the log meanwhile, and waits only now.
        assert_eq!(poll(watch.grown()), Poll::Ready(Ok(())));
    }

    #[test]
    fn nothing_is_left_of_a_watch_that_was_dropped() {
        let watchers = Arc::new(Watchers::new(2));
        let first = watchers.watch(&principal("u"), [topic("a"), topic("b")]).unwrap();
        let second = watchers.watch(&principal("u"), [topic("a")]).unwrap();
        let third = watchers.watch(&principal("u"), [topic("a")]);
        assert_eq!(third.unwrap_err(), Refused::Full { max: 2 });
        watchers.committed(&commit(&["a", "b"]));
        drop(first);
        assert_eq!(watchers.lock().topics.len(), 1);
        drop(second);
        ring(&watchers);
        let table = watchers.lock();
        assert!(table.topics.is_empty() && table.watchers.is_empty() && table.due.is_empty());
    }

    #[test]
    fn who_is_sent_away_is_told_and_others_wait_on() {
        let watchers = Arc::new(Watchers::new(10));
        let alice = watchers.watch(&principal("alice"), [topic("a")]).unwrap();
        let bob = watchers.watch(&principal("bob"), [topic("a")]).unwrap();
        watchers.send_away(&UserId::parse("alice").unwrap(), Whose::All);
        assert_eq!(poll(alice.grown()), Poll::Ready(Err(Ended::SentAway)));
        assert_eq!(poll(alice.grown()), Poll::Ready(Err(Ended::SentAway)), "for good");
        assert!(poll(bob.grown()).is_pending());
        watchers.drain();
        assert_eq!(poll(bob.grown()), Poll::Ready(Err(Ended::Draining)));
        let late = watchers.watch(&principal("bob"), [topic("a")]);
        assert_eq!(late.unwrap_err(), Refused::Draining);
    }
}
