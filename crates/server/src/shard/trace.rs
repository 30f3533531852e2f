//! Spans of deliveries to durable subscriptions: from being sent to what came of it.

use std::collections::BTreeMap;

use tidings_core::{DeliveryWindow, GiveUp, Message, Offset, Standing};

use super::connection::Connection;
use super::durable::held;
use super::subscription::Durable;
use crate::spans::{OpenSpan, Outcome, Spans};

/// Deliveries of one subscription that have a span and no answer, at most a window's. What is left
/// when the subscription ends was interrupted.
#[derive(Debug, Default)]
pub(super) struct TracedDeliveries(BTreeMap<Offset, OpenSpan>);

/// What may have ended deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The subscriber has answered.
    Answered,
    /// A deadline has passed.
    Deadline,
    /// The log was read, and lacks messages.
    Read,
}

/// A message is sent to the durable subscription of a connection.
pub(super) fn sent(spans: &Spans, connection: &mut Connection, message: &Message, attempt: u32) {
    if spans.are_off() {
        return;
    }
    let Some(durable) = held(connection, message.topic()) else { return };
    if let Some(span) = spans.delivery(message, &durable.key, attempt) {
        durable.traced.0.insert(message.offset, span);
    }
}

/// Ends the spans of the deliveries that `cause` has ended.
pub(super) fn ended(durable: &mut Durable, cause: Cause) {
    let Durable { traced: TracedDeliveries(open), window, .. } = durable;
    if open.is_empty() {
        return;
    }
    let over = |offset: &Offset, _: &mut OpenSpan| outcome(window, *offset, cause).is_some();
    for (offset, span) in open.extract_if(.., over) {
        match outcome(window, offset, cause) {
            Some((outcome, Finality::Again)) => span.end(outcome),
            Some((outcome, Finality::GivenUp)) => span.end_for_good(outcome),
            None => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finality {
    /// It is settled, or sent again.
    Again,
    /// It goes to the dead letters.
    GivenUp,
}

/// What came of the delivery of the message at `offset`; `None` as long as nothing has.
fn outcome(window: &DeliveryWindow, offset: Offset, cause: Cause) -> Option<(Outcome, Finality)> {
    match (window.standing(offset), cause) {
        (Some(Standing::AwaitingAck), _) => None,
        (Some(Standing::Waiting), Cause::Deadline) => Some((Outcome::TimedOut, Finality::Again)),
        (Some(Standing::Waiting), Cause::Answered | Cause::Read) => {
            Some((Outcome::Nacked, Finality::Again))
        }
        (Some(Standing::GivenUp(reason)), _) => {
            let outcome = match reason {
                GiveUp::TimedOut => Outcome::TimedOut,
                GiveUp::Nacked => Outcome::Nacked,
                GiveUp::Asked => Outcome::RefusedForGood,
            };
            Some((outcome, Finality::GivenUp))
        }
        (None, Cause::Answered) => Some((Outcome::Acked, Finality::Again)),
        (None, Cause::Deadline | Cause::Read) => Some((Outcome::Gone, Finality::Again)),
    }
}
