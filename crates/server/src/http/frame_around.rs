//! What every request goes through: origin check, CORS, a deadline, a request id, the log.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tidings_protocol::{ErrorBody, ErrorCode};

use super::{HISTORY_PATH, WEBSOCKET_PATH};
use crate::auth::OriginRules;
use crate::env::Env;
use crate::problem::{HttpError, RETRY_SOON, tell};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the layer needs.
#[derive(Clone)]
pub(super) struct Around {
    pub(super) env: Arc<Env>,
    pub(super) origins: Arc<OriginRules>,
}

pub(super) async fn around(State(around): State<Around>, request: Request, next: Next) -> Response {
    let started = around.env.clock.now();
    let request_id = around.env.request_id();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let origin = request.headers().get(ORIGIN).cloned();
    let mut code = None;
    let mut response = if path == WEBSOCKET_PATH {
        around.answer_websocket(request, next).await
    } else {
        around.answer_http(request, next).await
    };
    if let Some(error) = response.extensions_mut().remove::<ErrorBody>() {
        around.env.metrics.errors(error.code).inc();
        code = Some(error.code);
        tell(&mut response, error, &request_id);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    around.env.metrics.http_requests.inc();
    let status = response.status().as_u16();
    let ms = around.env.clock.now().since(started).as_millis() as u64;
    // The query is left out: it may hold a token. Sockets come by the thousand.
    if status == StatusCode::SWITCHING_PROTOCOLS.as_u16() {
        tracing::debug!(%method, path, status, request_id, ms, "request");
    } else {
        // A browser tells its page of a lost connection and no more, so who was refused stands here.
        let is_denied = code == Some(ErrorCode::OriginDenied);
        let origin = origin.filter(|_| is_denied).map(tracing::field::debug);
        let code = code.map(ErrorCode::as_str);
        tracing::info!(%method, path, status, code, origin, request_id, ms, "request");
    }
    response
}

impl Around {
    async fn answer_websocket(&self, request: Request, next: Next) -> Response {
        if !self.origins.websocket.allows(request.headers()) {
            let message =
                "this origin may not open a WebSocket: add it to `server.allowed_origins`";
            return HttpError::new(ErrorCode::OriginDenied, message).into_response();
        }
        within_time(State(Arc::clone(&self.env)), request, next).await
    }

    async fn answer_http(&self, request: Request, next: Next) -> Response {
        if !self.origins.http.allows(request.headers()) {
            let message = "this origin may not use the HTTP interface: add it to \
                           `http.cors_origins`";
            return HttpError::new(ErrorCode::OriginDenied, message).into_response();
        }
        let origin = self.origins.http.named(request.headers()).map(str::to_owned);
        let is_preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = if is_preflight {
            preflight()
        } else {
            within_time(State(Arc::clone(&self.env)), request, next).await
        };
        allow_origin(response.headers_mut(), origin.as_deref());
        response
    }
}

/// Answers within the time that a request may take.
pub(crate) async fn within_time(
    State(env): State<Arc<Env>>,
    request: Request,
    next: Next,
) -> Response {
    let mut limit = env.settings.request_timeout;
    if request.uri().path() == HISTORY_PATH {
        limit += super::long_poll::asked(request.uri().query());
    }
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = "the request took too long; a publish may still be accepted, so \
                           repeat it with the same key";
            let mut error = ErrorBody::new(ErrorCode::Overloaded, message);
            error.retry_after = Some(RETRY_SOON);
            HttpError(error).into_response()
        }
    }
}

fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "authorization, content-type, idempotency-key, last-event-id, traceparent, tracestate, \
             x-api-key",
        ),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

fn allow_origin(headers: &mut HeaderMap, origin: Option<&str>) {
    let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(origin).ok()) else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-request-id, retry-after"),
    );
    headers.append(VARY, HeaderValue::from_static("origin"));
}
