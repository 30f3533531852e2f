//! Stories of a live subscription: where history and live messages meet.
//!
//! `append` grows the log; `hear` is the news of it, which may come while history is being read.
//! `read_late` is the result of a read that newer ones have overtaken.

use std::num::NonZeroU32;

use tidings_core::{
    Backlog, Epoch, LiveCursor, LiveStep, Offset, Position, Recovery, TopicState, recover,
};

use crate::story::{Command, Machine, number, range};

#[derive(Debug)]
pub(crate) struct Live {
    log: TopicState,
    /// The last append that was heard of.
    heard: Offset,
    cursor: LiveCursor,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            log: TopicState::empty(Epoch::new(0)),
            heard: Offset::ORIGIN,
            cursor: LiveCursor::new(Offset::FIRST),
        }
    }
}

impl Machine for Live {
    fn run(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        match command.name() {
            "log" => {
                self.log = TopicState {
                    epoch: epoch(command.needed("epoch")?)?,
                    first: Offset::new(number(command.needed("first")?)?),
                    head: Offset::new(number(command.needed("head")?)?),
                };
                self.heard = self.log.head;
            }
            "trim" => self.log.first = Offset::new(number(command.needed("first")?)?),
            "subscribe" => observed.push(self.subscribe(command)?),
            "append" => self.log.head = range(command.word()?)?.1,
            "hear" => {
                let (mut offset, last) = range(command.word()?)?;
                while offset <= last {
                    observed.push(self.hear(offset));
                    offset = offset.next();
                }
            }
            "skip" => observed.push(self.skip(command)?),
            "read" => observed.push(self.read(command)?),
            "read_late" => {
                let (first, last) = range(command.word()?)?;
                self.cursor.advance_to(last.next());
                observed.push(format!("read {first}..{last} {}", self.mode()));
            }
            _ => return Err(command.unknown()),
        }
        Ok(())
    }
}

impl Live {
    fn subscribe(&mut self, command: &Command) -> Result<String, String> {
        let Some(after) = command.value("after") else {
            self.cursor = LiveCursor::new(self.log.head.next());
            return Ok(format!("subscribed next={} {}", self.cursor.next(), self.mode()));
        };
        let (life, offset) = after.split_once('/').ok_or("a position is `epoch/offset`")?;
        let after = Position { epoch: epoch(life)?, offset: Offset::new(number(offset)?) };
        let recovery = recover(after, self.log);
        self.cursor = LiveCursor::new(recovery.next());
        Ok(match recovery {
            Recovery::Recovered { next } => format!("recovered next={next} {}", self.mode()),
            Recovery::Reset { reason, next } => {
                format!("reset reason={} next={next} {}", reason.as_str(), self.mode())
            }
        })
    }

    fn hear(&mut self, offset: Offset) -> String {
        let step = self.cursor.appended(self.heard, offset);
        self.heard = self.heard.max(offset);
        match step {
            LiveStep::Deliver => format!("deliver {offset}"),
            LiveStep::Skip => format!("skip {offset}"),
            LiveStep::Behind => format!("behind {offset}"),
        }
    }

    /// Reads history from the cursor on, at most `limit=` messages.
    fn read(&mut self, command: &Command) -> Result<String, String> {
        let first = self.cursor.next().max(self.log.first);
        let mut last = self.log.head;
        if let Some(limit) = command.value("limit") {
            last = last.min(first.plus(number(limit)?).previous());
        }
        self.cursor.advance_to(last.next());
        Ok(format!("read {first}..{last} {}", self.mode()))
    }

    /// What a topic whose slow readers get the `newest=` messages spares this one.
    fn skip(&mut self, command: &Command) -> Result<String, String> {
        let most = u32::try_from(number(command.needed("newest")?)?).ok().and_then(NonZeroU32::new);
        let backlog = Backlog::Newest(most.ok_or("`newest=` is at least 1")?);
        Ok(match backlog.skips_to(self.cursor.next(), self.log.head) {
            Some(next) => {
                let first = self.cursor.next();
                self.cursor.advance_to(next);
                format!("skipped {first}..{}", next.previous())
            }
            None => "skipped nothing".to_owned(),
        })
    }

    fn mode(&self) -> &'static str {
        if self.cursor.is_at_tail(self.heard) { "tail" } else { "catch_up" }
    }
}

fn epoch(text: &str) -> Result<Epoch, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}
