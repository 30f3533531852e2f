//! Durable subscriptions, the server's side: a [`DeliveryWindow`] for each, cursors and dead
//! letters in the store.

use std::time::Duration;

use tidings_core::{
    CursorState, DeliveryEffect, DeliveryWindow, Departure, Epoch, Instant, Offset, Position,
    Recovery, ResetReason, SettleOutcome,
};

use super::World;
use super::event::{ConnectionId, Event, Frame, Process, Reply};
use super::link::Link;
use super::store::{Outcome, Ticket, Write};
use crate::history::{Record, Subscriber};
use crate::mutation::Mutation;
use crate::sometimes::Sometimes;

/// Most unacked messages of any subscription.
const WINDOW_MAX: u64 = 4;

/// What an earlier process may have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Nothing: the cursor was made just now.
    Nothing,
    /// What the cursor reserves.
    Some,
    /// Anything: the cursor is of another life of the log.
    Unknown,
}

#[derive(Debug)]
pub(super) struct DurableConnection {
    connection: ConnectionId,
    epoch: Epoch,
    window: DeliveryWindow,
    link: Link,
    /// The wake-up that was asked for.
    wakes_at: Option<Instant>,
}

impl World {
    /// The server hears the subscription.
    pub(super) fn durable_subscribes(
        &mut self,
        client: usize,
        connection: ConnectionId,
        process: Process,
    ) {
        if self.server.process != process || !self.server.up {
            return;
        }
        if !self.enters(Subscriber::Durable(client), connection) {
            return;
        }
        if let Some(older) = self.server.durable.remove(&client) {
            self.coverage.met(Sometimes::TakenOver);
            self.leaves_session(older.connection);
            self.save_cursor(client, &older);
            self.close_taken_over(client, older.connection);
        }
        self.durable_claims(client, connection);
    }

    /// Goes on from the cursor, once it is the last that the holder before it has saved.
    fn durable_claims(&mut self, client: usize, connection: ConnectionId) {
        if let Some(waiting) = self.server.leaving.get_mut(&client) {
            self.coverage.met(Sometimes::WaitedForLastCursor);
            if let Some(older) = waiting.replace(connection) {
                self.close_taken_over(client, older);
            }
            return;
        }
        match self.store.told().cursors.get(&client).cloned() {
            Some(state) => self.durable_opens(client, connection, state, Sent::Some),
            None => self.make_cursor(client, connection),
        }
    }

    /// Frames of two connections have no order: the one that is closed may be the newer.
    fn close_taken_over(&mut self, client: usize, older: ConnectionId) {
        if self.durable[client].connection == Some(older) {
            self.durable_drops(client);
        }
    }

    /// A subscription begins at the head. It is answered once its cursor is durable: a crash must
    /// not move the beginning.
    fn make_cursor(&mut self, client: usize, connection: ConnectionId) {
        let asked_before = self.server.making.insert(client, connection);
        if let Some(older) = asked_before {
            self.coverage.met(Sometimes::SubscribedWhileMade);
            self.close_taken_over(client, older);
        }
        if asked_before.is_some() && !self.is(Mutation::MakesCursorTwice) {
            // A second one would begin later and replace the first.
            return;
        }
        let log = self.store.told().state;
        let size = self.random.between(1, WINDOW_MAX) as u32;
        let state = CursorState::beginning(log.epoch, log.head.next(), size);
        if self.is(Mutation::AnswersBeforeCursor) {
            self.server.making.remove(&client);
            self.submit_cursor(client, state.clone(), Ticket::Nobody);
            return self.durable_opens(client, connection, state, Sent::Nothing);
        }
        let write = Write::SaveCursor { durable: client, state };
        if self.submit(write, Ticket::NewCursor { durable: client }).is_err() {
            self.server.making.remove(&client);
            self.durable_drops(client);
        }
    }

    /// A new subscription's cursor is durable, or is not: the last who asked is answered.
    pub(super) fn cursor_made(&mut self, client: usize, outcome: Outcome) {
        let Some(connection) = self.server.making.remove(&client) else { return };
        match outcome {
            Outcome::Saved => {
                if let Some(state) = self.store.told().cursors.get(&client).cloned() {
                    self.durable_opens(client, connection, state, Sent::Nothing);
                }
            }
            Outcome::Refused | Outcome::Published(_) | Outcome::Duplicate { .. } => {
                self.durable_drops(client);
            }
        }
    }

