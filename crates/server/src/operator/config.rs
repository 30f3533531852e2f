//! The configuration in force.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::Operator;

/// `GET /v1/config`. It stays as it was read at the start.
pub(super) async fn show(State(operator): State<Operator>) -> Response {
    axum::Json(json!({ "config": operator.facts.config })).into_response()
}
