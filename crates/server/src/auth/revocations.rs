//! Which tokens no longer count, though they have not expired.
//!
//! A revocation is a message in a topic of the server's own: durable before it is confirmed, read
//! back at the start. In force is the latest one of each user; it removes the one before.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidings_core::{Data, Durability, NewMessage, Offset, Priority, Timestamp, Topic, UserId};
use tidings_storage::{Outcome, ReadFrom, ReadLimit, Store, StoreError, Write, fault_point};

use crate::door_lane::DoorLane;

/// The topic that holds all revocations.
pub(crate) const REVOCATIONS_TOPIC: &str = "$revocations";

/// Users with a revocation: each costs some 100 bytes of memory.
const USERS_MAX: usize = 100_000;

/// Read at the start in pieces of this size.
const PIECE: ReadLimit = ReadLimit { messages: 500, bytes: 256 * 1024 };

/// Why a revocation is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevokeError {
    #[error("the tokens of {USERS_MAX} users are revoked already: change the keys instead")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a message of the topic says.
#[derive(Serialize, Deserialize)]
struct Revocation {
    user: String,
    /// Milliseconds since 1970: what was issued by then no longer counts.
    issued_by: u64,
}

/// The revocations in force. Written when one is made, read at each check of a token.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    users: RwLock<HashMap<UserId, InForce>>,
}

/// The latest revocation of a user, and where it lies.
#[derive(Clone, Copy, Debug)]
struct InForce {
    issued_by: Timestamp,
    offset: Offset,
}

impl Revocations {
    /// Up to when the tokens of this user are revoked, if they are.
    pub(crate) fn of(&self, user: &UserId) -> Option<Timestamp> {
        self.in_force(user).map(|known| known.issued_by)
    }

    fn in_force(&self, user: &UserId) -> Option<InForce> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).get(user).copied()
    }

    /// Reads all revocations from the log. Blocks on the disk.
    pub(crate) fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        let topic = topic();
        let head = store.topic_state(&topic).head;
        let mut next = Offset::FIRST;
        while next <= head {
            let batch = store.read(&topic, ReadFrom::Offset(next), PIECE)?;
            next = batch.next;
            for message in &batch.messages {
                match read(message.content.data.bytes()) {
                    Some((user, issued_by)) => {
                        let offset = message.offset;
                        self.put_in_force(user, InForce { issued_by, offset });
                    }
                    None => tracing::error!(offset = %message.offset, "an unreadable revocation"),
                }
            }
        }
        Ok(())
    }

    /// Revokes what was issued to `user` by this moment. In force, also after a restart, once this
    /// returns.
    pub(crate) async fn revoke(
        &self,
        (store, door): (&dyn Store, &DoorLane),
        user: &UserId,
        issued_by: Timestamp,
    ) -> Result<(), RevokeError> {
        let known = self.in_force(user);
        if known.is_some_and(|known| known.issued_by >= issued_by) {
            return Ok(());
        }
        if known.is_none() && self.count() >= USERS_MAX {
            return Err(RevokeError::TooMany);
        }
        let revocation = Revocation { user: user.to_string(), issued_by: issued_by.as_ms() };
        let data = serde_json::to_vec(&revocation).expect("text and a number are JSON");
        let message = NewMessage::new(topic(), Data::json(Bytes::from(data)));
        let mut writes = vec![Write::Publish { message, durability: Durability::Sync, id: None }];
        writes.extend(known.map(|InForce { offset, .. }| Write::Remove { topic: topic(), offset }));
        fault_point("revocation-writing");
        let outcomes = door.submit_together(store, Priority::Normal, writes).await?;
        fault_point("revocation-durable");
        match outcomes.into_iter().next() {
            Some(Outcome::Refused(error)) => Err(error.into()),
            // An earlier one that stays where it is says nothing new.
            Some(Outcome::Published(message)) => {
                let offset = message.offset;
                self.put_in_force(user.clone(), InForce { issued_by, offset });
                fault_point("revocation-in-force");
                Ok(())
            }
            Some(Outcome::Duplicate { .. } | Outcome::Saved) | None => {
                Err(StoreError::Closed.into())
            }
        }
    }

    fn put_in_force(&self, user: UserId, revocation: InForce) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let latest = users.entry(user).or_insert(revocation);
        if latest.issued_by < revocation.issued_by {
            *latest = revocation;
        }
    }

    fn count(&self) -> usize {
        self.users.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn topic() -> Topic {
    Topic::parse(REVOCATIONS_TOPIC).expect("a valid topic")
}

fn read(data: &[u8]) -> Option<(UserId, Timestamp)> {
    let Revocation { user, issued_by } = serde_json::from_slice(data).ok()?;
    Some((UserId::parse(&user).ok()?, Timestamp::from_ms(issued_by)))
}
