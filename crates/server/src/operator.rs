//! The operator's listener: liveness, readiness, metrics. Loopback unless configured.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
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
