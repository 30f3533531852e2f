//! Finding dead letters: by what their headers say, in pieces of bounded work.

use std::sync::Arc;

use serde::Deserialize;
use tidings_core::{
    CursorKey, Epoch, Filter, GroupName, Message, MessageId, Offset, SubscriptionName, Timestamp,
    Topic, UserId, limits,
};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::{ReadFrom, ReadLimit, Store};

use super::{DEAD_LETTERS_TOPIC, DeadLetter, newest};
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
    order: Option<String>,
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
    pub(super) limit: usize,
    cursor: Option<Cursor>,
    order: Order,
}

/// In which order dead letters are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    /// As they died.
    #[default]
    OldestFirst,
    /// The last one first.
    NewestFirst,
}

/// The next dead letter to look at, and the last one of all there is to look at: where the first
/// page began, there was none beyond. What dies while somebody pages keeps nobody from an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(super) epoch: Epoch,
    pub(super) next: Offset,
    pub(super) end: Offset,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// In the order that was asked for.
    pub(crate) letters: Vec<DeadLetter>,
    /// Where to go on, if not all were looked at.
    pub(crate) cursor: Option<Cursor>,
    /// Where looking ends, for who goes on before what was found.
    whole: Cursor,
}

/// How much of the log a request has looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scanned {
    messages: usize,
    bytes: usize,
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
        let order = match self.order.as_deref() {
            None | Some("oldest") => Order::OldestFirst,
            Some("newest") => Order::NewestFirst,
            Some(other) => {
                let message = format!("`order` is `{other}`; it must be `oldest` or `newest`");
                return Err(bad(message));
            }
        };
        let fits = |cursor: &Cursor| match order {
            Order::OldestFirst => cursor.next <= cursor.end,
            Order::NewestFirst => cursor.next >= cursor.end,
        };
        if !cursor.as_ref().is_none_or(fits) {
            return Err(bad("`cursor` is of a list in another `order`: ask on in the same"));
        }
        Ok((selection, Page { limit, cursor, order }))
    }

    /// The same where something is done to all that are found: that nothing was named must not
    /// be an oversight.
    pub(crate) fn check_for_change(&self) -> Result<(Selection, Page), ErrorBody> {
        let (selection, page) = self.check()?;
        if page.order == Order::NewestFirst {
            return Err(bad("`order` is for lists: what is done to many is done as they died"));
        }
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

    pub(super) fn matches(&self, letter: &DeadLetter) -> bool {
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

/// As it is shown, for [`Cursor::parse`].
impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.epoch, self.next, self.end)
    }
}

impl Found {
    /// Where to go on with this letter and what was found after it, oldest first.
    pub(crate) fn again_from(&self, letter: &DeadLetter) -> Cursor {
        Cursor { next: letter.message.offset, ..self.whole }
    }
}

impl Scanned {
    /// Counts what was read.
    pub(super) fn add(&mut self, messages: &[Arc<Message>]) {
        self.messages += messages.len();
        self.bytes += messages.iter().map(|m| m.content.data.bytes().len()).sum::<usize>();
    }

    /// Whether one request has looked at enough.
    pub(super) const fn is_enough(self) -> bool {
        self.messages >= SCAN_MESSAGES_MAX || self.bytes >= SCAN_BYTES_MAX
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
    let start = match page.order {
        Order::OldestFirst => Cursor { epoch: state.epoch, next: state.first, end: state.head },
        Order::NewestFirst => Cursor { epoch: state.epoch, next: state.head, end: state.first },
    };
    let whole = page.cursor.unwrap_or(start);
    if whole.epoch != state.epoch {
        let message = "the log was rebuilt since the cursor was given: begin anew without it";
        return Err(ErrorBody::new(ErrorCode::EpochChanged, message));
    }
    let (letters, next) = match page.order {
        Order::OldestFirst => oldest_first(store, &topic, selection, page, whole)?,
        Order::NewestFirst => newest::first(store, &topic, selection, page, whole)?,
    };
    Ok(Found { letters, cursor: next.map(|next| Cursor { next, ..whole }), whole })
}

/// What is found from one offset on up to another, and the next one to look at, if any is left.
fn oldest_first(
    store: &dyn Store,
    topic: &Topic,
    selection: &Selection,
    page: Page,
    Cursor { mut next, end, epoch: _ }: Cursor,
) -> Result<(Vec<DeadLetter>, Option<Offset>), ErrorBody> {
    let mut from = match (page.cursor, selection.since) {
        (None, Some(since)) => ReadFrom::Time(since),
        (Some(_), _) | (None, None) => ReadFrom::Offset(next),
    };
    let (mut letters, mut scanned) = (Vec::new(), Scanned::default());
    while next <= end && letters.len() < page.limit && !scanned.is_enough() {
        let limit =
            ReadLimit { messages: limits::READ_MESSAGES_MAX, bytes: limits::READ_BYTES_MAX };
        let batch = store.read(topic, from, limit).map_err(|error| store_error(&error))?;
        next = batch.next;
        scanned.add(&batch.messages);
        for message in &batch.messages {
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
        from = ReadFrom::Offset(next);
    }
    Ok((letters, (next <= end).then_some(next)))
}

/// What is known of a message's deaths: the dead letters of it, at most a page, and whether all were
/// looked at. Blocks on the disk.
pub(crate) fn of_message(
    store: &dyn Store,
    id: MessageId,
) -> Result<(Vec<DeadLetter>, bool), ErrorBody> {
    let selection = Selection { id: Some(id), ..Selection::default() };
    let page = Page { limit: LIMIT_DEFAULT, cursor: None, order: Order::OldestFirst };
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
