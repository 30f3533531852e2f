//! Finding dead letters: by what their headers say, in pieces of bounded work.

use serde::Deserialize;
use tidings_core::{
    CursorKey, Epoch, Filter, GroupName, MessageId, Offset, SubscriptionName, Timestamp, Topic,
    UserId, limits,
};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::{ReadFrom, ReadLimit, Store};

use super::{DEAD_LETTERS_TOPIC, DeadLetter};
use crate::problem::store_error;

/// Dead letters that one request looks at; whoever wants more goes on with the cursor.
const SCAN_MESSAGES_MAX: usize = 10_000;
/// Bytes of data that one request looks at.
const SCAN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Dead letters of a page unless the request names a number.
const LIMIT_DEFAULT: usize = 100;

/// Which dead letters, as a query says it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    topic: Option<String>,
    id: Option<String>,
    user: Option<String>,
    durable: Option<String>,
    group: Option<String>,
    reason: Option<String>,
    since: Option<u64>,
    until: Option<u64>,
    limit: Option<usize>,
    cursor: Option<String>,
    all: Option<bool>,
    pub(crate) to: Option<String>,
}

/// Which dead letters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    topic: Option<Filter>,
    id: Option<MessageId>,
    user: Option<UserId>,
    durable: Option<SubscriptionName>,
    group: Option<GroupName>,
    reason: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// Where to look and how far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    limit: usize,
    cursor: Option<Cursor>,
}

/// The next dead letter to look at, and the last one there was when the first page was asked for:
/// what dies while somebody pages does not keep them from an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    epoch: Epoch,
    next: Offset,
    end: Offset,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// By rising offset.
    pub(crate) letters: Vec<DeadLetter>,
    /// Where to go on, if not all were looked at.
    pub(crate) cursor: Option<String>,
}

impl Query {
    /// Checks the query.
    pub(crate) fn check(&self) -> Result<(Selection, Page), ErrorBody> {
        let selection = Selection {
            topic: parse("topic", self.topic.as_deref())?,
            id: parse("id", self.id.as_deref())?,
            user: parse("user", self.user.as_deref())?,
            durable: parse("durable", self.durable.as_deref())?,
            group: parse("group", self.group.as_deref())?,
            reason: self.reason.clone(),
            since: self.since.map(Timestamp::from_ms),
            until: self.until.map(Timestamp::from_ms),
        };
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=limits::READ_MESSAGES_MAX).contains(&limit) {
            let most = limits::READ_MESSAGES_MAX;
            return Err(bad(format!("`limit` is {limit}; it must be from 1 to {most}")));
        }
        let cursor = match &self.cursor {
            None => None,
            Some(text) => Some(Cursor::parse(text).ok_or_else(|| {
                bad(format!("`cursor` is `{text}`: give back the one of an earlier answer"))
            })?),
        };
        Ok((selection, Page { limit, cursor }))
    }

    /// The same where something is done to all that are found: that nothing was named must not
    /// be an oversight.
    pub(crate) fn check_for_change(&self) -> Result<(Selection, Page), ErrorBody> {
        let (selection, page) = self.check()?;
        match (selection.is_everything(), self.all.unwrap_or(false)) {
            (true, false) => Err(bad("this is about every dead letter: say which, or `all=true`")),
            (false, true) => Err(bad("`all=true` goes without filters")),
            (true, true) | (false, false) => Ok((selection, page)),
        }
    }
}

impl Selection {
    fn is_everything(&self) -> bool {
        let Self { topic, id, user, durable, group, reason, since, until } = self;
        let names = topic.is_none() && user.is_none() && durable.is_none() && group.is_none();
        names && id.is_none() && reason.is_none() && since.is_none() && until.is_none()
    }

