//! How groups stand: who takes part, what waits, and for how long.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{Filter, GroupKey, GroupName, Topic, limits};
use tidings_protocol::ErrorCode;
use tidings_storage::{Cursor, CursorsOf};
use tokio::sync::mpsc;

use super::Operator;
use crate::env::Env;
use crate::group_letter::{GroupStanding, Survey, Which};
use crate::inbox::Letter;
use crate::problem::HttpError;

/// Groups in one answer.
const GROUPS_LISTED_MAX: usize = 1000;

/// How long shards have to answer. They take a turn of their loop.
const PATIENCE: Duration = Duration::from_secs(2);

/// Every group that has members, those with the most waiting first.
pub(super) async fn list(State(operator): State<Operator>) -> Response {
    let groups = survey(&operator.env, Which::All).await;
    let total = groups.len();
    let listed: Vec<_> = groups.iter().take(GROUPS_LISTED_MAX).map(sums).collect();
    answer(&json!({ "groups": listed, "total": total }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    filter: Option<String>,
}

/// The groups of one name, or one alone, with members and topics. One that has no members now is
/// told from its saved cursors, if its filter is given.
pub(super) async fn show(
    State(operator): State<Operator>,
    Path(group): Path<String>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, HttpError> {
    let bad_field = |message: String| HttpError::new(ErrorCode::BadField, message);
    let group = GroupName::parse(&group).map_err(|error| bad_field(error.to_string()))?;
    let Query(Wanted { filter }) = query.map_err(|error| bad_field(error.body_text()))?;
    let filter = filter.map(|filter| Filter::parse(&filter)).transpose();
    let filter = filter.map_err(|error| bad_field(format!("`filter`: {error}")))?;
    let which = Which::Named { group: group.clone(), filter: filter.clone() };
    let mut groups: Vec<_> =
        survey(&operator.env, which).await.iter().take(GROUPS_LISTED_MAX).map(in_full).collect();
    if groups.is_empty()
        && let Some(filter) = filter
    {
        let (env, key) = (operator.env.clone(), GroupKey { group: group.clone(), filter });
        let saved = tokio::task::spawn_blocking(move || without_members(&env, &key)).await;
        groups.extend(saved.ok().flatten());
    }
    if groups.is_empty() {
        let message = format!(
            "no member of `{group}` is connected; give its topic or filter as `?filter=` to see \
             what waits for it"
        );
        return Err(HttpError::new(ErrorCode::NotFound, message));
    }
    Ok(answer(&json!({ "groups": groups })))
}

/// Asks every shard, and sorts by what waits.
pub(super) async fn survey(env: &Env, which: Which) -> Vec<GroupStanding> {
    let (reply, mut replies) = mpsc::channel(env.inboxes.len().max(1));
    for inbox in &env.inboxes {
        inbox.post(Letter::Survey(Survey { which: which.clone(), reply: reply.clone() }));
    }
    drop(reply);
    let mut groups = Vec::new();
    let all = async {
        while let Some(some) = replies.recv().await {
            groups.extend(some);
        }
    };
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        tracing::warn!("a shard did not say how its groups stand");
    }
    groups.sort_by(|a, b| b.lag.cmp(&a.lag).then_with(|| a.key.cmp(&b.key)));
    groups
}

fn sums(group: &GroupStanding) -> Value {
    json!({
        "group": group.key.group.as_str(),
        "filter": group.key.filter.as_str(),
        "members": group.member_count,
        "topics": group.topic_count,
        "lag": group.lag,
        "unacked": group.unacked,
        "window": group.window,
        "oldest_unacked_ms": group.oldest.map(ms),
    })
}

fn in_full(group: &GroupStanding) -> Value {
    let members = group.members.iter().map(|(member, user, client)| {
        json!({
            "user": user.as_str(),
            "client": client.as_str(),
            "unacked": member.unacked,
            "window": member.window,
        })
    });
    let topics = group.topics.iter().map(|(topic, oldest)| {
        json!({
            "topic": topic.topic.as_str(),
            "cursor": topic.cursor.get(),
            "head": topic.tail.get(),
            "lag": topic.lag,
            "unacked": topic.unacked,
            "waiting": topic.waiting,
            "attempts_most": topic.attempts_most,
            "oldest_unacked_ms": oldest.map(ms),
        })
    });
    let mut full = sums(group);
    full["members"] = members.collect();
    full["topics"] = topics.collect();
    full
}

/// What waits for a group that has no members, by its saved cursors.
fn without_members(env: &Env, key: &GroupKey) -> Option<Value> {
    let mut topics = Vec::new();
    let mut lag = 0;
    for (topic, waiting, cursor, head) in saved_places(env, key) {
        lag += waiting;
        if topics.len() < limits::GROUP_TOPICS_MAX {
            topics.push(json!({
                "topic": topic.as_str(), "cursor": cursor, "head": head, "lag": waiting,
                "unacked": 0, "waiting": 0, "attempts_most": 0, "oldest_unacked_ms": null,
            }));
        }
    }
    let known = !topics.is_empty();
    known.then(|| {
        json!({
            "group": key.group.as_str(), "filter": key.filter.as_str(), "members": [],
            "topics": topics, "lag": lag, "unacked": 0, "window": 0, "oldest_unacked_ms": null,
        })
    })
}

/// The topics in which a group has a cursor: how much waits, the cursor, the head.
fn saved_places(env: &Env, key: &GroupKey) -> Vec<(Topic, u64, u64, u64)> {
    const LISTED: usize = 1000;
    let of = CursorsOf::Group(key.clone());
    let mut places = Vec::new();
    let mut after = None;
    loop {
        let listed = env.store.cursors(&of, after.as_ref(), LISTED);
        places.extend(listed.iter().map(|cursor| place(env, cursor)));
        after = listed.into_iter().next_back().map(|cursor| cursor.key);
        if after.is_none() {
            return places;
        }
    }
}

fn place(env: &Env, cursor: &Cursor) -> (Topic, u64, u64, u64) {
    let (topic, saved) = (cursor.key.topic().clone(), &cursor.state);
    let state = env.store.topic_state(&topic);
    let next = if saved.epoch == state.epoch { saved.next.max(state.first) } else { state.first };
    let settled = saved.settled.iter().map(|(first, last)| last.next().distance_from(*first));
    let lag = state.head.next().distance_from(next).saturating_sub(settled.sum());
    (topic, lag, next.get(), state.head.get())
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn answer(body: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
