//! What `pub` tells while it runs and when it is done.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use tidings_client::PublishOutcome;
use tidings_core::{MessageId, Offset, Timestamp, Topic};

use crate::clock_text::moment;

/// Counts what was acknowledged.
#[derive(Debug)]
pub(super) struct Progress {
    topic: Topic,
    started: Instant,
    is_terminal: bool,
    published: u64,
    scheduled: u64,
    duplicates: u64,
    last: Option<Offset>,
    last_scheduled: Option<(MessageId, Timestamp)>,
}

impl Progress {
    /// Nothing yet.
    pub(super) fn new(topic: Topic) -> Self {
        Self {
            topic,
            started: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            published: 0,
            scheduled: 0,
            duplicates: 0,
            last: None,
            last_scheduled: None,
        }
    }

    /// One more was acknowledged.
    pub(super) fn acknowledged(&mut self, outcome: &PublishOutcome) {
        self.duplicates += u64::from(outcome.is_duplicate());
        match outcome {
            PublishOutcome::Published(published) => {
                self.published += 1;
                self.last = Some(published.position.offset);
            }
            PublishOutcome::Scheduled(scheduled) => {
                self.scheduled += 1;
                self.last_scheduled = Some((scheduled.id, scheduled.deliver_at));
            }
        }
    }

    /// Shows how it goes, on a terminal.
    pub(super) fn show(&self, read: u64, pending: usize) {
        if self.is_terminal {
            let acknowledged = self.published + self.scheduled;
            let rate = acknowledged as f64 / self.started.elapsed().as_secs_f64().max(0.001);
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
        let Self { topic, published, scheduled, duplicates, .. } = self;
        let what = match (*published, *scheduled) {
            (published, 0) => format!("published {}", messages(published)),
            (0, scheduled) => format!("scheduled {}", messages(scheduled)),
            (_, scheduled) => {
                format!("published {published} and scheduled {}", messages(scheduled))
            }
        };
        let seconds = self.started.elapsed().as_secs_f64();
        let mut text = format!("{what} to {topic} in {seconds:.1} s");
        if let Some(last) = self.last {
            text.push_str(&format!(", last offset {last}"));
        }
        if let Some((id, at)) = self.last_scheduled {
            let last = if *scheduled == 1 { "" } else { "last " };
            text.push_str(&format!(", {last}id {id}, due at {}", moment(at)));
        }
        if *duplicates > 0 {
            text.push_str(&format!(", {duplicates} of them recognised as repeats"));
        }
        text
    }
}

fn messages(count: u64) -> String {
    let messages = if count == 1 { "message" } else { "messages" };
    format!("{count} {messages}")
}

#[cfg(test)]
mod tests {
    use tidings_client::{Published, Scheduled};
    use tidings_core::{Epoch, Position};

    use super::*;

    #[test]
    fn the_summary_counts() {
        let mut progress = Progress::new(Topic::parse("room/42").unwrap());
        assert!(progress.summary().starts_with("published 0 messages to room/42 in "));
        let published = |offset, duplicate| {
            PublishOutcome::Published(Published {
                id: MessageId::from_bits(1),
                position: Position { epoch: Epoch::new(1), offset: Offset::new(offset) },
                duplicate,
            })
        };
        progress.acknowledged(&published(7, false));
        let summary = progress.summary();
        assert!(summary.starts_with("published 1 message to room/42 in "), "{summary}");
        assert!(summary.ends_with(" s, last offset 7"), "{summary}");
        progress.acknowledged(&published(3, true));
        assert!(progress.summary().ends_with(", last offset 3, 1 of them recognised as repeats"));
    }

    #[test]
    fn what_waits_for_its_time_has_a_name_and_no_offset() {
        let mut progress = Progress::new(Topic::parse("room/42").unwrap());
        let id = MessageId::from_bits(7);
        let deliver_at = Timestamp::from_ms(1_795_000_000_000);
        let scheduled = PublishOutcome::Scheduled(Scheduled { id, deliver_at, duplicate: false });
        progress.acknowledged(&scheduled);
        let summary = progress.summary();
        assert!(summary.starts_with("scheduled 1 message to room/42 in "), "{summary}");
        let ending = format!(" s, id {id}, due at 2026-11-18T11:06:40Z");
        assert!(summary.ends_with(&ending), "{summary}");
        progress.acknowledged(&scheduled);
        assert!(progress.summary().contains(&format!("s, last id {id}")), "{}", progress.summary());
    }
}
