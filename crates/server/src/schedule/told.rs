//! The schedule over HTTP: what waits, and taking one off. Operators see all, users their own.

use std::sync::Arc;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{CancelError, Filter, MessageId, Offset, ScheduledMessage, Timestamp, UserId};
use tidings_protocol::ErrorCode;

use super::{NotCancelled, cancel};
use crate::env::Env;
use crate::problem::{HttpError, store_error};

/// Entries of a page when the request names no number.
const PAGE_DEFAULT: usize = 100;

/// Most entries of a page.
const PAGE_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// A topic or filter.
    topic: Option<String>,
    user: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Whose messages a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// An operator sees and cancels what everybody has scheduled.
    Operator,
    /// A user, their own: whatever else there is does not exist for them.
    User(UserId),
}

impl Asker {
    fn may_see(&self, scheduled: &ScheduledMessage) -> bool {
        match self {
            Self::Operator => true,
            Self::User(user) => scheduled.user.as_ref() == Some(user),
        }
    }
}

/// What waits, by its time: a page of it.
pub(crate) async fn page(
    env: &Env,
    asker: &Asker,
    list: Result<Query<List>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Query(list) = list.map_err(|error| bad_field(error.body_text()))?;
    let limit = list.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let topic = list.topic.as_deref().map(Filter::parse).transpose();
    let topic = topic.map_err(|error| bad_field(format!("`topic`: {error}")))?;
    let user = list.user.as_deref().map(UserId::parse).transpose();
    let user = user.map_err(|error| bad_field(format!("`user`: {error}")))?;
    let total = match asker {
        Asker::Operator => env.schedule.len(),
        Asker::User(_) if user.is_some() => {
            return Err(bad_field("`user` is for operators: you see your own".to_owned()));
        }
        Asker::User(own) => env.schedule.count_of(own),
    };
    let after = list.cursor.as_deref().map(parse_cursor).transpose()?;
    let wanted = |scheduled: &ScheduledMessage| {
        asker.may_see(scheduled)
            && topic.as_ref().is_none_or(|filter| filter.matches(&scheduled.topic))
            && user.as_ref().is_none_or(|user| scheduled.user.as_ref() == Some(user))
    };
    // One more than asked for tells whether there is more.
    let mut found = match total {
        0 => Vec::new(),
        _ => env.schedule.list(after, limit + 1, wanted).await,
    };
    let more = found.len() > limit;
    found.truncate(limit);
    let cursor = found.last().filter(|_| more).map(cursor_of);
    let scheduled: Vec<Value> = found.iter().map(entry).collect();
    Ok(axum::Json(json!({ "scheduled": scheduled, "total": total, "cursor": cursor }))
        .into_response())
}

/// Takes a message off the schedule. Confirmed once it is durable.
pub(crate) async fn remove(env: &Arc<Env>, asker: &Asker, id: &str) -> Result<Response, HttpError> {
    let id: MessageId = id.parse().map_err(|error| bad_field(format!("{error}")))?;
    match cancel(env, id, |scheduled| asker.may_see(scheduled)).await {
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
