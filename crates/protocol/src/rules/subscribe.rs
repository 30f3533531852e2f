//! The rules of `subscribe`.

use tidings_core::limits::WINDOW_MAX;
use tidings_core::{Filter, Position};

use super::{filter, id, not_offered, number_u32, topic};
use crate::error_code::ErrorCode;
use crate::field::Field;
use crate::frame::{ErrorBody, StartFrom, Subscribe, SubscribeMode};

/// `topic` or `filter` of a subscribe frame, whichever is there.
pub(crate) fn topic_or_filter(
    topic_text: Option<&str>,
    filter_text: Option<&str>,
) -> Result<Filter, ErrorBody> {
    match (topic_text, filter_text) {
        (Some(text), None) => topic(at("topic"), text).map(|topic| Filter::from(&topic)),
        (None, Some(text)) => filter(at("filter"), text),
        (Some(_), Some(_)) => Err(ErrorBody::new(
            ErrorCode::BadField,
            "`subscribe` takes `topic` or `filter`, not both",
        )),
        (None, None) => {
            Err(ErrorBody::new(ErrorCode::BadField, "`subscribe` needs a `topic` or a `filter`"))
        }
    }
}

/// The fields of a subscribe frame beside the topic or filter.
#[derive(Debug)]
pub(crate) struct SubscribeFields<'a> {
    pub(crate) sub: Filter,
    pub(crate) durable: Option<&'a str>,
    pub(crate) group: Option<&'a str>,
    pub(crate) window: Option<u64>,
    pub(crate) from: Option<&'a str>,
    pub(crate) after: Option<Position>,
    pub(crate) presence: bool,
}

pub(crate) fn subscribe(fields: SubscribeFields<'_>) -> Result<Subscribe, ErrorBody> {
    let SubscribeFields { sub, durable, group, window, from, after, presence } = fields;
    if presence && sub.has_wildcards() {
        return Err(at("presence").bad("needs a `topic`: a filter with wildcards has many"));
    }
    let start = start(&sub, from, after)?;
    let mode = match (durable, group) {
        (None, None) if window.is_some() => {
            return Err(at("window").bad(
                "belongs to durable and shared subscriptions: give `durable` or `group` too",
            ));
        }
        (None, None) => SubscribeMode::Live { from: start.unwrap_or(StartFrom::New) },
        // A client that is away gets what it missed from one log, from one place.
        (Some(_), None) if sub.has_wildcards() => {
            return Err(not_offered("`subscribe.durable` with wildcards"));
        }
        (Some(name), None) => SubscribeMode::Durable {
            name: id(at("durable"), name)?,
            window: window_size(window)?,
            from: start.unwrap_or(StartFrom::First),
        },
        (None, Some(_)) if sub.has_wildcards() && start == Some(StartFrom::Last) => {
            return Err(at("from").bad("\"last\" needs a `topic`: a filter has no last message"));
        }
        (None, Some(group)) => SubscribeMode::Shared {
            group: id(at("group"), group)?,
            window: window_size(window)?,
            from: start.unwrap_or(StartFrom::First),
        },
        (Some(_), Some(_)) => {
            return Err(at("group").bad("and `durable` exclude each other: give one of them"));
        }
    };
    Ok(Subscribe { sub, mode, presence })
}

/// `from` or `after`, whichever is there.
fn start(
    sub: &Filter,
    from: Option<&str>,
    after: Option<Position>,
) -> Result<Option<StartFrom>, ErrorBody> {
    match (from, after) {
        (None, None) => Ok(None),
        (None, Some(_)) if sub.has_wildcards() => {
            Err(at("after").bad("needs a `topic`: a filter with wildcards has no position"))
        }
        (None, Some(position)) => Ok(Some(StartFrom::After(position))),
        (Some("new"), None) => Ok(Some(StartFrom::New)),
        (Some("first"), None) => Ok(Some(StartFrom::First)),
        (Some("last"), None) => Ok(Some(StartFrom::Last)),
        (Some(_), None) => Err(at("from").bad("must be \"new\", \"first\" or \"last\"")),
        (Some(_), Some(_)) => {
            Err(at("from").bad("and `after` exclude each other: give one of them"))
        }
    }
}

fn window_size(window: Option<u64>) -> Result<Option<u32>, ErrorBody> {
    let range = 1..=u64::from(WINDOW_MAX);
    window.map(|window| number_u32(at("window"), window, range)).transpose()
}

const fn at(name: &str) -> Field<'_> {
    Field::new("subscribe", name)
}
