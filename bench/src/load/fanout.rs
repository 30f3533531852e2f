//! One publisher, many live subscribers.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::histogram::Histogram;
use crate::load::crowd::{Crowd, Group, Members, Subscription, Topics, Traffic};
use crate::load::form::Form;
use crate::load::meter::Meter;
use crate::load::pace::Pace;
use crate::load::tally::{Arrival, Tally};
use crate::load::{ServerOptions, seconds};
use crate::report::Report;
use crate::websocket::{self, Opcode};
use crate::wire::{self, ServerFrame, Stamp, Stamps};

/// How long nothing may arrive before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long deliveries may go on after the last publish.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Connections that are being made at once.
const AT_ONCE: usize = 256;
/// Publishes that an overloaded server may leave unanswered before the publisher waits: within
/// what the protocol lets a connection have open.
const UNANSWERED_MAX: u32 = 1000;
/// The publisher's place in the crowd.
const PUBLISHER: usize = 0;

/// What a fan-out is made of.
#[derive(Clone, Debug, Args)]
pub(crate) struct FanoutOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Live subscribers, each with a connection of its own
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    pub(crate) subscribers: u32,
    /// The data of a message: a JSON string of so many bytes with its quotes
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(128..=65_536))]
    pub(crate) data_bytes: u32,
    /// How long to publish, after the warm-up
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long to publish before anything counts
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub(crate) warmup: f64,
    /// The topic
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// Runs the load and says what came of it.
pub(crate) fn run(options: &FanoutOptions, pace: Pace) -> anyhow::Result<Report> {
    let group = Group {
        count: options.subscribers as usize,
        topics: Topics::One(options.topic.clone()),
        subscription: Subscription::Live,
    };
    let token = options.server.token.clone();
    let members = Members { publishers: 1, groups: vec![group], token, identities: Vec::new() };
    let mut crowd = Crowd::open(&options.server, members, AT_ONCE)?;
    Fanout::run(&mut crowd, options, pace, Audience::ALL)
}

/// Which clients of a crowd a fan-out is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience {
    /// The first of them; the others follow it.
    pub(crate) first: usize,
    pub(crate) subscription: Subscription,
}

impl Audience {
    /// All but the publisher, live.
    pub(crate) const ALL: Self = Self { first: PUBLISHER + 1, subscription: Subscription::Live };
}

/// What a server did while it was offered too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) delivered_per_s: f64,
    pub(crate) published_per_s: f64,
    pub(crate) gaps: u64,
    pub(crate) duplicates: u64,
    pub(crate) order_errors: u64,
    pub(crate) refused: u64,
}

/// A fan-out under way. All times are on the crowd's clock.
#[derive(Debug)]
pub(crate) struct Fanout {
    pace: Pace,
    audience: Audience,
    topic: String,
    subscribers: usize,
    server_pid: Option<u32>,
    starts: Duration,
    measured_from: Duration,
    ends: Duration,
    form: Form,
    stamps: Stamps,
    line: Vec<u8>,
    published: u32,
    answered: u32,
    refused: BTreeSet<u32>,
    first_refusal: Option<String>,
    tally: Tally,
    /// Subscribers that still miss each message, from `oldest_open` on.
    open: VecDeque<usize>,
    oldest_open: u32,
    latencies: Histogram,
    progress: Duration,
    meter: Option<Meter>,
}

impl Fanout {
    /// Publishes to `audience`, whose members are in `crowd` already, and says what came of it.
    pub(crate) fn run(
        crowd: &mut Crowd,
        options: &FanoutOptions,
        pace: Pace,
        audience: Audience,
    ) -> anyhow::Result<Report> {
        let mut fanout = Self::new(options, pace, audience, crowd.now())?;
        while !fanout.is_done(crowd.now()) {
            let wait = fanout.wait(crowd.now());
            crowd.turn(wait, &mut fanout)?;
        }
        fanout.report(options)
    }

    /// Offers `rate` messages a second, stops without waiting for what is still on its way, and
    /// says what arrived meanwhile.
    pub(crate) fn offer(
        crowd: &mut Crowd,
        options: &FanoutOptions,
        rate: f64,
    ) -> anyhow::Result<Carried> {
        let mut fanout = Self::new(options, Pace::Offered(rate), Audience::ALL, crowd.now())?;
        let (mut stretch, mut before) = (None, (0, 0));
        while crowd.now() < fanout.ends {
            crowd.turn(fanout.wait(crowd.now()), &mut fanout)?;
            if stretch.is_none() && fanout.is_measured(crowd.now()) {
                stretch = Some(Meter::start(fanout.server_pid)?);
                before = (fanout.tally.first, fanout.published);
            }
        }
        let Some(meter) = stretch else { bail!("the warm-up took all the time") };
        let seconds = meter.stop()?.elapsed.as_secs_f64();
        Ok(Carried {
            delivered_per_s: (fanout.tally.first - before.0) as f64 / seconds,
            published_per_s: f64::from(fanout.published - before.1) / seconds,
            gaps: fanout.tally.gaps(&fanout.refused),
            duplicates: fanout.tally.repeated,
            order_errors: fanout.tally.order_errors,
            refused: fanout.refused.len() as u64,
        })
    }

