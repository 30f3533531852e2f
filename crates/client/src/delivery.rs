//! A message in the application's hands.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tidings_core::limits::{REASON_BYTES_MAX, REDELIVERY_DELAY_MAX};
use tidings_core::{
    ContentType, Data, Headers, MessageId, Offset, OrderKey, Position, Timestamp, Topic, UserId,
};
use tidings_protocol::Delivery as Received;
use tokio::sync::mpsc;

use crate::feedback::{DeliveryRef, Feedback, FeedbackKind, SubscriptionRef};
use crate::subscribe::AckMode;

/// A message as a subscription hands it out.
///
/// Messages of durable and shared subscriptions want an answer: [`ack`](Self::ack), [`nack`](Self::nack) or
/// [`give_up`](Self::give_up). With [`AckMode::Auto`] asking for the next one is the ack. On live
/// subscriptions the answers do nothing.
pub struct Delivery {
    message: Received,
    position: Option<Position>,
    /// `None` on live subscriptions, and once answered.
    answer: Option<Answer>,
}

/// The way back to the subscription, with a place kept in its queue so that answering never waits.
pub(crate) struct Answer {
    pub(crate) from: SubscriptionRef,
    pub(crate) delivery: DeliveryRef,
    pub(crate) mode: AckMode,
    pub(crate) place: mpsc::OwnedPermit<Feedback>,
    pub(crate) feedback: mpsc::Sender<Feedback>,
}

impl Answer {
    fn say(self, what: FeedbackKind) {
        self.place.send(Feedback { from: self.from, what });
    }
}

impl Delivery {
    pub(crate) const fn new(
        message: Received,
        position: Option<Position>,
        answer: Option<Answer>,
    ) -> Self {
        Self { message, position, answer }
    }

    /// The message's topic.
    pub const fn topic(&self) -> &Topic {
        &self.message.topic
    }

    /// Its place in the topic.
    pub const fn offset(&self) -> Offset {
        self.message.offset
    }

    /// Its place with the life of the log; `None` on subscriptions with wildcards, where the
    /// server does not say it.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Its name.
    pub const fn id(&self) -> MessageId {
        self.message.id
    }

    /// What it carries.
    pub const fn data(&self) -> &Data {
        &self.message.data
    }

    /// What it carries, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.message.data.bytes())
    }

    /// The data's media type, if the publisher gave one.
    pub const fn content_type(&self) -> Option<&ContentType> {
        self.message.content_type.as_ref()
    }

    /// Names and values from the publisher.
    pub const fn headers(&self) -> &Headers {
        &self.message.headers
    }

    /// Who published it; `None` for the server itself.
    pub const fn from(&self) -> Option<&UserId> {
        self.message.from.as_ref()
    }

    /// What it has in common with others that a group takes one after the other.
    pub const fn order_key(&self) -> Option<&OrderKey> {
        self.message.order_key.as_ref()
    }

    /// When it was published.
    pub const fn at(&self) -> Timestamp {
        self.message.at
    }

    /// Which delivery of it this is, from 1; live subscriptions have only first ones.
    pub const fn attempt(&self) -> u32 {
        self.message.attempt
    }

    /// The whole message.
    pub const fn message(&self) -> &Received {
        &self.message
    }

    /// Done: it will not come again. Acks leave in batches, shortly after.
    pub fn ack(mut self) {
        if let Some(answer) = self.answer.take() {
            let delivery = answer.delivery;
            answer.say(FeedbackKind::Acked(delivery));
        }
    }

    /// Not now: it comes again after `delay` (at most a day), or after the topic's backoff. After
    /// the last attempt it goes to the dead letters with the reasons, of which the first 512
    /// bytes are kept.
    pub fn nack(mut self, delay: Option<Duration>, reason: Option<&str>) {
        if let Some(answer) = self.answer.take() {
            let delay = delay.map(|delay| delay.min(REDELIVERY_DELAY_MAX));
            let (delivery, reason) = (answer.delivery, reason.map(shorten));
            answer.say(FeedbackKind::Nacked { delivery, delay, reason });
        }
    }

    /// Never: it goes to the dead letters now, with the reason.
    pub fn give_up(mut self, reason: Option<&str>) {
        if let Some(answer) = self.answer.take() {
            let (delivery, reason) = (answer.delivery, reason.map(shorten));
            answer.say(FeedbackKind::GivenUp { delivery, reason });
        }
    }

    /// Working on it: the ack timeout starts again with this much time (at most a day). Waits
    /// only when very many answers are on their way; nothing is sent if it is cancelled then.
    pub async fn extend(&self, by: Duration) {
        if let Some(answer) = &self.answer {
            let (delivery, by) = (answer.delivery, by.min(REDELIVERY_DELAY_MAX));
            let what = FeedbackKind::Extended { delivery, by };
            // A client that has ended has nobody to tell.
            let _ = answer.feedback.send(Feedback { from: answer.from.clone(), what }).await;
        }
    }
}

/// As much of a reason as the protocol carries.
fn shorten(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            match answer.mode {
                // Asking for the next one is what acks it.
                AckMode::Auto => {}
                AckMode::Manual => {
                    let delivery = answer.delivery;
                    answer.say(FeedbackKind::LetGo(delivery));
                }
            }
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("message", &self.message)
            .field("wants_answer", &self.answer.is_some())
            .finish_non_exhaustive()
    }
}
