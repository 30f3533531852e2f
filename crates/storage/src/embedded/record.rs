//! What the log's records hold.

use std::time::Duration;

use bytes::Bytes;
use tidings_core::{
    ClientId, ContentType, CursorKey, CursorState, Data, DataKind, DedupKey, DurableKey, Epoch,
    Filter, GroupKey, GroupName, Headers, Message, MessageId, NewMessage, Offset, OrderKey,
    Session, SessionId, SubscriptionName, Timestamp, Topic, UserId,
};

use super::batch::{RECORD_HEAD, Seed, put_record};
use crate::codec::{Malformed, Put, Reader};
use crate::keep::{Change, SavedCursor};

/// Whether a message was appended for the first time or again, to free its old segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// For the first time: it is the topic's newest.
    New,
    /// Again, with the offset it has: its place in the log changes, and nothing else.
    Moved,
}

/// Whether a publisher waited for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The answer came after the sync.
    ForSync,
    /// The answer came before: a power cut may take the message, and with it the offset.
    NotForSync,
}

/// Which topics a gap in the offsets is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SkipScope {
    /// All, also those to come: any of them may have been in the lost records.
    All,
    /// Those with messages nobody waited for.
    Unwaited,
}

/// Offsets that are never given, because they may have been given before records were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) scope: SkipScope,
    pub(crate) by: u64,
}

mod kind {
    pub(super) const MESSAGE: u8 = 1;
    pub(super) const MOVED: u8 = 2;
    pub(super) const SAVE_CURSOR: u8 = 3;
    pub(super) const DELETE_CURSOR: u8 = 4;
    pub(super) const SAVE_SESSION: u8 = 5;
    pub(super) const DELETE_SESSION: u8 = 6;
    pub(super) const SKIP: u8 = 7;
    pub(super) const FORGET_CURSOR: u8 = 8;
    pub(super) const FORGET_SESSION: u8 = 9;
    pub(super) const REMOVE: u8 = 10;
}

mod flag {
    pub(super) const JSON: u8 = 1;
    pub(super) const CONTENT_TYPE: u8 = 1 << 1;
    pub(super) const SENDER: u8 = 1 << 2;
    pub(super) const KEY: u8 = 1 << 3;
    pub(super) const TTL: u8 = 1 << 4;
    pub(super) const UNWAITED: u8 = 1 << 5;
    pub(super) const ORDER_KEY: u8 = 1 << 6;
    pub(super) const ALL: u8 = JSON | CONTENT_TYPE | SENDER | KEY | TTL | UNWAITED | ORDER_KEY;
}

/// In the number of a cursor's attempts: what it reserves follows them.
const RESERVES: u32 = 1 << 31;

/// A record, read in place.
#[derive(Clone, Debug)]
pub(crate) enum Record<'a> {
    /// A message.
    Message(Appended, MessageView<'a>),
    /// A message that is removed.
    Remove(RemoveView<'a>),
    /// A change to cursors and sessions.
    Change(Change),
    /// Offsets not to be given.
    Skip(Skip),
}

impl<'a> Record<'a> {
    /// Reads the body of a record of this kind.
    pub(crate) fn decode(kind: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let record = match kind {
            kind::MESSAGE => Self::Message(Appended::New, MessageView::decode(&mut reader)?),
            kind::MOVED => Self::Message(Appended::Moved, MessageView::decode(&mut reader)?),
            kind::SAVE_CURSOR => {
                let key = read_cursor_key(&mut reader)?;
                Self::Change(Change::SaveCursor(key, read_cursor(&mut reader)?))
            }
            kind::DELETE_CURSOR => {
                Self::Change(Change::DeleteCursor(read_cursor_key(&mut reader)?))
            }
            kind::SAVE_SESSION => {
                Self::Change(Change::SaveSession(read_session(&mut reader)?.into()))
            }
            kind::DELETE_SESSION => {
                Self::Change(Change::DeleteSession(parse(reader.short_text()?)?))
            }
            kind::FORGET_CURSOR => {
                let key = read_cursor_key(&mut reader)?;
                let until = Timestamp::from_ms(reader.u64()?);
                Self::Change(Change::ForgetCursor(key, until))
            }
            kind::FORGET_SESSION => {
                let id = parse(reader.short_text()?)?;
                let until = Timestamp::from_ms(reader.u64()?);
                Self::Change(Change::ForgetSession(id, until))
            }
            kind::REMOVE => {
                let topic = reader.short_text()?;
                Self::Remove(RemoveView { topic, offset: Offset::new(reader.u64()?) })
            }
            kind::SKIP => {
                let scope = match reader.u8()? {
                    0 => SkipScope::All,
                    1 => SkipScope::Unwaited,
                    _ => return Err(Malformed),
                };
                Self::Skip(Skip { scope, by: reader.u64()? })
            }
            _ => return Err(Malformed),
        };
        reader.end()?;
        Ok(record)
    }
}

/// Which message is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoveView<'a> {
    pub(crate) topic: &'a str,
    pub(crate) offset: Offset,
}