    /// Ready to publish to `audience` from `now` on.
    pub(crate) fn new(
        options: &FanoutOptions,
        pace: Pace,
        audience: Audience,
        now: Duration,
    ) -> anyhow::Result<Self> {
        let measured_from = now + Duration::from_secs_f64(options.warmup);
        Ok(Self {
            pace,
            audience,
            topic: options.topic.clone(),
            subscribers: options.subscribers as usize,
            server_pid: options.server.server_pid,
            starts: now,
            measured_from,
            ends: measured_from + Duration::from_secs_f64(options.seconds),
            form: Form::fanout(options.server.url.dialect, &options.topic)?,
            stamps: Stamps::of_this_run().with_data_bytes(options.data_bytes as usize),
            line: Vec::new(),
            published: 0,
            answered: 0,
            refused: BTreeSet::new(),
            first_refusal: None,
            tally: Tally::new(options.subscribers as usize),
            open: VecDeque::new(),
            oldest_open: 0,
            latencies: Histogram::new(),
            progress: now,
            meter: None,
        })
    }

    /// When the next message is to be sent; `None` while that waits for deliveries, or for good.
    fn next_at(&self, now: Duration) -> Option<Duration> {
        let at = match self.pace {
            Pace::Rate(rate) => {
                self.starts + Duration::from_secs_f64(f64::from(self.published) / rate)
            }
            Pace::Offered(_) if self.published - self.answered >= UNANSWERED_MAX => return None,
            Pace::Offered(rate) => {
                self.starts + Duration::from_secs_f64(f64::from(self.published) / rate)
            }
            Pace::InFlight(max) if self.open.len() < max => now,
            Pace::InFlight(_) => return None,
        };
        (at < self.ends).then_some(at)
    }

    /// How long the next turn of the crowd may wait.
    pub(crate) fn wait(&self, now: Duration) -> Duration {
        /// How often the end is looked for.
        const LOOK: Duration = Duration::from_millis(50);
        let due = self.next_at(now).unwrap_or(self.ends);
        if now < due {
            LOOK.min(due - now)
        } else if now < self.ends {
            Duration::ZERO
        } else {
            LOOK
        }
    }

    /// Publishes nothing that is due after `now`.
    pub(crate) fn end(&mut self, now: Duration) {
        self.ends = self.ends.min(now);
    }

    pub(crate) fn is_done(&self, now: Duration) -> bool {
        let stalled = now > self.progress + PATIENCE;
        if now < self.ends {
            return match self.pace {
                Pace::Rate(_) => false,
                Pace::Offered(_) | Pace::InFlight(_) => stalled,
            };
        }
        let all_there = self.open.is_empty() && self.answered == self.published;
        let all_sent = self.next_at(now).is_none();
        all_sent && (all_there || stalled) || now > self.ends + DRAIN_MAX
    }

    /// Whether what is sent at that time counts.
    pub(crate) fn is_measured(&self, sent: Duration) -> bool {
        sent >= self.measured_from
    }

    /// Tells the server that the message in `frame` was taken, if its subscriber has to.
    fn acknowledge(&mut self, frame: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
        let ack: fn(&str, u64) -> String = match self.audience.subscription {
            Subscription::Live => return Ok(()),
            Subscription::Durable => wire::ack,
            Subscription::Shared => wire::ack_one,
        };
        let offset = wire::message_offset(frame).context("a message has no offset")?;
        let ack = ack(&self.topic, offset);
        websocket::put_masked_frame(out, Opcode::Text, ack.as_bytes());
        Ok(())
    }

    /// One subscriber less misses message `sequence`, or nobody does when it was refused.
    fn close(&mut self, sequence: u32, subscribers: usize) -> anyhow::Result<()> {
        let Some(place) = sequence.checked_sub(self.oldest_open) else { return Ok(()) };
        let Some(missing) = self.open.get_mut(place as usize) else {
            bail!("message {sequence} was answered before it was published");
        };
        *missing = missing.saturating_sub(subscribers);
        while self.open.front() == Some(&0) {
            self.open.pop_front();
            self.oldest_open += 1;
        }
        Ok(())
    }

