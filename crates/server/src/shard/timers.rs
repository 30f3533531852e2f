//! Deadlines of connections and of what they hold.

use tidings_core::ConnectionEffect;
use tidings_protocol::ServerBody;

use super::connection::Phase;
use super::subscription::Kind;
use super::{ConnectionKey, Shard};
use crate::clock::Clock;

impl Shard {
    /// Has the wheel look at a connection by its next deadline.
    pub(super) fn arm(&mut self, slot: u32) {
        let Some(key) = self.key(slot) else { return };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let settings = &self.env.settings.connection;
        let life = connection.life.next_deadline(settings, self.now, Clock::wall());
        let delivery = connection.active().and_then(|active| {
            let windows = active.subscriptions.iter().filter_map(|s| match &s.kind {
                Kind::Durable(durable) => durable.window.next_deadline(),
                Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Waiting(_) => None,
            });
            windows.min()
        });
        let Some(deadline) = [life, delivery].into_iter().flatten().min() else { return };
        if connection.armed.is_none_or(|armed| deadline < armed) {
            connection.armed = Some(deadline);
            self.timers.insert(deadline, key);
        }
    }

    /// Acts on every deadline that has passed.
    pub(super) fn run_timers(&mut self) {
        let mut due = Vec::new();
        self.timers.advance(self.now, &mut due);
        for key in due {
            self.deadline_passed(key);
        }
        self.drain_step();
    }

    fn deadline_passed(&mut self, key: ConnectionKey) {
        let now = self.now;
        let settings = self.env.settings.connection;
        let Some(connection) = self.connection(key) else { return };
        // Entries that a nearer deadline overtook are still in the wheel: they cost one look.
        connection.armed = connection.armed.filter(|armed| *armed > now);
        if let Phase::Closing { due, .. } = connection.phase {
            if due <= now {
                self.remove(key.slot, "close not answered");
            }
            return;
        }
        match connection.life.deadline_passed(&settings, now, Clock::wall()) {
            Some(ConnectionEffect::Close(code)) => return self.close(key.slot, code),
            Some(ConnectionEffect::Ping) => self.send(key.slot, None, ServerBody::Ping),
            None => {}
        }
        self.redeliver(key);
        self.arm(key.slot);
    }

    fn redeliver(&mut self, key: ConnectionKey) {
        let now = self.now;
        let Some(active) = self.connection(key).and_then(|c| c.active()) else { return };
        let mut topics = Vec::new();
        for subscription in &mut active.subscriptions {
            if let Kind::Durable(durable) = &mut subscription.kind
                && durable.window.next_deadline().is_some_and(|at| at <= now)
            {
                durable.window.deadline_passed(now);
                topics.push(durable.key.topic.clone());
            }
        }
        for topic in topics {
            self.pump(key.slot, &topic, None);
        }
    }
}
