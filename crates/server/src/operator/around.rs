//! What every request of the operator's port goes through, whatever it is answered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{ALLOW, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, StatusCode};
use tidings_core::Instant;
use tidings_protocol::{ErrorBody, ErrorCode};

use crate::env::Env;
use crate::problem::{HttpError, tell};

/// How often it is logged that somebody had no key, whoever it was: guessing must not fill the disk.
const REFUSED_EVERY: Duration = Duration::from_secs(1);

/// Bytes of a refusal that are told on; those of axum are a line.
const REFUSAL_BYTES_MAX: usize = 1024;

/// What the layer needs.
#[derive(Clone)]
pub(super) struct Around {
    env: Arc<Env>,
    refused: Arc<Mutex<Refused>>,
}

/// Requests without the key that are not in the log.
#[derive(Debug, Default)]
struct Refused {
    logged_at: Option<Instant>,
    left_out: u64,
}

impl Around {
    pub(super) fn new(env: &Arc<Env>) -> Self {
        Self { env: Arc::clone(env), refused: Arc::default() }
    }
}

impl Refused {
    /// Another one: how many were left out before it, if it is to be logged.
    fn log(&mut self, now: Instant) -> Option<u64> {
        if self.logged_at.is_some_and(|at| now.since(at) < REFUSED_EVERY) {
            self.left_out += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Errors are told as on the public port, what may have changed something is logged, and what is told
/// stays nowhere on its way.
pub(super) async fn around(State(around): State<Around>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let peer = request.extensions().get().map(|ConnectInfo::<SocketAddr>(peer)| *peer);
    let reads_only = method == Method::GET || method == Method::HEAD;
    let mut response = in_our_words(next.run(request).await).await;
    let request_id = around.env.request_id();
    if let Some(error) = response.extensions_mut().remove::<ErrorBody>() {
        tell(&mut response, error, &request_id);
    }
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    let status = response.status().as_u16();
    if response.status() == StatusCode::UNAUTHORIZED {
        let now = around.env.clock.now();
        let left_out = around.refused.lock().unwrap_or_else(PoisonError::into_inner).log(now);
        if let Some(left_out) = left_out {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(%method, path, peer, request_id, left_out, "operator: without the key");
        }
    } else if !reads_only {
        tracing::info!(%method, path, status, request_id, "operator");
    }
    response
}

/// What axum refuses by itself, as an error of ours: a method that an address does not take, or an address
/// whose parts are no text.
async fn in_our_words(response: Response) -> Response {
    let status = response.status();
    if response.extensions().get::<ErrorBody>().is_some() {
        return response;
    }
    let error = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let message = "this address does not take this method";
            let mut told = HttpError::new(ErrorCode::MethodNotAllowed, message).into_response();
            if let Some(allowed) = response.headers().get(ALLOW) {
                told.headers_mut().insert(ALLOW, allowed.clone());
            }
            return told;
        }
        StatusCode::BAD_REQUEST => {
            let (_, body) = response.into_parts();
            let text = axum::body::to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
            HttpError::new(ErrorCode::BadField, String::from_utf8_lossy(&text))
        }
        _ => return response,
    };
    error.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_at_the_key_are_logged_once_a_second() {
        let mut refused = Refused::default();
        let at = |ms| Instant::from_ms(ms);
        assert_eq!(refused.log(at(0)), Some(0));
        for ms in [0, 1, 999] {
            assert_eq!(refused.log(at(ms)), None);
        }
        assert_eq!(refused.log(at(1000)), Some(3));
        assert_eq!(refused.log(at(5000)), Some(0));
    }
}
