//! `GET /v1/stream`: topics as Server-Sent Events (WHATWG HTML §9.2).
//!
//! A stream is a reader of the log: it holds a position in each topic and no queue. The next part is
//! read once the client has taken the one before, so one that is slow costs one part of memory.

mod ask;
mod source;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use tidings_core::{Durability, Operation, Principal};
use tidings_protocol::{ErrorBody, ErrorCode};

use super::access::{self, Port};
use crate::env::Env;
use crate::problem::{HttpError, cannot_wait};
use crate::shard::Hidden;
use ask::Ask;
use source::Source;

/// What nginx and others that understand it take for "do not hold this answer back".
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn stream(
    State(port): State<Port>,
    State(env): State<Arc<Env>>,
    headers: HeaderMap,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Query(query) =
        query.map_err(|error| HttpError::new(ErrorCode::BadField, error.body_text()))?;
    let ask = Ask::read(query, &headers)?;
    let principal = authenticate(&port, &env, &headers, &ask)?;
    for topic in &ask.topics {
        access::check(&principal, Operation::Subscribe, topic)?;
        if env.policies.policy(topic).durability == Durability::Memory {
            let message = format!(
                "`{topic}` keeps nothing (`durability = \"memory\"`), and a stream is read from \
                 what is kept: subscribe to it over a WebSocket"
            );
            return Err(HttpError::new(ErrorCode::Unsupported, message));
        }
    }
    // Before the first read: what is published from here on wakes the stream.
    let watch = env.watchers.watch(&principal, ask.topics.iter().cloned());
    let watch = watch.map_err(|why| cannot_wait(&env, why))?;
    // A token that was revoked before the watch was there to be ended is seen now.
    authenticate(&port, &env, &headers, &ask)?;
    let source = Source::new(env, watch, &principal);
    let (source, first) = source.open(ask).await?;
    let body = unfold((Some(first), source), |(ready, mut source)| async move {
        let part = match ready {
            Some(part) => part,
            None => source.next().await?,
        };
        Some((Ok::<_, Infallible>(Bytes::from(part)), (None, source)))
    });
    let headers =
        [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (ACCEL_BUFFERING, "no")];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Who asks. `EventSource` cannot set headers, so a token may stand in the query where that is
/// allowed.
fn authenticate(
    port: &Port,
    env: &Env,
    headers: &HeaderMap,
    ask: &Ask,
) -> Result<Arc<Principal>, HttpError> {
    match &ask.token {
        None => port.principal(headers),
        Some(_) if !env.settings.token_in_query => {
            let message = "a token in the query is not taken here: show it in \
                           `Authorization: Bearer`, or set `auth.token_in_query`";
            Err(HttpError(ErrorBody::new(ErrorCode::Unauthenticated, message)))
        }
        Some(Hidden(token)) => port.principal_or(headers, token),
    }
}
