//! What servers answer to publishes.

use anyhow::bail;

use crate::report::Report;
use crate::wire::{self, ServerFrame};

/// Counts the answers to a load's publishes.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// All of them.
    pub(crate) count: u32,
    /// Those that said no.
    pub(crate) refused: u32,
    first_refusal: Option<String>,
}

impl Answers {
    /// A publisher got this frame, which must be an answer.
    pub(crate) fn take(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        match wire::read_server_frame(frame)? {
            ServerFrame::Published { .. } => {}
            ServerFrame::Refused { id: Some(_), message } => {
                self.refused += 1;
                self.first_refusal.get_or_insert(message);
            }
            other @ (ServerFrame::Message
            | ServerFrame::Connected
            | ServerFrame::Subscribed
            | ServerFrame::Refused { id: None, .. }
            | ServerFrame::Ping
            | ServerFrame::Other(_)) => bail!("a publisher got {other:?}"),
        }
        self.count += 1;
        Ok(())
    }

    /// Says what came of so many publishes.
    pub(crate) fn report(self, published: u32, report: &mut Report) {
        report.figure("refused", f64::from(self.refused));
        report.notes.extend(self.first_refusal.map(|why| format!("the first refusal: {why}")));
        if self.count < published {
            let open = published - self.count;
            report.notes.push(format!("{open} publishes were never answered"));
        }
    }
}
