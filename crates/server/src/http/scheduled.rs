//! `GET /v1/scheduled` and `DELETE /v1/scheduled/{id}`: a user's own messages for later.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::HeaderMap;

use super::access::Port;
use crate::env::Env;
use crate::problem::HttpError;
use crate::schedule::{Asker, List, page};

pub(super) async fn list(
    State(port): State<Port>,
    State(env): State<Arc<Env>>,
    headers: HeaderMap,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, HttpError> {
    page(&env, &asker(&port, &headers)?, query).await
}

pub(super) async fn remove(
    State(port): State<Port>,
    State(env): State<Arc<Env>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    crate::schedule::remove(&env, &asker(&port, &headers)?, &id).await
}

/// No capability is asked for: who was allowed to schedule a message may take it back.
fn asker(port: &Port, headers: &HeaderMap) -> Result<Asker, HttpError> {
    Ok(Asker::User(port.principal(headers)?.user.clone()))
}
