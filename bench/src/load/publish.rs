//! Publishers that keep a number of publishes open and wait for their answers.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::histogram::Histogram;
use crate::load::crowd::{Crowd, Members, Traffic};
use crate::load::form::{Form, RedisCommand};
use crate::load::meter::Stretch;
use crate::load::{ServerOptions, seconds};
use crate::nats;
use crate::report::Report;
use crate::resp::{self, Reply};
use crate::target::Dialect;
use crate::wire::{self, ServerFrame, Stamp, Stamps};

/// How long no answer may come before the open publishes count as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Publishes open in all: bounds the generator's memory.
const OPEN_MAX: u32 = 1_000_000;
/// Connections that are being made at once.
const AT_ONCE: usize = 256;

/// What a publishing load is made of.
#[derive(Clone, Debug, Args)]
pub(crate) struct PublishOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Publishers, each with a connection of its own
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub(crate) publishers: u32,
    /// Publishes that each publisher has open at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) in_flight: u32,
    /// Topics the publishers share out among them; one each unless given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) topics: Option<u32>,
    /// How long to publish, after the warm-up
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long to publish before anything counts
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub(crate) warmup: f64,
    /// The topic; with several, `/` and a number are added
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
    /// What a publish is on a redis:// server
    #[arg(long, value_enum, default_value_t = RedisCommand::Xadd)]
    pub(crate) redis_command: RedisCommand,
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &PublishOptions) -> anyhow::Result<Report> {
    if options.publishers.saturating_mul(options.in_flight) > OPEN_MAX {
        bail!("at most {OPEN_MAX} publishes can be open in all, use fewer publishers");
    }
    if options.server.url.dialect == Dialect::Nats {
        nats::create_stream(options.server.url.address, &options.topic)?;
    }
    let members = Members {
        publishers: options.publishers as usize,
        groups: Vec::new(),
        token: options.server.token.clone(),
        identities: Vec::new(),
    };
    let mut crowd = Crowd::open(&options.server, members, AT_ONCE)?;
    let mut publishing = Publishing::new(options, crowd.now())?;
    while !publishing.is_done(crowd.now()) {
        publishing.stretch.keep_time(crowd.now())?;
        let wait = if publishing.is_starting() { 0 } else { 10 };
        crowd.turn(Duration::from_millis(wait), &mut publishing)?;
    }
    publishing.report(options)
}

/// One publisher. Publish `id` waits in place `(id - 1) % in_flight`, so with answers in order
/// ids count up by one, and with answers out of order each still finds its publish.
#[derive(Clone, Debug)]
struct Publisher {
    form: usize,
    open: Vec<Option<Open>>,
    answered: u32,
    /// The last answer's publish and its place in the topic.
    last: Option<(u32, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: u32,
    sent: Duration,
}

/// An answer to a publish.
#[derive(Debug)]
enum Answer {
    /// Taken; Redis' `SET` says no place.
    Taken {
        id: u32,
        place: Option<u64>,
    },
    Refused {
        id: u32,
        message: String,
    },
}

/// A publishing load under way. All times are on the crowd's clock.
#[derive(Debug)]
struct Publishing {
    dialect: Dialect,
    forms: Vec<Form>,
    publishers: Vec<Publisher>,
    /// Publishes of the first round that are not sent yet.
    to_start: u32,
    in_flight: u32,
    stamps: Stamps,
    text: Vec<u8>,
    sent: u64,
    outstanding: u64,
    taken: u64,
    taken_measured: u64,
    refused: u64,
    first_refusal: Option<String>,
    order_errors: u64,
    duplicates: u64,
    latencies: Histogram,
    progress: Duration,
    stretch: Stretch,
}

impl Publishing {
    fn new(options: &PublishOptions, now: Duration) -> anyhow::Result<Self> {
        let topics = options.topics.unwrap_or(options.publishers);
        let name = |number| match topics {
            1 => options.topic.clone(),
            _ => format!("{}/{number}", options.topic),
        };
        let stretch =
            Stretch::planned(now, options.warmup, options.seconds, options.server.server_pid);
        let publisher = |index| Publisher {
            form: (index % topics) as usize,
            open: vec![None; options.in_flight as usize],
            answered: 0,
            last: None,
        };
        let dialect = options.server.url.dialect;
        let form = |number| Form::durable(dialect, &name(number), options.redis_command);
        Ok(Self {
            dialect,
            forms: (0..topics).map(form).collect::<anyhow::Result<_>>()?,
            publishers: (0..options.publishers).map(publisher).collect(),
            to_start: options.publishers * options.in_flight,
            in_flight: options.in_flight,
            stamps: Stamps::of_this_run(),
            text: Vec::new(),
            sent: 0,
            outstanding: 0,
            taken: 0,
            taken_measured: 0,
            refused: 0,
            first_refusal: None,
            order_errors: 0,
            duplicates: 0,
            latencies: Histogram::new(),
            progress: now,
            stretch,
        })
    }

    fn is_starting(&self) -> bool {
        self.to_start > 0
    }

