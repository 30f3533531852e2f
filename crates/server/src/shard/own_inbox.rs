//! A connection is subscribed to its user's inbox, where the configuration asks for it.

use tidings_core::{DurableKey, Filter, Operation, SubscriptionName, Topic};
use tidings_protocol::StartFrom;

use super::Shard;
use super::subscription::{Stage, WaitingDurable};
use crate::presence::Watch;

impl Shard {
    /// Subscribes a connection that has just connected to `user/<user>`, durably under the name of
    /// its client. Without a token for it, or a topic of that name, it goes without.
    pub(super) fn subscribe_own_inbox(&mut self, slot: u32) {
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        let user = active.principal.user.clone();
        let Ok(topic) = Topic::parse(&format!("user/{user}")) else { return };
        let Ok(name) = SubscriptionName::parse(active.session.client.as_str()) else { return };
        if !active.principal.capabilities.allow(Operation::Subscribe, &topic) {
            return;
        }
        let sub = Filter::from(&topic);
        let waiting = WaitingDurable {
            instead_of_policy: false,
            id: None,
            key: DurableKey { user, name, topic },
            window: self.env.settings.window_default,
            from: StartFrom::First,
            watch: Watch::No,
            stage: Stage::Held,
        };
        self.claim_durable(slot, sub, waiting);
    }
}
