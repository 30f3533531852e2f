//! How publishes look to each server.

use anyhow::bail;
use clap::ValueEnum;

use crate::target::Dialect;
use crate::websocket::{self, Opcode};
use crate::wire::{PublishForm, Stamp, Stamps};
use crate::{mqtt, nats, resp};

/// The command that stands for a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RedisCommand {
    /// Append to a stream: what a topic would be
    Xadd,
    /// Replace one value: the least that is written
    Set,
}

/// How publishes to one topic look.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Tidings(PublishForm),
    Redis(RedisCommand, String),
    /// Without an answer.
    Nats(String),
    /// With an answer once the message is kept.
    JetStream(String),
    /// QoS 0, without an answer.
    Mqtt(String),
}

impl Form {
    /// Publishes that go to many at once.
    pub(crate) fn fanout(dialect: Dialect, topic: &str) -> anyhow::Result<Self> {
        Ok(match dialect {
            Dialect::Tidings => Self::Tidings(PublishForm::new(topic)),
            Dialect::Nats => Self::Nats(nats::subject(topic)),
            Dialect::Mqtt => Self::Mqtt(topic.to_owned()),
            Dialect::Redis => {
                bail!("fan-out is not measured on redis, use ws://, nats:// or mqtt://")
            }
        })
    }

    /// Publishes that are answered when they are kept.
    pub(crate) fn durable(
        dialect: Dialect,
        topic: &str,
        command: RedisCommand,
    ) -> anyhow::Result<Self> {
        Ok(match dialect {
            Dialect::Tidings => Self::Tidings(PublishForm::new(topic)),
            Dialect::Redis => Self::Redis(command, topic.to_owned()),
            Dialect::Nats => Self::JetStream(nats::subject(topic)),
            Dialect::Mqtt => bail!("publishes are not answered over mqtt, use another server"),
        })
    }

    /// Whether the server answers each publish.
    pub(crate) const fn is_answered(&self) -> bool {
        match self {
            Self::Tidings(_) | Self::Redis(..) | Self::JetStream(_) => true,
            Self::Nats(_) | Self::Mqtt(_) => false,
        }
    }

    /// Appends publish `id` of client `from`, ready for the socket. `text` is for its content.
    pub(crate) fn put(
        &self,
        out: &mut Vec<u8>,
        text: &mut Vec<u8>,
        from: usize,
        id: u32,
        stamps: &Stamps,
        stamp: Stamp,
    ) {
        text.clear();
        if let Self::Tidings(form) = self {
            form.put(text, id, stamps, stamp);
            return websocket::put_masked_frame(out, Opcode::Text, text);
        }
        stamps.put_data(text, stamp);
        match self {
            Self::Tidings(_) => {}
            Self::Redis(RedisCommand::Xadd, key) => {
                resp::put_command(out, &[b"XADD", key.as_bytes(), b"*", b"data", text]);
            }
            Self::Redis(RedisCommand::Set, key) => {
                resp::put_command(out, &[b"SET", key.as_bytes(), text]);
            }
            Self::Nats(subject) => nats::put_publish(out, subject, None, text),
            Self::JetStream(subject) => {
                nats::put_publish(out, subject, Some(&nats::inbox(from, id)), text);
            }
            Self::Mqtt(topic) => mqtt::put_publish(out, topic, text),
        }
    }
}