/// A message's record, read in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageView<'a> {
    pub(crate) topic: &'a str,
    pub(crate) offset: Offset,
    pub(crate) id: MessageId,
    pub(crate) published_at: Timestamp,
    pub(crate) waited: Waited,
    pub(crate) key: Option<&'a str>,
    kind: DataKind,
    pub(crate) sender: Option<&'a str>,
    content_type: Option<&'a str>,
    order_key: Option<&'a str>,
    ttl: Option<Duration>,
    /// Headers, then data.
    rest: Reader<'a>,
}

impl<'a> MessageView<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let flags = reader.u8()?;
        if flags & !flag::ALL != 0 {
            return Err(Malformed);
        }
        let has = |flag| flags & flag != 0;
        let topic = reader.short_text()?;
        let offset = Offset::new(reader.u64()?);
        let id = MessageId::from_bits(reader.u128()?);
        let published_at = Timestamp::from_ms(reader.u64()?);
        let mut optional = |flag| has(flag).then(|| reader.short_text()).transpose();
        let content_type = optional(flag::CONTENT_TYPE)?;
        let sender = optional(flag::SENDER)?;
        let key = optional(flag::KEY)?;
        let order_key = optional(flag::ORDER_KEY)?;
        let ttl = has(flag::TTL).then(|| read_duration(reader)).transpose()?;
        let rest = *reader;
        reader.rest();
        Ok(Self {
            topic,
            offset,
            id,
            published_at,
            waited: if has(flag::UNWAITED) { Waited::NotForSync } else { Waited::ForSync },
            key,
            kind: if has(flag::JSON) { DataKind::Json } else { DataKind::Binary },
            content_type,
            sender,
            order_key,
            ttl,
            rest,
        })
    }

    /// The message, with its own copy of everything but the topic's name.
    pub(crate) fn to_message(self, topic: &Topic, epoch: Epoch) -> Result<Message, Malformed> {
        let mut rest = self.rest;
        let mut headers = Headers::new();
        for _ in 0..rest.count(8)? {
            let name = rest.long_text()?.to_owned();
            headers.insert(name, rest.long_text()?.to_owned());
        }
        let bytes = Bytes::copy_from_slice(rest.rest());
        let content_type = match self.content_type {
            Some(text) => Some(ContentType::parse(text).ok_or(Malformed)?),
            None => None,
        };
        Ok(Message {
            id: self.id,
            epoch,
            offset: self.offset,
            published_at: self.published_at,
            content: NewMessage {
                topic: topic.clone(),
                data: match self.kind {
                    DataKind::Json => Data::json(bytes),
                    DataKind::Binary => Data::binary(bytes),
                },
                content_type,
                headers,
                sender: self.sender.map(parse::<UserId>).transpose()?,
                key: self.key.map(parse::<DedupKey>).transpose()?,
                order_key: self.order_key.map(parse::<OrderKey>).transpose()?,
                ttl: self.ttl,
            },
        })
    }
}

/// Bytes a message's record takes.
pub(crate) fn message_bytes(message: &NewMessage) -> usize {
    let short = |text: Option<usize>| text.map_or(0, |bytes| 1 + bytes);
    let headers: usize =
        message.headers.iter().map(|(name, value)| 8 + name.len() + value.len()).sum();
    RECORD_HEAD
        + 2
        + short(Some(message.topic.as_str().len()))
        + 32
        + short(message.content_type.as_ref().map(|text| text.as_str().len()))
        + short(message.sender.as_ref().map(|user| user.as_str().len()))
        + short(message.key.as_ref().map(|key| key.as_str().len()))
        + short(message.order_key.as_ref().map(|key| key.as_str().len()))
        + message.ttl.map_or(0, |_| 12)
        + 4
        + headers
        + message.data.bytes().len()
}

