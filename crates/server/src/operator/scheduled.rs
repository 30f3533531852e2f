//! Messages for later: what waits, and taking one off.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{CancelError, Filter, MessageId, Offset, ScheduledMessage, Timestamp, UserId};
use tidings_protocol::ErrorCode;

use super::Operator;
use crate::problem::{HttpError, store_error};
use crate::schedule::{NotCancelled, cancel};

/// Entries of a page when the request names no number.
const PAGE_DEFAULT: usize = 100;

/// Most entries of a page.
const PAGE_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// A topic or filter.
    topic: Option<String>,
    user: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /v1/scheduled`: what waits, by its time.
pub(super) async fn list(
    State(operator): State<Operator>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Query(list) = query.map_err(|error| bad_field(error.body_text()))?;
    let limit = list.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let topic = list.topic.as_deref().map(Filter::parse).transpose();
    let topic = topic.map_err(|error| bad_field(format!("`topic`: {error}")))?;
    let user = list.user.as_deref().map(UserId::parse).transpose();
    let user = user.map_err(|error| bad_field(format!("`user`: {error}")))?;
    let after = list.cursor.as_deref().map(parse_cursor).transpose()?;
    let wanted = |scheduled: &ScheduledMessage| {
        topic.as_ref().is_none_or(|filter| filter.matches(&scheduled.topic))
            && user.as_ref().is_none_or(|user| scheduled.user.as_ref() == Some(user))
    };
    // One more than asked for tells whether there is more.
    let mut found = operator.env.schedule.list(after, limit + 1, wanted).await;
    let more = found.len() > limit;
    found.truncate(limit);
    let cursor = found.last().filter(|_| more).map(cursor_of);
    let scheduled: Vec<Value> = found.iter().map(entry).collect();
    let total = operator.env.schedule.len();
    Ok(axum::Json(json!({ "scheduled": scheduled, "total": total, "cursor": cursor }))
        .into_response())
}

/// `DELETE /v1/scheduled/{id}`: takes a message off the schedule. Confirmed once it is durable.
pub(super) async fn remove(
    State(operator): State<Operator>,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    let id: MessageId = id.parse().map_err(|error| bad_field(format!("{error}")))?;
    match cancel(&operator.env, id, |_| true).await {
        Ok(scheduled) => Ok((StatusCode::OK, axum::Json(entry(&scheduled))).into_response()),
        Err(NotCancelled::Schedule(error @ CancelError::Unknown)) => {
            Err(HttpError::new(ErrorCode::NotFound, error.to_string()))
        }
        Err(NotCancelled::Schedule(error @ CancelError::Due)) => {
            Err(HttpError::new(ErrorCode::AlreadyDue, error.to_string()))
        }
        Err(NotCancelled::Store(error)) => Err(HttpError(store_error(&error))),
    }
}

fn entry(scheduled: &ScheduledMessage) -> Value {
    json!({
        "id": scheduled.id.to_string(),
        "topic": scheduled.topic.as_str(),
        "deliver_at": scheduled.deliver_at.as_ms(),
        "user": scheduled.user.as_ref().map(UserId::as_str),
    })
}

fn cursor_of(scheduled: &ScheduledMessage) -> String {
    format!("{}-{}", scheduled.deliver_at.as_ms(), scheduled.offset)
}

fn parse_cursor(text: &str) -> Result<(Timestamp, Offset), HttpError> {
    let parsed = text.split_once('-').and_then(|(at, offset)| {
        Some((Timestamp::from_ms(at.parse().ok()?), Offset::new(offset.parse().ok()?)))
    });
    parsed.ok_or_else(|| bad_field("`cursor` is none that a page gave".to_owned()))
}

fn bad_field(message: String) -> HttpError {
    HttpError::new(ErrorCode::BadField, message)
}
