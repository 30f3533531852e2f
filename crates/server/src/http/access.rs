//! Who sends a request and what they may do, on the public port and on the operator's.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use http::HeaderMap;
use tidings_core::{
    Capabilities, Capability, Filter, Operation, Operations, Principal, Topic, UserId,
};
use tidings_protocol::ErrorCode;

use crate::auth::REVOCATIONS_TOPIC;
use crate::clock::Clock;
use crate::dead_letters::DEAD_LETTERS_TOPIC;
use crate::env::Env;
use crate::problem::HttpError;
use crate::schedule::SCHEDULE_TOPIC;
use crate::websocket::bearer_header;

/// Whom the operator publishes as.
const OPERATOR: &str = "$operator";

/// The port that a request came to.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    env: Arc<Env>,
    callers: Callers,
}

/// Who may come to a port.
#[derive(Clone, Debug)]
enum Callers {
    /// Whoever shows a token or a key.
    Everybody,
    /// Nobody else: their key was asked for before.
    Operator(Arc<Principal>),
}

impl Port {
    pub(crate) const fn public(env: Arc<Env>) -> Self {
        Self { env, callers: Callers::Everybody }
    }

    pub(crate) fn operators(env: Arc<Env>) -> Self {
        let operator = Principal {
            user: UserId::parse(OPERATOR).expect("a valid user"),
            capabilities: everything(),
            issued_at: None,
            expires_at: None,
        };
        Self { env, callers: Callers::Operator(Arc::new(operator)) }
    }

    /// Who sends a request: an `X-API-Key`, or a bearer token, or an API key as bearer.
    pub(super) fn principal(&self, headers: &HeaderMap) -> Result<Arc<Principal>, HttpError> {
        match &self.callers {
            Callers::Everybody => find(&self.env, headers, None),
            Callers::Operator(operator) => Ok(Arc::clone(operator)),
        }
    }

    /// The same, but one that shows nothing in its headers shows `token`.
    pub(super) fn principal_or(
        &self,
        headers: &HeaderMap,
        token: &str,
    ) -> Result<Arc<Principal>, HttpError> {
        match &self.callers {
            Callers::Everybody => find(&self.env, headers, Some(token)),
            Callers::Operator(operator) => Ok(Arc::clone(operator)),
        }
    }
}

impl FromRef<Port> for Arc<Env> {
    fn from_ref(port: &Port) -> Self {
        Self::clone(&port.env)
    }
}

/// All that can be done, and what the server keeps for itself can be read.
fn everything() -> Capabilities {
    let capability = |filter: &str, operations: Operations| Capability {
        filter: Filter::parse(filter).expect("a valid filter"),
        operations,
    };
    let reading: Operations = [Operation::Subscribe, Operation::History].into_iter().collect();
    let own = [DEAD_LETTERS_TOPIC, SCHEDULE_TOPIC, REVOCATIONS_TOPIC];
    let own = own.into_iter().map(|topic| capability(topic, reading));
    Capabilities::new(own.chain([capability("#", Operations::all())]).collect())
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
