//! What `pub` prints of each message that was acknowledged: its id, or an object for scripts.

use std::io;

use serde::Serialize;
use tidings_client::PublishOutcome;
use tidings_core::Topic;

use crate::standard_output;

/// So many bytes are written at once while there are more answers to come.
const BATCH_BYTES: usize = 32 * 1024;

/// How a message is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Not at all.
    Nothing,
    /// Its id on a line.
    Id,
    /// One JSON object on a line.
    Object,
}

/// Collects lines until they are flushed.
#[derive(Debug)]
pub(super) struct Receipts {
    topic: Topic,
    form: Form,
    buffer: Vec<u8>,
}

/// An object of `--json`, with the keys of the HTTP interface: add, never rename.
#[derive(Serialize)]
struct Receipt<'a> {
    id: String,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<u64>,
    duplicate: bool,
}

impl Receipts {
    /// None yet.
    pub(super) const fn new(topic: Topic, form: Form) -> Self {
        Self { topic, form, buffer: Vec::new() }
    }

    /// One more was acknowledged.
    pub(super) fn add(&mut self, outcome: &PublishOutcome) {
        match self.form {
            Form::Nothing => return,
            Form::Id => self.buffer.extend_from_slice(outcome.id().to_string().as_bytes()),
            Form::Object => {
                let receipt = receipt(&self.topic, outcome);
                serde_json::to_writer(&mut self.buffer, &receipt).expect("memory takes all");
            }
        }
        self.buffer.push(b'\n');
    }

    /// Whether there is enough to be worth a write.
    pub(super) const fn is_full(&self) -> bool {
        self.buffer.len() >= BATCH_BYTES
    }

    /// Whether there is nothing to write.
    pub(super) const fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Writes what was collected. A reader that went away gets no more, which is no reason to publish
    /// no more.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let written = standard_output::write(&self.buffer);
        self.buffer.clear();
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        match written {
            Err(error) if error.downcast_ref().is_some_and(is_gone) => {
                self.form = Form::Nothing;
                Ok(())
            }
            written => written,
        }
    }
}

fn receipt<'a>(topic: &'a Topic, outcome: &PublishOutcome) -> Receipt<'a> {
    let position = outcome.position();
    let deliver_at = match outcome {
        PublishOutcome::Published(_) => None,
        PublishOutcome::Scheduled(scheduled) => Some(scheduled.deliver_at.as_ms()),
    };
    Receipt {
        id: outcome.id().to_string(),
        topic: topic.as_str(),
        offset: position.map(|position| position.offset.get()),
        epoch: position.map(|position| position.epoch.to_string()),
        deliver_at,
        duplicate: outcome.is_duplicate(),
    }
}

#[cfg(test)]
mod tests {
    use tidings_client::{Published, Scheduled};
    use tidings_core::{Epoch, MessageId, Offset, Position, Timestamp};

    use super::*;

    fn check(form: Form) -> String {
        let mut receipts = Receipts::new(Topic::parse("room/42").unwrap(), form);
        let position = Position { epoch: "Zr3".parse::<Epoch>().unwrap(), offset: Offset::new(7) };
        let id = MessageId::from_bits(1);
        receipts.add(&PublishOutcome::Published(Published { id, position, duplicate: true }));
        let (id, deliver_at) = (MessageId::from_bits(2), Timestamp::from_ms(1_795_000_000_000));
        receipts.add(&PublishOutcome::Scheduled(Scheduled { id, deliver_at, duplicate: false }));
        String::from_utf8(receipts.buffer).unwrap()
    }

    #[test]
    fn a_message_is_an_id_an_object_or_nothing() {
        let (one, two) = (MessageId::from_bits(1), MessageId::from_bits(2));
        assert_eq!(check(Form::Nothing), "");
        assert_eq!(check(Form::Id), format!("{one}\n{two}\n"));
        let expected = format!(
            r#"{{"id":"{one}","topic":"room/42","offset":7,"epoch":"Zr3","duplicate":true}}
{{"id":"{two}","topic":"room/42","deliver_at":1795000000000,"duplicate":false}}
"#
        );
        assert_eq!(check(Form::Object), expected);
    }
}
