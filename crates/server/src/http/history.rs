//! `GET /v1/history`.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use tidings_core::{Durability, Offset, Operation, Position, Timestamp, Topic, limits};
use tidings_protocol::http::HistoryReply;
use tidings_protocol::{ErrorBody, ErrorCode, History};
use tidings_storage::{ReadFrom, ReadLimit};

use super::access::Port;
use super::publish::json;
use super::{access, long_poll};
use crate::env::Env;
use crate::history::{history as reply, next_page};
use crate::problem::{HttpError, keeps_nothing};

/// Messages of a page unless the request names a number.
const LIMIT_DEFAULT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    topic: String,
    /// `EPOCH:OFFSET`.
    after: Option<String>,
    /// Milliseconds since the Unix epoch.
    since: Option<u64>,
    /// What an earlier page gave.
    cursor: Option<String>,
    limit: Option<usize>,
    /// How long to wait for a message if there is none.
    wait_ms: Option<u64>,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) topic: Topic,
    from: ReadFrom,
    position: Option<Position>,
    limit: ReadLimit,
}

/// What there is of it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) history: History,
    /// Where the next page begins.
    pub(super) next: Offset,
}

impl Page {
    pub(super) async fn read(&self, env: &Env) -> Result<Read, ErrorBody> {
        let batch = env.door_reads.read(&env.store, &self.topic, self.from, self.limit).await?;
        let next = next_page(&batch);
        Ok(Read { history: reply(self.topic.clone(), self.position, &batch)?, next })
    }
}

pub(super) async fn history(
    State(port): State<Port>,
    State(env): State<Arc<Env>>,
    headers: HeaderMap,
    params: Result<Query<Params>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, HttpError> {
    let principal = port.principal(&headers)?;
    let Query(params) =
        params.map_err(|error| HttpError::new(ErrorCode::BadField, error.body_text()))?;
    let topic = Topic::parse(&params.topic)
        .map_err(|error| HttpError::new(ErrorCode::BadTopic, error.to_string()))?;
    access::check(&principal, Operation::History, &topic)?;
    if env.policies.policy(&topic).durability == Durability::Memory {
        return Err(keeps_nothing(&topic).into());
    }
    let (from, position) = start(&params)?;
    let limit = ReadLimit { messages: limit(params.limit)?, bytes: limits::READ_BYTES_MAX };
    let wait = long_poll::wait(params.wait_ms)?;
    let still_counts = || port.principal(&headers).map(drop);
    let page = Page { topic, from, position, limit };
    let Read { history, next } =
        long_poll::read(&env, &principal, &page, wait, still_counts).await?;
    let next = Position { epoch: history.epoch, offset: next.previous() };
    let mut out = Vec::new();
    HistoryReply { history, cursor: Some(cursor(next)) }.encode(&mut out);
    Ok(json(out))
}

fn limit(asked: Option<usize>) -> Result<usize, ErrorBody> {
    let messages = asked.unwrap_or(LIMIT_DEFAULT);
    let allowed = 1..=limits::READ_MESSAGES_MAX;
    if allowed.contains(&messages) {
        return Ok(messages);
    }
    let message = format!("`limit` is {messages}; it must be from 1 to {}", allowed.end());
    Err(ErrorBody::new(ErrorCode::BadField, message))
}

fn start(params: &Params) -> Result<(ReadFrom, Option<Position>), ErrorBody> {
    let shown = params.cursor.as_deref().or(params.after.as_deref());
    match (shown, params.since) {
        (Some(text), _) => {
            let position = parse_position(text).ok_or_else(|| {
                let message = format!("`{text}` is no position: EPOCH:OFFSET is expected");
                ErrorBody::new(ErrorCode::BadField, message)
            })?;
            Ok((ReadFrom::Offset(position.offset.next()), Some(position)))
        }
        (None, Some(ms)) => Ok((ReadFrom::Time(Timestamp::from_ms(ms)), None)),
        (None, None) => Ok((ReadFrom::Offset(Offset::FIRST), None)),
    }
}

/// Opaque to clients, so that it may one day say more.
fn cursor(position: Position) -> String {
    format!("{}:{}", position.epoch, position.offset)
}

pub(super) fn parse_position(text: &str) -> Option<Position> {
    let (epoch, offset) = text.split_once(':')?;
    Some(Position { epoch: epoch.parse().ok()?, offset: Offset::new(offset.parse().ok()?) })
}
