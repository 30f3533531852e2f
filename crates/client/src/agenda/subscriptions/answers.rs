//! What the application's answers to deliveries come to.

use tidings_protocol::{ClientBody, Extend, Nack};

use super::{Subscriptions, find, note_acks};
use crate::agenda::entry::Phase;
use crate::agenda::entry::place::{GiveUpAnswer, Target};
use crate::agenda::requests::{Request, Requests};
use crate::feedback::{DeliveryRef, Feedback, FeedbackKind, SubscriptionRef};

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
        let sub = &entry.request.sub;
        // Where there is one topic, the subscription's name says it.
        let topic_of = |target: Target| target.topic.filter(|_| sub.has_wildcards());
        // Only the connection that brought a message can take an answer to it.
        match (what, requests.filter(|_| entry.phase == Phase::Active)) {
            (FeedbackKind::Acked(delivery), _) => {
                entry.place.acked(delivery);
                note_acks(entry, &mut self.with_acks);
            }
            (FeedbackKind::Nacked { delivery, delay, reason }, Some(requests)) => {
                if let Some(target) = entry.place.released(delivery) {
                    let (offset, topic) = (target.offset, topic_of(target));
                    let nack = Nack { sub: sub.clone(), topic, offset, delay, reason, dead: false };
                    requests.say(ClientBody::Nack(nack));
                }
            }
            (FeedbackKind::GivenUp { delivery, reason }, Some(requests)) => {
                if let Some(target) = entry.place.given_up(delivery) {
                    let (offset, topic) = (target.offset, topic_of(target));
                    let (delay, dead) = (None, true);
                    let nack = Nack { sub: sub.clone(), topic, offset, delay, reason, dead };
                    requests.ask(ClientBody::Nack(nack), Request::GiveUp { from, delivery });
                }
            }
            (FeedbackKind::Extended { delivery, by }, Some(requests)) => {
                if let Some(target) = entry.place.target(delivery) {
                    let (offset, topic) = (target.offset, topic_of(target));
                    let extend = Extend { sub: sub.clone(), topic, offset, by };
                    requests.say(ClientBody::Extend(extend));
                }
            }
            // Without a connection, or let go: the server sends it again, and it is handed out.
            (
                FeedbackKind::Nacked { delivery, .. }
                | FeedbackKind::GivenUp { delivery, .. }
                | FeedbackKind::LetGo(delivery),
                _,
            ) => {
                entry.place.released(delivery);
            }
            (FeedbackKind::Extended { .. }, None) | (FeedbackKind::Unsubscribed, _) => {}
        }
    }

    /// The server has answered to a giving up.
    pub(in crate::agenda) fn gave_up(
        &mut self,
        from: &SubscriptionRef,
        delivery: DeliveryRef,
        answer: GiveUpAnswer,
    ) {
        let Some(entry) = find(&mut self.entries, from) else { return };
        entry.place.gave_up(delivery, answer);
        note_acks(entry, &mut self.with_acks);
    }
}
