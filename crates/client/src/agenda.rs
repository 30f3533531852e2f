//! What has to be said to the server, and who waits for what: everything but the socket.

use std::collections::VecDeque;

use tidings_core::{Instant, Timestamp};
use tidings_protocol::http::PublishOutcome;
use tidings_protocol::{
    ClientBody, Codec, Connected, ConnectionLimits, ErrorBody, Goaway, RequestId, ServerBody,
    ServerFrame, encode_client_frame,
};
use tokio::sync::mpsc;

use self::entry::place::GiveUpAnswer;
use self::requests::{Request, Requests};
use self::subscriptions::Subscriptions;
use crate::client::{InboxCommand, SubscribeCommand};
use crate::feedback::Feedback;
use crate::gate::Room;
use crate::limits::{RETRY_DEFAULT, WRITE_BYTES};
use crate::outbox::{Outbox, Pending};
use crate::publish::{PublishError, PublishRequest, Ticket};
use crate::question::Question;
use crate::state::CloseReason;
use crate::subscription::{EndReason, Queued};

mod entry;
mod requests;
mod subscriptions;

/// Whether there is a connection, and what may be said on it.
#[derive(Clone, Copy, Debug)]
enum Line {
    Down,
    Up(ConnectionLimits),
    /// The server goes away: what is on its way is answered, nothing new is published.
    GoingAway(ConnectionLimits),
}

impl Line {
    const fn limits(self) -> Option<ConnectionLimits> {
        match self {
            Self::Down => None,
            Self::Up(limits) | Self::GoingAway(limits) => Some(limits),
        }
    }
}

/// Something from the server that the connection has to act on.
#[derive(Debug)]
pub(crate) enum Notice {
    /// It is about to close.
    Goaway(Goaway),
    /// It took a fresh token, and says when that ends.
    Refreshed { expires_at: Option<Timestamp> },
}

/// What has to be said to the server, and who waits for what. Inputs are commands and feedback
/// from the application, frames from the server, and the ups and downs of the connection;
/// [`Agenda::write`] gives the bytes to send.
#[derive(Debug)]
pub(crate) struct Agenda {
    codec: Codec,
    line: Line,
    outbox: Outbox<Ticket>,
    subscriptions: Subscriptions,
    requests: Requests,
    /// To be asked with the next connection.
    questions: VecDeque<Question>,
    /// What answers have made free in the outbox.
    freed: Room,
}

impl Agenda {
    pub(crate) const fn new(codec: Codec) -> Self {
        Self {
            codec,
            line: Line::Down,
            outbox: Outbox::new(),
            subscriptions: Subscriptions::new(),
            requests: Requests::new(),
            questions: VecDeque::new(),
            freed: Room { messages: 0, bytes: 0 },
        }
    }

    pub(crate) fn publish(&mut self, request: PublishRequest, weight: usize, ticket: Ticket) {
        self.outbox.add(request.publish, weight, ticket);
    }

    pub(crate) fn subscribe(&mut self, command: SubscribeCommand) {
        let requests = self.line.limits().map(|_| &mut self.requests);
        self.subscriptions.add(command, requests);
    }

    pub(crate) fn inbox(&mut self, command: InboxCommand) {
        let requests = self.line.limits().map(|_| &mut self.requests);
        self.subscriptions.want_inbox(command, requests);
    }

    pub(crate) fn ask(&mut self, question: Question) {
        // Callers are bounded; what remains of those who gave up is not.
        self.questions.retain(|question| !question.is_withdrawn());
        self.questions.push_back(question);
        if self.line.limits().is_some() {
            self.ask_all();
        }
    }

    pub(crate) fn feedback(&mut self, feedback: Feedback) {
        let requests = self.line.limits().map(|_| &mut self.requests);
        self.subscriptions.feedback(feedback, requests);
    }

    /// Shows the server a fresh token.
    pub(crate) fn refresh(&mut self, token: String) {
        self.requests.ask(ClientBody::Refresh { token }, Request::Refresh);
    }

    pub(crate) fn ping(&mut self) {
        self.requests.say(ClientBody::Ping);
    }

    /// There is a connection.
    pub(crate) fn connected(&mut self, now: Instant, connected: &Connected) {
        self.line = Line::Up(connected.limits);
        self.subscriptions.connected(now, &mut self.requests);
        self.ask_all();
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.line = Line::Down;
        self.outbox.disconnected();
        self.subscriptions.disconnected();
        for request in self.requests.disconnected() {
            match request {
                Request::Question(question) => self.questions.push_back(question),
                // Subscriptions ask again by themselves, and the next `connect` has a token.
                Request::Subscribe(_)
                | Request::Unsubscribe
                | Request::Refresh
                | Request::GiveUp { .. } => {}
            }
        }
    }