    /// A window goes on from `state`.
    fn durable_opens(
        &mut self,
        client: usize,
        connection: ConnectionId,
        state: CursorState,
        mut sent: Sent,
    ) {
        let subscriber = Subscriber::Durable(client);
        let log = self.store.told().state;
        let after = Position { epoch: state.epoch, offset: state.next.previous() };
        let lags = self.durable[client].furthest.is_some_and(|at| at > (state.epoch, state.next));
        self.coverage.met_if(lags, Sometimes::CursorLagged);
        let first_time = self.durable[client].furthest.is_none();
        let recovery = self.recover_as_mutated(after, log);
        let (mut state, frame) = match recovery {
            Recovery::Recovered { next } => {
                let frame = Frame::Subscribed { epoch: log.epoch, next };
                (CursorState { epoch: log.epoch, ..state }, frame)
            }
            Recovery::Reset { reason, next } => {
                let frame = Frame::Reset { epoch: log.epoch, next, reason };
                match reason {
                    // The window finds out by itself, and keeps what was acked out of order.
                    ResetReason::Trimmed | ResetReason::Skipped | ResetReason::Damaged => {
                        (state, frame)
                    }
                    ResetReason::EpochChanged | ResetReason::AheadOfHead => {
                        sent = Sent::Unknown;
                        (CursorState::at(log.epoch, next), frame)
                    }
                }
            }
        };
        if self.is(Mutation::DurableResumesAtHead) {
            state = CursorState::at(log.epoch, log.head.next());
        }
        let (epoch, next) = (log.epoch, state.next.max(log.first));
        let recovered = matches!(recovery, Recovery::Recovered { .. });
        let after = (!first_time).then_some(after);
        self.record(Record::Subscribed { subscriber, after, recovered, epoch, next });
        let process = self.server.process.0;
        self.record(Record::Connected { subscriber, process });
        let size = self.random.between(1, WINDOW_MAX) as u32;
        let seed = self.random.seed();
        if self.is(Mutation::ForgetsWhatWasReserved) {
            state.reserved = Offset::ORIGIN;
        }
        let reserved = state.reserved;
        let mut window = DeliveryWindow::new(self.plan.delivery, size, state, log.head, seed);
        window.missing(window.cursor(), log.first.previous());
        match sent {
            Sent::Nothing => window.begins(reserved),
            Sent::Unknown => window.begins_anew(),
            Sent::Some => {}
        }
        let link = Link::default();
        let opened = DurableConnection { connection, epoch, window, link, wakes_at: None };
        self.server.durable.insert(client, opened);
        self.durable_sends(client, frame);
        self.durable_goes_on(client);
    }

    /// The log has grown.
    pub(super) fn durable_tail_advanced(&mut self, tail: Offset) {
        let clients: Vec<_> = self.server.durable.keys().copied().collect();
        for client in clients {
            if let Some(durable) = self.server.durable.get_mut(&client) {
                durable.window.tail_advanced(tail);
            }
            self.durable_goes_on(client);
        }
    }

    /// The server hears the client.
    pub(super) fn durable_replies(
        &mut self,
        client: usize,
        connection: ConnectionId,
        reply: Reply,
    ) {
        let now = self.now;
        let Some(durable) = self.durable_connection(client, connection) else { return };
        let (epoch, window) = (durable.epoch, &mut durable.window);
        match reply {
            Reply::Ack(offset) => {
                if window.acked(offset) == SettleOutcome::Done {
                    let position = Position { epoch, offset };
                    self.durable_sends(client, Frame::Settled { position });
                }
            }
            Reply::AckThrough(offset) => {
                window.acked_through(offset);
            }
            Reply::Nack(offset) => {
                window.nacked(now, offset, None);
            }
            Reply::Refuse(offset) => {
                window.refused(offset);
            }
        }
        self.durable_goes_on(client);
    }

    pub(super) fn durable_deadline(&mut self, client: usize, connection: ConnectionId) {
        let now = self.now;
        let Some(durable) = self.durable_connection(client, connection) else { return };
        durable.wakes_at = None;
        durable.window.deadline_passed(now);
        self.durable_goes_on(client);
    }

