//! What the SDK tells, in the words of the suite.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tidings_client::{
    CloseReason, ContentType, Data, DataKind, Delivery, Disconnect, EndReason, Event, Member,
    OrderKey, PublishError, PublishOutcome, State, SubscribeError, UserId,
};
use tokio::sync::watch::Receiver;

use crate::tell;

/// Tells one event; gives back the delivery, for it waits for an answer.
pub(crate) fn tell_event(sub: &str, event: Event) -> Option<Delivery> {
    let told = match event {
        Event::Message(delivery) => {
            tell(&told_message(sub, &delivery));
            return Some(delivery);
        }
        Event::Subscribed { place, again } => json!({"event": "subscribed", "sub": sub,
            "again": again, "pending": place.map(|place| place.pending)}),
        Event::Reset(reset) => json!({"event": "reset", "sub": sub, "topic": reset.topic.as_str(),
            "reason": reset.reason.as_str(), "first": reset.first.get(),
            "epoch": reset.epoch.to_string()}),
        Event::Presence(change) => json!({"event": "presence", "sub": sub,
            "joined": members(&change.joined), "left": members(&change.left),
            "reset": change.reset}),
        Event::Missed { count } => json!({"event": "missed", "sub": sub, "count": count}),
        // Nobody needs to be told of the end that they have asked for.
        Event::Ended(EndReason::Closed(CloseReason::Asked)) => return None,
        Event::Ended(reason) => {
            json!({"event": "ended", "sub": sub, "reason": end_word(&reason)})
        }
        _ => return None,
    };
    tell(&told);
    None
}

/// Fields without a value are null.
pub(crate) fn told_message(sub: &str, delivery: &Delivery) -> Value {
    let mut told = json!({"event": "message", "sub": sub, "topic": delivery.topic().as_str(),
        "offset": delivery.offset().get(), "id": delivery.id().to_string(),
        "attempt": delivery.attempt(), "from": delivery.from().map(UserId::as_str),
        "headers": delivery.headers(), "order_key": delivery.order_key().map(OrderKey::as_str),
        "content_type": delivery.content_type().map(ContentType::as_str)});
    match delivery.data().kind() {
        DataKind::Json => told["data"] = told_data(delivery.data()),
        DataKind::Binary => {
            told["data_base64"] = json!(BASE64_STANDARD.encode(delivery.data().bytes()));
        }
    }
    told
}

pub(crate) async fn tell_states(mut state: Receiver<State>) {
    loop {
        let told = match &*state.borrow_and_update() {
            State::Disconnected => json!({"status": "idle"}),
            State::Connecting { .. } | State::Authenticating => json!({"status": "connecting"}),
            State::Ready(connected) => json!({"status": "connected",
                "user": connected.user.as_str(), "client": connected.client.as_str(),
                "resumed": connected.resumed}),
            State::Reconnecting { cause, .. } => {
                json!({"status": "reconnecting", "code": cause_word(cause)})
            }
            State::Closed { reason: CloseReason::Failed(cause) } => {
                json!({"status": "ended", "code": cause_word(cause)})
            }
            State::Closed { .. } => json!({"status": "closed"}),
        };
        let mut event = json!({"event": "state"});
        if let (Value::Object(event), Value::Object(told)) = (&mut event, told) {
            event.extend(told);
        }
        tell(&event);
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// The word of the protocol for the end of a connection: an error code, or the reason of a close.
pub(crate) fn cause_word(cause: &Disconnect) -> String {
    match cause {
        Disconnect::Refused { error } => error.code.as_str().to_owned(),
        Disconnect::Closed { reason, .. } | Disconnect::Goaway { reason, .. } => reason.clone(),
        _ => "connection_lost".to_owned(),
    }
}

pub(crate) fn end_word(reason: &EndReason) -> String {
    match reason {
        EndReason::Closed(_) => "closed".to_owned(),
        EndReason::Server(reason) => reason.as_str().to_owned(),
        EndReason::Refused(error) => error.code.as_str().to_owned(),
        _ => "unknown".to_owned(),
    }
}

pub(crate) fn publish_code(error: &PublishError) -> &'static str {
    match error {
        PublishError::Refused { error } => error.code.as_str(),
        PublishError::TooLarge { .. } | PublishError::OutboxTooSmall { .. } => "too_large",
        _ => "closed",
    }
}

pub(crate) fn subscribe_code(error: &SubscribeError) -> &'static str {
    match error {
        SubscribeError::Refused { error } => error.code.as_str(),
        SubscribeError::AlreadySubscribed { .. } => "already_subscribed",
        SubscribeError::Closed { .. } => "closed",
        _ => "refused",
    }
}

pub(crate) fn told_outcome(outcome: &PublishOutcome) -> Value {
    match outcome {
        PublishOutcome::Published(published) => json!({"id": published.id.to_string(),
            "offset": published.position.offset.get(), "epoch": published.position.epoch.to_string(),
            "duplicate": published.duplicate}),
        PublishOutcome::Scheduled(scheduled) => json!({"id": scheduled.id.to_string(),
            "deliver_at": scheduled.deliver_at.as_ms(), "duplicate": scheduled.duplicate}),
    }
}

pub(crate) fn told_data(data: &Data) -> Value {
    match data.kind() {
        DataKind::Json => serde_json::from_slice(data.bytes()).unwrap_or(Value::Null),
        DataKind::Binary => json!({"bytes": data.bytes().len()}),
    }
}

pub(crate) fn members(list: &[Member]) -> Vec<Value> {
    list.iter()
        .map(|one| json!({"user": one.user.as_str(), "client": one.client.as_str()}))
        .collect()
}
