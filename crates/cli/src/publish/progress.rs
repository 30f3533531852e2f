//! What `pub` tells while it runs and when it is done.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use tidings_client::Published;
use tidings_core::{Offset, Topic};

/// Counts what was acknowledged.
#[derive(Debug)]
pub(super) struct Progress {
    topic: Topic,
    started: Instant,
    is_terminal: bool,
    acknowledged: u64,
    duplicates: u64,
    last: Option<Offset>,
}

impl Progress {
    /// Nothing yet.
    pub(super) fn new(topic: Topic) -> Self {
        Self {
            topic,
            started: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            acknowledged: 0,
            duplicates: 0,
            last: None,
        }
    }

    /// One more was acknowledged.
    pub(super) fn acknowledged(&mut self, published: &Published) {
        self.acknowledged += 1;
        self.duplicates += u64::from(published.duplicate);
        self.last = Some(published.position.offset);
    }

    /// Shows how it goes, on a terminal.
    pub(super) fn show(&self, read: u64, pending: usize) {
        if self.is_terminal {
            let rate = self.acknowledged as f64 / self.started.elapsed().as_secs_f64().max(0.001);
            let mut stderr = std::io::stderr().lock();
            // A terminal that takes no progress is no reason to stop.
            let _ = write!(stderr, "\r\u{1b}[K{read} lines, {rate:.0}/s, {pending} pending");
            let _ = stderr.flush();
        }
    }

    /// Takes the line of progress away.
    pub(super) fn clear(&self) {
        if self.is_terminal {
            eprint!("\r\u{1b}[K");
        }
    }

    /// How it went.
    pub(super) fn summary(&self) -> String {
        let Self { topic, acknowledged, duplicates, .. } = self;
        let messages = if *acknowledged == 1 { "message" } else { "messages" };
        let seconds = self.started.elapsed().as_secs_f64();
        let mut text = format!("published {acknowledged} {messages} to {topic} in {seconds:.1} s");
        if let Some(last) = self.last {
            text.push_str(&format!(", last offset {last}"));
        }
        if *duplicates > 0 {
            text.push_str(&format!(", {duplicates} of them recognised as repeats"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{Epoch, MessageId, Position};

    use super::*;

    #[test]
    fn the_summary_counts() {
        let mut progress = Progress::new(Topic::parse("room/42").unwrap());
        assert!(progress.summary().starts_with("published 0 messages to room/42 in "));
        let published = |offset, duplicate| Published {
            id: MessageId::from_bits(1),
            position: Position { epoch: Epoch::new(1), offset: Offset::new(offset) },
            duplicate,
        };
        progress.acknowledged(&published(7, false));
        let summary = progress.summary();
        assert!(summary.starts_with("published 1 message to room/42 in "), "{summary}");
        assert!(summary.ends_with(" s, last offset 7"), "{summary}");
        progress.acknowledged(&published(3, true));
        assert!(progress.summary().ends_with(", last offset 3, 1 of them recognised as repeats"));
    }
}
