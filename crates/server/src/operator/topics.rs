//! Which topics there are, by name.

use std::ops::Bound;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_core::{Filter, Topic, TopicState, limits};
use tidings_storage::Store;

use super::Operator;
use super::page::{LOOKED_AT_MAX, bad_field, limit, look_up, parameters};
use crate::problem::HttpError;

/// Topics taken from the store in one go: it is kept from writing meanwhile.
const TAKEN_AT_ONCE: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// A topic or filter.
    #[serde(rename = "match")]
    filter: Option<String>,
    prefix: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Which topics are wanted.
#[derive(Debug)]
struct Wanted {
    /// What their names begin with.
    prefix: String,
    filter: Option<Filter>,
    /// The last topic of the page before.
    after: Option<Topic>,
    limit: usize,
}

/// A part of the list.
#[derive(Debug, Default)]
struct Page {
    topics: Vec<Value>,
    /// The last topic looked at, if there may be more.
    cursor: Option<Topic>,
}

/// `GET /v1/topics`.
pub(super) async fn list(
    State(operator): State<Operator>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, HttpError> {
    let wanted = Wanted::of(parameters(query)?)?;
    let store = operator.env.store.clone();
    let total = store.status().topics;
    let Page { topics, cursor } = look_up(move || page(store.as_ref(), &wanted)).await?;
    let body = json!({
        "topics": topics,
        "total": total,
        "more": cursor.is_some(),
        "cursor": cursor.as_ref().map(Topic::as_str),
    });
    Ok(axum::Json(body).into_response())
}

impl Wanted {
    fn of(list: List) -> Result<Self, HttpError> {
        let (prefix, filter) = match (list.prefix, list.filter) {
            (Some(_), Some(_)) => return Err(bad_field("give `match` or `prefix`, and not both")),
            (Some(prefix), None) => (checked_prefix(prefix)?, None),
            (None, Some(text)) => {
                let filter = Filter::parse(&text);
                let filter = filter.map_err(|error| bad_field(format!("`match`: {error}")))?;
                (literal_prefix(&text).to_owned(), Some(filter))
            }
            (None, None) => (String::new(), None),
        };
        let after = list.cursor.map(|cursor| Topic::parse(&cursor)).transpose();
        let after = after.map_err(|_| bad_field("`cursor` is none that a page gave"))?;
        Ok(Self { prefix, filter, after, limit: limit(list.limit)? })
    }

    fn from(&self) -> Bound<&str> {
        match &self.after {
            Some(after) if after.as_str() >= self.prefix.as_str() => {
                Bound::Excluded(after.as_str())
            }
            Some(_) | None => Bound::Included(&self.prefix),
        }
    }

    /// What the server keeps for itself is listed to those who name it.
    fn has(&self, topic: &Topic) -> bool {
        let is_named = !topic.is_reserved() || self.prefix.starts_with('$');
        is_named && self.filter.as_ref().is_none_or(|filter| filter.matches(topic))
    }
}

fn checked_prefix(prefix: String) -> Result<String, HttpError> {
    if prefix.contains(['+', '#']) {
        return Err(bad_field("`prefix` is what names begin with; wildcards are for `match`"));
    }
    if prefix.len() > limits::TOPIC_BYTES_MAX {
        let most = limits::TOPIC_BYTES_MAX;
        return Err(bad_field(format!("`prefix` is longer than a topic can be ({most} bytes)")));
    }
    Ok(prefix)
}

/// What every topic begins with that a filter stands for.
fn literal_prefix(filter: &str) -> &str {
    match filter.find(['+', '#']) {
        None => filter,
        // `a/#` stands for `a` as well.
        Some(at) if filter[at..].starts_with('#') => filter[..at].trim_end_matches('/'),
        Some(at) => &filter[..at],
    }
}

fn page(store: &dyn Store, wanted: &Wanted) -> Page {
    let (mut page, mut looked_at) = (Page::default(), 0);
    let mut last: Option<Topic> = None;
    loop {
        let from = last.as_ref().map_or(wanted.from(), |last| Bound::Excluded(last.as_str()));
        let taken = store.topics(from, TAKEN_AT_ONCE);
        if taken.is_empty() {
            return page;
        }
        for (topic, state) in taken {
            if !topic.as_str().starts_with(&wanted.prefix) {
                return page;
            }
            let is_wanted = wanted.has(&topic);
            if is_wanted && page.topics.len() == wanted.limit || looked_at == LOOKED_AT_MAX {
                page.cursor = last;
                return page;
            }
            looked_at += 1;
            if is_wanted {
                page.topics.push(entry(store, &topic, state));
            }
            last = Some(topic);
        }
    }
}

/// What a list says of a topic.
pub(super) fn entry(store: &dyn Store, topic: &Topic, state: TopicState) -> Value {
    json!({
        "topic": topic.as_str(),
        "epoch": state.epoch.to_string(),
        "first": state.first.get(),
        "offset": state.head.get(),
        "messages": store.count_messages(topic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_looked_for_where_a_filter_begins() {
        for (filter, prefix) in [
            ("#", ""),
            ("+/a", ""),
            ("a", "a"),
            ("a/#", "a"),
            ("a/b/+", "a/b/"),
            ("a/+/c/#", "a/"),
            ("$dead-letters/#", "$dead-letters"),
            ("/#", ""),
            ("a//#", "a"),
        ] {
            assert_eq!(literal_prefix(filter), prefix, "{filter}");
        }
    }
}
