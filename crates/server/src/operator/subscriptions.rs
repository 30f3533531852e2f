//! Durable subscriptions of all users, and what waits in them.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{CursorKey, DurableKey};
use tidings_storage::{CursorsOf, Store};

use super::Operator;
use super::page::{LOOKED_AT_MAX, bad_field, limit, look_up, parameters};
use super::topic::told;
use crate::problem::HttpError;

/// Cursors taken from the store in one go: nobody saves one meanwhile.
const TAKEN_AT_ONCE: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pending_min: Option<u64>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A part of the list.
#[derive(Debug, Default)]
struct Page {
    subscriptions: Vec<Value>,
    /// The last one looked at, if there may be more.
    cursor: Option<CursorKey>,
}

/// `GET /v1/subscriptions`.
pub(super) async fn list(
    State(operator): State<Operator>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, HttpError> {
    let List { pending_min, cursor, limit: asked } = parameters(query)?;
    let limit = limit(asked)?;
    let after = cursor
        .as_deref()
        .map(|text| from_text(text).ok_or_else(|| bad_field("`cursor` is none that a page gave")));
    let after = after.transpose()?;
    let pending_min = pending_min.unwrap_or(0);
    let store = operator.env.store.clone();
    let page = look_up(move || page(store.as_ref(), after, pending_min, limit)).await?;
    let body = json!({
        "subscriptions": page.subscriptions,
        "more": page.cursor.is_some(),
        "cursor": page.cursor.as_ref().and_then(to_text),
    });
    Ok(axum::Json(body).into_response())
}

fn page(store: &dyn Store, mut last: Option<CursorKey>, pending_min: u64, limit: usize) -> Page {
    let (mut page, mut looked_at) = (Page::default(), 0);
    loop {
        let taken = store.cursors(&CursorsOf::Users, last.as_ref(), TAKEN_AT_ONCE);
        if taken.is_empty() {
            return page;
        }
        for cursor in taken {
            let log = store.topic_state(cursor.key.topic());
            let is_wanted = cursor.state.pending_in(&log) >= pending_min;
            if is_wanted && page.subscriptions.len() == limit || looked_at == LOOKED_AT_MAX {
                page.cursor = last;
                return page;
            }
            looked_at += 1;
            if is_wanted {
                page.subscriptions.push(told(store, &cursor));
            }
            last = Some(cursor.key);
        }
    }
}

/// A key as a cursor of a list. No name has a line break in it.
fn to_text(key: &CursorKey) -> Option<String> {
    match key {
        CursorKey::Durable(DurableKey { user, name, topic }) => {
            let text = format!("{user}\n{name}\n{topic}", name = name.as_str());
            Some(URL_SAFE_NO_PAD.encode(text))
        }
        CursorKey::Group { .. } => None,
    }
}

fn from_text(text: &str) -> Option<CursorKey> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let mut parts = text.splitn(3, '\n');
    let (user, name, topic) = (parts.next()?, parts.next()?, parts.next()?);
    let key = DurableKey {
        user: user.parse().ok()?,
        name: name.parse().ok()?,
        topic: topic.parse().ok()?,
    };
    Some(CursorKey::Durable(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        let key = CursorKey::Durable(DurableKey {
            user: "alice".parse().unwrap(),
            name: " ".parse().unwrap(),
            topic: "a/b".parse().unwrap(),
        });
        assert_eq!(from_text(&to_text(&key).unwrap()), Some(key));
        for text in ["", "x", "YQ", "YQpiCiM", "YQpiCg", "%"] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }
}
