//! Dead letters over HTTP: looked at, published again, removed.

mod edit;
mod many;
mod republish;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as FromQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::StatusCode;
use serde_json::json;
use tidings_core::{Offset, Topic};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::{Outcome, Store, Write, fault_point};

use republish::{Again, republish};

use super::Operator;
use crate::dead_letters::replay::{self, Recipients};
use crate::dead_letters::selection::{self, Query};
use crate::dead_letters::{DEAD_LETTERS_TOPIC, DeadLetter};
use crate::problem::{HttpError, store_error};

pub(super) fn routes() -> axum::Router<Operator> {
    axum::Router::new()
        .route("/v1/dead-letters", get(list))
        .route("/v1/dead-letters/replay", post(many::replay_many))
        .route("/v1/dead-letters/purge", post(many::purge))
        .route("/v1/dead-letters/{offset}", get(show).delete(remove))
        .route("/v1/dead-letters/{offset}/replay", post(replay_one))
}

async fn list(
    State(operator): State<Operator>,
    query: Result<FromQuery<Query>, QueryRejection>,
) -> Result<Response, HttpError> {
    let query = read(query)?;
    refuse_recipients(&query)?;
    let (selection, page) = query.check()?;
    let found = blocking(&operator, move |store| selection::find(store, &selection, page)).await?;
    let mut body = json!({
        "dead_letters": found.letters.iter().map(DeadLetter::told).collect::<Vec<_>>(),
        "kept": kept(&operator),
        "more": found.cursor.is_some(),
    });
    if let Some(cursor) = found.cursor {
        body["cursor"] = json!(cursor.to_string());
    }
    Ok(Json(body).into_response())
}

/// How many there are in all.
fn kept(operator: &Operator) -> u64 {
    let topic = Topic::parse(DEAD_LETTERS_TOPIC).expect("a valid topic");
    operator.env.store.count_messages(&topic)
}

async fn show(
    State(operator): State<Operator>,
    Path(offset): Path<String>,
) -> Result<Response, HttpError> {
    let letter = at(&operator, &offset).await?;
    Ok(Json(letter.told_in_full()).into_response())
}

async fn remove(
    State(operator): State<Operator>,
    Path(offset): Path<String>,
) -> Result<Response, HttpError> {
    let letter = at(&operator, &offset).await?;
    let outcomes = submit(&operator, vec![removal(&letter)]).await?;
    fault_point("purge-durable");
    settled(outcomes.first())?;
    operator.env.metrics.dead_letters_purged.inc();
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn replay_one(
    State(operator): State<Operator>,
    Path(offset): Path<String>,
    request: Request,
) -> Result<Response, HttpError> {
    let letter = at(&operator, &offset).await?;
    let body = crate::http::body(&operator.env, request).await?;
    let (edit, to) = edit::read(&body, &letter, operator.env.settings.limits.message_bytes)?;
    let env = &operator.env;
    let topic = edit.topic.clone().unwrap_or_else(|| letter.topic.clone());
    replay::check(&letter, &topic, to, (env.store.as_ref(), &env.policies))?;
    let again =
        Again { publish: replay::publish_again(&letter, edit, to), removal: removal(&letter) };
    let outcomes = republish(env, vec![again]).await?;
    let (id, position, duplicate) = match outcomes.first() {
        Some(Outcome::Published(message)) => (message.id, message.position(), false),
        Some(Outcome::Duplicate { id, position }) => (*id, *position, true),
        other @ (Some(Outcome::Saved | Outcome::Refused(_)) | None) => return Err(refused(other)),
    };
    tracing::info!(dead_letter = %letter.message.offset, %id, %topic, "a dead letter was replayed");
    let body = json!({
        "id": id.to_string(), "topic": topic.as_str(), "offset": position.offset.get(),
        "epoch": position.epoch.to_string(), "duplicate": duplicate, "to": name_of(to),
    });
    Ok(Json(body).into_response())
}

async fn at(operator: &Operator, offset: &str) -> Result<DeadLetter, HttpError> {
    let Ok(offset) = offset.parse().map(Offset::new) else {
        let message = format!("`{offset}`: a dead letter is named by its offset, a whole number");
        return Err(HttpError::new(ErrorCode::BadField, message));
    };
    Ok(blocking(operator, move |store| selection::at(store, offset)).await?)
}

fn read(query: Result<FromQuery<Query>, QueryRejection>) -> Result<Query, HttpError> {
    let query = query.map_err(|error| HttpError::new(ErrorCode::BadField, error.body_text()));
    query.map(|FromQuery(query)| query)
}

/// `to` is for those who replay.
fn refuse_recipients(query: &Query) -> Result<(), HttpError> {
    match query.to {
        None => Ok(()),
        Some(_) => Err(HttpError::new(ErrorCode::BadField, "`to` is for `replay` alone")),
    }
}

fn recipients(text: &str) -> Result<Recipients, ErrorBody> {
    match text {
        "subscription" => Ok(Recipients::Subscription),
        "all" => Ok(Recipients::Everybody),
        other => {
            let message = format!("`to` is `{other}`; it must be `subscription` or `all`");
            Err(ErrorBody::new(ErrorCode::BadField, message))
        }
    }
}

const fn name_of(recipients: Recipients) -> &'static str {
    match recipients {
        Recipients::Subscription => "subscription",
        Recipients::Everybody => "all",
    }
}

fn removal(letter: &DeadLetter) -> Write {
    Write::Remove { topic: letter.message.topic().clone(), offset: letter.message.offset }
}

async fn submit(operator: &Operator, writes: Vec<Write>) -> Result<Vec<Outcome>, HttpError> {
    Ok(operator.env.door_lane.submit(operator.env.store.as_ref(), writes).await?)
}

fn settled(outcome: Option<&Outcome>) -> Result<(), HttpError> {
    match outcome {
        Some(Outcome::Saved | Outcome::Published(_) | Outcome::Duplicate { .. }) => Ok(()),
        Some(Outcome::Refused(_)) | None => Err(refused(outcome)),
    }
}

fn refused(outcome: Option<&Outcome>) -> HttpError {
    match outcome {
        Some(Outcome::Refused(error)) => HttpError(store_error(error)),
        Some(Outcome::Saved | Outcome::Published(_) | Outcome::Duplicate { .. }) | None => {
            HttpError::new(ErrorCode::Internal, "the store did not answer")
        }
    }
}

/// Reads the log where that may block.
pub(super) async fn blocking<T: Send + 'static>(
    operator: &Operator,
    read: impl FnOnce(&dyn Store) -> Result<T, ErrorBody> + Send + 'static,
) -> Result<T, ErrorBody> {
    let store = Arc::clone(&operator.env.store);
    let done = tokio::task::spawn_blocking(move || read(store.as_ref())).await;
    done.map_err(|error| ErrorBody::new(ErrorCode::Internal, error.to_string()))?
}
