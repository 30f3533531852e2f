//! Why connections ended.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::UserId;

use super::Operator;
use super::page::{bad_field, limit, parameters};
use crate::disconnects::Disconnect;
use crate::problem::HttpError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    user: Option<String>,
    reason: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/disconnects`: the latest first.
pub(super) async fn list(
    State(operator): State<Operator>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, HttpError> {
    let List { user, reason, limit: asked } = parameters(query)?;
    let limit = limit(asked)?;
    let user = user.as_deref().map(UserId::parse).transpose();
    let user = user.map_err(|error| bad_field(format!("`user`: {error}")))?;
    let (latest, since) = operator.env.disconnects.latest();
    let is_wanted = |ended: &Disconnect| {
        let is_theirs = |user: &UserId| ended.who.as_ref().is_some_and(|who| who.user == *user);
        user.as_ref().is_none_or(is_theirs)
            && reason.as_deref().is_none_or(|reason| ended.reason() == reason)
    };
    let wanted = latest.iter().filter(|ended| is_wanted(ended)).take(limit);
    let node = operator.env.settings.node.as_str();
    let told: Vec<Value> = wanted.map(|ended| told(ended, node)).collect();
    let body = json!({ "disconnects": told, "kept": latest.len(), "since": since.as_ms() });
    Ok(axum::Json(body).into_response())
}

fn told(ended: &Disconnect, node: &str) -> Value {
    let who = ended.who.as_ref();
    json!({
        "at": ended.at.as_ms(),
        "user": who.map(|who| who.user.as_str()),
        "client": who.map(|who| who.client.as_str()),
        "code": ended.code(),
        "reason": ended.reason(),
        "by": ended.by(),
        "lasted_ms": who.map(|who| u64::try_from(who.lasted.as_millis()).unwrap_or(u64::MAX)),
        "node": node,
    })
}
