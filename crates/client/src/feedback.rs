//! What subscriptions and deliveries tell the client's task.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{MessageId, Position};

/// Which subscription: its text, and which one of that text, since one can follow another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionRef {
    pub(crate) sub: Arc<str>,
    pub(crate) instance: u64,
}

/// Which delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryRef {
    /// Of a durable subscription: by its place in the one log.
    At(Position),
    /// Of a shared subscription, which may have many logs: by the message's name.
    Of(MessageId),
}

/// Something a subscription or one of its deliveries says.
#[derive(Debug)]
pub(crate) struct Feedback {
    pub(crate) from: SubscriptionRef,
    pub(crate) what: FeedbackKind,
}

/// What it says.
#[derive(Debug)]
pub(crate) enum FeedbackKind {
    /// The application is done with a message.
    Acked(DeliveryRef),
    /// The application wants it again.
    Nacked { delivery: DeliveryRef, delay: Option<Duration>, reason: Option<String> },
    /// The application will never take it.
    GivenUp { delivery: DeliveryRef, reason: Option<String> },
    /// The application let go of it without an answer.
    LetGo(DeliveryRef),
    /// The application needs more time for it.
    Extended { delivery: DeliveryRef, by: Duration },
    /// The application dropped the subscription.
    Unsubscribed,
}
