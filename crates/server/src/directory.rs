//! Which connection holds which session and which durable subscription on this server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_core::{DurableKey, Session, SessionId};

use crate::keyed_table::{Keyed, KeyedTable};
use crate::shard::ConnectionKey;

/// A connection of any shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lane: u32,
    pub(crate) connection: ConnectionKey,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The subscription is the claimant's now.
    Granted,
    /// Somebody has it and must let go first; the claimant is told when they have. `evict` is who
    /// to ask (nobody if the claimant itself is still letting go), `displaced` had been waiting
    /// and no longer is.
    Wait { evict: Option<Place>, displaced: Option<Place> },
}

#[derive(Debug)]
struct Holding {
    key: DurableKey,
    holder: Place,
    /// The holder's last cursor is being saved; it releases once that is done.
    leaving: bool,
    waiter: Option<Place>,
}

#[derive(Debug)]
struct HeldSession {
    holder: Place,
    /// The record as the holder has it, which may be ahead of what the store has by now.
    record: Arc<Session>,
}

impl Keyed for Holding {
    type Key = DurableKey;

    fn key(&self) -> &DurableKey {
        &self.key
    }
}

impl Keyed for HeldSession {
    type Key = SessionId;

    fn key(&self) -> &SessionId {
        &self.record.id
    }
}

/// Who holds what. Touched when connections and subscriptions come and go, never on delivery.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    durable: Mutex<KeyedTable<Box<Holding>>>,
    sessions: Mutex<KeyedTable<HeldSession>>,
}

impl Directory {
    /// Asks for a durable subscription. One connection at a time holds it.
    pub(crate) fn claim(&self, key: &DurableKey, claimant: Place) -> Claim {
        let mut durable = lock(&self.durable);
        let Some(holding) = durable.get_mut(key) else {
            let key = key.clone();
            let holding = Holding { key, holder: claimant, leaving: false, waiter: None };
            durable.insert(Box::new(holding));
            return Claim::Granted;
        };
        let displaced = holding.waiter.replace(claimant).filter(|waiter| *waiter != claimant);
        let evict = Some(holding.holder).filter(|holder| *holder != claimant && !holding.leaving);
        Claim::Wait { evict, displaced }
    }

    /// The holder stops using the subscription, and will [`release`](Self::release) it once what
    /// it has still to save is saved.
    pub(crate) fn leave(&self, key: &DurableKey, place: Place) {
        if let Some(holding) = lock(&self.durable).get_mut(key)
            && holding.holder == place
        {
            holding.leaving = true;
        }
    }

    /// The holder lets go. Returns who holds it now and must be told.
    pub(crate) fn release(&self, key: &DurableKey, place: Place) -> Option<Place> {
        release(&mut lock(&self.durable), key, place)
    }

    /// A waiter waits no more. It may have become the holder without having heard of it: then it
    /// lets go, and who holds it now is returned.
    pub(crate) fn withdraw(&self, key: &DurableKey, place: Place) -> Option<Place> {
        let mut durable = lock(&self.durable);
        let holding = durable.get_mut(key)?;
        if holding.waiter == Some(place) {
            holding.waiter = None;
            return None;
        }
        let unheard = holding.holder == place && !holding.leaving;
        if unheard { release(&mut durable, key, place) } else { None }
    }

    /// Whether `place` holds the subscription and means to keep it.
    pub(crate) fn is_holder(&self, key: &DurableKey, place: Place) -> bool {
        let durable = lock(&self.durable);
        durable.get(key).is_some_and(|holding| holding.holder == place && !holding.leaving)
    }

    /// The record of a session that a connection holds, saved or not.
    pub(crate) fn session(&self, id: &SessionId) -> Option<Session> {
        lock(&self.sessions).get(id).map(|held| Session::clone(&held.record))
    }

    /// `place` takes a session up; returns the connection that had it.
    pub(crate) fn take_session(&self, record: &Arc<Session>, place: Place) -> Option<Place> {
        let held = HeldSession { holder: place, record: Arc::clone(record) };
        let before = lock(&self.sessions).insert(held)?.holder;
        (before != place).then_some(before)
    }

    /// `place` has changed the record of its session. `false` if another connection has taken it
    /// over: then the record is that one's to save.
    pub(crate) fn renew_session(&self, record: &Arc<Session>, place: Place) -> bool {
        let mut sessions = lock(&self.sessions);
        let held = sessions.get_mut(&record.id).filter(|held| held.holder == place);
        held.map(|held| held.record = Arc::clone(record)).is_some()
    }

