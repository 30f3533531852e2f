//! Where a message is and was: its first place, and those where it was published again.

use std::sync::Arc;

use serde_json::{Value, json};
use tidings_core::{CursorKey, Message, MessageId, Offset, Position, Topic};
use tidings_protocol::ErrorBody;
use tidings_storage::{ReadFrom, ReadLimit, Store};

use crate::dead_letters::replay::origin;
use crate::dead_letters::{DeadLetter, audience};
use crate::problem::store_error;
use crate::schedule::SCHEDULE_TOPIC;

/// Places of one message that are followed back.
const PLACES_MAX: usize = 16;

/// A place of the message.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) topic: Topic,
    pub(super) position: Position,
    /// What stands there; nothing once it is trimmed.
    pub(super) message: Option<Arc<Message>>,
    /// The dead letter that was published again here.
    pub(super) replay_of: Option<Offset>,
}

impl Place {
    pub(super) const fn offset(&self) -> Offset {
        self.position.offset
    }

    /// Whether the message at this place is for a subscription.
    pub(super) fn is_for(&self, reader: &CursorKey) -> bool {
        *reader.topic() == self.topic
            && self.message.as_ref().is_none_or(|message| audience(message).includes(reader))
    }

    pub(super) fn told(&self) -> Value {
        let mut told = json!({
            "topic": self.topic.as_str(),
            "offset": self.position.offset.get(),
            "epoch": self.position.epoch.to_string(),
            "kept": self.message.is_some(),
        });
        if let Some(message) = &self.message {
            told["at"] = json!(message.published_at.as_ms());
        }
        if let Some(letter) = self.replay_of {
            told["replay_of"] = json!(letter.get());
        }
        told
    }
}

/// Where a message is known to be.
#[derive(Debug)]
pub(super) struct Whereabouts {
    /// Every place that is known, the first one first.
    pub(super) places: Vec<Place>,
    /// Its entry of the schedule, if it waits for its time: that is no place of the message, which
    /// nobody reads there.
    pub(super) waiting: Option<Arc<Message>>,
}

/// Looks for a message. Blocks on the disk.
pub(super) fn of_message(
    store: &dyn Store,
    id: MessageId,
    letters: &[DeadLetter],
) -> Result<Whereabouts, ErrorBody> {
    let found = store.find(id).map_err(|error| store_error(&error))?;
    let is_entry = |message: &Message| message.topic().as_str() == SCHEDULE_TOPIC;
    let (waiting, newest) = match found {
        Some(message) if is_entry(&message) => (Some(message), None),
        found => (None, found),
    };
    let mut next = match (newest, letters.last()) {
        (Some(message), _) => Some((message.topic().clone(), message.position())),
        // Its dead letter outlived it.
        (None, Some(letter)) => Some((letter.topic.clone(), letter.place)),
        (None, None) => None,
    };
    let mut places = Vec::new();
    while let Some((topic, position)) = next.take()
        && places.len() < PLACES_MAX
    {
        let message = read(store, id, &topic, position)?;
        let origin = message.as_deref().and_then(origin);
        let replay_of = origin.as_ref().map(|(letter, ..)| *letter);
        next = origin.map(|(_, topic, position)| (topic, position));
        places.push(Place { topic, position, message, replay_of });
    }
    places.reverse();
    Ok(Whereabouts { places, waiting })
}

fn read(
    store: &dyn Store,
    id: MessageId,
    topic: &Topic,
    at: Position,
) -> Result<Option<Arc<Message>>, ErrorBody> {
    if store.topic_state(topic).epoch != at.epoch {
        return Ok(None);
    }
    let limit = ReadLimit { messages: 1, bytes: 1 };
    let batch = store.read(topic, ReadFrom::Offset(at.offset), limit);
    let batch = batch.map_err(|error| store_error(&error))?;
    Ok(batch.messages.into_iter().next().filter(|m| m.offset == at.offset && m.id == id))
}
