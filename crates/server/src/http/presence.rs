//! `GET /v1/presence`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use tidings_core::{KeepsPresence, Operation, Topic};
use tidings_protocol::ErrorCode;
use tidings_protocol::http::PresenceReply;

use super::access::{self, Port};
use super::publish::json;
use crate::env::Env;
use crate::problem::{HttpError, keeps_no_presence};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    topic: String,
}

pub(super) async fn presence(
    State(port): State<Port>,
    State(env): State<Arc<Env>>,
    headers: HeaderMap,
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Response, HttpError> {
    let principal = port.principal(&headers)?;
    let Query(params) =
        params.map_err(|error| HttpError::new(ErrorCode::BadField, error.body_text()))?;
    let topic = Topic::parse(&params.topic)
        .map_err(|error| HttpError::new(ErrorCode::BadTopic, error.to_string()))?;
    access::check(&principal, Operation::Presence, &topic)?;
    match env.policies.policy(&topic).presence {
        KeepsPresence::Yes => {}
        KeepsPresence::No => return Err(keeps_no_presence(topic.as_str()).into()),
    }
    let mut out = Vec::new();
    PresenceReply(env.roster.present(&topic)).encode(&mut out);
    Ok(json(out))
}