    fn refuse(&mut self, id: Option<u32>, message: String) -> anyhow::Result<()> {
        let Some(sequence) = id.and_then(|id| id.checked_sub(1)) else {
            bail!("the server reported an error: {message}");
        };
        self.answered += 1;
        self.first_refusal.get_or_insert(message);
        self.close(sequence, self.subscribers)?;
        self.refused.insert(sequence);
        Ok(())
    }
}

impl Traffic for Fanout {
    fn frame(
        &mut self,
        now: Duration,
        from: usize,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        if from == PUBLISHER {
            match wire::read_server_frame(frame)? {
                ServerFrame::Published { .. } => self.answered += 1,
                ServerFrame::Refused { id, message } => self.refuse(id, message)?,
                other @ (ServerFrame::Message
                | ServerFrame::Connected
                | ServerFrame::Subscribed
                | ServerFrame::Ping
                | ServerFrame::Other(_)) => bail!("the publisher got {other:?}"),
            }
            return Ok(());
        }
        let place = from.checked_sub(self.audience.first).filter(|it| *it < self.subscribers);
        let Some(stamp) = self.stamps.find(frame) else {
            let other = wire::read_server_frame(frame)?;
            if other != ServerFrame::Message {
                bail!("a subscriber got {other:?}");
            }
            // Of another run, and in the way of this one until it is taken.
            return place.map_or(Ok(()), |_| self.acknowledge(frame, out));
        };
        let Some(place) = place else {
            bail!("client {from} got message {} of a topic of others", stamp.sequence);
        };
        self.acknowledge(frame, out)?;
        if stamp.sequence >= self.published {
            bail!("message {} arrived before it was published", stamp.sequence);
        }
        self.progress = now;
        match self.tally.note(place, stamp.sequence) {
            Arrival::First => {
                if self.is_measured(stamp.sent) {
                    self.latencies.record(now.saturating_sub(stamp.sent));
                }
                self.close(stamp.sequence, 1)
            }
            Arrival::Repeated => Ok(()),
        }
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        let Some(sent) = self.next_at(now).filter(|at| *at <= now) else { return Ok(None) };
        if self.meter.is_none() && self.is_measured(sent) {
            self.meter = Some(Meter::start(self.server_pid)?);
        }
        let stamp = Stamp { sequence: self.published, sent };
        self.published += 1;
        self.form.put(out, &mut self.line, PUBLISHER, self.published, &self.stamps, stamp);
        self.answered += u32::from(!self.form.is_answered());
        self.open.push_back(self.subscribers);
        self.progress = now;
        Ok(Some(PUBLISHER))
    }
}

