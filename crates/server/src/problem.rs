//! Errors as clients see them, whatever went wrong inside.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tidings_protocol::http::{PROBLEM_CONTENT_TYPE, Problem};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::StoreError;

/// When to come back after a limit that clears within a round trip or two.
pub(crate) const RETRY_SOON: Duration = Duration::from_millis(200);

/// When to come back after something that takes an operator or another file system's users.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// What a client is told of a store's refusal.
pub(crate) fn store_error(error: &StoreError) -> ErrorBody {
    let (code, retry_after) = match error {
        StoreError::Overloaded { .. } => (ErrorCode::Overloaded, Some(RETRY_SOON)),
        StoreError::Full { .. } => (ErrorCode::StorageFull, Some(RETRY_LATER)),
        StoreError::TooLarge { .. } => (ErrorCode::TooLarge, None),
        StoreError::Poisoned { .. } | StoreError::Closed | StoreError::Read { .. } => {
            (ErrorCode::StorageUnavailable, None)
        }
    };
    // Paths and system errors are for the operator's log, not for clients.
    let message = match error {
        StoreError::Overloaded { .. } => "more is waiting to be written than the queue holds",
        StoreError::Full { .. } => "there is no space left for the log",
        StoreError::TooLarge { .. } => "the message is larger than the log takes",
        StoreError::Poisoned { .. } => "the store has stopped writing after a disk error",
        StoreError::Closed => "the store is closed: the server is going away",
        StoreError::Read { .. } => "the log could not be read",
    };
    ErrorBody { code, message: message.to_owned(), retry_after }
}

/// An error on its way out as `application/problem+json` (RFC 9457).
#[derive(Debug)]
pub(crate) struct HttpError(pub(crate) ErrorBody);

impl HttpError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ErrorBody::new(code, message))
    }
}

impl From<ErrorBody> for HttpError {
    fn from(error: ErrorBody) -> Self {
        Self(error)
    }
}

impl From<StoreError> for HttpError {
    fn from(error: StoreError) -> Self {
        Self(store_error(&error))
    }
}

impl IntoResponse for HttpError {
    /// Without a request id: the door knows it and puts it into both header and body.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self.0);
        response
    }
}

/// The answer that tells `error` to whoever sent the request `request_id`.
pub(crate) fn problem_response(error: &ErrorBody, request_id: &str) -> Response {
    let mut body = Vec::new();
    let problem = Problem { error: error.clone(), request_id: Some(request_id.to_owned()) };
    problem.encode(&mut body);
    let mut response = Response::new(Body::from(body));
    let status = StatusCode::from_u16(error.code.http_status());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
    if let Some(retry_after) = error.retry_after {
        // Whole seconds (RFC 9110 §10.2.3), never earlier than meant.
        let seconds = retry_after.as_millis().div_ceil(1000) as u64;
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}
