//! The messages that lagging readers are behind, published beforehand.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::load::crowd::{Crowd, Traffic};
use crate::load::lagging::{LaggingOptions, members};
use crate::websocket::{self, Opcode};
use crate::wire::{self, PublishForm, ServerFrame, Stamp, Stamps};

/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Publishes without an answer: within what the protocol lets a connection have open.
const UNANSWERED_MAX: u32 = 512;

/// What was published, and where it begins.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) topic: String,
    pub(crate) messages: u32,
    pub(crate) stamps: Stamps,
    /// The epoch, and the offset before the first message.
    pub(crate) before: (String, u64),
}

impl Backlog {
    /// Publishes all of it to `topic`.
    pub(crate) fn publish(options: &LaggingOptions, topic: &str) -> anyhow::Result<Self> {
        let mut crowd = Crowd::open(&options.server, members(options, 1, Vec::new()), 1)?;
        let mut filling = Filling::new(topic, options.messages, crowd.now());
        while filling.answered < filling.messages {
            crowd.turn(Duration::from_millis(10), &mut filling)?;
            if crowd.now() > filling.progress + PATIENCE {
                bail!("no answer for {PATIENCE:?} while the backlog was published");
            }
        }
        let before = filling.before.context("no publish was answered")?;
        let (messages, stamps) = (filling.messages, filling.stamps);
        Ok(Self { topic: topic.to_owned(), messages, stamps, before })
    }
}

/// A backlog that is being published.
#[derive(Debug)]
struct Filling {
    form: PublishForm,
    stamps: Stamps,
    line: Vec<u8>,
    messages: u32,
    published: u32,
    answered: u32,
    before: Option<(String, u64)>,
    progress: Duration,
}

impl Filling {
    fn new(topic: &str, messages: u32, now: Duration) -> Self {
        Self {
            form: PublishForm::new(topic),
            stamps: Stamps::of_this_run(),
            line: Vec::new(),
            messages,
            published: 0,
            answered: 0,
            before: None,
            progress: now,
        }
    }
}

impl Traffic for Filling {
    fn frame(
        &mut self,
        now: Duration,
        _: usize,
        frame: &[u8],
        _: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let offset = match wire::read_server_frame(frame)? {
            ServerFrame::Published { offset, .. } => offset,
            other @ (ServerFrame::Message
            | ServerFrame::Connected
            | ServerFrame::Subscribed
            | ServerFrame::Refused { .. }
            | ServerFrame::Ping
            | ServerFrame::Other(_)) => bail!("the publisher of the backlog got {other:?}"),
        };
        self.answered += 1;
        self.progress = now;
        // Answers to publishes of one connection may come in any order.
        let earlier = self.before.as_ref().is_none_or(|(_, before)| offset <= *before);
        if earlier {
            let published: Value = serde_json::from_slice(frame).context("an answer is no JSON")?;
            let epoch = published["published"]["epoch"].as_str();
            let epoch = epoch.context("`published` has no epoch")?.to_owned();
            self.before = Some((epoch, offset.saturating_sub(1)));
        }
        Ok(())
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        let from = self.published;
        while self.published < self.messages && self.published - self.answered < UNANSWERED_MAX {
            let stamp = Stamp { sequence: self.published, sent: now };
            self.published += 1;
            self.line.clear();
            // Request 1 is the greeting's.
            self.form.put(&mut self.line, self.published + 1, &self.stamps, stamp);
            websocket::put_masked_frame(out, Opcode::Text, &self.line);
        }
        Ok((self.published > from).then_some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_begins_before_its_first_message_whichever_is_answered_first() {
        let mut filling = Filling::new("t", 600, Duration::ZERO);
        let mut out = Vec::new();
        assert_eq!(filling.due(Duration::ZERO, &mut out).expect("no server is asked"), Some(0));
        assert_eq!(filling.published, 512);
        assert_eq!(filling.due(Duration::ZERO, &mut out).expect("no server is asked"), None);
        for offset in [12, 11, 13] {
            let answer = format!(r#"{{"id":2,"published":{{"offset":{offset},"epoch":"e"}}}}"#);
            filling
                .frame(Duration::ZERO, 0, answer.as_bytes(), &mut Vec::new())
                .expect("an answer");
        }
        assert_eq!(filling.before, Some(("e".to_owned(), 10)));
        filling.due(Duration::ZERO, &mut out).expect("no server is asked");
        assert_eq!(filling.published, 515);
        let refusal = br#"{"id":3,"error":{"code":"overloaded"}}"#;
        assert!(filling.frame(Duration::ZERO, 0, refusal, &mut Vec::new()).is_err());
    }
}
