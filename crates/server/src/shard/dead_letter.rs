//! Messages that were given up: kept in the open, then settled.

use std::fmt::Write as _;

use tidings_core::{
    Data, DedupKey, Durability, DurableKey, GiveUp, GroupKey, Message, NewMessage, Offset, Topic,
};
use tidings_storage::{StoreError, Write};

use super::durable::held;
use super::{ConnectionKey, PendingWrite, Shard};
use crate::dead_letters::DEAD_LETTERS_TOPIC;

/// A subscription that gave a message up.
#[derive(Clone, Debug)]
pub(super) enum GaveUp {
    Durable(DurableKey),
    Group(GroupKey),
}

/// Why a message is set aside.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) whose: GaveUp,
    /// After how many deliveries.
    pub(super) attempts: u32,
    pub(super) reason: GiveUp,
    /// What its nacks said.
    pub(super) said: Vec<String>,
}

impl Shard {
    /// Sets a message of a durable subscription aside.
    pub(super) fn dead_letter(
        &mut self,
        slot: u32,
        topic: &Topic,
        message: &Message,
        attempts: u32,
        reason: GiveUp,
    ) {
        let Some(connection) = self.key(slot) else { return };
        let Some(durable) = self.connections.get_mut(slot as usize).and_then(|c| held(c, topic))
        else {
            return;
        };
        let said = durable.reasons.get(&message.offset).cloned().unwrap_or_default();
        let dead = Dead { whose: GaveUp::Durable(durable.key.clone()), attempts, reason, said };
        let pending =
            PendingWrite::DeadLetter { connection, topic: topic.clone(), offset: message.offset };
        if !self.append_dead_letter(message, dead, pending)
            && let Some(durable) =
                self.connections.get_mut(slot as usize).and_then(|c| held(c, topic))
        {
            durable.window.dead_lettered(message.offset);
        }
    }

    /// Appends a copy of `message` to the dead letters. The key makes a repeat after a crash the
    /// same dead letter. Returns `false` if it stays where it is instead: a dead letter that nobody
    /// can take, appended again, would come back to the same subscriber for ever.
    pub(super) fn append_dead_letter(
        &mut self,
        message: &Message,
        dead: Dead,
        pending: PendingWrite,
    ) -> bool {
        let (topic, offset) = (message.topic(), message.offset);
        let Dead { whose, attempts, reason, said } = dead;
        if topic.is_reserved() {
            tracing::warn!(%topic, %offset, attempts, "a dead letter was given up; it stays readable");
            self.env.metrics.dead_letters_discarded.inc();
            return false;
        }
        let mut headers = message.content.headers.clone();
        let about = [
            ("tidings-topic", topic.to_string()),
            ("tidings-offset", offset.to_string()),
            ("tidings-epoch", message.epoch.to_string()),
            ("tidings-id", message.id.to_string()),
            ("tidings-attempts", attempts.to_string()),
            ("tidings-gave-up", gave_up(reason).to_owned()),
            ("tidings-reasons", said.join("; ")),
        ];
        let about = about.into_iter().chain(whose.headers());
        headers.extend(about.map(|(name, value)| (name.to_owned(), value)));
        let content = &message.content;
        tracing::warn!(
            %topic, %offset, attempts, reason = gave_up(reason), subscription = ?whose,
            "a message was given up"
        );
        let message = NewMessage {
            topic: Topic::parse(DEAD_LETTERS_TOPIC).expect("a valid topic"),
            data: Data::clone(&content.data),
            content_type: content.content_type.clone(),
            headers,
            sender: content.sender.clone(),
            key: Some(key_of(&whose, message)),
            order_key: content.order_key.clone(),
            ttl: None,
        };
        let write = Write::Publish { message, durability: Durability::Sync, id: None };
        self.write(write, Some(pending));
        true
    }

    pub(super) fn dead_letter_answered(
        &mut self,
        key: ConnectionKey,
        topic: &Topic,
        offset: Offset,
        refused: Option<&StoreError>,
    ) {
        let now = self.now;
        let Some(durable) = self.connection(key).and_then(|c| held(c, topic)) else { return };
        match refused {
            None => {
                durable.window.dead_lettered(offset);
                self.env.metrics.dead_letters.inc();
            }
            Some(error) => {
                tracing::error!(%error, %topic, %offset, "a dead letter could not be written");
                durable.window.dead_letter_failed(now, offset);
            }
        }
        self.pump(key.slot, topic, None);
    }
}

impl GaveUp {
    /// What a dead letter says of it.
    fn headers(&self) -> [(&'static str, String); 2] {
        match self {
            Self::Durable(key) => {
                [("tidings-user", key.user.to_string()), ("tidings-durable", key.name.to_string())]
            }
            Self::Group(key) => [
                ("tidings-group", key.group.to_string()),
                ("tidings-filter", key.filter.to_string()),
            ],
        }
    }
}

const fn gave_up(reason: GiveUp) -> &'static str {
    match reason {
        GiveUp::TimedOut => "timed_out",
        GiveUp::Nacked => "nacked",
        GiveUp::Asked => "refused",
    }
}

/// One dead letter per subscription and message, whatever happens in between.
fn key_of(whose: &GaveUp, message: &Message) -> DedupKey {
    let mut text = String::new();
    let id = message.id;
    let name = match whose {
        GaveUp::Durable(key) => format!("{}\n{}\n{}\n{id}", key.user, key.name, key.topic),
        // No user is the empty text, so no durable subscription makes this one.
        GaveUp::Group(key) => format!("\n{}\n{}\n{}\n{id}", key.group, key.filter, message.topic()),
    };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    text.push_str("dead-");
    for byte in digest.as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    DedupKey::parse(&text).expect("69 characters of ASCII")
}
