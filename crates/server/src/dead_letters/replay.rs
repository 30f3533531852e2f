//! Publishing dead letters again.

use tidings_core::{
    Audience, ContentType, Data, DedupKey, Durability, GroupKey, Headers, Message, NewMessage,
    Offset, PolicyTable, Position, Topic,
};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::{Store, Write};

use super::{DeadLetter, header, names_of};

/// Whom a dead letter is published to again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipients {
    /// The subscription that gave it up. Others were delivered it the first time.
    Subscription,
    /// Whoever reads the topic.
    Everybody,
}

/// What is published in the place of what died.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edit {
    pub(crate) topic: Option<Topic>,
    pub(crate) data: Option<Data>,
    pub(crate) content_type: Option<ContentType>,
    pub(crate) headers: Option<Headers>,
}

/// Whom a message is for: read off its headers, which nobody but the server can give it.
pub(crate) fn audience(message: &Message) -> Audience {
    let headers = &message.content.headers;
    if headers.is_empty() || !headers.contains_key(header::REPLAY) {
        return Audience::Everybody;
    }
    let said = |name: &str| headers.get(name).map(String::as_str);
    let durable = || {
        let user = said(header::USER)?.parse().ok()?;
        Some(Audience::Durable { user, name: said(header::DURABLE)?.parse().ok()? })
    };
    let group = || {
        let group = said(header::GROUP)?.parse().ok()?;
        Some(Audience::Group(GroupKey { group, filter: said(header::FILTER)?.parse().ok()? }))
    };
    durable().or_else(group).unwrap_or_default()
}

/// What publishes a dead letter again. It is removed when that is durable and not before: a crash
/// can leave both the message and the dead letter, never neither, and the key makes a second replay
/// the same message.
pub(crate) fn publish_again(letter: &DeadLetter, edit: Edit, to: Recipients) -> Write {
    let content = &letter.message.content;
    let mut headers = edit.headers.unwrap_or_else(|| letter.published_headers());
    headers.insert(header::REPLAY.to_owned(), letter.message.offset.to_string());
    // Where it was before: the way back, for whoever follows the message.
    let before = [
        (header::TOPIC, letter.topic.to_string()),
        (header::EPOCH, letter.place.epoch.to_string()),
        (header::OFFSET, letter.place.offset.to_string()),
    ];
    headers.extend(before.map(|(name, value)| (name.to_owned(), value)));
    match to {
        Recipients::Everybody => {}
        Recipients::Subscription => headers.extend(names_of(&letter.by)),
    }
    let message = NewMessage {
        topic: edit.topic.unwrap_or_else(|| letter.topic.clone()),
        data: edit.data.unwrap_or_else(|| content.data.clone()),
        content_type: edit.content_type.or_else(|| content.content_type.clone()),
        headers,
        sender: content.sender.clone(),
        key: Some(key(letter)),
        order_key: content.order_key.clone(),
        ttl: letter.ttl,
    };
    Write::Publish { message, durability: Durability::Sync, id: Some(letter.id) }
}

/// Of which dead letter a message was published again, and where it had been before.
pub(crate) fn origin(message: &Message) -> Option<(Offset, Topic, Position)> {
    let said = |name: &str| message.content.headers.get(name).map(String::as_str);
    let number = |name: &str| said(name)?.parse().ok().map(Offset::new);
    let letter = number(header::REPLAY)?;
    let place =
        Position { epoch: said(header::EPOCH)?.parse().ok()?, offset: number(header::OFFSET)? };
    Some((letter, Topic::parse(said(header::TOPIC)?).ok()?, place))
}

/// Why a dead letter cannot be published again like this, if it cannot.
pub(crate) fn check(
    letter: &DeadLetter,
    topic: &Topic,
    to: Recipients,
    (store, policies): (&dyn Store, &PolicyTable),
) -> Result<(), ErrorBody> {
    if policies.policy(topic).durability == Durability::Memory {
        let message = format!(
            "`{topic}` keeps nothing (`durability = \"memory\"`), so the message could be lost: \
             name another `topic`"
        );
        return Err(ErrorBody::new(ErrorCode::Unsupported, message));
    }
    match to {
        Recipients::Everybody => Ok(()),
        Recipients::Subscription if *topic != letter.topic => {
            let message = "the subscription that gave the message up does not read another \
                           `topic`: replay it there to `all`";
            Err(ErrorBody::new(ErrorCode::BadField, message))
        }
        Recipients::Subscription if store.cursor(&letter.by).is_none() => {
            let message = "the subscription that gave the message up is gone, so nobody would get \
                           it: replay it to `all`, or purge it";
            Err(ErrorBody::new(ErrorCode::NotFound, message))
        }
        Recipients::Subscription => Ok(()),
    }
}

/// One replay of each dead letter, however often it is asked for.
fn key(letter: &DeadLetter) -> DedupKey {
    DedupKey::parse(&format!("tidings-replay-{}", letter.message.id))
        .expect("41 letters and digits")
}
