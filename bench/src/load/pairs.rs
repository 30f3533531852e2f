//! Messages from one to one: every publisher has a topic with one live subscriber.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::histogram::Histogram;
use crate::load::answers::Answers;
use crate::load::crowd::{Crowd, Group, Members, Subscription, Topics, Traffic};
use crate::load::meter::Stretch;
use crate::load::tally::{Arrival, Tally};
use crate::load::{ServerOptions, seconds};
use crate::report::Report;
use crate::target::Dialect;
use crate::websocket::{self, Opcode};
use crate::wire::{self, PublishForm, ServerFrame, Stamp, Stamps};

/// How long nothing may arrive before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long deliveries may go on after the last publish.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Connections that are being made at once.
const AT_ONCE: usize = 256;
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What a load of pairs is made of.
#[derive(Clone, Debug, Args)]
pub(crate) struct PairsOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Pairs of a publisher and a subscriber, each with a connection of its own
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=7_500))]
    pub(crate) pairs: u32,
    /// Messages a second of all pairs together, which take turns
    #[arg(long, default_value_t = 10_000.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Messages that are due at once, less often
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) burst: u32,
    /// How long to publish, after the warm-up
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long to publish before anything counts
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub(crate) warmup: f64,
    /// The topic; `/` and a number are added
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=1e6).contains(&rate) => Ok(rate),
        Ok(_) | Err(_) => Err("write a number of messages a second, 0.1 to 1000000".to_owned()),
    }
}

/// Runs the load with subscribers of this kind, and says what came of it.
pub(crate) fn run(options: &PairsOptions, subscription: Subscription) -> anyhow::Result<Report> {
    if options.server.url.dialect != Dialect::Tidings {
        bail!("pairs are measured over WebSocket only, use a ws:// url");
    }
    let group = Group {
        count: options.pairs as usize,
        topics: Topics::Each(options.topic.clone()),
        subscription,
    };
    let members = Members {
        publishers: options.pairs as usize,
        groups: vec![group],
        token: options.server.token.clone(),
        identities: Vec::new(),
    };
    let mut crowd = Crowd::open(&options.server, members, AT_ONCE)?;
    let mut pairs = Pairs::new(options, subscription, crowd.now());
    while !pairs.is_done(crowd.now()) {
        let wait = pairs.wait(crowd.now());
        crowd.turn(wait, &mut pairs)?;
        pairs.stretch.keep_time(crowd.now())?;
    }
    pairs.report(options)
}

/// A load of pairs under way. All times are on the crowd's clock. Message `s` of the run is number
/// `s / pairs` of pair `s % pairs`.
#[derive(Debug)]
struct Pairs {
    subscription: Subscription,
    topic: String,
    pairs: u32,
    rate: f64,
    burst: u32,
    starts: Duration,
    forms: Vec<PublishForm>,
    stamps: Stamps,
    line: Vec<u8>,
    published: u32,
    answers: Answers,
    tally: Tally,
    /// First arrivals while the cost was measured.
    delivered: u64,
    latencies: Histogram,
    progress: Duration,
    stretch: Stretch,
}

impl Pairs {
    fn new(options: &PairsOptions, subscription: Subscription, now: Duration) -> Self {
        let stretch =
            Stretch::planned(now, options.warmup, options.seconds, options.server.server_pid);
        let form = |pair| PublishForm::new(&format!("{}/{pair}", options.topic));
        Self {
            subscription,
            topic: options.topic.clone(),
            pairs: options.pairs,
            rate: options.rate,
            burst: options.burst,
            starts: now,
            forms: (0..options.pairs).map(form).collect(),
            stamps: Stamps::of_this_run(),
            line: Vec::new(),
            published: 0,
            answers: Answers::default(),
            tally: Tally::new(options.pairs as usize),
            delivered: 0,
            latencies: Histogram::new(),
            progress: now,
            stretch,
        }
    }

    /// When the next message is to be sent. The last turn is finished, so that all pairs get
    /// equally many.
    fn next_at(&self) -> Option<Duration> {
        let with_it = self.published - self.published % self.burst;
        let at = self.starts + Duration::from_secs_f64(f64::from(with_it) / self.rate);
        let between_turns = self.published.is_multiple_of(self.pairs);
        (at < self.stretch.until || !between_turns).then_some(at)
    }

