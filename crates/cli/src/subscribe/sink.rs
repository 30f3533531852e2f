//! Where messages are written: standard output, or a file that gets each once.

use std::io::{self, Write};

use tidings_client::Delivery;
use tidings_core::Position;

use super::output::OutputFile;
use crate::shown::{self, Format, Shown};

/// Collects messages until they are flushed.
#[derive(Debug)]
pub(super) struct Sink {
    format: Format,
    buffer: Vec<u8>,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Stdout,
    File {
        file: OutputFile,
        /// The last message in the buffer.
        last: Option<Position>,
    },
}

impl Sink {
    /// Writes to standard output.
    pub(super) const fn stdout(format: Format) -> Self {
        Self { format, buffer: Vec::new(), target: Target::Stdout }
    }

    /// Writes to a file.
    pub(super) const fn file(format: Format, file: OutputFile) -> Self {
        Self { format, buffer: Vec::new(), target: Target::File { file, last: None } }
    }

    /// The position after which to go on, if the sink remembers one.
    pub(super) const fn place(&self) -> Option<Position> {
        match &self.target {
            Target::Stdout => None,
            Target::File { file, .. } => file.place(),
        }
    }

    /// Adds a message, unless it is there already. Returns whether it was added.
    pub(super) fn write(&mut self, delivery: &Delivery) -> anyhow::Result<bool> {
        if let Target::File { file, last } = &mut self.target {
            let position =
                delivery.position().expect("--output is for one topic, where positions are known");
            let buffered = last
                .is_some_and(|last| last.epoch == position.epoch && position.offset <= last.offset);
            if buffered || (last.is_none() && file.has(position)) {
                return Ok(false);
            }
            *last = Some(position);
        }
        shown::write(&mut self.buffer, self.format, show(delivery))?;
        Ok(true)
    }

    /// Adds something that is no message.
    pub(super) fn write_notice(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, Format) -> io::Result<()>,
    ) -> io::Result<()> {
        write(&mut self.buffer, self.format)
    }

    /// Hands what was added to the system. Only after that may it be acknowledged.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        match &mut self.target {
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&self.buffer)?;
                stdout.flush()?;
            }
            Target::File { file, last } => {
                if let Some(last) = last.take() {
                    file.append(&self.buffer, last)?;
                }
            }
        }
        self.buffer.clear();
        Ok(())
    }
}

fn show(delivery: &Delivery) -> Shown<'_> {
    Shown {
        topic: delivery.topic(),
        epoch: delivery.position().map(|position| position.epoch),
        offset: delivery.offset(),
        id: delivery.id(),
        attempt: delivery.attempt(),
        data: delivery.data(),
        content_type: delivery.content_type(),
        headers: delivery.headers(),
        from: delivery.from(),
        order_key: delivery.order_key(),
        at: delivery.at(),
    }
}
