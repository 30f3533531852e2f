//! Whose connections there are on this shard, for operators: nothing is kept by user, so that those that
//! nobody asks about cost nothing.

use std::collections::{BTreeMap, BinaryHeap};

use tidings_core::{ClientId, CloseCode, Timestamp, UserId};
use tokio::sync::oneshot;

use super::Shard;
use super::connection::{Active, Connection};
use crate::inbox::{UserConnection, UserConnections, UsersWanted, Whose};

impl Shard {
    /// Tells which connections a user has on this shard.
    pub(super) fn describe_user(&mut self, user: &UserId, reply: oneshot::Sender<UserConnections>) {
        let mut total = 0;
        // The newest of those that are told is on top.
        let mut oldest: BinaryHeap<(Timestamp, &ClientId, usize)> = BinaryHeap::new();
        for (slot, connection) in &self.connections {
            let Some(active) = connection.as_active().filter(|a| a.principal.user == *user) else {
                continue;
            };
            total += 1;
            oldest.push((active.since, &active.session.client, slot));
            if oldest.len() > UserConnections::TOLD_MAX {
                oldest.pop();
            }
        }
        let told = |(since, client, slot): (Timestamp, &ClientId, usize)| {
            let active = self.connections.get(slot).and_then(Connection::as_active)?;
            let subscriptions = active.subscriptions.len();
            Some(UserConnection { client: client.clone(), since, subscriptions })
        };
        let oldest = oldest.into_iter().filter_map(told).collect();
        // Whoever asked may have given up.
        let _ = reply.send(UserConnections { oldest, total });
    }

    pub(super) fn disconnect_user(&mut self, user: &UserId, which: Whose) {
        let mut slots = Vec::new();
        for (slot, connection) in &mut self.connections {
            let is_meant = |active: &mut Active| {
                active.principal.user == *user
                    && match which {
                        Whose::All => true,
                        Whose::IssuedBy(moment) => active.principal.is_issued_by(moment),
                    }
            };
            if connection.active().is_some_and(is_meant) {
                slots.push(slot as u32);
            }
        }
        for slot in slots {
            self.close(slot, CloseCode::Forbidden);
        }
    }

    /// Tells the first users of those that are wanted, and how many connections each has.
    pub(super) fn list_users(
        &mut self,
        wanted: &UsersWanted,
        reply: oneshot::Sender<Vec<(UserId, u64)>>,
    ) {
        let mut found: BTreeMap<UserId, u64> = BTreeMap::new();
        for (_, connection) in &mut self.connections {
            let Some(active) = connection.active() else { continue };
            let user = &active.principal.user;
            if let Some(connections) = found.get_mut(user) {
                *connections += 1;
                continue;
            }
            let is_full = found.len() == wanted.users_max;
            // Whoever is behind the last of so many stays there, so nothing is counted in vain.
            let is_behind = is_full && found.last_key_value().is_none_or(|(last, _)| user > last);
            if is_behind || !wanted.has(user) {
                continue;
            }
            if is_full {
                found.pop_last();
            }
            found.insert(user.clone(), 1);
        }
        // Whoever asked may have given up.
        let _ = reply.send(found.into_iter().collect());
    }
}