    fn wait(&self, now: Duration) -> Duration {
        self.next_at().map_or(LOOK, |at| LOOK.min(at.saturating_sub(now)))
    }

    fn is_done(&self, now: Duration) -> bool {
        if self.next_at().is_some() || self.stretch.cost().is_none() {
            return false;
        }
        let all_there = self.tally.first + u64::from(self.answers.refused)
            >= u64::from(self.published)
            && self.answers.count == self.published;
        all_there || now > self.progress + PATIENCE || now > self.stretch.until + DRAIN_MAX
    }

    /// Tells the server that the message in `frame` was taken, if its subscriber has to.
    fn acknowledge(&self, pair: u32, frame: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
        let ack: fn(&str, u64) -> String = match self.subscription {
            Subscription::Live => return Ok(()),
            Subscription::Durable => wire::ack,
            Subscription::Shared => wire::ack_one,
        };
        let offset = wire::message_offset(frame).context("a message has no offset")?;
        let ack = ack(&format!("{}/{pair}", self.topic), offset);
        websocket::put_masked_frame(out, Opcode::Text, ack.as_bytes());
        Ok(())
    }

    fn message(
        &mut self,
        now: Duration,
        pair: u32,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let Some(stamp) = self.stamps.find(frame) else {
            let other = wire::read_server_frame(frame)?;
            if other != ServerFrame::Message {
                bail!("a subscriber got {other:?}");
            }
            // Of another run, and in the way of this one until it is taken.
            return self.acknowledge(pair, frame, out);
        };
        self.acknowledge(pair, frame, out)?;
        if stamp.sequence >= self.published {
            bail!("message {} arrived before it was published", stamp.sequence);
        }
        if stamp.sequence % self.pairs != pair {
            bail!("pair {pair} got message {} of another pair", stamp.sequence);
        }
        match self.tally.note(pair as usize, stamp.sequence / self.pairs) {
            Arrival::First => {
                self.delivered += u64::from(self.stretch.is_running());
                if stamp.sent >= self.stretch.from {
                    self.latencies.record(now.saturating_sub(stamp.sent));
                }
            }
            Arrival::Repeated => {}
        }
        Ok(())
    }

    fn report(self, options: &PairsOptions) -> anyhow::Result<Report> {
        let Some(cost) = self.stretch.cost() else { bail!("the run ended before it was measured") };
        if self.delivered == 0 {
            bail!("nothing arrived after the warm-up, measure for longer or publish more often");
        }
        let mut report = Report::new("pairs");
        report.setting("url", options.server.url.to_string());
        report.setting("pairs", options.pairs);
        report.setting("rate", options.rate);
        report.setting("burst", options.burst);
        report.setting("seconds", options.seconds);
        cost.report_each(&mut report, "server_cpu_us_per_message", self.delivered);
        report.latencies(&self.latencies);
        report.figure("messages_per_s", self.delivered as f64 / cost.elapsed.as_secs_f64());
        cost.report_shares(&mut report);
        // All pairs were sent equally many; a refused message is missing but not lost.
        let missing = self.tally.lost(self.published / self.pairs, &BTreeSet::new());
        report.figure("published", f64::from(self.published));
        report.figure("deliveries", self.tally.first as f64);
        report.figure("lost", missing.saturating_sub(self.answers.refused.into()) as f64);
        report.figure("duplicates", self.tally.repeated as f64);
        report.figure("order_errors", self.tally.order_errors as f64);
        self.answers.report(self.published, &mut report);
        Ok(report)
    }
}