    /// A dead letter is durable, or is not.
    pub(super) fn letter_done(
        &mut self,
        client: usize,
        connection: ConnectionId,
        offset: Offset,
        outcome: Outcome,
    ) {
        let now = self.now;
        let Some(durable) = self.durable_connection(client, connection) else { return };
        match outcome {
            Outcome::Saved => durable.window.dead_lettered(offset),
            Outcome::Refused | Outcome::Published(_) | Outcome::Duplicate { .. } => {
                durable.window.dead_letter_failed(now, offset);
                self.coverage.met(Sometimes::DeadLetterRefused);
            }
        }
        self.durable_goes_on(client);
    }

    /// Carries out what the window wants, and asks to be woken.
    fn durable_goes_on(&mut self, client: usize) {
        let now = self.now;
        while let Some(durable) = self.server.durable.get_mut(&client)
            && let Some(effect) = durable.window.next_effect(now)
        {
            self.carry_out(client, effect);
        }
        let Some(durable) = self.server.durable.get_mut(&client) else { return };
        let reached = (durable.epoch, durable.window.cursor());
        self.durable[client].furthest = self.durable[client].furthest.max(Some(reached));
        if let Some(at) = durable.window.next_deadline()
            && durable.wakes_at.is_none_or(|wakes_at| at < wakes_at)
        {
            durable.wakes_at = Some(at);
            let connection = durable.connection;
            self.queue.add(at.max(now), Event::DurableDeadline { client, connection });
        }
    }

    fn carry_out(&mut self, client: usize, effect: DeliveryEffect) {
        if let DeliveryEffect::Send { offset, .. } | DeliveryEffect::DeadLetter { offset, .. } =
            effect
            && self.spares(client, offset)
        {
            return;
        }
        let settles_early = self.is(Mutation::SettlesWhenLetterSubmitted);
        let Some(durable) = self.server.durable.get_mut(&client) else { return };
        let (connection, epoch) = (durable.connection, durable.epoch);
        let first_kept = self.store.told().state.first;
        match effect {
            DeliveryEffect::Send { offset, .. } | DeliveryEffect::DeadLetter { offset, .. }
                if offset < first_kept =>
            {
                self.coverage.met(Sometimes::TrimmedUnderDurable);
                durable.window.missing(offset, first_kept.previous());
            }
            DeliveryEffect::Send { offset, .. }
                if !self.store.told().messages.contains_key(&offset) =>
            {
                self.passes_over(client, offset);
            }
            DeliveryEffect::Send { offset, attempt } => {
                self.coverage.met_if(attempt > 1, Sometimes::DeliveredAgain);
                let name = self.store.told().messages.get(&offset).copied();
                let name = name.expect("it was looked up just now");
                let position = Position { epoch, offset };
                self.durable_sends(client, Frame::Message { position, name, attempt });
            }
            DeliveryEffect::DeadLetter { offset, .. } => {
                if settles_early {
                    durable.window.dead_lettered(offset);
                }
                let position = Position { epoch, offset };
                let write = Write::DeadLetter { durable: client, position };
                let ticket = Ticket::DeadLetter { durable: client, connection, offset };
                if self.submit(write, ticket).is_err() {
                    self.coverage.met(Sometimes::DeadLetterRefused);
                    let now = self.now;
                    if let Some(durable) = self.server.durable.get_mut(&client) {
                        durable.window.dead_letter_failed(now, offset);
                    }
                }
            }
            DeliveryEffect::SaveCursor | DeliveryEffect::Reserve => {
                self.durable_saves(client, connection);
            }
        }
    }

    /// After a crash a store may leave out offsets that it is not sure were never given.
    fn passes_over(&mut self, client: usize, offset: Offset) {
        self.coverage.met(Sometimes::OffsetsLeftOut);
        let told = self.store.told();
        let next = told.messages.range(offset..).next().map(|(next, _)| *next);
        let last = next.map_or(told.state.head, Offset::previous);
        if let Some(durable) = self.server.durable.get_mut(&client) {
            durable.window.missing(offset, last);
        }
    }

