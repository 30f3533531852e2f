//! The parts of a story as JSON.

use std::sync::Arc;

use serde_json::{Value, json};
use tidings_core::{CursorKey, CursorState, Message, Offset, TRACEPARENT, Timestamp};

use super::places::Place;
use crate::delivery_record::Happening;
use crate::inbox::{Recalled, RecalledEvent, Unsettled};
use crate::schedule::as_if_due;

/// What was published. Of its data only how much: the story is not the place to read messages.
pub(super) fn published(
    first: &Arc<Message>,
    newest: Option<&Arc<Message>>,
    now: Timestamp,
) -> Value {
    let content = &first.content;
    let mut told = json!({
        "topic": content.topic.as_str(),
        "at": first.published_at.as_ms(),
        "bytes": content.data.bytes().len(),
        "headers": content.headers.len(),
    });
    let texts = [
        ("from", content.sender.as_ref().map(|sender| sender.as_str())),
        ("order_key", content.order_key.as_ref().map(|key| key.as_str())),
        ("content_type", content.content_type.as_ref().map(|kind| kind.as_str())),
        ("traceparent", content.headers.get(TRACEPARENT).map(String::as_str)),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            told[name] = json!(value);
        }
    }
    if let Some(ttl) = content.ttl {
        let last = newest.unwrap_or(first);
        told["ttl_ms"] = json!(ttl.as_millis() as u64);
        told["expired"] = json!(last.is_expired(now));
    }
    told
}

/// What waits to be published, from the entry of the schedule that keeps it, and since when.
pub(super) fn scheduled(entry: &Message, now: Timestamp) -> Option<Value> {
    let message = Arc::new(as_if_due(entry)?);
    let mut told = published(&message, None, now);
    told["at"] = json!(entry.published_at.as_ms());
    told["deliver_at"] = json!(message.published_at.as_ms());
    Some(told)
}

/// What the shards remember, oldest first.
pub(super) fn events(recalled: &[(&Place, Recalled)]) -> Vec<Value> {
    let mut all: Vec<(Timestamp, Offset, &RecalledEvent)> = Vec::new();
    for (place, answer) in recalled {
        // A shard's times are those of its turns, which may begin a little before what they bring.
        let earliest = place.message.as_ref().map(|message| message.published_at);
        let earliest = earliest.unwrap_or_default();
        all.extend(answer.events.iter().map(|e| (e.at.max(earliest), place.offset(), e)));
    }
    // Stable: what a shard remembers of one moment stays in its order.
    all.sort_by_key(|(at, ..)| *at);
    all.into_iter().map(|(at, offset, event)| told_event(at, offset, event)).collect()
}

fn told_event(at: Timestamp, offset: Offset, event: &RecalledEvent) -> Value {
    let what = match event.what {
        Happening::Sent => "sent",
        Happening::Acked | Happening::AckedThrough => "acked",
        Happening::Failed(end) => end.as_str(),
        Happening::Returned => "returned",
        Happening::GivenUp => "given_up",
    };
    let mut told = named(&event.reader.key);
    told["at"] = json!(at.as_ms());
    told["what"] = json!(what);
    told["offset"] = json!(offset.get());
    if let Some((user, client)) = &event.reader.who {
        told["client"] = json!(client.as_str());
        told["user"] = json!(user.as_str());
    }
    if event.attempt > 0 {
        told["attempt"] = json!(event.attempt);
    }
    told
}

/// How the message stands with a subscription.
pub(super) fn subscription(
    key: &CursorKey,
    place: &Place,
    cursor: Option<&CursorState>,
    here: Option<&Unsettled>,
) -> Value {
    let mut told = named(key);
    told["offset"] = json!(place.offset().get());
    let state = cursor.filter(|state| state.epoch == place.position.epoch);
    told["state"] = json!(match state {
        None => "unknown",
        Some(state) if is_settled(state, place.offset()) => "settled",
        Some(_) => "pending",
    });
    let failed = state.and_then(|state| {
        let mut attempts = state.attempts.iter();
        attempts.find(|(offset, _)| *offset == place.offset()).map(|(_, failed)| *failed)
    });
    if let Some(failed) = failed.filter(|failed| *failed > 0) {
        told["attempts_failed"] = json!(failed);
    }
    if let Some(here) = here {
        if let Some(client) = &here.client {
            told["client"] = json!(client.as_str());
        }
        told["failed"] = json!(here.failed);
        if let Some((attempt, sent_at)) = here.sent {
            told["waiting"] = json!({ "attempt": attempt, "sent_at": sent_at.as_ms() });
        }
    }
    told
}

fn is_settled(state: &CursorState, offset: Offset) -> bool {
    let after = || state.settled.iter().any(|(first, last)| (*first..=*last).contains(&offset));
    offset < state.next || after()
}

fn named(key: &CursorKey) -> Value {
    match key {
        CursorKey::Durable(key) => {
            json!({ "user": key.user.as_str(), "durable": key.name.as_str() })
        }
        CursorKey::Group { group, .. } => {
            json!({ "group": group.group.as_str(), "filter": group.filter.as_str() })
        }
    }
}
