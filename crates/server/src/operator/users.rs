//! What is known of a user, and sending users away.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{CursorKey, Session, Timestamp, UserId, last_seen};
use tidings_protocol::ErrorCode;
use tidings_storage::CursorsOf;

use super::Operator;
use crate::auth::RevokeError;
use crate::clock::Clock;
use crate::env::Env;
use crate::inbox::Whose;
use crate::problem::{HttpError, store_error};

/// Longest wait for a shard that is busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections in one answer, the oldest first: nobody reads more.
const CONNECTIONS_MAX: usize = 100;

/// Sessions looked at. A user with more has them from clients that never show theirs.
const SESSIONS_MAX: usize = 1000;

/// Cursors in one answer.
const CURSORS_MAX: usize = 1000;

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
    let mut connections = tokio::time::timeout(PATIENCE, env.describe(&user))
        .await
        .map_err(|_| HttpError::new(ErrorCode::Overloaded, "the server is too busy to look"))?;
    connections.sort_by(|a, b| (a.since, &a.client).cmp(&(b.since, &b.client)));
    let shown = connections.iter().take(CONNECTIONS_MAX).map(|connection| {
        json!({
            "client": connection.client.as_str(),
            "node": env.settings.node.as_str(),
            "since": connection.since.as_ms(),
            "subscriptions": connection.subscriptions,
        })
    });
    let sessions = env.store.sessions_of(&user, SESSIONS_MAX);
    let last_seen = match connections.is_empty() {
        true => last_seen(&sessions, env.settings.session_expiry),
        false => Some(Clock::wall()),
    };
    let body = json!({
        "user": user.as_str(),
        "online": !connections.is_empty(),
        "last_seen": last_seen.map(Timestamp::as_ms),
        "connections": shown.collect::<Vec<_>>(),
        "connections_total": connections.len(),
        "sessions": sessions.iter().map(session).collect::<Vec<_>>(),
        "cursors": cursors(env, &user),
    });
    Ok(axum::Json(body).into_response())
}

/// A session without its id, which is a secret.
fn session(session: &Session) -> Value {
    json!({ "client": session.client.as_str(), "expires_at": session.expires_at.as_ms() })
}

/// Where the user's durable subscriptions stand: what waits in each, and since when nothing moved.
fn cursors(env: &Env, user: &UserId) -> Vec<Value> {
    let cursors = env.store.cursors(&CursorsOf::User(user.clone()), None, CURSORS_MAX);
    let durable = cursors.into_iter().filter_map(|cursor| match cursor.key {
        CursorKey::Durable(key) => Some((key, cursor.state, cursor.saved_at)),
        CursorKey::Group { .. } => None,
    });
    let described = durable.map(|(key, state, saved_at)| {
        let log = env.store.topic_state(&key.topic);
        json!({
            "durable": key.name.as_str(),
            "topic": key.topic.as_str(),
            "next": state.next.get(),
            "pending": state.pending_in(&log),
            "saved_at": saved_at.as_ms(),
        })
    });
    described.collect()
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