    /// Whether the message has expired; then it is settled.
    fn spares(&mut self, client: usize, offset: Offset) -> bool {
        let wall = self.wall();
        let Some(perishes) = self.store.told().perishable.get(&offset).copied() else {
            return false;
        };
        let ttl = if self.is(Mutation::ExpiresEarly) { perishes.ttl / 2 } else { perishes.ttl };
        if perishes.published_at.plus(ttl) > wall {
            return false;
        }
        self.coverage.met(Sometimes::Expired);
        let Some(durable) = self.server.durable.get_mut(&client) else { return false };
        let position = Position { epoch: durable.epoch, offset };
        durable.window.missing(offset, offset);
        let (subscriber, published_at) = (Subscriber::Durable(client), perishes.published_at);
        self.record(Record::Spared { subscriber, position, published_at, wall });
        true
    }

    /// The cursor of a subscription that goes on is on its way to the disk.
    pub(super) fn durable_saves(&mut self, client: usize, connection: ConnectionId) {
        let saves_sent = self.is(Mutation::SavesWhatWasSent);
        let Some(durable) = self.durable_connection(client, connection) else { return };
        let mut state = durable.window.state();
        if saves_sent {
            state = CursorState { next: durable.window.next(), ..state };
        }
        let reserved = state.reserved;
        self.submit_cursor(client, state, Ticket::Cursor { durable: client, connection, reserved });
    }

    /// A cursor is durable, or is not: then it is saved again.
    pub(super) fn cursor_saved(
        &mut self,
        client: usize,
        connection: ConnectionId,
        reserved: Offset,
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Saved => {
                let Some(durable) = self.durable_connection(client, connection) else { return };
                durable.window.saved(reserved);
                self.durable_goes_on(client);
            }
            Outcome::Refused | Outcome::Published(_) | Outcome::Duplicate { .. } => {
                self.coverage.met(Sometimes::CursorRefused);
                self.record(Record::CursorLags { subscriber: Subscriber::Durable(client) });
                let pause = Duration::from_millis(self.random.between(5, 50));
                self.after(pause, Event::DurableSaves { client, connection });
            }
        }
    }

    /// Saves where a connection that ends has got to. One that is not saved lags, and reserves.
    fn save_cursor(&mut self, client: usize, ended: &DurableConnection) {
        self.server.leaving.insert(client, None);
        let ticket = Ticket::LastCursor { durable: client };
        self.submit_cursor(client, ended.window.last_state(Departure::Broken), ticket);
    }

    /// The last cursor of a connection is durable, or will never be.
    pub(super) fn durable_left(&mut self, client: usize, outcome: Outcome) {
        match outcome {
            Outcome::Saved => {}
            Outcome::Refused | Outcome::Published(_) | Outcome::Duplicate { .. } => {
                self.record(Record::CursorLags { subscriber: Subscriber::Durable(client) });
            }
        }
        if let Some(connection) = self.server.leaving.remove(&client).flatten() {
            self.durable_claims(client, connection);
        }
    }

    fn submit_cursor(&mut self, client: usize, state: CursorState, ticket: Ticket) {
        if self.submit(Write::SaveCursor { durable: client, state }, ticket).is_err() {
            self.tell(ticket, Outcome::Refused);
        }
    }

    fn durable_sends(&mut self, client: usize, frame: Frame) {
        let latency = self.random.between(1, self.plan.latency_max);
        let Some(durable) = self.server.durable.get_mut(&client) else { return };
        let connection = durable.connection;
        let at = durable.link.arrival(self.now, latency);
        self.queue.add(at, Event::DurableFrame { client, connection, frame });
    }

    fn durable_connection(
        &mut self,
        client: usize,
        connection: ConnectionId,
    ) -> Option<&mut DurableConnection> {
        self.server.durable.get_mut(&client).filter(|durable| durable.connection == connection)
    }

    /// The server notices that a client's connection is gone, or it does not.
    pub(super) fn durable_closed(&mut self, client: usize, connection: ConnectionId) {
        if self.durable_connection(client, connection).is_none() {
            return;
        }
        if self.random.chance(50) {
            self.coverage.met(Sometimes::HalfOpen);
            return;
        }
        self.leaves_session(connection);
        self.durable_detaches(client, connection);
    }

    /// The server lets go of the subscription of a connection that ends.
    pub(super) fn durable_detaches(&mut self, client: usize, connection: ConnectionId) {
        if self.durable_connection(client, connection).is_some()
            && let Some(ended) = self.server.durable.remove(&client)
            && !self.is(Mutation::ForgetsLastCursor)
        {
            self.save_cursor(client, &ended);
        }
    }
}
