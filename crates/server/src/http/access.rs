//! Who sends a request and what they may do.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tidings_core::{Operation, Principal, Topic};
use tidings_protocol::ErrorCode;

use crate::clock::Clock;
use crate::env::Env;
use crate::problem::HttpError;
use crate::websocket::bearer_header;

/// Who sends a request: an `X-API-Key`, or a bearer token, or an API key as bearer.
pub(super) fn principal(env: &Env, headers: &HeaderMap) -> Result<Arc<Principal>, HttpError> {
    find(env, headers, None)
}

/// The same, but one that shows nothing in its headers shows `token`.
pub(super) fn principal_or(
    env: &Env,
    headers: &HeaderMap,
    token: &str,
) -> Result<Arc<Principal>, HttpError> {
    find(env, headers, Some(token))
}

fn find(
    env: &Env,
    headers: &HeaderMap,
    otherwise: Option<&str>,
) -> Result<Arc<Principal>, HttpError> {
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    let bearer = bearer_header(headers);
    let found = match (key, bearer.as_deref().or(otherwise)) {
        (Some(key), _) => env.authenticator.api_key(key),
        (None, Some(bearer)) => env
            .authenticator
            .api_key(bearer)
            .or_else(|_| env.authenticator.principal(Some(bearer), Clock::wall())),
        (None, None) => env.authenticator.principal(None, Clock::wall()),
    };
    found.map_err(|error| HttpError::new(error.code(), error.to_string()))
}

/// How long what a request shows still counts; `None` if it has no end.
pub(super) fn time_left(principal: &Principal) -> Option<Duration> {
    let expires_at = principal.expires_at?;
    Some(Duration::from_millis(expires_at.as_ms().saturating_sub(Clock::wall().as_ms())))
}

/// Refuses what the capabilities do not allow.
pub(super) fn check(
    principal: &Principal,
    operation: Operation,
    topic: &Topic,
) -> Result<(), HttpError> {
    if principal.capabilities.allow(operation, topic) {
        return Ok(());
    }
    let operation = operation.as_str();
    let message = format!(
        "`{operation}` is not allowed on `{topic}`: ask for a token or key whose `caps` have it there"
    );
    Err(HttpError::new(ErrorCode::PermissionDenied, message))
}
