//! The operator's listener: liveness, readiness, metrics, and sending a user away. Loopback unless
//! configured.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tidings_core::UserId;
use tokio_util::sync::CancellationToken;

use crate::env::Env;

/// What OpenMetrics text is called.
const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Operator {
    env: Arc<Env>,
    draining: CancellationToken,
}

pub(crate) fn router(env: Arc<Env>, draining: CancellationToken) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/users/{user}/disconnect", post(disconnect))
        .with_state(Operator { env, draining })
}

/// Ready means: this server can take publishes. What one topic or client does never matters.
async fn ready(State(operator): State<Operator>) -> Response {
    let status = operator.env.store.status();
    let draining = operator.draining.is_cancelled();
    let refusing = status.refusing.as_ref().map(ToString::to_string);
    let ready = !draining && refusing.is_none();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": ready,
        "draining": draining,
        "node": operator.env.settings.node.as_str(),
        "store": { "writable": refusing.is_none(), "refusing": refusing },
        "connections": operator.env.seats.taken(),
    });
    (code, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn metrics(State(operator): State<Operator>) -> Response {
    let env = &operator.env;
    let text = env.metrics.encode(env.seats.taken(), &env.store.status());
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], text).into_response()
}

/// Closes every connection of a user on this node, finally (4002). What the user has still to get
/// waits; a token that is valid lets the user come back, so revoke it where it is made.
///
/// No web page may ask for it: a browser on the operator's machine reaches this port too, and sends
/// `Origin` with every POST.
async fn disconnect(
    State(operator): State<Operator>,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Response {
    if headers.contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, "not for web pages\n").into_response();
    }
    match UserId::parse(&user) {
        Ok(user) => {
            operator.env.disconnect(&user);
            StatusCode::ACCEPTED.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}
