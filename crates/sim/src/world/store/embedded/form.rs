//! How the world's writes look in a store, and how they are recognised in it.

use std::sync::Arc;

use bytes::Bytes;
use tidings_core::{
    CursorKey, CursorState, Data, Durability, DurableKey, Epoch, Message, NewMessage, Offset,
    Position, Topic,
};
use tidings_storage::{ReadFrom, ReadLimit, Store, Write as StoreWrite};

use super::Write;
use crate::history::Name;
use crate::mutation::Mutation;

/// Most bytes that a message is filled up with, so that segments fill up.
const FILLING_MAX: u64 = 600;

#[derive(Debug)]
pub(super) struct Forms {
    mutation: Option<Mutation>,
    pub(super) topic: Topic,
    pub(super) letters: Topic,
    /// How often the store was opened.
    pub(super) process: u64,
}

impl Forms {
    pub(super) fn new(mutation: Option<Mutation>) -> Self {
        let topic = |name| Topic::parse(name).expect("it follows the rules of topics");
        Self { mutation, topic: topic("room/42"), letters: topic("$dead-letters"), process: 0 }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// What is submitted.
    pub(super) fn write(&self, write: &Write) -> StoreWrite {
        match write {
            Write::Publish { name, keyed, ttl } => {
                let forgets = self.is(Mutation::ForgetsKeysWhenOpened);
                let process = if forgets { self.process } else { 0 };
                let key = format!("{process}-{}", name.number());
                let key = keyed.then(|| key.parse().expect("it follows the rules of keys"));
                let data = Data::binary(Bytes::from(text_of(*name)));
                let message =
                    NewMessage { key, ttl: *ttl, ..NewMessage::new(self.topic.clone(), data) };
                self.publish(message, self.is(Mutation::PublishesUnsynced))
            }
            Write::DeadLetter { durable, position } => {
                let Position { epoch, offset } = position;
                let text = format!("{durable} {} {}", epoch.get(), offset.get());
                let data = Data::binary(Bytes::from(text));
                let message = NewMessage::new(self.letters.clone(), data);
                self.publish(message, self.is(Mutation::LettersUnsynced))
            }
            Write::SaveCursor { durable, state } => {
                let leads = u64::from(self.is(Mutation::StoredCursorLeads));
                let state = CursorState { next: state.next.plus(leads), ..state.clone() };
                StoreWrite::SaveCursor { key: self.cursor_key(*durable), state }
            }
            Write::Purge { place } => {
                StoreWrite::Remove { topic: self.letters.clone(), offset: *place }
            }
            Write::SaveSession { name: _, session } => {
                StoreWrite::SaveSession(session.clone().into())
            }
        }
    }

    fn publish(&self, message: NewMessage, unsynced: bool) -> StoreWrite {
        let durability = if unsynced { Durability::Async } else { Durability::Sync };
        StoreWrite::Publish { message, durability, id: None }
    }

    pub(super) fn cursor_key(&self, durable: usize) -> CursorKey {
        let (user, name) = (format!("user-{durable}"), "phone");
        CursorKey::Durable(DurableKey {
            user: user.parse().expect("it follows the rules of users"),
            name: name.parse().expect("it follows the rules of names"),
            topic: self.topic.clone(),
        })
    }

    /// Everything a topic keeps.
    pub(super) fn all(&self, store: &dyn Store, topic: &Topic) -> Vec<Arc<Message>> {
        let limit = ReadLimit { messages: usize::MAX, bytes: usize::MAX };
        let from = ReadFrom::Offset(Offset::ORIGIN);
        store.read(topic, from, limit).map_or_else(|_| Vec::new(), |batch| batch.messages)
    }
}

/// A message's number, and as much more as its number says.
fn text_of(name: Name) -> String {
    let filling = name.number().wrapping_mul(7_919) % FILLING_MAX;
    format!("{} {}", name.number(), "x".repeat(filling as usize))
}

/// Which message this is; one that nobody published if it is not whole.
pub(super) fn name_of(message: &Message) -> Name {
    let text = String::from_utf8_lossy(message.content.data.bytes());
    let number = text.split(' ').next().and_then(|number| number.parse().ok());
    let name = number.map(Name::new).filter(|name| text_of(*name) == text);
    name.unwrap_or(Name::new(u64::MAX))
}

/// Whose message was set aside.
pub(super) fn letter_of(message: &Message) -> Option<(usize, Position)> {
    let text = String::from_utf8_lossy(message.content.data.bytes());
    let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (durable, epoch, offset) = (next()?, next()?, next()?);
    let position = Position { epoch: Epoch::new(epoch), offset: Offset::new(offset) };
    Some((usize::try_from(durable).ok()?, position))
}
