//! What subscriptions and deliveries tell the client's task.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::Position;

/// Which subscription: its text, and which one of that text, since one can follow another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionRef {
    pub(crate) sub: Arc<str>,
    pub(crate) instance: u64,
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
    Acked(Position),
    /// The application wants it again.
    Nacked { position: Position, delay: Option<Duration>, reason: Option<String> },
    /// The application will never take it.
    GivenUp { position: Position, reason: Option<String> },
    /// The application let go of it without an answer.
    LetGo(Position),
    /// The application needs more time for it.
    Extended { position: Position, by: Duration },
    /// The application dropped the subscription.
    Unsubscribed,
}
