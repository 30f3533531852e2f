//! The schedule in an operator's hands.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;

use super::Operator;
use crate::problem::HttpError;
use crate::schedule::{Asker, List, page};

/// `GET /v1/scheduled`: what waits, by its time.
pub(super) async fn list(
    State(operator): State<Operator>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, HttpError> {
    page(&operator.env, &Asker::Operator, query).await
}

/// `DELETE /v1/scheduled/{id}`: takes a message off the schedule.
pub(super) async fn remove(
    State(operator): State<Operator>,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    crate::schedule::remove(&operator.env, &Asker::Operator, &id).await
}