impl Traffic for Pairs {
    fn frame(
        &mut self,
        now: Duration,
        from: usize,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        self.progress = now;
        let from = u32::try_from(from).expect("there are at most 15 000 clients");
        match from.checked_sub(self.pairs) {
            None => self.answers.take(frame),
            Some(pair) => self.message(now, pair, frame, out),
        }
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        let Some(sent) = self.next_at().filter(|at| *at <= now) else { return Ok(None) };
        let pair = (self.published % self.pairs) as usize;
        let stamp = Stamp { sequence: self.published, sent };
        // Requests 1 and 2 are the greeting's, and publishers have one of them.
        let id = self.published / self.pairs + 2;
        self.line.clear();
        self.forms[pair].put(&mut self.line, id, &self.stamps, stamp);
        websocket::put_masked_frame(out, Opcode::Text, &self.line);
        self.published += 1;
        self.progress = now;
        Ok(Some(pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> PairsOptions {
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        let server = ServerOptions { url, token: None, certificate: None, server_pid: None };
        let topic = "t".to_owned();
        let (pairs, rate, burst) = (2, 5.0, 1);
        PairsOptions { server, pairs, rate, burst, seconds: 1.0, warmup: 0.0, topic }
    }

    /// Publishes what is due and returns each as the `message` frame of a server.
    fn publish(pairs: &mut Pairs, now: Duration) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut out = Vec::new();
        while pairs.due(now, &mut out).expect("no server is asked").is_some() {
            let data = wire::position(&pairs.line, b"\"data\":").expect("a publish has data");
            messages.push([b"{\"message\":{", &pairs.line[data..]].concat());
        }
        messages
    }

    #[test]
    fn pairs_take_turns_and_the_last_turn_is_finished() {
        let mut pairs = Pairs::new(&options(), Subscription::Live, Duration::ZERO);
        let messages = publish(&mut pairs, Duration::from_secs(2));
        assert_eq!(messages.len(), 6, "five are due in a second, the sixth completes the turn");
        assert_eq!(pairs.next_at(), None);
    }

    #[test]
    fn messages_of_a_burst_are_due_when_its_first_one_is() {
        let options = PairsOptions { burst: 3, ..options() };
        let mut pairs = Pairs::new(&options, Subscription::Live, Duration::ZERO);
        assert_eq!(publish(&mut pairs, Duration::ZERO).len(), 3);
        assert_eq!(pairs.next_at(), Some(Duration::from_millis(600)));
        assert_eq!(publish(&mut pairs, Duration::from_secs(2)).len(), 3);
        assert_eq!(pairs.next_at(), None, "the next burst is due after the end");
    }

    #[test]
    fn a_durable_subscriber_acks_each_message_where_it_got_it() {
        let mut pairs = Pairs::new(&options(), Subscription::Durable, Duration::ZERO);
        let messages = publish(&mut pairs, Duration::from_secs(2));
        for (pair, offset) in [(0, 7), (1, 8)] {
            let mut out = Vec::new();
            let place = format!("{{\"message\":{{\"offset\":{offset},");
            let message = String::from_utf8_lossy(&messages[pair]).into_owned();
            let message = message.replace("{\"message\":{", &place);
            pairs
                .frame(Duration::from_secs(2), 2 + pair, message.as_bytes(), &mut out)
                .expect("one");
            let mut ack = Vec::new();
            websocket::put_masked_frame(
                &mut ack,
                Opcode::Text,
                wire::ack(&format!("t/{pair}"), offset).as_bytes(),
            );
            assert_eq!(out, ack);
        }
        assert_eq!(pairs.tally.first, 2);
    }

    #[test]
    fn a_server_that_drops_repeats_swaps_or_misdirects_is_found_out() {
        let mut pairs = Pairs::new(&options(), Subscription::Live, Duration::ZERO);
        pairs.stretch.keep_time(Duration::ZERO).expect("own figures are readable");
        let now = Duration::from_secs(2);
        let messages = publish(&mut pairs, now);
        for (client, message) in [(2, 0), (2, 4), (2, 2), (2, 2), (3, 1)] {
            pairs.frame(now, client, &messages[message], &mut Vec::new()).expect("a message");
        }
        assert!(pairs.frame(now, 3, &messages[0], &mut Vec::new()).is_err(), "of the other pair");
        let refusal = br#"{"id":3,"error":{"code":"overloaded"}}"#;
        pairs.frame(now, 1, refusal, &mut Vec::new()).expect("a refusal");
        pairs.stretch.keep_time(now).expect("own figures are readable");
        let report = pairs.report(&options()).expect("something was measured");
        let values = ["lost", "duplicates", "order_errors", "refused"]
            .map(|name| report.value(name).expect("every report has it"));
        assert_eq!(values, [1.0, 1.0, 1.0, 1.0]);
    }
}
