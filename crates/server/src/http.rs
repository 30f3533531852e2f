//! The public HTTP interface: routes, and what every request goes through. What is done with topics is
//! open to the operator too, on their own port.

mod access;
mod documents;
mod frame_around;
mod history;
mod long_poll;
mod presence;
mod publish;
mod scheduled;
mod stream;
mod trace;

pub(crate) use access::Port;
pub(crate) use frame_around::within_time;
pub(crate) use publish::body;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, delete, get, post};
use tidings_protocol::ErrorCode;

use crate::auth::OriginRules;
use crate::door::upgrade;
use crate::env::Env;
use crate::problem::HttpError;

/// Where WebSockets are opened.
pub(crate) const WEBSOCKET_PATH: &str = "/v1/ws";

/// Where a topic's past is read, and its future waited for.
const HISTORY_PATH: &str = "/v1/history";

/// Every public route, and `further` ones of the program that embeds the server.
pub(crate) fn router(env: &Arc<Env>, origins: OriginRules, further: Router) -> Router {
    let around = frame_around::Around { env: Arc::clone(env), origins: Arc::new(origins) };
    Router::new()
        // `get` would also take HEAD, which cannot be upgraded.
        .route(WEBSOCKET_PATH, any(upgrade))
        .merge(topics())
        .route("/v1/scheduled", get(scheduled::list))
        .route("/v1/scheduled/{id}", delete(scheduled::remove))
        .route("/openapi.json", get(documents::openapi))
        .route("/asyncapi.json", get(documents::asyncapi))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Port::public(Arc::clone(env)))
        .merge(further)
        .layer(from_fn_with_state(around, frame_around::around))
}

/// What is done with topics: publishing, reading, seeing who is there.
pub(crate) fn topics() -> Router<Port> {
    Router::new()
        .route("/v1/publish", post(publish::publish))
        .route("/v1/publish/batch", post(publish::publish_batch))
        .route("/v1/broadcast", post(publish::broadcast))
        .route(HISTORY_PATH, get(history::history))
        .route("/v1/stream", get(stream::stream))
        .route("/v1/presence", get(presence::presence))
}

async fn not_found() -> HttpError {
    HttpError::new(
        ErrorCode::NotFound,
        "there is nothing at this address; docs/http.md lists what is",
    )
}

async fn method_not_allowed() -> HttpError {
    HttpError::new(ErrorCode::MethodNotAllowed, "this address does not take this method")
}
