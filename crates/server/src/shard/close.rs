//! The end of connections, one by one or all together.

use std::sync::Arc;

use std::time::Duration;

use tidings_core::{CloseCode, Comeback, Departure, Instant};
use tidings_protocol::{Goaway, ServerBody};
use tidings_storage::fault_point;

use super::connection::Phase;
use super::{ConnectionKey, PendingWrite, Shard};
use crate::clock::Clock;
use crate::directory::Place;
use crate::disconnects::{Disconnect, Ending, Loss, Who};
use crate::websocket::write_close;

/// How long a peer has to answer a close before its socket goes anyway.
const LINGER: Duration = Duration::from_secs(2);

/// How often a drain closes the next few connections.
const DRAIN_STEP: Duration = Duration::from_millis(50);

/// A drain under way: connections close in waves, so that they do not all come back at once.
#[derive(Debug)]
pub(super) struct Drain {
    due: Instant,
    next_step: Instant,
    /// Connections closed in each step.
    per_step: usize,
}

impl Shard {
    /// Closes a connection: tells the client why and when to come back, lets go of everything it
    /// held, and ends the socket once the close frame is out.
    pub(super) fn close(&mut self, slot: u32, code: CloseCode) {
        self.close_departing(slot, code, Departure::closed_with(code), Ending::Server(code));
    }

    /// The client closes, with this code and text if it gave them.
    pub(super) fn closed_by_peer(&mut self, slot: u32, code: Option<u16>, said: &str) {
        let ending = Ending::Client { code, said: said.to_owned() };
        self.close_departing(slot, CloseCode::Normal, Departure::said_goodbye(code), ending);
    }

