//! Messages that were given up: kept in the open, then settled.

use std::fmt::Write as _;

use tidings_core::{Data, DedupKey, Durability, GiveUp, Message, NewMessage, Offset, Topic};
use tidings_storage::{StoreError, Write};

use super::durable::held;
use super::{ConnectionKey, PendingWrite, Shard};
use crate::dead_letters::DEAD_LETTERS_TOPIC;

impl Shard {
    /// Appends a copy of `message` to the dead letters. The key makes a repeat after a crash the
    /// same dead letter.
    pub(super) fn dead_letter(
        &mut self,
        slot: u32,
        topic: &Topic,
        message: &Message,
        attempts: u32,
        reason: GiveUp,
    ) {
        if topic.is_reserved() {
            return self.discard_dead_letter(slot, topic, message, attempts);
        }
        let Some(connection) = self.key(slot) else { return };
        let Some(durable) = self.connections.get_mut(slot as usize).and_then(|c| held(c, topic))
        else {
            return;
        };
        let said = durable.reasons.get(&message.offset).cloned().unwrap_or_default();
        let mut headers = message.content.headers.clone();
        let about = [
            ("tidings-topic", topic.to_string()),
            ("tidings-offset", message.offset.to_string()),
            ("tidings-epoch", message.epoch.to_string()),
            ("tidings-id", message.id.to_string()),
            ("tidings-user", durable.key.user.to_string()),
            ("tidings-durable", durable.key.name.to_string()),
            ("tidings-attempts", attempts.to_string()),
            ("tidings-gave-up", gave_up(reason).to_owned()),
            ("tidings-reasons", said.join("; ")),
        ];
        headers.extend(about.map(|(name, value)| (name.to_owned(), value)));
        let content = &message.content;
        let dead = NewMessage {
            topic: Topic::parse(DEAD_LETTERS_TOPIC).expect("a valid topic"),
            data: Data::clone(&content.data),
            content_type: content.content_type.clone(),
            headers,
            sender: content.sender.clone(),
            key: Some(key_of(&durable.key, message)),
            order_key: content.order_key.clone(),
            ttl: None,
        };
        tracing::warn!(
            %topic, offset = %message.offset, attempts, reason = gave_up(reason),
            user = %durable.key.user, durable = %durable.key.name, "a message was given up"
        );
        let pending =
            PendingWrite::DeadLetter { connection, topic: topic.clone(), offset: message.offset };
        self.write(
            Write::Publish { message: dead, durability: Durability::Sync, id: None },
            Some(pending),
        );
    }

    /// A dead letter that nobody can take stays where it is: appended again it would come back to
    /// the same subscriber for ever.
    fn discard_dead_letter(&mut self, slot: u32, topic: &Topic, message: &Message, attempts: u32) {
        tracing::warn!(%topic, offset = %message.offset, attempts, "a dead letter was given up; it stays readable");
        self.env.metrics.dead_letters_discarded.inc();
        let connection = self.connections.get_mut(slot as usize);
        if let Some(durable) = connection.and_then(|c| held(c, topic)) {
            durable.window.dead_lettered(message.offset);
        }
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

const fn gave_up(reason: GiveUp) -> &'static str {
    match reason {
        GiveUp::TimedOut => "timed_out",
        GiveUp::Nacked => "nacked",
        GiveUp::Asked => "refused",
    }
}

/// One dead letter per subscription and message, whatever happens in between.
fn key_of(key: &tidings_core::DurableKey, message: &Message) -> DedupKey {
    let mut text = String::new();
    let name = format!("{}\n{}\n{}\n{}", key.user, key.name, key.topic, message.id);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    text.push_str("dead-");
    for byte in digest.as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    DedupKey::parse(&text).expect("69 characters of ASCII")
}