    fn is_done(&self, now: Duration) -> bool {
        now > self.progress + PATIENCE || self.stretch.cost().is_some() && self.outstanding == 0
    }

    fn publish(&mut self, now: Duration, from: usize, id: u32, out: &mut Vec<u8>) {
        let publisher = &mut self.publishers[from];
        publisher.open[((id - 1) % self.in_flight) as usize] = Some(Open { id, sent: now });
        let stamp = Stamp { sequence: self.sent as u32, sent: now };
        self.forms[publisher.form].put(out, &mut self.text, from, id, &self.stamps, stamp);
        self.sent += 1;
        self.outstanding += 1;
    }

    fn read(&self, from: usize, frame: &[u8]) -> anyhow::Result<Answer> {
        match self.dialect {
            Dialect::Tidings => {}
            Dialect::Redis => return read_redis(frame, self.publishers[from].answered + 1),
            Dialect::Nats => return read_nats(frame),
            Dialect::Mqtt => bail!("no form of a publish waits for an answer over MQTT"),
        }
        match wire::read_server_frame(frame)? {
            ServerFrame::Published { id, offset } => Ok(Answer::Taken { id, place: Some(offset) }),
            ServerFrame::Refused { id: Some(id), message } => Ok(Answer::Refused { id, message }),
            other @ (ServerFrame::Message
            | ServerFrame::Connected
            | ServerFrame::Subscribed
            | ServerFrame::Refused { id: None, .. }
            | ServerFrame::Ping
            | ServerFrame::Other(_)) => bail!("a publisher got {other:?}"),
        }
    }

    fn note(&mut self, now: Duration, from: usize, sent: Duration, answer: Answer) {
        let publisher = &mut self.publishers[from];
        match answer {
            Answer::Taken { id, place } => {
                self.taken += 1;
                if self.stretch.is_running() {
                    self.taken_measured += 1;
                    self.latencies.record(now.saturating_sub(sent));
                }
                let Some(place) = place else { return };
                if let Some((last_id, last_place)) = publisher.last {
                    self.order_errors += u64::from((id > last_id) != (place > last_place));
                }
                publisher.last = Some((id, place));
            }
            Answer::Refused { message, .. } => {
                self.refused += 1;
                self.first_refusal.get_or_insert(message);
            }
        }
    }
}

/// Redis answers in order and without ids, so the caller knows which publish it is.
fn read_redis(frame: &[u8], id: u32) -> anyhow::Result<Answer> {
    let (reply, _) = resp::next_reply(frame)?.context("half a reply")?;
    Ok(match reply {
        Reply::Simple => Answer::Taken { id, place: None },
        Reply::Bulk(entry) => Answer::Taken { id, place: resp::entry_place(entry) },
        Reply::Error(text) => {
            Answer::Refused { id, message: String::from_utf8_lossy(text).into_owned() }
        }
    })
}

/// JetStream answers to the inbox of the publish.
fn read_nats(frame: &[u8]) -> anyhow::Result<Answer> {
    let (id, told) = nats::answer(frame)?;
    Ok(match nats::sequence(told) {
        Some(place) => Answer::Taken { id, place: Some(place) },
        None => Answer::Refused { id, message: String::from_utf8_lossy(told).into_owned() },
    })
}

impl Traffic for Publishing {
    fn frame(
        &mut self,
        now: Duration,
        from: usize,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let answer = self.read(from, frame)?;
        let (Answer::Taken { id, .. } | Answer::Refused { id, .. }) = &answer;
        let id = *id;
        let slot = id.wrapping_sub(1) % self.in_flight;
        let slot = &mut self.publishers[from].open[slot as usize];
        let Some(open) = slot.take_if(|open| open.id == id) else {
            self.duplicates += 1;
            return Ok(());
        };
        self.publishers[from].answered += 1;
        self.outstanding -= 1;
        self.progress = now;
        self.note(now, from, open.sent, answer);
        if self.stretch.cost().is_none() {
            let Some(next) = id.checked_add(self.in_flight) else {
                bail!("a connection has used up its request ids, measure for less long");
            };
            self.publish(now, from, next, out);
        }
        Ok(())
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        if self.to_start == 0 {
            return Ok(None);
        }
        self.to_start -= 1;
        let from = (self.to_start % self.publishers.len() as u32) as usize;
        let id = self.in_flight - self.to_start / self.publishers.len() as u32;
        self.publish(now, from, id, out);
        Ok(Some(from))
    }
}

impl Publishing {
    fn report(self, options: &PublishOptions) -> anyhow::Result<Report> {
        let Some(cost) = self.stretch.cost() else {
            bail!("no answer for {PATIENCE:?}, {} publishes are open", self.outstanding);
        };
        let mut report = Report::new("publish");
        report.setting("url", options.server.url.to_string());
        report.setting("publishers", options.publishers);
        report.setting("in_flight", options.in_flight);
        report.setting("topics", self.forms.len());
        report.setting("seconds", options.seconds);
        let per_s = self.taken_measured as f64 / cost.elapsed.as_secs_f64();
        report.figure("acks_per_s", per_s);
        report.latencies(&self.latencies);
        cost.report_each(&mut report, "server_cpu_us_per_publish", self.taken_measured);
        cost.report_shares(&mut report);
        report.figure("published", self.sent as f64);
        report.figure("acknowledged", self.taken as f64);
        report.figure("lost", self.outstanding as f64);
        report.figure("duplicates", self.duplicates as f64);
        report.figure("order_errors", self.order_errors as f64);
        report.figure("refused", self.refused as f64);
        report.notes.extend(self.first_refusal.map(|why| format!("the first refusal: {why}")));
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str, in_flight: u32) -> PublishOptions {
        PublishOptions {
            server: ServerOptions {
                url: url.parse().expect("a url"),
                token: None,
                certificate: None,
                server_pid: None,
            },
            publishers: 1,
            in_flight,
            topics: None,
            seconds: 1.0,
            warmup: 0.0,
            topic: "t".to_owned(),
            redis_command: RedisCommand::Xadd,
        }
    }

