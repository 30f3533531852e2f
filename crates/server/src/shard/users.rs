//! Whose connections there are on this shard, for operators: nothing is kept by user, so that those that
//! nobody asks about cost nothing.

use std::collections::BTreeMap;

use tidings_core::{CloseCode, UserId};
use tokio::sync::oneshot;

use super::Shard;
use super::connection::{Active, Connection};
use crate::inbox::{UserConnection, UsersWanted, Whose};

impl Shard {
    /// Tells which connections a user has on this shard.
    pub(super) fn describe_user(
        &mut self,
        user: &UserId,
        reply: oneshot::Sender<Vec<UserConnection>>,
    ) {
        let theirs = |(_, connection): (usize, &mut Connection)| {
            let active = connection.active().filter(|a| a.principal.user == *user)?;
            Some(UserConnection {
                client: active.session.client.clone(),
                since: active.since,
                subscriptions: active.subscriptions.len(),
            })
        };
        let connections = self.connections.iter_mut().filter_map(theirs).collect();
        // Whoever asked may have given up.
        let _ = reply.send(connections);
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
