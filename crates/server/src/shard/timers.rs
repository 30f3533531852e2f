//! Deadlines of connections and of what they hold.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{ConnectionEffect, Session, SessionId};
use tidings_protocol::ServerBody;
use tidings_storage::{Write, fault_point};

use super::catch_up::READ_RETRY;
use super::connection::Phase;
use super::failed::Moment;
use super::subscription::Kind;
use super::{ConnectionKey, PendingWrite, Shard, trace};
use crate::clock::Clock;
use crate::directory::Place;
use crate::disconnects::Loss;

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
                Kind::Shared(shared) => shared.gives_back_at(),
                Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Waiting(_) => None,
            });
            windows.min()
        });
        let expiry = self.env.settings.session_expiry;
        let keep = connection.active().map(|active| {
            let due = active.session.renewal(expiry).as_ms();
            self.now + Duration::from_millis(due.saturating_sub(Clock::wall().as_ms()))
        });
        let Some(deadline) = [life, delivery, keep].into_iter().flatten().min() else { return };
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
        self.run_group_timers();
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
                self.remove(key.slot, Loss::CloseUnanswered);
            }
            return;
        }
        match connection.life.deadline_passed(&settings, now, Clock::wall()) {
            Some(ConnectionEffect::Close(code)) => return self.close(key.slot, code),
            Some(ConnectionEffect::Ping) => self.send(key.slot, None, ServerBody::Ping),
            None => {}
        }
        self.retry_failed_reads(key);
        self.keep_session(key);
        self.redeliver(key);
        self.give_back_late(key);
        self.arm(key.slot);
    }

    /// The session of a connection that stays must not expire under it, nor its cursors.
    fn keep_session(&mut self, key: ConnectionKey) {
        let (wall, expiry) = (Clock::wall(), self.env.settings.session_expiry);
        let Some(active) = self.connection(key).and_then(|c| c.active()) else { return };
        // Looked at first: what is shared with the store is only copied to be changed.
        let is_due = active.session.renewal(expiry) <= wall;
        if is_due && Arc::make_mut(&mut active.session).renew(wall, expiry).is_some() {
            let session = Arc::clone(&active.session);
            let held = active.subscriptions.iter().filter_map(|s| match &s.kind {
                Kind::Durable(durable) => Some(durable.key.topic.clone()),
                Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Waiting(_) | Kind::Shared(_) => {
                    None
                }
            });
            let held: Vec<_> = held.collect();
            let place = Place { lane: self.inbox.lane(), connection: key };
            if self.env.directory.renew_session(&session, place) {
                self.save_session(session, PendingWrite::Session { connection: key });
            }
            for topic in held {
                self.touch_cursor(key.slot, &topic);
            }
        }
    }

    pub(super) fn save_session(&mut self, session: Arc<Session>, pending: PendingWrite) {
        fault_point("session-saving");
        self.write(Write::SaveSession(session), Some(pending));
    }

    /// The store has what a connection that has ended left of its session, or refused it.
    pub(super) fn session_left(&mut self, connection: ConnectionKey, id: &SessionId) {
        let place = Place { lane: self.inbox.lane(), connection };
        if let Some(taken_over) = self.env.directory.leave_session(id, place) {
            self.write(Write::SaveSession(taken_over), None);
        }
    }

    /// The session could not be saved: it is taken for one that has to be in a moment.
    pub(super) fn session_refused(&mut self, key: ConnectionKey) {
        tracing::warn!("a session could not be saved; trying again");
        let (wall, expiry) = (Clock::wall(), self.env.settings.session_expiry);
        let Some(active) = self.connection(key).and_then(|c| c.active()) else { return };
        Arc::make_mut(&mut active.session).save_refused(wall, expiry, READ_RETRY);
        self.arm(key.slot);
    }

    fn retry_failed_reads(&mut self, key: ConnectionKey) {
        let now = self.now;
        let Some(connection) = self.connection(key) else { return };
        if connection.retry_reads_at.is_some_and(|at| at <= now) {
            connection.retry_reads_at = None;
            self.resume_subscriptions(key.slot);
        }
    }

    fn redeliver(&mut self, key: ConnectionKey) {
        let at = Moment::at(self.now);
        let now = at.now;
        let connection = self.connections.get_mut(key.slot as usize);
        let connection = connection.filter(|c| c.generation == key.generation);
        let Some(active) = connection.and_then(|c| c.active()) else { return };
        let mut topics = Vec::new();
        for subscription in &mut active.subscriptions {
            if let Kind::Durable(durable) = &mut subscription.kind
                && durable.window.next_deadline().is_some_and(|at| at <= now)
            {
                durable.hold_unsent(now);
                durable.note_timeouts(at, &mut self.record);
                durable.window.deadline_passed(now);
                trace::ended(durable, trace::Cause::Deadline);
                topics.push(durable.key.topic.clone());
            }
        }
        for topic in topics {
            self.pump(key.slot, &topic, None);
        }
    }
}