    /// `place` has left a session, and what it saved last is in the store. If another connection
    /// has taken it over, that one's record is returned: it may have been saved before, and is to be
    /// saved again.
    pub(crate) fn leave_session(&self, id: &SessionId, place: Place) -> Option<Arc<Session>> {
        let mut sessions = lock(&self.sessions);
        let held = sessions.get(id)?;
        if held.holder != place {
            return Some(Arc::clone(&held.record));
        }
        sessions.remove(id);
        None
    }
}

fn release(
    durable: &mut KeyedTable<Box<Holding>>,
    key: &DurableKey,
    place: Place,
) -> Option<Place> {
    let holding = durable.get_mut(key).filter(|holding| holding.holder == place)?;
    let Some(next) = holding.waiter.take() else {
        durable.remove(key);
        return None;
    };
    holding.holder = next;
    holding.leaving = false;
    Some(next)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tidings_core::{ClientId, SubscriptionName, Timestamp, Topic, UserId};

    use super::*;

    fn place(lane: u32) -> Place {
        Place { lane, connection: ConnectionKey { slot: 1, generation: 1 } }
    }

    fn key() -> DurableKey {
        DurableKey {
            user: UserId::parse("alice").unwrap(),
            name: SubscriptionName::parse("phone").unwrap(),
            topic: Topic::parse("user/alice").unwrap(),
        }
    }

    fn session() -> Arc<Session> {
        Arc::new(Session {
            id: SessionId::parse("s").unwrap(),
            user: UserId::parse("alice").unwrap(),
            client: ClientId::parse("phone").unwrap(),
            expires_at: Timestamp::default(),
        })
    }

    #[test]
    fn a_durable_subscription_has_one_holder_and_the_last_waiter_follows() {
        let (directory, key) = (Directory::default(), key());
        assert_eq!(directory.claim(&key, place(1)), Claim::Granted);
        let evict = Some(place(1));
        assert_eq!(directory.claim(&key, place(2)), Claim::Wait { evict, displaced: None });
        let displaced = Some(place(2));
        assert_eq!(directory.claim(&key, place(3)), Claim::Wait { evict, displaced });
        assert_eq!(directory.withdraw(&key, place(2)), None);
        assert_eq!(directory.release(&key, place(1)), Some(place(3)));
        assert_eq!(directory.release(&key, place(1)), None, "no longer the holder");
        assert_eq!(directory.release(&key, place(3)), None);
        assert_eq!(directory.claim(&key, place(4)), Claim::Granted);
    }

    #[test]
    fn a_connection_that_subscribes_again_waits_for_its_own_release() {
        let (directory, key) = (Directory::default(), key());
        assert_eq!(directory.claim(&key, place(1)), Claim::Granted);
        directory.leave(&key, place(1));
        let wait = Claim::Wait { evict: None, displaced: None };
        assert_eq!(directory.claim(&key, place(1)), wait);
        assert!(!directory.is_holder(&key, place(1)));
        // Giving up the second request must not cut short the first one's release.
        assert_eq!(directory.withdraw(&key, place(1)), None);
        assert_eq!(directory.claim(&key, place(1)), wait);
        assert_eq!(directory.release(&key, place(1)), Some(place(1)));
        assert!(directory.is_holder(&key, place(1)));
    }

    #[test]
    fn a_waiter_that_leaves_before_it_hears_that_it_holds_lets_go() {
        let (directory, key) = (Directory::default(), key());
        directory.claim(&key, place(1));
        directory.claim(&key, place(2));
        directory.leave(&key, place(1));
        assert_eq!(directory.release(&key, place(1)), Some(place(2)));
        directory.claim(&key, place(3));
        assert_eq!(directory.withdraw(&key, place(2)), Some(place(3)));
    }

    #[test]
    fn a_session_that_was_taken_over_is_not_left_by_its_former_connection() {
        let directory = Directory::default();
        let session = session();
        assert_eq!(directory.take_session(&session, place(1)), None);
        assert_eq!(directory.take_session(&session, place(2)), Some(place(1)));
        let theirs = directory.leave_session(&session.id, place(1));
        assert_eq!(theirs.as_ref(), Some(&session), "to be saved again");
        assert!(!directory.renew_session(&session, place(1)));
        assert_eq!(directory.take_session(&session, place(3)), Some(place(2)));
    }

    #[test]
    fn the_record_of_a_session_is_known_while_somebody_holds_it() {
        let directory = Directory::default();
        let mut record = session();
        directory.take_session(&record, place(1));
        assert_eq!(directory.session(&record.id).as_ref(), Some(&*record));
        Arc::make_mut(&mut record).expires_at = Timestamp::from_ms(7);
        assert!(directory.renew_session(&record, place(1)));
        assert_eq!(directory.session(&record.id).as_ref(), Some(&*record));
        assert_eq!(directory.leave_session(&record.id, place(1)), None);
        assert_eq!(directory.session(&record.id), None);
    }
}