    fn matches(&self, letter: &DeadLetter) -> bool {
        let by_whom = match &letter.by {
            CursorKey::Durable(key) => {
                self.group.is_none()
                    && self.user.as_ref().is_none_or(|user| key.user == *user)
                    && self.durable.as_ref().is_none_or(|name| key.name == *name)
            }
            CursorKey::Group { group: key, .. } => {
                self.user.is_none()
                    && self.durable.is_none()
                    && self.group.as_ref().is_none_or(|group| key.group == *group)
            }
        };
        let at = letter.message.published_at;
        by_whom
            && self.topic.as_ref().is_none_or(|filter| filter.matches(&letter.topic))
            && self.id.is_none_or(|id| letter.id == id)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && self.reason.as_ref().is_none_or(|reason| {
                letter.gave_up() == reason || letter.reasons().contains(reason.as_str())
            })
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let epoch = parts.next()?.parse().ok()?;
        let next = Offset::new(parts.next()?.parse().ok()?);
        let end = Offset::new(parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Self { epoch, next, end })
    }
}

/// Reads dead letters until as many are found as the page holds, or enough were looked at. Blocks
/// on the disk.
pub(crate) fn find(
    store: &dyn Store,
    selection: &Selection,
    page: Page,
) -> Result<Found, ErrorBody> {
    let topic = Topic::parse(DEAD_LETTERS_TOPIC).expect("a valid topic");
    let state = store.topic_state(&topic);
    let start = Cursor { epoch: state.epoch, next: state.first, end: state.head };
    let Cursor { epoch, mut next, end } = page.cursor.unwrap_or(start);
    if epoch != state.epoch {
        let message = "the log was rebuilt since the cursor was given: begin anew without it";
        return Err(ErrorBody::new(ErrorCode::EpochChanged, message));
    }
    let mut from = match (page.cursor, selection.since) {
        (None, Some(since)) => ReadFrom::Time(since),
        (Some(_), _) | (None, None) => ReadFrom::Offset(next),
    };
    let (mut letters, mut scanned, mut bytes) = (Vec::new(), 0, 0);
    while next <= end && scanned < SCAN_MESSAGES_MAX && bytes < SCAN_BYTES_MAX {
        let limit =
            ReadLimit { messages: limits::READ_MESSAGES_MAX, bytes: limits::READ_BYTES_MAX };
        let batch = store.read(&topic, from, limit).map_err(|error| store_error(&error))?;
        next = batch.next;
        scanned += batch.messages.len();
        for message in &batch.messages {
            bytes += message.content.data.bytes().len();
            if message.offset > end {
                next = message.offset;
                break;
            }
            letters.extend(DeadLetter::of(message).filter(|letter| selection.matches(letter)));
            if letters.len() == page.limit {
                next = message.offset.next();
                break;
            }
        }
        if letters.len() == page.limit {
            break;
        }
        from = ReadFrom::Offset(next);
    }
    let cursor = (next <= end).then(|| format!("{epoch}:{next}:{end}"));
    Ok(Found { letters, cursor })
}

/// What is known of a message's deaths: the dead letters of it, at most a page, and whether all were
/// looked at. Blocks on the disk.
pub(crate) fn of_message(
    store: &dyn Store,
    id: MessageId,
) -> Result<(Vec<DeadLetter>, bool), ErrorBody> {
    let selection = Selection { id: Some(id), ..Selection::default() };
    let page = Page { limit: LIMIT_DEFAULT, cursor: None };
    let found = find(store, &selection, page)?;
    Ok((found.letters, found.cursor.is_none()))
}

/// The dead letter at this offset of `$dead-letters`. Blocks on the disk.
pub(crate) fn at(store: &dyn Store, offset: Offset) -> Result<DeadLetter, ErrorBody> {
    let topic = Topic::parse(DEAD_LETTERS_TOPIC).expect("a valid topic");
    let limit = ReadLimit { messages: 1, bytes: limits::READ_BYTES_MAX };
    let batch = store.read(&topic, ReadFrom::Offset(offset), limit);
    let batch = batch.map_err(|error| store_error(&error))?;
    let found = batch.messages.first().filter(|message| message.offset == offset);
    found.and_then(DeadLetter::of).ok_or_else(|| {
        let message = format!(
            "there is no dead letter {offset}: it was replayed or purged, is too old, or never was"
        );
        ErrorBody::new(ErrorCode::NotFound, message)
    })
}

fn parse<T>(name: &str, text: Option<&str>) -> Result<Option<T>, ErrorBody>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error: T::Err| bad(format!("`{name}`: {error}")))
}

fn bad(message: impl Into<String>) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadField, message)
}
