//! Lists for the operator: what a page of one is asked with, and what making it may take.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use tidings_protocol::ErrorCode;

use crate::problem::HttpError;

/// Entries of a page when the request names no number.
const LIMIT_DEFAULT: usize = 100;

/// Most entries of a page.
const LIMIT_MAX: usize = 1000;

/// Entries looked at for one page, wanted or not: some milliseconds of one core. A page of a list in
/// which little is wanted ends there, and the next one goes on.
pub(super) const LOOKED_AT_MAX: usize = 10_000;

/// The parameters of a request.
pub(super) fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, HttpError> {
    let Query(parameters) = query.map_err(|error| bad_field(error.body_text()))?;
    Ok(parameters)
}

/// How many entries a page has at most.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, HttpError> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(bad_field(format!("`limit` is {limit}; it must be from 1 to {LIMIT_MAX}")))
}

/// Looks something up on a thread that may take some time for it.
pub(super) async fn look_up<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HttpError> {
    tokio::task::spawn_blocking(look).await.map_err(|error| {
        HttpError::new(ErrorCode::Internal, format!("looking it up ended early: {error}"))
    })
}

pub(super) fn bad_field(message: impl Into<String>) -> HttpError {
    HttpError::new(ErrorCode::BadField, message.into())
}
