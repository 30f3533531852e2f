//! Errors as clients see them, whatever went wrong inside.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tidings_core::{Headers, OWN_HEADER_PREFIX, Topic};
use tidings_protocol::http::{PROBLEM_CONTENT_TYPE, Problem};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::StoreError;

use crate::env::Env;
use crate::watchers::{Ended, Refused};

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

/// What whoever publishes to a topic of the server's own is told.
pub(crate) fn reserved(topic: &Topic) -> ErrorBody {
    let message =
        format!("`{topic}`: topics that start with `$` are the server's; nobody publishes to them");
    ErrorBody::new(ErrorCode::PermissionDenied, message)
}

/// Refuses headers whose names are the server's: by some of them it decides who gets a message.
pub(crate) fn unreserved(headers: &Headers) -> Result<(), ErrorBody> {
    let Some(name) = headers.keys().find(|name| name.starts_with(OWN_HEADER_PREFIX)) else {
        return Ok(());
    };
    let message = format!(
        "the header `{name}`: names that start with `{OWN_HEADER_PREFIX}` are the server's"
    );
    Err(ErrorBody::new(ErrorCode::BadField, message))
}

/// What whoever reads the past of a topic is told that keeps none.
pub(crate) fn keeps_nothing(topic: &Topic) -> ErrorBody {
    let message = format!("`{topic}` keeps nothing (`durability = \"memory\"`): it has no past");
    ErrorBody::new(ErrorCode::Unsupported, message)
}

/// What whoever asks who is on a topic is told where that is not kept.
pub(crate) fn keeps_no_presence(name: &str) -> ErrorBody {
    let message = format!(
        "who is on `{name}` is not kept: it takes one topic, without wildcards, whose policy has \
         `presence = true`"
    );
    ErrorBody::new(ErrorCode::Unsupported, message)
}

/// What whoever wants to wait for messages is told who cannot.
pub(crate) fn cannot_wait(env: &Env, why: Refused) -> ErrorBody {
    match why {
        Refused::Full { max } => {
            let message = format!(
                "{max} streams and waiting requests are open, and no more may be \
                 (`http.streams_max`): come back, or ask without waiting"
            );
            let mut error = ErrorBody::new(ErrorCode::LimitReached, message);
            error.retry_after = Some(env.spread_comeback());
            error
        }
        Refused::Draining => draining(env),
    }
}

/// What whoever waits for messages is told who need wait no longer.
pub(crate) fn no_longer(env: &Env, why: Ended) -> ErrorBody {
    match why {
        Ended::SentAway => {
            ErrorBody::new(ErrorCode::PermissionDenied, "an operator sent this user away")
        }
        Ended::Draining => draining(env),
    }
}

/// What new requests are told once the server goes away.
pub(crate) fn draining(env: &Env) -> ErrorBody {
    let mut error = ErrorBody::new(ErrorCode::Draining, "the server is going away");
    error.retry_after = Some(env.spread_comeback());
    error
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
    /// Without a body: [`tell`] writes it, which knows the request id.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        let status = StatusCode::from_u16(self.0.code.http_status());
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Makes `response` tell `error` to whoever sent the request `request_id`. Its status and the
/// headers it has, such as `Allow`, stay.
pub(crate) fn tell(response: &mut Response, error: ErrorBody, request_id: &str) {
    let (status, retry_after) = (response.status(), error.retry_after);
    *response.body_mut() = Body::from(problem(error, request_id, status));
    let headers = response.headers_mut();
    // It was that of the empty body.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 §15.5.2: a 401 names how to show who one is.
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(retry_after) = retry_after {
        // Whole seconds (RFC 9110 §10.2.3), never earlier than meant.
        let seconds = retry_after.as_millis().div_ceil(1000) as u64;
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

fn problem(error: ErrorBody, request_id: &str, status: StatusCode) -> Vec<u8> {
    let usual = error.code.http_status();
    let mut body = Vec::new();
    Problem { error, request_id: Some(request_id.to_owned()) }.encode(&mut body);
    if status.as_u16() == usual {
        return body;
    }
    // RFC 9457 §3.1.2: `status` is that of the answer.
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&body).expect("a problem is a JSON object");
    fields.insert("status".to_owned(), status.as_u16().into());
    serde_json::Value::Object(fields).to_string().into_bytes()
}
