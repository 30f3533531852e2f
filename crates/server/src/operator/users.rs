//! What is known of a user, and sending users away.

pub(super) mod list;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{CursorKey, Offset, Session, Timestamp, Topic, UserId, last_seen};
use tidings_protocol::ErrorCode;
use tidings_storage::{Cursor, CursorsOf, ReadFrom, ReadLimit};

use super::Operator;
use super::page::look_up;
use crate::auth::RevokeError;
use crate::clock::Clock;
use crate::env::Env;
use crate::inbox::{UserConnections, Whose};
use crate::problem::{HttpError, store_error};

/// Longest wait for a shard that is busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sessions looked at. A user with more has them from clients that never show theirs.
const SESSIONS_MAX: usize = 1000;

/// Cursors in one answer.
const CURSORS_MAX: usize = 1000;

/// Cursors whose oldest pending message is looked at: each may take a read of the disk.
const OLDEST_READ_MAX: usize = 100;

/// Whether a user is online on this node, and with which connections.
///
/// Every shard looks through its connections: nothing is kept by user, so that those that nobody
/// asks about cost nothing.
pub(super) async fn describe(
    State(operator): State<Operator>,
    Path(user): Path<String>,
) -> Result<Response, HttpError> {
    let user = parse(&user)?;
    let env = &operator.env;
    let shards = tokio::time::timeout(PATIENCE, env.describe(&user))
        .await
        .map_err(|_| HttpError::new(ErrorCode::Overloaded, "the server is too busy to look"))?;
    let total: usize = shards.iter().map(|shard| shard.total).sum();
    let mut connections: Vec<_> = shards.into_iter().flat_map(|shard| shard.oldest).collect();
    connections.sort_by(|a, b| (a.since, &a.client).cmp(&(b.since, &b.client)));
    let shown = connections.iter().take(UserConnections::TOLD_MAX).map(|connection| {
        json!({
            "client": connection.client.as_str(),
            "node": env.settings.node.as_str(),
            "since": connection.since.as_ms(),
            "subscriptions": connection.subscriptions,
        })
    });
    let (cursors_env, cursors_user) = (Arc::clone(env), user.clone());
    let cursors = look_up(move || cursors(&cursors_env, &cursors_user)).await?;
    let sessions = env.store.sessions_of(&user, SESSIONS_MAX);
    let last_seen = match total {
        0 => last_seen(&sessions, env.settings.session_expiry),
        _ => Some(Clock::wall()),
    };
    let body = json!({
        "user": user.as_str(),
        "online": total > 0,
        "last_seen": last_seen.map(Timestamp::as_ms),
        "connections": shown.collect::<Vec<_>>(),
        "connections_total": total,
        "sessions": sessions.iter().map(session).collect::<Vec<_>>(),
        "cursors": cursors,
    });
    Ok(axum::Json(body).into_response())
}

/// A session without its id, which is a secret.
fn session(session: &Session) -> Value {
    json!({ "client": session.client.as_str(), "expires_at": session.expires_at.as_ms() })
}

/// Where the user's durable subscriptions stand: what waits in each, since when, and since when nothing
/// moved.
fn cursors(env: &Env, user: &UserId) -> Vec<Value> {
    let cursors = env.store.cursors(&CursorsOf::User(user.clone()), None, CURSORS_MAX);
    let mut reads_left = OLDEST_READ_MAX;
    let describe = |Cursor { key, state, saved_at }: Cursor| {
        let CursorKey::Durable(key) = key else { return None };
        let log = env.store.topic_state(&key.topic);
        let pending = state.pending_in(&log);
        let oldest = (pending > 0 && reads_left > 0).then(|| {
            reads_left -= 1;
            let next = if state.epoch == log.epoch { state.next } else { log.first };
            oldest_pending(env, &key.topic, next)
        });
        Some(json!({
            "durable": key.name.as_str(),
            "topic": key.topic.as_str(),
            "next": state.next.get(),
            "pending": pending,
            "oldest_pending_at": oldest.flatten().map(Timestamp::as_ms),
            "saved_at": saved_at.as_ms(),
            "acked_at": saved_at.as_ms(),
        }))
    };
    cursors.into_iter().filter_map(describe).collect()
}

/// When the first message from here on was published. What cannot be read is not known.
fn oldest_pending(env: &Env, topic: &Topic, next: Offset) -> Option<Timestamp> {
    let limit = ReadLimit { messages: 1, bytes: 1 };
    let read = env.store.read(topic, ReadFrom::Offset(next), limit).ok()?;
    read.messages.first().map(|message| message.published_at)
}

/// Closes every connection of a user on this node, finally (4002). What the user has still to get
/// waits; a token that is valid lets the user come back.
pub(super) async fn disconnect(
    State(operator): State<Operator>,
    Path(user): Path<String>,
) -> Result<Response, HttpError> {
    let user = parse(&user)?;
    operator.env.disconnect(&user, Whose::All);
    Ok(StatusCode::ACCEPTED.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    issued_by: Option<u64>,
}

/// Ends every token that was issued to a user by now, or by the moment given, and closes the
/// connections that such a token let in.
pub(super) async fn revoke(
    State(operator): State<Operator>,
    Path(user): Path<String>,
    query: Result<Query<Revoke>, QueryRejection>,
) -> Result<Response, HttpError> {
    let user = parse(&user)?;
    let Query(Revoke { issued_by }) = query.map_err(|error| {
        HttpError::new(
            ErrorCode::BadField,
            format!("{}: `issued_by` is a time in ms", error.body_text()),
        )
    })?;
    let now = Clock::wall();
    let issued_by = issued_by.map_or(now, Timestamp::from_ms);
    if issued_by > now {
        let message = "`issued_by` lies in the future: what is not issued yet cannot be revoked";
        return Err(HttpError::new(ErrorCode::BadField, message));
    }
    let env = &operator.env;
    let revocations = env.authenticator.revocations();
    let log = (env.store.as_ref(), env.door_lane.as_ref());
    revocations.revoke(log, &user, issued_by).await.map_err(|error| match error {
        RevokeError::TooMany => HttpError::new(ErrorCode::LimitReached, error.to_string()),
        RevokeError::Store(error) => HttpError(store_error(&error)),
    })?;
    env.disconnect(&user, Whose::IssuedBy(issued_by));
    tracing::info!(%user, issued_by = issued_by.as_ms(), "tokens revoked");
    let body = json!({ "user": user.as_str(), "issued_by": issued_by.as_ms() });
    Ok(axum::Json(body).into_response())
}

fn parse(user: &str) -> Result<UserId, HttpError> {
    UserId::parse(user).map_err(|error| HttpError::new(ErrorCode::BadField, error.to_string()))
}