    fn ask_all(&mut self) {
        for question in self.questions.drain(..) {
            self.requests.ask(question.body(), Request::Question(question));
        }
    }

    /// A frame came from the server.
    pub(crate) fn received(&mut self, now: Instant, frame: ServerFrame) -> Option<Notice> {
        match frame.body {
            ServerBody::Message(message) => self.subscriptions.message(now, message),
            ServerBody::Published(published) => {
                self.published(frame.id, PublishOutcome::Published(published));
            }
            ServerBody::Scheduled(scheduled) => {
                self.published(frame.id, PublishOutcome::Scheduled(scheduled));
            }
            ServerBody::Subscribed(subscribed) if frame.id.is_none() => {
                self.subscriptions.announced(now, subscribed, &mut self.requests);
            }
            ServerBody::Presence(change) => self.subscriptions.presence(now, change),
            ServerBody::Error(error) => self.failed(now, frame.id, error),
            ServerBody::Unsubscribed { sub, reason } => {
                if frame.id.and_then(|id| self.requests.answered(id)).is_none() {
                    let reason = reason.map_or(EndReason::Unknown, EndReason::Server);
                    self.subscriptions.end(sub.as_str(), reason);
                }
            }
            ServerBody::Reset(reset) => self.subscriptions.reset(now, reset),
            ServerBody::Ping => self.requests.say(ClientBody::Pong),
            ServerBody::Goaway(goaway) => {
                if let Some(limits) = self.line.limits() {
                    self.line = Line::GoingAway(limits);
                }
                return Some(Notice::Goaway(goaway));
            }
            ServerBody::Refreshed { expires_at } => {
                frame.id.and_then(|id| self.requests.answered(id));
                return Some(Notice::Refreshed { expires_at });
            }
            body @ (ServerBody::Subscribed(_)
            | ServerBody::Present(_)
            | ServerBody::History(_)
            | ServerBody::Settled { .. }
            | ServerBody::Connected(_)
            | ServerBody::Pong) => self.answered(now, frame.id, body),
        }
        None
    }

    fn answered(&mut self, now: Instant, id: Option<RequestId>, body: ServerBody) {
        match (id.and_then(|id| self.requests.answered(id)), body) {
            (Some(Request::Subscribe(reference)), ServerBody::Subscribed(subscribed)) => {
                self.subscriptions.subscribed(now, &reference, subscribed.place);
            }
            (Some(Request::Question(question)), body) => question.answered(body),
            (Some(Request::GiveUp { from, delivery }), ServerBody::Settled { .. }) => {
                self.subscriptions.gave_up(&from, delivery, GiveUpAnswer::Taken);
            }
            (None, ServerBody::Pong) => {}
            (request, body) => {
                tracing::debug!(?request, ?body, "the server answers what was not asked");
            }
        }
    }

    fn failed(&mut self, now: Instant, id: Option<RequestId>, error: ErrorBody) {
        let Some(id) = id else {
            let (code, message) = (error.code.as_str(), error.message);
            return tracing::warn!(code, message, "the server refused a frame without an id");
        };
        if let Some(pending) = self.outbox.answered(id) {
            if error.code.is_temporary() {
                let after = error.retry_after.unwrap_or(RETRY_DEFAULT);
                return self.outbox.retry(now, pending, after);
            }
            return self.settle(pending, Err(PublishError::Refused { error }));
        }
        match self.requests.answered(id) {
            Some(Request::Subscribe(from)) => self.subscriptions.refused(now, &from, error),
            Some(Request::Question(question)) => question.refused(error),
            Some(Request::GiveUp { from, delivery }) => {
                self.subscriptions.gave_up(&from, delivery, GiveUpAnswer::Refused);
            }
            Some(Request::Refresh | Request::Unsubscribe) | None => {
                let (code, message) = (error.code.as_str(), error.message);
                tracing::warn!(code, message, "the server refused a request");
            }
        }
    }

    fn published(&mut self, id: Option<RequestId>, outcome: PublishOutcome) {
        if let Some(pending) = id.and_then(|id| self.outbox.answered(id)) {
            self.settle(pending, Ok(outcome));
        }
    }

    fn settle(&mut self, pending: Pending<Ticket>, result: Result<PublishOutcome, PublishError>) {
        self.freed.messages += 1;
        self.freed.bytes += pending.weight;
        // Whoever published may have dropped the ticket.
        let _ = pending.ticket.send(result);
    }

