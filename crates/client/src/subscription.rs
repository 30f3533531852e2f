//! The application's end of a subscription.

use std::sync::{Arc, OnceLock};

use tidings_core::{Filter, Position};
use tidings_protocol::{
    Delivery as Received, ErrorBody, PresenceChange, Reset, SubscribedPlace, UnsubscribeReason,
};
use tokio::sync::mpsc;

use crate::delivery::{Answer, Delivery};
use crate::feedback::{DeliveryRef, Feedback, FeedbackKind, SubscriptionRef};
use crate::state::CloseReason;
use crate::subscribe::AckMode;

/// What a subscription has to tell.
#[derive(Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are messages, which would pay an allocation each"
)]
pub enum Event {
    /// A message.
    Message(Delivery),
    /// The subscription stands, for the first time or again after a disconnect, and nothing was
    /// missed: everything after its place is delivered. Of a filter with wildcards there is no
    /// place; `again` then means that messages published meanwhile were not received.
    Subscribed {
        /// Where the topic stands.
        place: Option<SubscribedPlace>,
        /// Whether it stood before.
        again: bool,
    },
    /// The subscription lost its place: messages before `first` are gone, and delivery goes on
    /// from there.
    Reset(Reset),
    /// Who joined and left the topic, of subscriptions made with
    /// [`SubscribeRequest::presence`](crate::SubscribeRequest::presence). With `reset` ask for the
    /// list with [`Client::presence`](crate::Client::presence), and apply what comes after to it.
    /// It comes first of all, and whenever some of these may have been missed. Where very many
    /// clients keep a list, let each wait for a random time before it asks, or they all ask at
    /// once when a server comes back.
    Presence(PresenceChange),
    /// The application was too slow for a subscription with wildcards while other things waited
    /// on the same client, and this many messages were not kept. Read the history of the topics
    /// that matter.
    Missed {
        /// How many.
        count: u64,
    },
    /// The end. Nothing follows.
    Ended(EndReason),
}

/// Why a subscription ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndReason {
    /// The client ended.
    #[error(transparent)]
    Closed(#[from] CloseReason),
    /// The server ended it.
    #[error("{}", unsubscribe_text(*.0))]
    Server(UnsubscribeReason),
    /// The server ended it without a reason this client knows.
    #[error("the server ended the subscription")]
    Unknown,
    /// After a reconnect the server refused it.
    #[error("the server refused to go on: {} ({})", .0.message, .0.code.as_str())]
    Refused(ErrorBody),
}

const fn unsubscribe_text(reason: UnsubscribeReason) -> &'static str {
    match reason {
        UnsubscribeReason::TakenOver => {
            "another connection took the durable subscription over: give each its own name"
        }
        UnsubscribeReason::Forbidden => "the token no longer allows this subscription",
        UnsubscribeReason::TooFarBehind => {
            "the subscription fell behind in too many topics: subscribe again, and read what was \
             missed from history"
        }
    }
}

/// What waits in a subscription's queue.
#[derive(Debug)]
pub(crate) enum Queued {
    Message { message: Received, position: Option<Position>, delivery: Option<DeliveryRef> },
    Subscribed { place: Option<SubscribedPlace>, again: bool },
    Reset(Reset),
    Presence(PresenceChange),
    Missed { count: u64 },
}

/// Who acks what.
#[derive(Debug)]
pub(crate) enum Settling {
    /// Live: nobody.
    None,
    /// The next call of `next`, this one.
    Auto { last: Option<DeliveryRef> },
    /// The application.
    Manual,
}

/// A subscription: ask it for the [`next`](Self::next) event. Dropping it unsubscribes; a durable
/// one keeps its place on the server.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) filter: Filter,
    pub(crate) reference: SubscriptionRef,
    pub(crate) queue: mpsc::Receiver<Queued>,
    pub(crate) feedback: mpsc::Sender<Feedback>,
    pub(crate) settling: Settling,
    pub(crate) end: Arc<OnceLock<EndReason>>,
    pub(crate) position: Option<Position>,
    pub(crate) is_over: bool,
}

impl Subscription {
    /// The topic or filter.
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The position of the last message handed out; what a later live subscription can start
    /// after. `None` before the first, and on filters with wildcards.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// The next event, when there is one; `None` after [`Event::Ended`].
    ///
    /// With [`AckMode::Auto`] this acks the message before. Cancel safe: nothing is lost, and an
    /// ack that was due is given by the next call.
    pub async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        self.ack_last().await;
        // The place for the answer comes first: a message taken from the queue must not be lost
        // while waiting for one.
        let place = match self.settling {
            Settling::None => None,
            Settling::Auto { .. } | Settling::Manual => {
                self.feedback.clone().reserve_owned().await.ok()
            }
        };
        let Some(queued) = self.queue.recv().await else {
            self.is_over = true;
            let reason = self.end.get().cloned();
            return Some(Event::Ended(reason.unwrap_or(EndReason::Closed(CloseReason::Asked))));
        };
        Some(match queued {
            Queued::Message { message, position, delivery } => {
                self.position = position;
                let answer = delivery.zip(place).and_then(|(d, place)| self.answer(d, place));
                Event::Message(Delivery::new(message, position, answer))
            }
            Queued::Subscribed { place, again } => Event::Subscribed { place, again },
            Queued::Reset(reset) => Event::Reset(reset),
            Queued::Presence(change) => Event::Presence(change),
            Queued::Missed { count } => Event::Missed { count },
        })
    }

    async fn ack_last(&mut self) {
        let Settling::Auto { last: Some(delivery) } = self.settling else { return };
        if let Ok(place) = self.feedback.reserve().await {
            let what = FeedbackKind::Acked(delivery);
            place.send(Feedback { from: self.reference.clone(), what });
        }
        self.settling = Settling::Auto { last: None };
    }

    /// The way back for the answer to `delivery`.
    fn answer(
        &mut self,
        delivery: DeliveryRef,
        place: mpsc::OwnedPermit<Feedback>,
    ) -> Option<Answer> {
        let mode = match &mut self.settling {
            Settling::None => return None,
            Settling::Auto { last } => {
                *last = Some(delivery);
                AckMode::Auto
            }
            Settling::Manual => AckMode::Manual,
        };
        let (from, feedback) = (self.reference.clone(), self.feedback.clone());
        Some(Answer { from, delivery, mode, place, feedback })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let goodbye = Feedback { from: self.reference.clone(), what: FeedbackKind::Unsubscribed };
        // If the queue is full the task finds out with the next message, which finds nobody.
        let _ = self.feedback.try_send(goodbye);
    }
}
