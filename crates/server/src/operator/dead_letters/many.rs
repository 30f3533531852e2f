//! Replaying and purging many dead letters: in requests of bounded work, and within each in
//! submissions that the store's queue has room for.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as FromQuery, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tidings_core::Offset;
use tidings_protocol::ErrorBody;
use tidings_storage::{Outcome, Write};

use super::{blocking, read, recipients, refuse_recipients, refused, removal, settled, submit};
use crate::dead_letters::DeadLetter;
use crate::dead_letters::replay::{self, Edit, Recipients};
use crate::dead_letters::selection::{self, Found, Query};
use crate::operator::Operator;
use crate::problem::HttpError;

/// Data submitted together, bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// Failures that an answer tells one by one; the others it counts.
const ERRORS_TOLD_MAX: usize = 10;

/// What became of those that were found.
#[derive(Default)]
struct Tally {
    done: u64,
    failed: u64,
    errors: Vec<Value>,
}

impl Tally {
    fn failed(&mut self, offset: Offset, error: &ErrorBody) {
        self.failed += 1;
        if self.errors.len() < ERRORS_TOLD_MAX {
            self.errors.push(json!({
                "offset": offset.get(), "code": error.code.as_str(), "detail": error.message,
            }));
        }
    }

    /// The answer; `done` is what was done called.
    fn answer(self, done: &str, cursor: Option<String>) -> Response {
        let mut body = json!({ done: self.done, "failed": self.failed, "more": cursor.is_some() });
        if let Some(cursor) = cursor {
            body["cursor"] = json!(cursor);
        }
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        Json(body).into_response()
    }
}

pub(super) async fn replay_many(
    State(operator): State<Operator>,
    query: Result<FromQuery<Query>, QueryRejection>,
) -> Result<Response, HttpError> {
    let query = read(query)?;
    let to = query.to.as_deref().map_or(Ok(Recipients::Subscription), recipients)?;
    let (selection, page) = query.check_for_change()?;
    let find = move |store: &dyn tidings_storage::Store| selection::find(store, &selection, page);
    let Found { letters, cursor } = blocking(&operator, find).await?;
    let env = &operator.env;
    let mut tally = Tally::default();
    let mut ready = Vec::with_capacity(letters.len());
    for letter in letters {
        let log = (env.store.as_ref(), env.policies.as_ref());
        match replay::check(&letter, &letter.topic, to, log) {
            Ok(()) => ready.push(letter),
            Err(error) => tally.failed(letter.message.offset, &error),
        }
    }
    for piece in pieces(&ready) {
        let writes = piece.iter().flat_map(|l| replay::replay(l, Edit::default(), to)).collect();
        carry_out(&operator, piece, writes, &mut tally).await;
    }
    env.metrics.dead_letters_replayed.inc_by(tally.done);
    Ok(tally.answer("replayed", cursor))
}

pub(super) async fn purge(
    State(operator): State<Operator>,
    query: Result<FromQuery<Query>, QueryRejection>,
) -> Result<Response, HttpError> {
    let query = read(query)?;
    refuse_recipients(&query)?;
    let (selection, page) = query.check_for_change()?;
    let find = move |store: &dyn tidings_storage::Store| selection::find(store, &selection, page);
    let Found { letters, cursor } = blocking(&operator, find).await?;
    let mut tally = Tally::default();
    for piece in pieces(&letters) {
        let writes = piece.iter().map(removal).collect();
        carry_out(&operator, piece, writes, &mut tally).await;
    }
    operator.env.metrics.dead_letters_purged.inc_by(tally.done);
    Ok(tally.answer("purged", cursor))
}

/// Submits the writes of some dead letters, as many for each, and counts what became of them.
async fn carry_out(
    operator: &Operator,
    letters: &[DeadLetter],
    writes: Vec<Write>,
    tally: &mut Tally,
) {
    let writes_each = writes.len() / letters.len();
    let outcomes: Vec<Outcome> = match submit(operator, writes).await {
        Ok(outcomes) => outcomes,
        Err(HttpError(error)) => {
            return letters.iter().for_each(|l| tally.failed(l.message.offset, &error));
        }
    };
    for (letter, outcomes) in letters.iter().zip(outcomes.chunks(writes_each)) {
        match outcomes.iter().find(|outcome| settled(Some(outcome)).is_err()) {
            None => tally.done += 1,
            bad @ Some(_) => tally.failed(letter.message.offset, &refused(bad).0),
        }
    }
}

/// The letters in order, cut where a piece would be too large.
fn pieces(letters: &[DeadLetter]) -> impl Iterator<Item = &[DeadLetter]> {
    let mut rest = letters;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |letter: &&DeadLetter| {
            bytes += letter.message.content.data.bytes().len();
            bytes <= PIECE_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (piece, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(piece)
    })
}
