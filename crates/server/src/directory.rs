//! Which connection holds which session and which durable subscription on this server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tidings_core::{DurableKey, SessionId};

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
    /// `holder` has it and must let go first; the claimant is told when it has. `displaced` had
    /// been waiting for it and no longer is.
    Wait { holder: Place, displaced: Option<Place> },
}

#[derive(Debug)]
struct Holding {
    holder: Place,
    waiter: Option<Place>,
}

/// Who holds what. Touched when connections and subscriptions come and go, never on delivery.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    durable: Mutex<FxHashMap<DurableKey, Holding>>,
    sessions: Mutex<FxHashMap<SessionId, Place>>,
}

impl Directory {
    /// Asks for a durable subscription. One connection at a time holds it.
    pub(crate) fn claim(&self, key: &DurableKey, claimant: Place) -> Claim {
        let mut durable = lock(&self.durable);
        let Some(holding) = durable.get_mut(key) else {
            durable.insert(key.clone(), Holding { holder: claimant, waiter: None });
            return Claim::Granted;
        };
        if holding.holder == claimant {
            return Claim::Granted;
        }
        let displaced = holding.waiter.replace(claimant).filter(|waiter| *waiter != claimant);
        Claim::Wait { holder: holding.holder, displaced }
    }

    /// `place` lets go, as holder or as waiter. Returns who holds it now and must be told.
    pub(crate) fn release(&self, key: &DurableKey, place: Place) -> Option<Place> {
        let mut durable = lock(&self.durable);
        let holding = durable.get_mut(key)?;
        if holding.waiter == Some(place) {
            holding.waiter = None;
        }
        if holding.holder != place {
            return None;
        }
        let Some(next) = holding.waiter.take() else {
            durable.remove(key);
            return None;
        };
        holding.holder = next;
        Some(next)
    }

    /// `place` takes a session up; returns the connection that had it.
    pub(crate) fn take_session(&self, session: &SessionId, place: Place) -> Option<Place> {
        let before = lock(&self.sessions).insert(session.clone(), place);
        before.filter(|before| *before != place)
    }

    /// `place` leaves a session, unless another connection has taken it over.
    pub(crate) fn leave_session(&self, session: &SessionId, place: Place) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(session) == Some(&place) {
            sessions.remove(session);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tidings_core::{SubscriptionName, Topic, UserId};

    use super::*;

    fn place(lane: u32) -> Place {
        Place { lane, connection: ConnectionKey { slot: 1, generation: 1 } }
    }

    #[test]
    fn a_durable_subscription_has_one_holder_and_the_last_waiter_follows() {
        let directory = Directory::default();
        let key = DurableKey {
            user: UserId::parse("alice").unwrap(),
            name: SubscriptionName::parse("phone").unwrap(),
            topic: Topic::parse("user/alice").unwrap(),
        };
        assert_eq!(directory.claim(&key, place(1)), Claim::Granted);
        assert_eq!(
            directory.claim(&key, place(2)),
            Claim::Wait { holder: place(1), displaced: None }
        );
        assert_eq!(
            directory.claim(&key, place(3)),
            Claim::Wait { holder: place(1), displaced: Some(place(2)) }
        );
        assert_eq!(directory.release(&key, place(2)), None);
        assert_eq!(directory.release(&key, place(1)), Some(place(3)));
        assert_eq!(directory.release(&key, place(1)), None, "no longer the holder");
        assert_eq!(directory.release(&key, place(3)), None);
        assert_eq!(directory.claim(&key, place(4)), Claim::Granted);
    }

    #[test]
    fn a_session_that_was_taken_over_is_not_left_by_its_former_connection() {
        let directory = Directory::default();
        let session = SessionId::parse("s").unwrap();
        assert_eq!(directory.take_session(&session, place(1)), None);
        assert_eq!(directory.take_session(&session, place(2)), Some(place(1)));
        directory.leave_session(&session, place(1));
        assert_eq!(directory.take_session(&session, place(3)), Some(place(2)));
    }
}
