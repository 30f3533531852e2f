//! `GET /v1/messages/{id}`: the story of one message, as far as it is known.

mod places;
mod told;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tidings_core::{CursorKey, MessageId, Timestamp};
use tidings_protocol::ErrorCode;
use tidings_storage::{Cursor, CursorsOf};

use super::Operator;
use super::dead_letters::blocking;
use crate::clock::Clock;
use crate::dead_letters::{DeadLetter, selection};
use crate::env::Env;
use crate::inbox::Recalled;
use crate::problem::HttpError;
use places::{Place, Whereabouts};

/// Longest wait for a shard that is busy.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Cursors of the topic that are looked at.
const CURSORS_MAX: usize = 1000;

/// What no story tells, because it is nowhere kept.
const NOT_KEPT: [&str; 2] = [
    "who got it live: deliveries to live subscriptions and event streams are not recorded",
    "from which address it was published",
];

pub(super) async fn story(
    State(operator): State<Operator>,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    let id: MessageId = id.parse().map_err(|error: tidings_core::IdError| {
        HttpError::new(ErrorCode::BadField, error.to_string())
    })?;
    let env = &operator.env;
    let found = blocking(&operator, move |store| {
        let (letters, _) = selection::of_message(store, id)?;
        places::of_message(store, id, &letters)
    });
    let Whereabouts { places, waiting } = found.await?;
    let deliver_at = env.schedule.deliver_at(id);
    if places.is_empty() && waiting.is_none() && deliver_at.is_none() {
        let message = "no message with this id is kept: retention has trimmed it, or it never was";
        return Err(HttpError::new(ErrorCode::NotFound, message));
    }
    let mut recalled = Vec::new();
    for place in &places {
        let answers = tokio::time::timeout(PATIENCE, env.recall(&place.topic, place.offset()));
        let answers = answers
            .await
            .map_err(|_| HttpError::new(ErrorCode::Overloaded, "the server is too busy to look"))?;
        recalled.extend(answers.into_iter().map(|answer| (place, answer)));
    }
    // After the record: what it calls given up is among the dead letters by then.
    let letters = blocking(&operator, move |store| selection::of_message(store, id));
    let (letters, looked_at_all) = letters.await?;
    let topic = places.last().map(|place| CursorsOf::Topic(place.topic.clone()));
    let cursors = topic.map(|topic| env.store.cursors(&topic, None, CURSORS_MAX));
    let cursors = cursors.unwrap_or_default();
    let now = Clock::wall();
    let mut body = json!({
        "id": id.to_string(),
        "node": env.settings.node.as_str(),
        "at": now.as_ms(),
        "places": places.iter().map(Place::told).collect::<Vec<_>>(),
        "events": told::events(&recalled),
        "subscriptions": subscriptions(env, &places, &recalled, &letters, &cursors),
        "subscriptions_complete": cursors.len() < CURSORS_MAX,
        "dead_letters": letters.iter().map(DeadLetter::told_with_history).collect::<Vec<_>>(),
        "dead_letters_complete": looked_at_all,
        "not_kept": NOT_KEPT,
    });
    if let Some(first) = places.iter().find_map(|place| place.message.as_ref()) {
        body["published"] =
            told::published(first, places.last().and_then(|p| p.message.as_ref()), now);
    }
    if let Some(scheduled) = waiting.as_deref().and_then(|entry| told::scheduled(entry, now)) {
        body["scheduled"] = scheduled;
    }
    if let Some(deliver_at) = deliver_at {
        body["deliver_at"] = json!(deliver_at.as_ms());
    }
    if let Some(since) = record_from(&recalled) {
        body["record_from"] = json!(since.as_ms());
    }
    Ok(Json(body).into_response())
}

/// From when on no shard's record misses anything; nothing if any remembers nothing.
fn record_from(recalled: &[(&Place, Recalled)]) -> Option<Timestamp> {
    let since = recalled.iter().map(|(_, answer)| answer.since);
    since.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// How the message stands with the subscriptions of its topic, and with those that are known to have
/// to do with it, by what each one's cursor says and what its connection knows.
fn subscriptions(
    env: &Env,
    places: &[Place],
    recalled: &[(&Place, Recalled)],
    letters: &[DeadLetter],
    cursors: &[Cursor],
) -> Vec<serde_json::Value> {
    let mut readers: BTreeMap<CursorKey, Vec<(&Place, &crate::inbox::Unsettled)>> = BTreeMap::new();
    for (place, answer) in recalled {
        for event in &answer.events {
            readers.entry(event.reader.key.clone()).or_default();
        }
        for unsettled in &answer.unsettled {
            readers.entry(unsettled.key.clone()).or_default().push((place, unsettled));
        }
    }
    for cursor in cursors {
        readers.entry(cursor.key.clone()).or_default();
    }
    for letter in letters {
        readers.entry(letter.by.clone()).or_default();
    }
    let told = readers.iter().filter_map(|(key, unsettled)| {
        // The last time it was published for this one.
        let place = places.iter().rev().find(|place| place.is_for(key))?;
        let here = unsettled.iter().find(|(at, _)| at.offset() == place.offset());
        let cursor = env.store.cursor(key);
        Some(told::subscription(key, place, cursor.as_ref(), here.map(|(_, unsettled)| *unsettled)))
    });
    told.collect()
}