    /// A load with one publisher that has started and is being measured.
    fn started(options: &PublishOptions) -> Publishing {
        let mut publishing = Publishing::new(options, Duration::ZERO).expect("a known form");
        publishing.stretch.keep_time(Duration::ZERO).expect("own figures are readable");
        let mut out = Vec::new();
        while publishing.due(Duration::ZERO, &mut out).expect("nothing can fail").is_some() {}
        publishing
    }

    fn answer(publishing: &mut Publishing, frame: &str) -> Vec<u8> {
        let mut out = Vec::new();
        publishing
            .frame(Duration::from_millis(2), 0, frame.as_bytes(), &mut out)
            .expect("an answer");
        out
    }

    fn faults(mut publishing: Publishing, options: &PublishOptions) -> [f64; 4] {
        publishing.stretch.keep_time(Duration::from_secs(2)).expect("own figures are readable");
        let report = publishing.report(options).expect("the time is over");
        ["lost", "duplicates", "order_errors", "refused"]
            .map(|name| report.value(name).expect("every report has it"))
    }

    #[test]
    fn each_answer_brings_the_next_publish_in_any_order() {
        let options = options("ws://127.0.0.1:1", 2);
        let mut publishing = started(&options);
        assert_eq!(publishing.sent, 2);
        assert!(!answer(&mut publishing, r#"{"id":2,"published":{"offset":2}}"#).is_empty());
        assert!(!answer(&mut publishing, r#"{"id":1,"published":{"offset":1}}"#).is_empty());
        assert_eq!(publishing.latencies.max(), Duration::from_millis(2));
        assert!(!publishing.is_done(Duration::from_millis(3)));
        assert_eq!((publishing.sent, publishing.outstanding), (4, 2));
        assert_eq!(faults(publishing, &options), [2.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_server_that_repeats_swaps_or_refuses_is_found_out() {
        let options = options("ws://127.0.0.1:1", 2);
        let mut publishing = started(&options);
        answer(&mut publishing, r#"{"id":1,"published":{"offset":7}}"#);
        answer(&mut publishing, r#"{"id":1,"published":{"offset":7}}"#);
        answer(&mut publishing, r#"{"id":2,"published":{"offset":7}}"#);
        answer(&mut publishing, r#"{"id":3,"error":{"code":"overloaded"}}"#);
        assert_eq!(faults(publishing, &options), [2.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn redis_answers_in_order_and_without_ids() {
        let options = options("redis://127.0.0.1:1", 2);
        let mut publishing = started(&options);
        for entry in ["$3\r\n5-0\r\n", "$3\r\n5-1\r\n", "-OOM no\r\n", "$3\r\n4-0\r\n"] {
            assert!(answer(&mut publishing, entry).starts_with(b"*5\r\n$4\r\nXADD\r\n"));
        }
        assert_eq!(faults(publishing, &options), [2.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn jetstream_answers_to_the_inbox_of_each_publish() {
        let options = options("nats://127.0.0.1:1", 2);
        let mut publishing = started(&options);
        for (id, told) in [(2, r#"{"stream":"b","seq":8}"#), (1, r#"{"error":{"code":503}}"#)] {
            let message = format!("MSG _INBOX.bench-0.{id} 1 {}\r\n{told}\r\n", told.len());
            assert!(answer(&mut publishing, &message).starts_with(b"PUB t _INBOX.bench-0."));
        }
        assert_eq!(faults(publishing, &options), [2.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn publishers_share_out_the_topics() {
        let mut options = options("ws://127.0.0.1:1", 1);
        options.publishers = 5;
        options.topics = Some(2);
        let publishing = started(&options);
        let forms: Vec<usize> = publishing.publishers.iter().map(|one| one.form).collect();
        assert_eq!((forms, publishing.forms.len()), (vec![0, 1, 0, 1, 0], 2));
        assert_eq!(publishing.sent, 5);
    }
}