/// Appends a message's record.
pub(crate) fn put_message(
    out: &mut Vec<u8>,
    seed: Seed,
    appended: Appended,
    waited: Waited,
    message: &Message,
) {
    let content = &message.content;
    let mut flags = 0;
    let mut flag_if = |is: bool, flag| flags |= if is { flag } else { 0 };
    flag_if(content.data.kind() == DataKind::Json, flag::JSON);
    flag_if(content.content_type.is_some(), flag::CONTENT_TYPE);
    flag_if(content.sender.is_some(), flag::SENDER);
    flag_if(content.key.is_some(), flag::KEY);
    flag_if(content.order_key.is_some(), flag::ORDER_KEY);
    flag_if(content.ttl.is_some(), flag::TTL);
    flag_if(waited == Waited::NotForSync, flag::UNWAITED);
    put_record(out, seed, |out| {
        out.put_u8(match appended {
            Appended::New => kind::MESSAGE,
            Appended::Moved => kind::MOVED,
        });
        out.put_u8(flags);
        out.put_short_text(content.topic.as_str());
        out.put_u64(message.offset.get());
        out.put_u128(message.id.to_bits());
        out.put_u64(message.published_at.as_ms());
        if let Some(content_type) = &content.content_type {
            out.put_short_text(content_type.as_str());
        }
        if let Some(sender) = &content.sender {
            out.put_short_text(sender.as_str());
        }
        if let Some(key) = &content.key {
            out.put_short_text(key.as_str());
        }
        if let Some(order_key) = &content.order_key {
            out.put_short_text(order_key.as_str());
        }
        if let Some(ttl) = content.ttl {
            out.put_u64(ttl.as_secs());
            out.put_u32(ttl.subsec_nanos());
        }
        out.put_count(content.headers.len());
        for (name, value) in &content.headers {
            out.put_long_text(name);
            out.put_long_text(value);
        }
        out.put(content.data.bytes());
    });
}

/// Bytes a change's record takes.
pub(crate) fn change_bytes(change: &Change) -> usize {
    let key_bytes = |key: &CursorKey| match key {
        CursorKey::Durable(DurableKey { user, name, topic }) => {
            3 + user.as_str().len() + name.as_str().len() + topic.as_str().len()
        }
        CursorKey::Group { group: GroupKey { group, filter }, topic } => {
            4 + group.as_str().len() + filter.as_str().len() + topic.as_str().len()
        }
    };
    let body = match change {
        Change::SaveCursor(key, SavedCursor { state, .. }) => {
            let reserved = if state.reserved > Offset::ORIGIN { 8 } else { 0 };
            let ranges = 16 * state.settled.len() + 12 * state.attempts.len();
            key_bytes(key) + 32 + ranges + reserved
        }
        Change::DeleteCursor(key) => key_bytes(key),
        Change::ForgetCursor(key, _) => key_bytes(key) + 8,
        Change::SaveSession(session) => {
            11 + session.id.as_str().len()
                + session.user.as_str().len()
                + session.client.as_str().len()
        }
        Change::DeleteSession(id) => 1 + id.as_str().len(),
        Change::ForgetSession(id, _) => 9 + id.as_str().len(),
    };
    RECORD_HEAD + 1 + body
}

/// Appends a change's record.
pub(crate) fn put_change(out: &mut Vec<u8>, seed: Seed, change: &Change) {
    put_record(out, seed, |out| match change {
        Change::SaveCursor(key, saved) => {
            out.put_u8(kind::SAVE_CURSOR);
            put_cursor_key(out, key);
            put_cursor(out, saved);
        }
        Change::DeleteCursor(key) => {
            out.put_u8(kind::DELETE_CURSOR);
            put_cursor_key(out, key);
        }
        Change::SaveSession(session) => {
            out.put_u8(kind::SAVE_SESSION);
            put_session(out, session);
        }
        Change::DeleteSession(id) => {
            out.put_u8(kind::DELETE_SESSION);
            out.put_short_text(id.as_str());
        }
        Change::ForgetCursor(key, until) => {
            out.put_u8(kind::FORGET_CURSOR);
            put_cursor_key(out, key);
            out.put_u64(until.as_ms());
        }
        Change::ForgetSession(id, until) => {
            out.put_u8(kind::FORGET_SESSION);
            out.put_short_text(id.as_str());
            out.put_u64(until.as_ms());
        }
    });
}

/// Bytes the record takes that removes a message of this topic.
pub(crate) fn remove_bytes(topic: &Topic) -> usize {
    RECORD_HEAD + 1 + 1 + topic.as_str().len() + 8
}

/// Appends the record that removes a message.
pub(crate) fn put_remove(out: &mut Vec<u8>, seed: Seed, topic: &Topic, offset: Offset) {
    put_record(out, seed, |out| {
        out.put_u8(kind::REMOVE);
        out.put_short_text(topic.as_str());
        out.put_u64(offset.get());
    });
}