    /// Appends frames to `out` until there is nothing to say now, or enough for one WebSocket
    /// message.
    pub(crate) fn write(&mut self, now: Instant, out: &mut Vec<u8>) {
        let Some(limits) = self.line.limits() else { return };
        let bytes_max = limits.frame_bytes as usize;
        let enough = bytes_max.min(WRITE_BYTES);
        self.subscriptions.say_acks(&mut self.requests);
        while out.len() < enough
            && let Some(frame) = self.requests.next_frame()
        {
            let before = out.len();
            encode_client_frame(self.codec, frame, out);
            if out.len() > bytes_max && before > 0 {
                return out.truncate(before);
            }
            self.requests.written();
        }
        match self.line {
            Line::Up(limits) => self.write_publishes(now, limits, enough, out),
            Line::GoingAway(_) | Line::Down => {}
        }
    }

    fn write_publishes(
        &mut self,
        now: Instant,
        limits: ConnectionLimits,
        enough: usize,
        out: &mut Vec<u8>,
    ) {
        let in_flight_max = limits.publishes_in_flight.max(1) as usize;
        let (message_max, frame_max) = (limits.message_bytes as usize, limits.frame_bytes as usize);
        while out.len() < enough
            && let Some(frame) = self.outbox.next_frame(now, in_flight_max)
        {
            let before = out.len();
            let bytes = data_bytes(&frame.body);
            encode_client_frame(self.codec, frame, out);
            let frame_bytes = out.len() - before;
            // Sent all the same, an oversized frame would cost the connection, and again after
            // each reconnect.
            let too_large = if bytes > message_max {
                Some(PublishError::TooLarge { bytes, bytes_max: message_max })
            } else if frame_bytes > frame_max {
                Some(PublishError::TooLarge { bytes: frame_bytes, bytes_max: frame_max })
            } else {
                None
            };
            match too_large {
                Some(error) => {
                    out.truncate(before);
                    if let Some(pending) = self.outbox.take_next() {
                        self.settle(pending, Err(error));
                    }
                }
                None if out.len() > frame_max => return out.truncate(before),
                None => self.outbox.sent(),
            }
        }
    }

    /// When [`Self::deadline_passed`] is wanted; only on a connection.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.subscriptions.next_deadline().into_iter().chain(self.outbox.next_deadline()).min()
    }

    /// Time has passed.
    pub(crate) fn deadline_passed(&mut self, now: Instant) {
        let others_wait = self.outbox.awaits_answers() || self.requests.awaits_answers();
        self.subscriptions.deadline_passed(now, others_wait, &mut self.requests);
    }

    /// The queue that has no room, if there is one: while there is, nothing more is to be read.
    pub(crate) fn full_queue(&self) -> Option<mpsc::Sender<Queued>> {
        self.subscriptions.full_queue()
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.subscriptions.is_stalled()
    }

    /// There is room in the full queue; without one, nobody reads it any more.
    pub(crate) fn room(&mut self, now: Instant, room: Option<mpsc::OwnedPermit<Queued>>) {
        self.subscriptions.room(now, room);
    }

    /// Whether more commands and feedback can be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.requests.has_room()
    }

    /// What has become free in the outbox since the last call.
    pub(crate) fn take_freed(&mut self) -> Room {
        std::mem::take(&mut self.freed)
    }

    /// Publishes without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.outbox.len()
    }

    /// Whether there is nothing left to say and no publish to be answered.
    pub(crate) fn is_done(&self) -> bool {
        let is_said = match self.line {
            Line::Down => true,
            Line::Up(_) | Line::GoingAway(_) => {
                self.requests.is_written() && !self.subscriptions.has_acks()
            }
        };
        is_said && self.outbox.is_empty()
    }

    /// The client has ended: everybody who waits hears why.
    pub(crate) fn end(&mut self, reason: &CloseReason) {
        for pending in self.outbox.drain() {
            let _ = pending.ticket.send(Err(PublishError::Closed { reason: reason.clone() }));
        }
        // Those who asked find the places for their answers gone, and the reason in the state.
        drop(self.requests.disconnected());
        self.questions.clear();
        self.subscriptions.end_all(&EndReason::Closed(reason.clone()));
    }
}

fn data_bytes(body: &ClientBody) -> usize {
    match body {
        ClientBody::Publish(publish) => publish.data.bytes().len(),
        ClientBody::Connect(_)
        | ClientBody::Subscribe(_)
        | ClientBody::Unsubscribe { .. }
        | ClientBody::Ack(_)
        | ClientBody::Nack(_)
        | ClientBody::Extend(_)
        | ClientBody::History(_)
        | ClientBody::Presence { .. }
        | ClientBody::Refresh { .. }
        | ClientBody::Ping
        | ClientBody::Pong => 0,
    }
}
