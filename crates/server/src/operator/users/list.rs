//! Who is known: users with a connection, a session or a durable subscription, by name.
//!
//! The store lists the latter two in order. Connections are kept by no name, so every shard looks
//! through its own for those of a page.

use std::collections::BTreeMap;
use std::ops::Bound;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{Timestamp, UserId, last_seen};
use tidings_protocol::ErrorCode;
use tidings_storage::CursorsOf;

use super::{CURSORS_MAX, PATIENCE, SESSIONS_MAX};
use crate::clock::Clock;
use crate::env::Env;
use crate::inbox::UsersWanted;
use crate::operator::Operator;
use crate::operator::page::{LOOKED_AT_MAX, bad_field, limit, look_up, parameters};
use crate::problem::HttpError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::operator) struct List {
    prefix: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/users`.
pub(in crate::operator) async fn list(
    State(operator): State<Operator>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, HttpError> {
    let List { prefix, cursor, limit: asked } = parameters(query)?;
    let (limit, env) = (limit(asked)?, operator.env);
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    let first = prefix.as_deref().map(UserId::parse).transpose();
    let first = first.map_err(|error| bad_field(format!("`prefix`: {error}")))?;
    let after = cursor.as_deref().map(UserId::parse).transpose();
    let after = after.map_err(|_| bad_field("`cursor` is none that a page gave"))?;
    let from = match (after, first) {
        (Some(after), Some(first)) if after < first => Bound::Included(first),
        (Some(after), _) => Bound::Excluded(after),
        (None, Some(first)) => Bound::Included(first),
        (None, None) => Bound::Unbounded,
    };
    // One more than asked for tells whether there is more.
    let wanted = UsersWanted { from, prefix: prefix.unwrap_or_default(), users_max: limit + 1 };
    let connections = tokio::time::timeout(PATIENCE, env.list_users(&wanted))
        .await
        .map_err(|_| HttpError::new(ErrorCode::Overloaded, "the server is too busy to look"))?;
    let (users, more) = look_up(move || page(&env, &wanted, connections)).await?;
    let cursor = users.last().filter(|_| more).map(|user| user["user"].clone());
    Ok(axum::Json(json!({ "users": users, "more": more, "cursor": cursor })).into_response())
}

/// The first users of those that the store and the shards know, and whether there are more.
fn page(env: &Env, wanted: &UsersWanted, connected: Vec<(UserId, u64)>) -> (Vec<Value>, bool) {
    let mut users: BTreeMap<UserId, u64> = BTreeMap::new();
    for (user, connections) in connected {
        *users.entry(user).or_default() += connections;
    }
    for user in env.store.users(wanted.from.as_ref(), wanted.users_max) {
        if wanted.has(&user) {
            users.entry(user).or_default();
        }
    }
    let (mut page, mut looked_at) = (Vec::new(), 0);
    for (user, connections) in &users {
        if page.len() + 1 == wanted.users_max || looked_at > LOOKED_AT_MAX {
            return (page, true);
        }
        let (entry, looked_at_for_it) = entry(env, user, *connections);
        looked_at += looked_at_for_it;
        page.push(entry);
    }
    (page, false)
}

/// What the list says of a user, and how much was looked at for it.
fn entry(env: &Env, user: &UserId, connections: u64) -> (Value, usize) {
    let sessions = env.store.sessions_of(user, SESSIONS_MAX);
    let cursors = env.store.cursors(&CursorsOf::User(user.clone()), None, CURSORS_MAX);
    let pending = cursors
        .iter()
        .map(|cursor| cursor.state.pending_in(&env.store.topic_state(cursor.key.topic())));
    let last_seen = match connections {
        0 => last_seen(&sessions, env.settings.session_expiry),
        _ => Some(Clock::wall()),
    };
    let entry = json!({
        "user": user.as_str(),
        "online": connections > 0,
        "connections": connections,
        "sessions": sessions.len(),
        "last_seen": last_seen.map(Timestamp::as_ms),
        "pending": pending.sum::<u64>(),
    });
    (entry, 1 + sessions.len() + cursors.len())
}