/// Appends the record of a skip.
pub(crate) fn put_skip(out: &mut Vec<u8>, seed: Seed, skip: Skip) {
    put_record(out, seed, |out| {
        out.put_u8(kind::SKIP);
        out.put_u8(match skip.scope {
            SkipScope::All => 0,
            SkipScope::Unwaited => 1,
        });
        out.put_u64(skip.by);
    });
}

/// A group stands where a user stands, told from one by the empty name in front of it.
pub(crate) fn put_cursor_key(out: &mut impl Put, key: &CursorKey) {
    match key {
        CursorKey::Durable(DurableKey { user, name, .. }) => {
            out.put_short_text(user.as_str());
            out.put_short_text(name.as_str());
        }
        CursorKey::Group { group: GroupKey { group, filter }, .. } => {
            out.put_short_text("");
            out.put_short_text(group.as_str());
            out.put_short_text(filter.as_str());
        }
    }
    out.put_short_text(key.topic().as_str());
}

pub(crate) fn read_cursor_key(reader: &mut Reader<'_>) -> Result<CursorKey, Malformed> {
    let user = reader.short_text()?;
    if user.is_empty() {
        let group = parse::<GroupName>(reader.short_text()?)?;
        let group = GroupKey { group, filter: parse::<Filter>(reader.short_text()?)? };
        return Ok(CursorKey::Group { group, topic: parse::<Topic>(reader.short_text()?)? });
    }
    let (user, name) = (parse::<UserId>(user)?, parse::<SubscriptionName>(reader.short_text()?)?);
    let topic = parse::<Topic>(reader.short_text()?)?;
    Ok(CursorKey::Durable(DurableKey { user, name, topic }))
}

pub(crate) fn put_cursor(out: &mut impl Put, saved: &SavedCursor) {
    let state = &saved.state;
    out.put_u64(saved.saved_at.as_ms());
    out.put_u64(state.epoch.get());
    out.put_u64(state.next.get());
    out.put_count(state.settled.len());
    for (first, last) in &state.settled {
        out.put_u64(first.get());
        out.put_u64(last.get());
    }
    let reserves = state.reserved > Offset::ORIGIN;
    let attempts = u32::try_from(state.attempts.len()).expect("a window's at most");
    out.put_u32(if reserves { attempts | RESERVES } else { attempts });
    for (offset, attempts) in &state.attempts {
        out.put_u64(offset.get());
        out.put_u32(*attempts);
    }
    if reserves {
        out.put_u64(state.reserved.get());
    }
}

pub(crate) fn read_cursor(reader: &mut Reader<'_>) -> Result<SavedCursor, Malformed> {
    let saved_at = Timestamp::from_ms(reader.u64()?);
    let mut state = CursorState::at(Epoch::new(reader.u64()?), Offset::new(reader.u64()?));
    for _ in 0..reader.count(16)? {
        state.settled.push((Offset::new(reader.u64()?), Offset::new(reader.u64()?)));
    }
    let attempts = reader.u32()?;
    for _ in 0..reader.fitting(attempts & !RESERVES, 12)? {
        state.attempts.push((Offset::new(reader.u64()?), reader.u32()?));
    }
    if attempts & RESERVES != 0 {
        state.reserved = Offset::new(reader.u64()?);
    }
    Ok(SavedCursor { state, saved_at })
}

pub(crate) fn put_session(out: &mut impl Put, session: &Session) {
    out.put_short_text(session.id.as_str());
    out.put_short_text(session.user.as_str());
    out.put_short_text(session.client.as_str());
    out.put_u64(session.expires_at.as_ms());
}

pub(crate) fn read_session(reader: &mut Reader<'_>) -> Result<Session, Malformed> {
    Ok(Session {
        id: parse::<SessionId>(reader.short_text()?)?,
        user: parse::<UserId>(reader.short_text()?)?,
        client: parse::<ClientId>(reader.short_text()?)?,
        expires_at: Timestamp::from_ms(reader.u64()?),
    })
}

fn read_duration(reader: &mut Reader<'_>) -> Result<Duration, Malformed> {
    let (seconds, nanos) = (reader.u64()?, reader.u32()?);
    if nanos >= 1_000_000_000 {
        return Err(Malformed);
    }
    Ok(Duration::new(seconds, nanos))
}

pub(crate) fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Malformed> {
    text.parse().map_err(|_| Malformed)
}

#[cfg(test)]
mod tests;
