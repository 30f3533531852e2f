//! Spans of deliveries to durable subscriptions and members of groups: from being sent to what came
//! of it.

use std::collections::BTreeMap;

use tidings_core::{GiveUp, Message, Offset, Standing};

use super::connection::Connection;
use super::durable::held;
use super::subscription::Durable;
use crate::spans::{OpenSpan, Outcome, Recipient, Spans};

/// Deliveries of one subscription, or of one topic of a group, that have a span and no answer, at most
/// as many as may be in flight. What is left when the subscription ends was interrupted. Where spans
/// are off it is one word.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "an empty map takes three words, in every subscription")]
pub(super) struct TracedDeliveries(Option<Box<BTreeMap<Offset, OpenSpan>>>);

/// What may have ended deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The subscriber has answered.
    Answered,
    /// A deadline has passed.
    Deadline,
    /// The log was read, and lacks messages.
    Read,
    /// A member of a group has left, or gave back what never left.
    Parted,
}

impl TracedDeliveries {
    /// The delivery of a message begins.
    pub(super) fn begin(&mut self, offset: Offset, span: OpenSpan) {
        self.0.get_or_insert_default().insert(offset, span);
    }

    /// Ends the span of one delivery, if `cause` has ended it. `standing` is that of its message.
    pub(super) fn end_one(&mut self, offset: Offset, cause: Cause, standing: Option<Standing>) {
        let Some((outcome, finality)) = outcome(standing, cause) else { return };
        let Some(open) = &mut self.0 else { return };
        let Some(span) = open.remove(&offset) else { return };
        match finality {
            Finality::Again => span.end(outcome),
            Finality::GivenUp => span.end_for_good(outcome),
        }
    }

    /// Ends the spans of all deliveries that `cause` has ended.
    pub(super) fn end_all(&mut self, cause: Cause, standing: impl Fn(Offset) -> Option<Standing>) {
        let Some(open) = &self.0 else { return };
        let offsets: Vec<_> = open.keys().copied().collect();
        for offset in offsets {
            self.end_one(offset, cause, standing(offset));
        }
    }
}

/// A message is sent to the durable subscription of a connection.
pub(super) fn sent(spans: &Spans, connection: &mut Connection, message: &Message, attempt: u32) {
    if spans.are_off() {
        return;
    }
    let Some(durable) = held(connection, message.topic()) else { return };
    if let Some(span) = spans.delivery(message, Recipient::Durable(&durable.key), attempt) {
        durable.traced.begin(message.offset, span);
    }
}

/// Ends the spans of the deliveries that `cause` has ended.
pub(super) fn ended(durable: &mut Durable, cause: Cause) {
    let Durable { traced, window, .. } = durable;
    traced.end_all(cause, |offset| window.standing(offset));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finality {
    /// It is settled, or sent again.
    Again,
    /// It goes to the dead letters.
    GivenUp,
}

/// What came of a delivery whose message has this `standing` now; `None` as long as nothing has.
const fn outcome(standing: Option<Standing>, cause: Cause) -> Option<(Outcome, Finality)> {
    match (standing, cause) {
        (Some(Standing::AwaitingAck), _) => None,
        (Some(Standing::Waiting), Cause::Deadline) => Some((Outcome::TimedOut, Finality::Again)),
        (Some(Standing::Waiting), Cause::Answered | Cause::Read) => {
            Some((Outcome::Nacked, Finality::Again))
        }
        (Some(Standing::Waiting), Cause::Parted) => Some((Outcome::Interrupted, Finality::Again)),
        (Some(Standing::GivenUp(_)), Cause::Parted) => {
            Some((Outcome::Interrupted, Finality::GivenUp))
        }
        (Some(Standing::GivenUp(reason)), Cause::Answered | Cause::Deadline | Cause::Read) => {
            let outcome = match reason {
                GiveUp::TimedOut => Outcome::TimedOut,
                GiveUp::ConnectionEnded => Outcome::Interrupted,
                GiveUp::Nacked => Outcome::Nacked,
                GiveUp::Asked => Outcome::RefusedForGood,
            };
            Some((outcome, Finality::GivenUp))
        }
        (None, Cause::Answered) => Some((Outcome::Acked, Finality::Again)),
        (None, Cause::Deadline | Cause::Read | Cause::Parted) => {
            Some((Outcome::Gone, Finality::Again))
        }
    }
}
