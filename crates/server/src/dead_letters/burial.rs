//! How a message becomes a dead letter.

use tidings_core::{Attempts, CursorKey, Data, DedupKey, GiveUp, Message, NewMessage, Topic};

use super::{DEAD_LETTERS_TOPIC, header, history, names_of, published_headers};
use crate::derived_key::{KeyOf, derived_key};

/// A message that is given up, by whom, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burial<'a> {
    pub(crate) message: &'a Message,
    pub(crate) by: &'a CursorKey,
    /// How often it was delivered.
    pub(crate) attempts: u32,
    pub(crate) reason: GiveUp,
    /// How those deliveries ended, as far as that is known.
    pub(crate) failed: Option<&'a Attempts>,
}

impl Burial<'_> {
    /// The dead letter. Its key makes a repeat after a crash the same one.
    pub(crate) fn dead_letter(&self) -> NewMessage {
        let content = &self.message.content;
        let mut headers = published_headers(self.message);
        headers.extend(self.about());
        NewMessage {
            topic: Topic::parse(DEAD_LETTERS_TOPIC).expect("a valid topic"),
            data: Data::clone(&content.data),
            content_type: content.content_type.clone(),
            headers,
            sender: content.sender.clone(),
            key: Some(self.key()),
            order_key: content.order_key.clone(),
            ttl: None,
        }
    }

    fn about(&self) -> impl Iterator<Item = (String, String)> {
        let Self { message, by, attempts, reason, failed } = self;
        let said = failed.iter().flat_map(|failed| failed.kept().filter_map(|a| a.reason.clone()));
        let said: Vec<_> = said.collect();
        let ttl = message.content.ttl.map(|ttl| (header::TTL_MS, ttl.as_millis().to_string()));
        let always = [
            (header::TOPIC, message.topic().to_string()),
            (header::OFFSET, message.offset.to_string()),
            (header::EPOCH, message.epoch.to_string()),
            (header::ID, message.id.to_string()),
            (header::AT, message.published_at.as_ms().to_string()),
            (header::ATTEMPTS, attempts.to_string()),
            (header::GAVE_UP, gave_up(*reason).to_owned()),
            (header::REASONS, said.join("; ")),
        ];
        let history = failed.map(|failed| (header::HISTORY, history::to_text(failed)));
        let about = always.into_iter().chain(ttl).chain(history);
        about.map(|(name, value)| (name.to_owned(), value)).chain(names_of(by))
    }

    /// One dead letter per subscription and place of a message, whatever happens in between. Not
    /// per message alone: one that is published again may die again.
    fn key(&self) -> DedupKey {
        let Message { id, epoch, offset, .. } = self.message;
        let of_whom = match self.by {
            CursorKey::Durable(key) => format!("{}\n{}", key.user, key.name),
            CursorKey::Group { group, .. } => format!("\n{}\n{}", group.group, group.filter),
        };
        let topic = self.message.topic();
        let name = format!("{of_whom}\n{topic}\n{id}\n{epoch}\n{offset}");
        derived_key(KeyOf::DeadLetter, &name)
    }
}

/// The word for why a message was given up.
pub(crate) const fn gave_up(reason: GiveUp) -> &'static str {
    match reason {
        GiveUp::TimedOut => "timed_out",
        GiveUp::ConnectionEnded => "connection_ended",
        GiveUp::Nacked => "nacked",
        GiveUp::Asked => "refused",
    }
}