impl Fanout {
    pub(crate) fn report(self, options: &FanoutOptions) -> anyhow::Result<Report> {
        let Some(meter) = &self.meter else {
            bail!("nothing was published after the warm-up, measure for longer");
        };
        let cost = meter.stop()?;
        let mut report = Report::new(match self.pace {
            Pace::Rate(_) | Pace::Offered(_) => "fanout",
            Pace::InFlight(_) => "fanout-max",
        });
        report.setting("url", options.server.url.to_string());
        report.setting("subscribers", options.subscribers);
        report.setting("data_bytes", options.data_bytes);
        report.setting("seconds", options.seconds);
        match self.pace {
            Pace::Rate(rate) | Pace::Offered(rate) => report.setting("rate", rate),
            Pace::InFlight(messages) => report.setting("in_flight", messages),
        }
        let deliveries = self.latencies.total();
        report.figure("deliveries_per_s", deliveries as f64 / cost.elapsed.as_secs_f64());
        report.latencies(&self.latencies);
        cost.report_each(&mut report, "server_cpu_s_per_million", deliveries);
        cost.report_shares(&mut report);
        report.figure("published", f64::from(self.published));
        report.figure("deliveries", self.tally.first as f64);
        report.figure("lost", self.tally.lost(self.published, &self.refused) as f64);
        report.figure("duplicates", self.tally.repeated as f64);
        report.figure("order_errors", self.tally.order_errors as f64);
        report.figure("refused", self.refused.len() as f64);
        report.notes.extend(self.first_refusal.map(|why| format!("the first refusal: {why}")));
        if self.answered < self.published {
            let open = self.published - self.answered;
            report.notes.push(format!("{open} publishes were never answered"));
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(seconds: f64) -> FanoutOptions {
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        let server = ServerOptions { url, token: None, certificate: None, server_pid: None };
        let (subscribers, data_bytes, topic) = (2, 128, "t".to_owned());
        FanoutOptions { server, subscribers, data_bytes, seconds, warmup: 0.0, topic }
    }

    /// Publishes what is due and returns each as the `message` frame of a server.
    fn publish(fanout: &mut Fanout, now: Duration) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut out = Vec::new();
        while fanout.due(now, &mut out).expect("no server is asked").is_some() {
            let mut message = b"{\"message\":{\"topic\":\"t\",".to_vec();
            let data = wire::position(&fanout.line, b"\"data\":").expect("a publish has data");
            message.extend_from_slice(&fanout.line[data..]);
            messages.push(message);
        }
        messages
    }

    fn deliver(fanout: &mut Fanout, now: Duration, to: usize, message: &[u8]) {
        fanout.frame(now, to, message, &mut Vec::new()).expect("a message");
    }

    #[test]
    fn latency_counts_from_when_a_message_was_to_be_sent() {
        let mut fanout =
            Fanout::new(&options(1.0), Pace::Rate(10.0), Audience::ALL, Duration::ZERO)
                .expect("a known form");
        // The generator was away for 250 ms: messages 0, 1 and 2 were due at 0, 100 and 200 ms.
        let now = Duration::from_millis(250);
        let messages = publish(&mut fanout, now);
        assert_eq!(messages.len(), 3);
        deliver(&mut fanout, now, 1, &messages[0]);
        assert_eq!(fanout.latencies.max(), Duration::from_millis(250));
        assert_eq!(fanout.wait(now), Duration::from_millis(50), "message 3 is due at 300 ms");
        assert!(!fanout.is_done(Duration::from_secs(10)), "seven messages are not sent yet");
        assert_eq!(publish(&mut fanout, Duration::from_secs(10)).len(), 7);
    }

    #[test]
    fn a_server_that_drops_repeats_or_swaps_messages_is_found_out() {
        let mut fanout =
            Fanout::new(&options(1.0), Pace::InFlight(3), Audience::ALL, Duration::ZERO)
                .expect("a known form");
        let now = Duration::from_millis(1);
        let messages = publish(&mut fanout, now);
        assert_eq!(messages.len(), 3, "three may be in flight");
        for place in [0, 2, 1] {
            deliver(&mut fanout, now, 1, &messages[place]);
        }
        for place in [1, 1] {
            deliver(&mut fanout, now, 2, &messages[place]);
        }
        assert!(publish(&mut fanout, now).is_empty(), "one of three is done, but not the oldest");
        for _ in 0..2 {
            fanout
                .frame(now, 0, br#"{"id":1,"published":{"offset":1}}"#, &mut Vec::new())
                .expect("an answer");
        }
        fanout
            .frame(now, 0, br#"{"id":3,"error":{"code":"overloaded"}}"#, &mut Vec::new())
            .expect("a refusal");
        let report = fanout.report(&options(1.0)).expect("something was measured");
        let values = ["lost", "duplicates", "order_errors", "refused"]
            .map(|name| report.value(name).expect("every report has it"));
        assert_eq!(values, [1.0, 1.0, 1.0, 1.0]);
        assert!(report.check().is_err());
    }

    #[test]
    fn durable_subscribers_take_each_message_and_nobody_hears_others() {
        let audience = Audience { first: 3, subscription: Subscription::Durable };
        let mut fanout = Fanout::new(&options(1.0), Pace::InFlight(1), audience, Duration::ZERO)
            .expect("a known form");
        let now = Duration::from_millis(1);
        let mut message = publish(&mut fanout, now).remove(0);
        message.splice(12..12, *b"\"offset\":41,");
        let mut out = Vec::new();
        fanout.frame(now, 3, &message, &mut out).expect("a message");
        let frame = websocket::next_frame(&out).expect("valid").expect("complete");
        let ack = &mut out[frame.payload];
        websocket::apply_mask(ack, frame.mask.expect("clients mask"));
        assert_eq!(ack, br#"{"ack":{"sub":"t","offset":41}}"#);
        for outside in [2, 5] {
            assert!(fanout.frame(now, outside, &message, &mut Vec::new()).is_err(), "{outside}");
        }
    }

    #[test]
    fn the_next_message_waits_for_the_oldest_in_flight() {
        let mut fanout =
            Fanout::new(&options(1.0), Pace::InFlight(1), Audience::ALL, Duration::ZERO)
                .expect("a known form");
        let now = Duration::from_millis(1);
        let messages = publish(&mut fanout, now);
        deliver(&mut fanout, now, 1, &messages[0]);
        assert!(publish(&mut fanout, now).is_empty());
        deliver(&mut fanout, now, 2, &messages[0]);
        assert_eq!(publish(&mut fanout, now).len(), 1);
        assert!(!fanout.is_done(now));
        assert!(fanout.is_done(now + PATIENCE * 2), "nothing more comes");
    }
}
