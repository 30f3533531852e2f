//! What the application's answers to deliveries come to.

use tidings_core::Offset;
use tidings_protocol::{ClientBody, ErrorBody, Extend, Nack};

use super::{Subscriptions, find, note_acks};
use crate::agenda::entry::{Phase, Place};
use crate::agenda::requests::{Request, Requests};
use crate::feedback::{Feedback, FeedbackKind, SubscriptionRef};

impl Subscriptions {
    /// A subscription or a delivery says something.
    pub(in crate::agenda) fn feedback(
        &mut self,
        feedback: Feedback,
        requests: Option<&mut Requests>,
    ) {
        let Feedback { from, what } = feedback;
        let Some(entry) = find(&mut self.entries, &from) else { return };
        if let FeedbackKind::Unsubscribed = what {
            return self.remove(&from.sub, requests);
        }
        let sub = entry.request.sub.clone();
        let Place::Durable(ledger) = &mut entry.place else { return };
        // Only the connection that brought a message can take an answer to it.
        match (what, requests.filter(|_| entry.phase == Phase::Active)) {
            (FeedbackKind::Acked(position), _) => {
                ledger.acked(position);
                note_acks(entry, &mut self.with_acks);
            }
            (FeedbackKind::Nacked { position, delay, reason }, Some(requests)) => {
                if ledger.released(position) {
                    let offset = position.offset;
                    let nack = Nack { sub, topic: None, offset, delay, reason, dead: false };
                    requests.say(ClientBody::Nack(nack));
                }
            }
            (FeedbackKind::GivenUp { position, reason }, Some(requests)) => {
                if ledger.given_up(position) {
                    let offset = position.offset;
                    let nack = Nack { sub, topic: None, offset, delay: None, reason, dead: true };
                    requests.ask(ClientBody::Nack(nack), Request::GiveUp { from, offset });
                }
            }
            (FeedbackKind::Extended { position, by }, Some(requests)) => {
                if ledger.epoch() == Some(position.epoch) {
                    let offset = position.offset;
                    requests.say(ClientBody::Extend(Extend { sub, topic: None, offset, by }));
                }
            }
            // Without a connection, or let go: the server sends it again, and it is handed out.
            (
                FeedbackKind::Nacked { position, .. }
                | FeedbackKind::GivenUp { position, .. }
                | FeedbackKind::LetGo(position),
                _,
            ) => {
                ledger.released(position);
            }
            (FeedbackKind::Extended { .. }, None) | (FeedbackKind::Unsubscribed, _) => {}
        }
    }

    /// The server has answered to a giving up.
    pub(in crate::agenda) fn gave_up(
        &mut self,
        from: &SubscriptionRef,
        offset: Offset,
        result: Result<(), &ErrorBody>,
    ) {
        let Some(entry) = find(&mut self.entries, from) else { return };
        if let Place::Durable(ledger) = &mut entry.place {
            match result {
                Ok(()) => ledger.give_up_confirmed(offset),
                Err(_) => ledger.give_up_refused(offset),
            }
            note_acks(entry, &mut self.with_acks);
        }
    }
}
