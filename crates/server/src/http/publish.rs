//! `POST /v1/publish`, `POST /v1/publish/batch` and `POST /v1/broadcast`.

use std::error::Error as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::LengthLimitError;
use tidings_core::{DedupKey, Operation, Principal, Timestamp};
use tidings_protocol::http::{
    BatchReply, PublishOutcome, PublishReply, decode_broadcast, decode_publish,
    decode_publish_batch,
};
use tidings_protocol::{ErrorBody, ErrorCode, Publish, Published, Scheduled};
use tidings_storage::Outcome;

use super::access::{self, Port};
use super::trace::Trace;
use crate::clock::{Clock, Stopwatch};
use crate::env::Env;
use crate::pieces;
use crate::problem::{HttpError, reserved, store_error};
use crate::publication::{Publication, publication};
use crate::spans::PublishSpan;
use crate::trace_log;

pub(super) async fn publish(
    State(port): State<Port>,
    State(env): State<Arc<Env>>,
    request: Request,
) -> Result<Response, HttpError> {
    let principal = port.principal(request.headers())?;
    let key = idempotency_key(request.headers())?;
    let trace = Trace::of(request.headers());
    let body = body(&env, request).await?;
    let mut publish = decode_publish(&body)?;
    publish.key = publish.key.or(key);
    trace.add_to(&mut publish.headers);
    let topic = publish.topic.clone();
    let Publication { write, deliver_at, span } = checked(&env, &principal, publish)?;
    let submitted = Stopwatch::start();
    let mut outcomes = env.door_lane.submit(env.store.as_ref(), vec![write]).await?;
    env.metrics.publish_times.observe(submitted.elapsed());
    let outcome = answer(&env, deliver_at, outcomes.pop(), span)?;
    let mut out = Vec::new();
    PublishReply { topic, outcome }.encode(&mut out);
    Ok(json(out))
}

pub(super) async fn publish_batch(
    State(port): State<Port>,
    State(env): State<Arc<Env>>,
    request: Request,
) -> Result<Response, HttpError> {
    let principal = port.principal(request.headers())?;
    let trace = Trace::of(request.headers());
    let body = body(&env, request).await?;
    let mut messages = decode_publish_batch(&body)?;
    for publish in messages.iter_mut().flatten() {
        trace.add_to(&mut publish.headers);
    }
    publish_each(&env, &principal, messages).await
}

pub(super) async fn broadcast(
    State(port): State<Port>,
    State(env): State<Arc<Env>>,
    request: Request,
) -> Result<Response, HttpError> {
    let principal = port.principal(request.headers())?;
    let key = idempotency_key(request.headers())?;
    let trace = Trace::of(request.headers());
    let body = body(&env, request).await?;
    let mut messages = decode_broadcast(&body)?;
    for publish in messages.iter_mut().flatten() {
        publish.key = publish.key.take().or_else(|| key.clone());
        trace.add_to(&mut publish.headers);
    }
    publish_each(&env, &principal, messages).await
}

/// Publishes what can be published, and answers with one result for each message in their order.
async fn publish_each(
    env: &Env,
    principal: &Principal,
    messages: Vec<Result<Publish, ErrorBody>>,
) -> Result<Response, HttpError> {
    let mut results = Vec::with_capacity(messages.len());
    let mut writes = Vec::new();
    for message in messages {
        let checked = message.and_then(|publish| {
            let topic = publish.topic.clone();
            Ok((topic, checked(env, principal, publish).map_err(|error| error.0)?))
        });
        results.push(checked.map(|(topic, Publication { write, deliver_at, span })| {
            writes.push(write);
            (topic, deliver_at, span)
        }));
    }
    let submitted = (!writes.is_empty()).then(Stopwatch::start);
    let mut outcomes = pieces::submit(env, writes).await?.into_iter();
    if let Some(submitted) = submitted {
        env.metrics.publish_times.observe(submitted.elapsed());
    }
    let results = results.into_iter().map(|result| {
        let (topic, deliver_at, span) = result?;
        let outcome = answer(env, deliver_at, outcomes.next(), span).map_err(|error| error.0)?;
        Ok(PublishReply { topic, outcome })
    });
    let mut out = Vec::new();
    BatchReply { results: results.collect() }.encode(&mut out);
    Ok(json(out))
}

fn checked(env: &Env, principal: &Principal, publish: Publish) -> Result<Publication, HttpError> {
    if publish.topic.is_reserved() {
        return Err(reserved(&publish.topic).into());
    }
    access::check(principal, Operation::Publish, &publish.topic)?;
    Ok(publication(env, &principal.user, publish, Clock::wall())?)
}

/// What the publisher is told, and its trace.
fn answer(
    env: &Env,
    deliver_at: Option<Timestamp>,
    outcome: Option<Outcome>,
    span: PublishSpan,
) -> Result<PublishOutcome, HttpError> {
    let told = told(env, deliver_at, outcome);
    match &told {
        Ok(PublishOutcome::Published(published)) => span.published(published),
        Ok(PublishOutcome::Scheduled(scheduled)) => span.scheduled(scheduled),
        Err(HttpError(error)) => span.refused(error.code),
    }
    told
}

/// What the publisher is told. A repeat of a message that was scheduled is told when that one is due.
fn told(
    env: &Env,
    deliver_at: Option<Timestamp>,
    outcome: Option<Outcome>,
) -> Result<PublishOutcome, HttpError> {
    let (id, position, duplicate) = match outcome {
        Some(Outcome::Published(message)) => {
            trace_log::published(&message);
            (message.id, message.position(), false)
        }
        Some(Outcome::Duplicate { id, position }) => (id, position, true),
        Some(Outcome::Refused(error)) => return Err(HttpError(store_error(&error))),
        Some(Outcome::Saved) | None => {
            return Err(HttpError::new(ErrorCode::Internal, "the store did not answer"));
        }
    };
    Ok(match deliver_at {
        None => PublishOutcome::Published(Published { id, position, duplicate }),
        Some(_) if duplicate => PublishOutcome::Scheduled(env.schedule.repeated(id)?),
        Some(deliver_at) => PublishOutcome::Scheduled(Scheduled { id, deliver_at, duplicate }),
    })
}

/// `Idempotency-Key` (IETF draft): the same as `key` in the body.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<DedupKey>, HttpError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim_matches('"');
    let key = DedupKey::parse(text).map_err(|error| {
        ErrorBody::new(ErrorCode::BadField, format!("`Idempotency-Key`: {error}"))
    })?;
    Ok(Some(key))
}

/// The whole body of a request, which has the time that a request may take.
pub(crate) async fn body(env: &Env, request: Request) -> Result<Bytes, HttpError> {
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = media_type.is_none_or(|text| {
        text.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !is_json {
        let message = "the body must be application/json";
        return Err(HttpError::new(ErrorCode::UnsupportedMediaType, message));
    }
    let bytes_max = env.settings.http_body_bytes;
    let reading = axum::body::to_bytes(request.into_body(), bytes_max);
    let read = tokio::time::timeout(env.settings.request_timeout, reading).await;
    let read = read.map_err(|_| {
        let message = "the body took too long to come: send it at once";
        HttpError::new(ErrorCode::BadFrame, message)
    })?;
    read.map_err(|error| {
        if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            let message = format!("the body is larger than the {bytes_max} bytes that are allowed");
            return HttpError::new(ErrorCode::TooLarge, message);
        }
        let message = format!("the body broke off or is not encoded as its headers say: {error}");
        HttpError::new(ErrorCode::BadFrame, message)
    })
}

pub(super) fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
