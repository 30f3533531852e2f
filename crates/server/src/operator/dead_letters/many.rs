//! Replaying and purging many dead letters: in requests of bounded work, and within each in
//! submissions that the store's queue has room for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as FromQuery, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tidings_core::{Offset, Pace};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::Outcome;

use super::republish::{Again, republish};
use super::{blocking, kept, read, recipients, refuse_recipients, removal, settled, submit};
use crate::dead_letters::DeadLetter;
use crate::dead_letters::replay::{self, Edit, Recipients};
use crate::dead_letters::selection::{self, Cursor, Found, Query};
use crate::env::Env;
use crate::operator::Operator;
use crate::problem::HttpError;

/// Data submitted together, bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// How long a replay of many takes at most before it answers with what it has done: its pace is
/// the same, and who asked hears of it.
const REPLAY_TIME: Duration = Duration::from_secs(5);

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
    const fn is_empty(&self) -> bool {
        self.done == 0 && self.failed == 0
    }

    fn failed(&mut self, offset: Offset, error: &ErrorBody) {
        self.failed += 1;
        if self.errors.len() < ERRORS_TOLD_MAX {
            self.errors.push(json!({
                "offset": offset.get(), "code": error.code.as_str(), "detail": error.message,
            }));
        }
    }

    /// Counts what became of a piece, one outcome for each letter; gives how many were done.
    fn count(&mut self, letters: &[&DeadLetter], outcomes: Result<Vec<Outcome>, HttpError>) -> u64 {
        let before = self.done;
        match outcomes {
            Ok(outcomes) => {
                for (letter, outcome) in letters.iter().zip(&outcomes) {
                    match settled(Some(outcome)) {
                        Ok(()) => self.done += 1,
                        Err(HttpError(error)) => self.failed(letter.message.offset, &error),
                    }
                }
            }
            Err(HttpError(error)) => {
                letters.iter().for_each(|letter| self.failed(letter.message.offset, &error));
            }
        }
        self.done - before
    }

    /// The answer; `done` is what was done called.
    fn answer(self, done: &str, cursor: Option<Cursor>, operator: &Operator) -> Response {
        let mut body = json!({
            done: self.done, "failed": self.failed, "kept": kept(operator),
            "more": cursor.is_some(),
        });
        if let Some(cursor) = cursor {
            body["cursor"] = json!(cursor.to_string());
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
    let found = blocking(&operator, find).await?;
    let env = &operator.env;
    let begun = env.clock.now();
    let mut tally = Tally::default();
    let at_once = lock(&operator.replays).at_once();
    for piece in pieces(&found.letters, at_once) {
        let until = begun + REPLAY_TIME;
        let due = lock(&operator.replays).take(piece.len(), env.clock.now(), until);
        let Ok(due) = due else {
            if tally.is_empty() {
                return Err(busy());
            }
            let rest = piece.first().map(|letter| found.again_from(letter));
            return Ok(tally.answer("replayed", rest, &operator));
        };
        tokio::time::sleep(due.since(env.clock.now())).await;
        replay_piece(env, piece, to, &mut tally).await;
    }
    Ok(tally.answer("replayed", found.cursor, &operator))
}

/// Replays those that can be, together.
async fn replay_piece(env: &Arc<Env>, piece: &[DeadLetter], to: Recipients, tally: &mut Tally) {
    let (mut ready, mut again) = (Vec::new(), Vec::new());
    for letter in piece {
        let log = (env.store.as_ref(), env.policies.as_ref());
        match replay::check(letter, &letter.topic, to, log) {
            Ok(()) => {
                let publish = replay::publish_again(letter, Edit::default(), to);
                again.push(Again { publish, removal: removal(letter) });
                ready.push(letter);
            }
            Err(error) => tally.failed(letter.message.offset, &error),
        }
    }
    let outcomes = republish(env, again).await;
    tally.count(&ready, outcomes);
}

fn lock(replays: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    replays.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For who would wait longer than a request lasts, because of others.
fn busy() -> HttpError {
    let message = "other replays have the whole rate (`limits.replays_per_second`): try again when \
                   they are done";
    let mut error = ErrorBody::new(ErrorCode::LimitReached, message);
    error.retry_after = Some(REPLAY_TIME);
    HttpError(error)
}

pub(super) async fn purge(
    State(operator): State<Operator>,
    query: Result<FromQuery<Query>, QueryRejection>,
) -> Result<Response, HttpError> {
    let query = read(query)?;
    refuse_recipients(&query)?;
    let (selection, page) = query.check_for_change()?;
    let find = move |store: &dyn tidings_storage::Store| selection::find(store, &selection, page);
    let Found { letters, cursor, .. } = blocking(&operator, find).await?;
    let mut tally = Tally::default();
    for piece in pieces(&letters, usize::MAX) {
        let outcomes = submit(&operator, piece.iter().map(removal).collect()).await;
        let purged = tally.count(&piece.iter().collect::<Vec<_>>(), outcomes);
        operator.env.metrics.dead_letters_purged.inc_by(purged);
    }
    Ok(tally.answer("purged", cursor, &operator))
}

/// The letters in order, cut where a piece would be too large or too many.
fn pieces(letters: &[DeadLetter], at_once: usize) -> impl Iterator<Item = &[DeadLetter]> {
    let mut rest = letters;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |letter: &&DeadLetter| {
            bytes += letter.message.content.data.bytes().len();
            bytes <= PIECE_BYTES
        };
        let count = rest.iter().take(at_once).take_while(fits).count().max(1);
        let (piece, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(piece)
    })
}
