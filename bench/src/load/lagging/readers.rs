//! Readers that subscribe far behind the end, and get everything up to it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::load::crowd::Traffic;
use crate::load::lagging::backlog::Backlog;
use crate::load::tally::Tally;
use crate::report::Report;
use crate::websocket::{self, Opcode};
use crate::wire::{self, ServerFrame, Start};

/// How long nothing may arrive before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Readers that catch up. All times are on the clock of their crowd.
#[derive(Debug)]
pub(crate) struct Readers<'a> {
    backlog: &'a mut Backlog,
    count: usize,
    subscribe: Vec<u8>,
    /// Those that have not subscribed yet.
    to_start: usize,
    not_recovered: u64,
    tally: Tally,
    started: Option<Duration>,
    progress: Duration,
}

impl<'a> Readers<'a> {
    /// `count` readers, who are connected already and subscribe when their crowd is first served.
    pub(crate) fn new(backlog: &'a mut Backlog, count: usize) -> Self {
        let (epoch, offset) = &backlog.before;
        let text = wire::subscribe(2, &backlog.topic, Start::After(epoch, *offset));
        let mut subscribe = Vec::new();
        websocket::put_masked_frame(&mut subscribe, Opcode::Text, text.as_bytes());
        Self {
            backlog,
            count,
            subscribe,
            to_start: count,
            not_recovered: 0,
            tally: Tally::new(count),
            started: None,
            progress: Duration::ZERO,
        }
    }

    /// Deliveries that are to come in all.
    fn expected(&self) -> u64 {
        self.count as u64 * u64::from(self.backlog.messages)
    }

    /// Whether all have everything, or nothing more comes.
    pub(crate) fn are_done(&self, now: Duration) -> bool {
        self.started.is_some()
            && (self.tally.first == self.expected() || now > self.progress + PATIENCE)
    }

    fn subscribed(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let frame: Value = serde_json::from_slice(frame).context("an answer is not JSON")?;
        self.not_recovered += u64::from(frame["subscribed"]["recovered"] != true);
        Ok(())
    }

    /// Adds what they got, and when the last of them had everything.
    pub(crate) fn report(self, report: &mut Report) {
        let took = self.progress.saturating_sub(self.started.unwrap_or_default()).as_secs_f64();
        if took > 0.0 {
            report.figure("catch_up_deliveries_per_s", self.tally.first as f64 / took);
        }
        report.figure("catch_up_s", took);
        report.figure("deliveries", self.tally.first as f64);
        report.figure("lost", self.tally.lost(self.backlog.messages, &BTreeSet::new()) as f64);
        report.figure("duplicates", self.tally.repeated as f64);
        report.figure("order_errors", self.tally.order_errors as f64);
        report.figure("not_recovered", self.not_recovered as f64);
    }
}

impl Traffic for Readers<'_> {
    fn frame(
        &mut self,
        now: Duration,
        from: usize,
        frame: &[u8],
        _: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        if let Some(stamp) = self.backlog.stamps.find(frame) {
            if stamp.sequence >= self.backlog.messages {
                bail!("reader {from} got message {} that nobody published", stamp.sequence);
            }
            self.progress = now;
            self.tally.note(from, stamp.sequence);
            return Ok(());
        }
        match wire::read_server_frame(frame)? {
            ServerFrame::Subscribed => self.subscribed(frame),
            // Of another run.
            ServerFrame::Message => Ok(()),
            other @ (ServerFrame::Published { .. }
            | ServerFrame::Connected
            | ServerFrame::Refused { .. }
            | ServerFrame::Ping
            | ServerFrame::Other(_)) => bail!("a reader got {other:?}"),
        }
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        let Some(next) = self.to_start.checked_sub(1) else { return Ok(None) };
        if self.started.is_none() {
            self.started = Some(now);
        }
        self.progress = now;
        self.to_start = next;
        out.extend_from_slice(&self.subscribe);
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Stamp, Stamps};

    fn backlog() -> Backlog {
        let before = ("e".to_owned(), 7);
        Backlog { topic: "t".to_owned(), messages: 3, stamps: Stamps::of_this_run(), before }
    }

    fn message(readers: &Readers<'_>, sequence: u32) -> Vec<u8> {
        let mut frame = b"{\"message\":{\"data\":".to_vec();
        let stamp = Stamp { sequence, sent: Duration::ZERO };
        readers.backlog.stamps.put_data(&mut frame, stamp);
        frame
    }

    #[test]
    fn all_subscribe_behind_and_are_done_when_they_have_everything() {
        let mut backlog = backlog();
        let mut readers = Readers::new(&mut backlog, 2);
        let (mut out, mut first) = (Vec::new(), Vec::new());
        for index in [Some(1), Some(0), None] {
            assert_eq!(readers.due(Duration::ZERO, &mut out).expect("no server is asked"), index);
        }
        let text = r#"{"id":2,"subscribe":{"topic":"t","after":{"epoch":"e","offset":7}}}"#;
        websocket::put_masked_frame(&mut first, Opcode::Text, text.as_bytes());
        assert_eq!(out, first.repeat(2));
        for sequence in 0..3 {
            for from in 0..2 {
                assert!(!readers.are_done(PATIENCE));
                let message = message(&readers, sequence);
                readers.frame(PATIENCE, from, &message, &mut Vec::new()).expect("a message");
            }
        }
        assert!(readers.are_done(PATIENCE));
    }

    #[test]
    fn a_server_that_drops_repeats_swaps_or_forgets_is_found_out() {
        let mut backlog = backlog();
        let mut readers = Readers::new(&mut backlog, 2);
        readers.due(Duration::ZERO, &mut Vec::new()).expect("no server is asked");
        for (from, sequence) in [(0, 0), (0, 2), (0, 1), (0, 1), (1, 0), (1, 2)] {
            let message = message(&readers, sequence);
            readers.frame(Duration::ZERO, from, &message, &mut Vec::new()).expect("a message");
        }
        let answer = br#"{"id":2,"subscribed":{"sub":"t","recovered":false}}"#;
        readers.frame(Duration::ZERO, 1, answer, &mut Vec::new()).expect("an answer");
        let reset = br#"{"reset":{"sub":"t","reason":"trimmed"}}"#;
        assert!(readers.frame(Duration::ZERO, 1, reset, &mut Vec::new()).is_err());
        assert!(!readers.are_done(PATIENCE) && readers.are_done(PATIENCE * 2));
        let mut report = Report::new("lagging");
        readers.report(&mut report);
        let values = ["lost", "duplicates", "order_errors", "not_recovered"]
            .map(|name| report.value(name).expect("every report has it"));
        assert_eq!(values, [1.0, 1.0, 1.0, 1.0]);
    }
}
