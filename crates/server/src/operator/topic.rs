//! One topic: what it keeps, what the configuration says of it, and who reads it.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{CursorKey, Durability, Timestamp, Topic, TopicState, limits};
use tidings_protocol::ErrorCode;
use tidings_storage::{Cursor, CursorsOf, ReadFrom, ReadLimit, Store};

use super::Operator;
use super::page::parameters;
use super::topics::entry;
use crate::config::TopicSection;
use crate::env::Env;
use crate::problem::HttpError;

/// Cursors in one answer.
const CURSORS_MAX: usize = 100;

/// How long shards have to say who reads a topic. They take a turn of their loop.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    topic: String,
}

/// `GET /v1/topic`. A topic that never had a message is one too, and keeps nothing.
pub(super) async fn show(
    State(operator): State<Operator>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Which { topic } = parameters(query)?;
    let topic = Topic::parse(&topic)
        .map_err(|error| HttpError::new(ErrorCode::BadTopic, error.to_string()))?;
    let env = &operator.env;
    let store = env.store.as_ref();
    let state = store.topic_state(&topic);
    let mut body = entry(store, &topic, state);
    body["last_at"] = last_at(env, &topic, state).await?.map(Timestamp::as_ms).into();
    body["policy"] = policy(env, &topic);
    let subscribers = tokio::time::timeout(PATIENCE, env.count_subscribers(&topic)).await;
    body["subscribers"] = subscribers.ok().into();
    let mut cursors = store.cursors(&CursorsOf::Topic(topic.clone()), None, CURSORS_MAX + 1);
    body["cursors_more"] = (cursors.len() > CURSORS_MAX).into();
    cursors.truncate(CURSORS_MAX);
    body["cursors"] = cursors.iter().map(|cursor| told(store, cursor)).collect();
    Ok(axum::Json(body).into_response())
}

/// When the last message was published, if it is kept.
async fn last_at(
    env: &Env,
    topic: &Topic,
    state: TopicState,
) -> Result<Option<Timestamp>, HttpError> {
    if env.policies.policy(topic).durability == Durability::Memory || state.head < state.first {
        return Ok(None);
    }
    let limit = ReadLimit { messages: 1, bytes: limits::READ_BYTES_MAX };
    let read = env.door_reads.read(&env.store, topic, ReadFrom::Offset(state.head), limit).await?;
    Ok(read.messages.first().map(|message| message.published_at))
}

/// What the configuration says of the topic, with the keys of a `[[topic]]` section.
fn policy(env: &Env, topic: &Topic) -> Value {
    let section = TopicSection::describing(topic, env.policies.policy(topic));
    let mut policy = serde_json::to_value(&section).expect("a section is JSON");
    // It is the topic itself, and not what a section says.
    policy.as_object_mut().expect("a section has keys").remove("match");
    policy
}

/// Where a durable or shared subscription stands.
pub(super) fn told(store: &dyn Store, Cursor { key, state, saved_at }: &Cursor) -> Value {
    let topic = key.topic();
    let mut told = json!({
        "topic": topic.as_str(),
        "next": state.next.get(),
        "pending": state.pending_in(&store.topic_state(topic)),
        "saved_at": saved_at.as_ms(),
    });
    match key {
        CursorKey::Durable(key) => {
            told["kind"] = "durable".into();
            told["user"] = key.user.as_str().into();
            told["durable"] = key.name.as_str().into();
        }
        CursorKey::Group { group, .. } => {
            told["kind"] = "group".into();
            told["group"] = group.group.as_str().into();
            told["filter"] = group.filter.as_str().into();
        }
    }
    told
}
