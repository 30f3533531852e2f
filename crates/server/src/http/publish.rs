//! `POST /v1/publish`, `POST /v1/publish/batch` and `POST /v1/broadcast`.

use std::error::Error as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::LengthLimitError;
use tidings_core::{DedupKey, NewMessage, Operation, Principal};
use tidings_protocol::http::{
    BatchReply, PublishOutcome, PublishReply, decode_broadcast, decode_publish,
    decode_publish_batch,
};
use tidings_protocol::{ErrorBody, ErrorCode, Publish, Published};
use tidings_storage::{Outcome, Write};

use super::trace::Trace;
use super::{access, pieces};
use crate::clock::Clock;
use crate::env::Env;
use crate::problem::{HttpError, not_offered, reserved, store_error};
use crate::trace_log;

pub(super) async fn publish(
    State(env): State<Arc<Env>>,
    request: Request,
) -> Result<Response, HttpError> {
    let principal = access::principal(&env, request.headers())?;
    let key = idempotency_key(request.headers())?;
    let trace = Trace::of(request.headers());
    let body = body(&env, request).await?;
    let mut publish = decode_publish(&body)?;
    publish.key = publish.key.or(key);
    trace.add_to(&mut publish.headers);
    let topic = publish.topic.clone();
    let write = write(&env, &principal, publish)?;
    let mut outcomes = env.door_lane.submit(env.store.as_ref(), vec![write]).await?;
    let outcome = published(outcomes.pop())?;
    let mut out = Vec::new();
    PublishReply { topic, outcome }.encode(&mut out);
    Ok(json(out))
}

pub(super) async fn publish_batch(
    State(env): State<Arc<Env>>,
    request: Request,
) -> Result<Response, HttpError> {
    let principal = access::principal(&env, request.headers())?;
    let trace = Trace::of(request.headers());
    let body = body(&env, request).await?;
    let mut messages = decode_publish_batch(&body)?;
    for publish in messages.iter_mut().flatten() {
        trace.add_to(&mut publish.headers);
    }
    publish_each(&env, &principal, messages).await
}

pub(super) async fn broadcast(
    State(env): State<Arc<Env>>,
    request: Request,
) -> Result<Response, HttpError> {
    let principal = access::principal(&env, request.headers())?;
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
            Ok((topic, write(env, principal, publish).map_err(|error| error.0)?))
        });
        results.push(checked.map(|(topic, write)| {
            writes.push(write);
            topic
        }));
    }
    let mut outcomes = pieces::submit(env, writes).await?.into_iter();
    let results = results.into_iter().map(|result| {
        let topic = result?;
        Ok(PublishReply { topic, outcome: published(outcomes.next()).map_err(|e| e.0)? })
    });
    let mut out = Vec::new();
    BatchReply { results: results.collect() }.encode(&mut out);
    Ok(json(out))
}

fn write(env: &Env, principal: &Principal, publish: Publish) -> Result<Write, HttpError> {
    if publish.topic.is_reserved() {
        return Err(reserved(&publish.topic).into());
    }
    access::check(principal, Operation::Publish, &publish.topic)?;
    if publish.deliver_at.is_some_and(|time| time > Clock::wall()) {
        return Err(not_offered("a `deliver_at` in the future").into());
    }
    let (bytes, bytes_max) = (publish.data.bytes().len(), env.settings.limits.message_bytes);
    if bytes > bytes_max as usize {
        let message = format!("the data has {bytes} bytes, {bytes_max} are allowed");
        return Err(HttpError::new(ErrorCode::TooLarge, message));
    }
    let durability = env.policies.policy(&publish.topic).durability;
    let message = NewMessage {
        topic: publish.topic,
        data: publish.data,
        content_type: publish.content_type,
        headers: publish.headers,
        sender: Some(principal.user.clone()),
        key: publish.key,
        order_key: publish.order_key,
        ttl: publish.ttl,
    };
    Ok(Write::Publish { message, durability, id: None })
}

fn published(outcome: Option<Outcome>) -> Result<PublishOutcome, HttpError> {
    let published = |id, position, duplicate| {
        Ok(PublishOutcome::Published(Published { id, position, duplicate }))
    };
    match outcome {
        Some(Outcome::Published(message)) => {
            trace_log::published(&message);
            published(message.id, message.position(), false)
        }
        Some(Outcome::Duplicate { id, position }) => published(id, position, true),
        Some(Outcome::Refused(error)) => Err(HttpError(store_error(&error))),
        Some(Outcome::Saved) | None => {
            Err(HttpError::new(ErrorCode::Internal, "the store did not answer"))
        }
    }
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

async fn body(env: &Env, request: Request) -> Result<Bytes, HttpError> {
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
    axum::body::to_bytes(request.into_body(), bytes_max).await.map_err(|error| {
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
