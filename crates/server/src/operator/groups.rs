//! How groups stand: who takes part, what waits, and for how long.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{Filter, GroupKey, GroupName, limits};
use tidings_protocol::ErrorCode;
use tokio::sync::mpsc;

use super::Operator;
use crate::env::Env;
use crate::group_letter::{GroupStanding, Survey, Which};
use crate::inbox::Letter;
use crate::problem::HttpError;
use crate::resting_groups;

/// Groups in one answer.
const GROUPS_LISTED_MAX: usize = 1000;

/// Groups without members shown in full in one answer: each takes a look at all topics.
const RESTING_SHOWN_MAX: usize = 10;

/// How long shards have to answer. They take a turn of their loop.
const PATIENCE: Duration = Duration::from_secs(2);

/// Every group, those with the most waiting first.
pub(super) async fn list(State(operator): State<Operator>) -> Response {
    let groups = all(&operator.env).await;
    let total = groups.len();
    let listed: Vec<_> = groups.iter().take(GROUPS_LISTED_MAX).map(sums).collect();
    answer(&json!({ "groups": listed, "total": total }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    filter: Option<String>,
}

/// The groups of one name, or one alone, with members and topics. If none has members now, they are
/// told from their saved cursors.
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
    if groups.is_empty() {
        let env = Arc::clone(&operator.env);
        let resting = move || resting_in_full(&env, &group, filter);
        groups.extend(tokio::task::spawn_blocking(resting).await.into_iter().flatten());
    }
    if groups.is_empty() {
        let message = String::from(
            "no group of that name has members or a cursor: see `/v1/groups` for those there are",
        );
        return Err(HttpError::new(ErrorCode::NotFound, message));
    }
    Ok(answer(&json!({ "groups": groups })))
}

/// Every group, with members or without, those with the most waiting first.
pub(super) async fn all(env: &Arc<Env>) -> Vec<GroupStanding> {
    let mut groups = survey(env, Which::All).await;
    let counting = Arc::clone(env);
    let count = move || counting.resting_groups.counted(&*counting.store, &counting.policies);
    let Ok(counted) = tokio::task::spawn_blocking(count).await else { return groups };
    for group in &mut groups {
        // It holds no more topics, and what waits in others is known only from the cursors.
        let is_full = group.topic_count >= limits::GROUP_TOPICS_MAX;
        if let Some(waiting) = counted.get(&group.key).filter(|_| is_full) {
            group.lag = group.lag.max(waiting.lag);
        }
    }
    let with_members: BTreeSet<_> = groups.iter().map(|group| group.key.clone()).collect();
    let resting = counted.iter().filter(|(key, _)| !with_members.contains(key));
    groups.extend(resting.map(|(key, waiting)| GroupStanding::without_members(key, *waiting)));
    sort(&mut groups);
    groups
}

fn sort(groups: &mut [GroupStanding]) {
    groups.sort_by(|a, b| b.lag.cmp(&a.lag).then_with(|| a.key.cmp(&b.key)));
}

/// Asks every shard, and sorts by what waits.
async fn survey(env: &Env, which: Which) -> Vec<GroupStanding> {
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
    sort(&mut groups);
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

/// What waits for groups that have no members, by their saved cursors.
fn resting_in_full(env: &Env, group: &GroupName, filter: Option<Filter>) -> Vec<Value> {
    let store = env.store.as_ref();
    let keys: Vec<_> = match filter {
        Some(filter) => vec![GroupKey { group: group.clone(), filter }],
        None => {
            let counted = env.resting_groups.counted(store, &env.policies);
            let named = counted.keys().filter(|key| key.group == *group);
            named.take(RESTING_SHOWN_MAX).cloned().collect()
        }
    };
    let shown = keys.iter().filter_map(|key| {
        let places = resting_groups::places(store, &env.policies, key);
        if places.is_empty() {
            return None;
        }
        let lag: u64 = places.iter().map(|place| place.lag).sum();
        let topics = places.iter().take(limits::GROUP_TOPICS_MAX).map(|place| {
            json!({
                "topic": place.topic.as_str(), "cursor": place.next, "head": place.head,
                "lag": place.lag, "unacked": 0, "waiting": 0, "attempts_most": 0,
                "oldest_unacked_ms": null,
            })
        });
        Some(json!({
            "group": key.group.as_str(), "filter": key.filter.as_str(), "members": [],
            "topics": topics.collect::<Vec<_>>(), "lag": lag, "unacked": 0, "window": 0,
            "oldest_unacked_ms": null,
        }))
    });
    shown.collect()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn answer(body: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
