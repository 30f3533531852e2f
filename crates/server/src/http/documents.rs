//! `GET /openapi.json` and `GET /asyncapi.json`: what this server understands, for programs.
//!
//! Both are written by hand and held against the routes, the frames and real answers by the tests in
//! `docs/api/test`. They are the same for everybody, so nobody has to say who asks.

use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;

/// HTTP, on both ports.
const OPENAPI: &str = include_str!("../../../../docs/api/openapi.json");

/// The WebSocket.
const ASYNCAPI: &str = include_str!("../../../../docs/api/asyncapi.json");

pub(super) async fn openapi() -> Response {
    json(OPENAPI)
}

pub(super) async fn asyncapi() -> Response {
    json(ASYNCAPI)
}

fn json(document: &'static str) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}
