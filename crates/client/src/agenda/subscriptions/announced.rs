//! The inbox: a subscription that the server starts by itself, and an application can take.
//!
//! The client does not ask for it, because asking takes the place of what the server has started,
//! and delivers again what that has brought. It waits for the server's word after each connect.

use std::sync::Arc;

use tidings_core::{Filter, Instant, SubscriptionName};
use tidings_protocol::{ClientBody, Subscribed};

use super::Subscriptions;
use crate::agenda::entry::Phase;
use crate::agenda::requests::{Request, Requests};
use crate::client::{InboxCommand, SubscribeCommand};
use crate::limits::INBOX_PATIENCE;
use crate::subscribe::{AckMode, SubscribeError, SubscribeRequest};

/// What is known of the inbox, and who wants it.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Those who wait for the server to start it.
    wanted: Vec<InboxCommand>,
    /// What the server has started on this connection.
    started: Option<(Filter, SubscriptionName)>,
}

impl Inbox {
    pub(super) const fn new() -> Self {
        Self { wanted: Vec::new(), started: None }
    }

    /// The connection is gone, and what the server had started on it.
    pub(super) fn disconnected(&mut self) {
        self.started = None;
    }
}

impl Subscriptions {
    /// The application wants the inbox.
    pub(in crate::agenda) fn want_inbox(
        &mut self,
        command: InboxCommand,
        requests: Option<&mut Requests>,
    ) {
        match &self.inbox.started {
            // The server starts it once per connection: it was there before it was wanted.
            Some((sub, name)) => {
                let request = SubscribeRequest::inbox(sub.clone(), name.clone(), command.ack);
                let InboxCommand { answer, feedback, .. } = command;
                self.add(SubscribeCommand { request, answer, feedback }, requests);
            }
            None => {
                // Callers are bounded; what remains of those who gave up is not.
                self.inbox.wanted.retain(|command| !command.answer.is_closed());
                self.inbox.wanted.push(command);
            }
        }
    }

    /// The server has started a subscription by itself.
    pub(in crate::agenda) fn announced(
        &mut self,
        now: Instant,
        subscribed: Subscribed,
        requests: &mut Requests,
    ) {
        let Subscribed { sub, place, durable, pending: _ } = subscribed;
        if let Some(entry) = self.entries.get(sub.as_str()) {
            let reference = entry.reference.clone();
            match entry.phase {
                Phase::Waiting { .. } if entry.request.is_inbox => {
                    self.subscribed(now, &reference, place);
                }
                // What the client asks for itself takes its place.
                Phase::Waiting { .. }
                | Phase::Asked { .. }
                | Phase::Active
                | Phase::Behind { .. } => {}
            }
            return;
        }
        if let Some(name) = durable {
            self.inbox.started = Some((sub.clone(), name.clone()));
            if let Some(InboxCommand { ack, answer, feedback }) = self.next_wanted() {
                let request = SubscribeRequest::inbox(sub.clone(), name, ack);
                // It stands already, so there is nothing to ask for.
                self.add(SubscribeCommand { request, answer, feedback }, None);
            }
            for other in std::mem::take(&mut self.inbox.wanted) {
                let error = SubscribeError::AlreadySubscribed { sub: sub.clone() };
                let _ = other.answer.send(Err(error));
            }
        }
        match self.entries.get(sub.as_str()).map(|entry| entry.reference.clone()) {
            Some(reference) => self.subscribed(now, &reference, place),
            None => {
                tracing::debug!(%sub, "nobody wants what the server has subscribed: declined");
                requests.ask(ClientBody::Unsubscribe { sub }, Request::Unsubscribe);
            }
        }
    }

    fn next_wanted(&mut self) -> Option<InboxCommand> {
        self.inbox.wanted.retain(|command| !command.answer.is_closed());
        (!self.inbox.wanted.is_empty()).then(|| self.inbox.wanted.remove(0))
    }

    /// There is a connection: waits for the server to start the inbox `sub`, and asks for it if it
    /// does not.
    pub(super) fn await_inbox(&mut self, now: Instant, sub: &Arc<str>) {
        if let Some(entry) = self.entries.get_mut(sub) {
            entry.phase = Phase::Waiting { until: Some(now + INBOX_PATIENCE) };
        }
    }
}

impl SubscribeRequest {
    /// The inbox that the server starts by itself under this name.
    fn inbox(sub: Filter, name: SubscriptionName, ack: AckMode) -> Self {
        Self { is_inbox: true, ack, ..Self::durable_of(sub, name) }
    }
}