    fn close_departing(
        &mut self,
        slot: u32,
        code: CloseCode,
        departure: Departure,
        ending: Ending,
    ) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if matches!(connection.phase, Phase::Closing { .. }) {
            return;
        }
        self.env.metrics.closes(code).inc();
        self.record_end(slot, ending);
        if let Some(goaway) = self.goaway(code) {
            self.send(slot, None, ServerBody::Goaway(goaway));
        }
        self.detach(slot, departure);
        let due = self.now + LINGER;
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        connection.life.close(code);
        connection.output.push_own(|out| write_close(code, out));
        connection.phase = Phase::Closing { due, finished: false };
        connection.queue_flush(slot, &mut self.unflushed);
        if let Some(key) = self.key(slot) {
            self.timers.insert(due, key);
        }
    }

    /// The same for a connection of a letter, if it is still there.
    pub(super) fn close_with(&mut self, key: ConnectionKey, code: CloseCode) {
        if self.connection(key).is_some() {
            self.close(key.slot, code);
        }
    }

    fn goaway(&self, code: CloseCode) -> Option<Goaway> {
        let retry_after = match code {
            // The client began it, or broke the framing that a frame would need.
            CloseCode::Normal | CloseCode::ProtocolError => return None,
            CloseCode::Draining | CloseCode::Overloaded => Some(self.env.spread_comeback()),
            CloseCode::UnsupportedData
            | CloseCode::InvalidData
            | CloseCode::TooBig
            | CloseCode::Unauthenticated
            | CloseCode::BadFrame
            | CloseCode::Forbidden
            | CloseCode::TakenOver
            | CloseCode::TokenExpired
            | CloseCode::HandshakeTimeout
            | CloseCode::PongTimeout => match Comeback::after(code.code()) {
                Comeback::Final | Comeback::WithBackoff => None,
                Comeback::AtOnce => Some(Duration::ZERO),
            },
        };
        Some(Goaway { reason: code.as_str().to_owned(), retry_after })
    }

    /// The close frame is written: no more will be.
    pub(super) fn finish_if_closing(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if let Phase::Closing { finished, .. } = &mut connection.phase
            && !std::mem::replace(finished, true)
        {
            connection.stream.finish();
        }
    }

    /// Remembers how a connection ended, for operators.
    fn record_end(&mut self, slot: u32, ending: Ending) {
        let at = Clock::wall();
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let who = connection.active().map(|active| Who {
            user: active.principal.user.clone(),
            client: active.session.client.clone(),
            lasted: Duration::from_millis(at.as_ms().saturating_sub(active.since.as_ms())),
        });
        self.env.disconnects.add(Disconnect { at, who, ending });
    }

    /// Lets go of everything a connection holds outside itself. Its session waits for its expiry.
    fn detach(&mut self, slot: u32, departure: Departure) {
        let Some(connection) = self.key(slot) else { return };
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        let subscriptions = std::mem::take(&mut active.subscriptions);
        let mut session = Arc::clone(&active.session);
        for subscription in subscriptions {
            self.drop_subscription(slot, subscription, departure);
        }
        let place = Place { lane: self.inbox.lane(), connection };
        Arc::make_mut(&mut session).expires_at =
            Clock::wall().plus(self.env.settings.session_expiry);
        // A session that was taken over is the other connection's to save.
        if self.env.directory.renew_session(&session, place) {
            let last = PendingWrite::LastSession { connection, id: session.id.clone() };
            self.save_session(session, last);
        }
        self.env.metrics.sessions.dec();
    }

    /// Ends a connection whose socket is gone or no longer wanted.
    pub(super) fn remove(&mut self, slot: u32, loss: Loss) {
        let Some(connection) = self.connections.get(slot as usize) else { return };
        match connection.phase {
            Phase::Active(_) | Phase::Awaiting { .. } => {
                let why = loss.as_str();
                tracing::debug!(why, "a connection ended without a close frame");
                self.record_end(slot, Ending::Lost(loss));
                self.detach(slot, Departure::Broken);
            }
            Phase::Closing { .. } => {}
        }
        let mut connection = self.connections.remove(slot as usize);
        // The socket is closed by being dropped; a failure to forget it first changes nothing.
        let _ = self.poll.registry().deregister(connection.stream.source());
    }

    pub(super) fn start_drain(&mut self, due: Instant) {
        fault_point("drain-begun");
        // Half of the time for the waves, half for the last to finish.
        let steps = (due.since(self.now) / 2).as_millis() / DRAIN_STEP.as_millis();
        let steps = usize::try_from(steps).unwrap_or(usize::MAX).max(1);
        let per_step = self.connections.len().div_ceil(steps).max(1);
        self.drain = Some(Drain { due, next_step: self.now, per_step });
    }

    pub(super) fn next_drain_step(&self) -> Option<Instant> {
        self.drain.as_ref().map(|drain| drain.next_step)
    }

    /// Closes the next few connections of a drain.
    pub(super) fn drain_step(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        if drain.next_step > self.now {
            return;
        }
        drain.next_step = self.now + DRAIN_STEP;
        let (per_step, overdue) = (drain.per_step, drain.due <= self.now);
        let open: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, c)| overdue || !matches!(c.phase, Phase::Closing { .. }))
            .map(|(slot, _)| slot as u32)
            .take(if overdue { usize::MAX } else { per_step })
            .collect();
        for slot in open {
            if overdue {
                self.remove(slot, Loss::DrainEnded);
            } else {
                self.close(slot, CloseCode::Draining);
            }
        }
        if overdue {
            self.end_partings();
            self.close_deserted();
        }
    }

    /// Whether a drain is over: no connection is left and every last cursor is saved.
    pub(super) fn is_drained(&self) -> bool {
        let Some(drain) = &self.drain else { return false };
        let written = self.pending.is_empty() && self.submissions.is_empty();
        let saved = written && self.partings.is_empty();
        // Members on other shards still tell their groups what they leave.
        let left = self.connections.is_empty() && self.groups.is_empty() && saved;
        left || self.connections.is_empty() && drain.due <= self.now
    }
}
