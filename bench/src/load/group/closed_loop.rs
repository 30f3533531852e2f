//! Publishers that keep a number of messages on their way to those who take them.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::histogram::Histogram;
use crate::load::answers::Answers;
use crate::load::crowd::{Crowd, Subscription, Traffic};
use crate::load::group::GroupOptions;
use crate::load::meter::Stretch;
use crate::load::tally::{Arrival, Tally};
use crate::report::Report;
use crate::websocket::{self, Opcode};
use crate::wire::{self, PublishForm, ServerFrame, Stamp, Stamps};

/// How long nothing may arrive before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients that follow each other in the crowd; each message goes to one of them.
#[derive(Clone, Debug)]
pub(crate) struct Takers {
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) topic: String,
    pub(crate) subscription: Subscription,
}

/// A loop under way. All times are on the crowd's clock.
#[derive(Debug)]
pub(crate) struct ClosedLoop<'a> {
    takers: &'a Takers,
    form: PublishForm,
    stamps: Stamps,
    line: Vec<u8>,
    /// The last request of each publisher.
    last_ids: Vec<u32>,
    /// Whose turn it is.
    turn: usize,
    /// Messages open for each publisher.
    in_flight: u64,
    published: u32,
    answers: Answers,
    /// By publisher, whose messages have an order. Of all takers together, since each message goes
    /// to one of them.
    tally: Tally,
    taken_measured: u64,
    latencies: Histogram,
    progress: Duration,
    stretch: Stretch,
}

impl<'a> ClosedLoop<'a> {
    /// Publishes to `takers`, who are in `crowd` already, and says what came of it.
    pub(crate) fn run(
        crowd: &mut Crowd,
        options: &GroupOptions,
        takers: &'a Takers,
    ) -> anyhow::Result<Report> {
        let mut closed_loop = Self::new(options, takers, crowd.now());
        while !closed_loop.is_done(crowd.now()) {
            closed_loop.stretch.keep_time(crowd.now())?;
            crowd.turn(Duration::from_millis(10), &mut closed_loop)?;
        }
        closed_loop.report()
    }

    fn new(options: &GroupOptions, takers: &'a Takers, now: Duration) -> Self {
        let server_pid = options.server.server_pid;
        Self {
            takers,
            form: PublishForm::new(&takers.topic),
            stamps: Stamps::of_this_run(),
            line: Vec::new(),
            // Request 1 is the greeting's. Answers of an earlier turn are there already.
            last_ids: vec![1; options.publishers as usize],
            turn: 0,
            in_flight: u64::from(options.in_flight),
            published: 0,
            answers: Answers::default(),
            tally: Tally::new(options.publishers as usize),
            taken_measured: 0,
            latencies: Histogram::new(),
            progress: now,
            stretch: Stretch::planned(now, options.warmup, options.seconds, server_pid),
        }
    }

    /// Messages that nobody has got yet.
    fn open(&self) -> u64 {
        u64::from(self.published - self.answers.refused).saturating_sub(self.tally.first)
    }

    fn is_done(&self, now: Duration) -> bool {
        let all_there = self.open() == 0 && self.answers.count == self.published;
        self.stretch.cost().is_some() && all_there || now > self.progress + PATIENCE
    }

    /// Tells the server that the message in `frame` was taken.
    fn acknowledge(&self, frame: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
        let offset = wire::message_offset(frame).context("a message has no offset")?;
        let ack = match self.takers.subscription {
            Subscription::Live => return Ok(()),
            Subscription::Durable => wire::ack(&self.takers.topic, offset),
            Subscription::Shared => wire::ack_one(&self.takers.topic, offset),
        };
        websocket::put_masked_frame(out, Opcode::Text, ack.as_bytes());
        Ok(())
    }

    fn message(&mut self, now: Duration, from: usize, stamp: Stamp) -> anyhow::Result<()> {
        let publishers = self.last_ids.len() as u32;
        let (publisher, sequence) =
            ((stamp.sequence % publishers) as usize, stamp.sequence / publishers);
        if sequence + 1 >= self.last_ids[publisher] {
            bail!("client {from} got message {sequence} of {publisher} before it was published");
        }
        self.progress = now;
        match self.tally.note(publisher, sequence) {
            Arrival::First if self.stretch.is_running() => {
                self.taken_measured += 1;
                self.latencies.record(now.saturating_sub(stamp.sent));
            }
            Arrival::First | Arrival::Repeated => {}
        }
        Ok(())
    }

    fn report(self) -> anyhow::Result<Report> {
        let Some(cost) = self.stretch.cost() else {
            bail!("nothing came for {PATIENCE:?}, {} messages are open", self.open());
        };
        let mut report = Report::new("closed-loop");
        let per_s = self.taken_measured as f64 / cost.elapsed.as_secs_f64();
        report.figure("deliveries_per_s", per_s);
        report.latencies(&self.latencies);
        cost.report_each(&mut report, "server_cpu_us_per_message", self.taken_measured);
        cost.report_shares(&mut report);
        report.figure("published", f64::from(self.published));
        report.figure("deliveries", self.tally.first as f64);
        report.figure("lost", self.open() as f64);
        report.figure("duplicates", self.tally.repeated as f64);
        let order_errors = match self.takers.subscription {
            Subscription::Live | Subscription::Durable => self.tally.order_errors,
            // There is no order between members.
            Subscription::Shared => 0,
        };
        report.figure("order_errors", order_errors as f64);
        self.answers.report(self.published, &mut report);
        Ok(report)
    }
}

impl Traffic for ClosedLoop<'_> {
    fn frame(
        &mut self,
        now: Duration,
        from: usize,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        if from < self.last_ids.len() {
            self.progress = now;
            return self.answers.take(frame);
        }
        let taker = from.checked_sub(self.takers.first).is_some_and(|it| it < self.takers.count);
        let Some(stamp) = self.stamps.find(frame) else {
            let other = wire::read_server_frame(frame)?;
            if other != ServerFrame::Message {
                bail!("a subscriber got {other:?}");
            }
            // Of another run, and in the way of this one until it is taken.
            return if taker { self.acknowledge(frame, out) } else { Ok(()) };
        };
        if !taker {
            bail!("client {from} got message {} of a topic of others", stamp.sequence);
        }
        self.acknowledge(frame, out)?;
        self.message(now, from, stamp)
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        let open_max = self.in_flight * self.last_ids.len() as u64;
        let room = open_max.saturating_sub(self.open()).min(self.in_flight);
        if room == 0 || self.stretch.cost().is_some() {
            return Ok(None);
        }
        let publisher = self.turn;
        self.turn = (publisher + 1) % self.last_ids.len();
        let publishers = self.last_ids.len() as u32;
        for _ in 0..room {
            let last_id = &mut self.last_ids[publisher];
            // The messages of one publisher count up, and say whose they are.
            let sequence = (*last_id - 1).checked_mul(publishers);
            let sequence = sequence.and_then(|first| first.checked_add(publisher as u32));
            let sequence = sequence.context("too many messages, measure for less long")?;
            *last_id += 1;
            self.line.clear();
            self.form.put(&mut self.line, *last_id, &self.stamps, Stamp { sequence, sent: now });
            websocket::put_masked_frame(out, Opcode::Text, &self.line);
            self.published += 1;
        }
        Ok(Some(publisher))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::ServerOptions;

    fn options() -> GroupOptions {
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        GroupOptions {
            server: ServerOptions { url, token: None, certificate: None, server_pid: None },
            members: 2,
            publishers: 2,
            in_flight: 2,
            turns: 1,
            seconds: 1.0,
            warmup: 0.0,
            topic: "t".to_owned(),
        }
    }

    fn takers(subscription: Subscription) -> Takers {
        Takers { first: 3, count: 2, topic: "t/x".to_owned(), subscription }
    }

    /// Publishes what is due and returns each as the `message` frame of a server.
    fn publish(closed_loop: &mut ClosedLoop<'_>) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while closed_loop.due(Duration::ZERO, &mut out).expect("no server is asked").is_some() {}
        let mut messages = Vec::new();
        while let Some(frame) = websocket::next_frame(&out).expect("frames") {
            let mut payload = out[frame.payload.clone()].to_vec();
            websocket::apply_mask(&mut payload, frame.mask.expect("clients mask"));
            let data = wire::position(&payload, b"\"data\":").expect("a publish has data");
            messages.push([b"{\"message\":{\"offset\":7,", &payload[data..]].concat());
            out.drain(..frame.payload.end);
        }
        messages
    }

    #[test]
    fn what_is_open_is_bounded_and_each_delivery_makes_room_for_one() {
        let (options, takers) = (options(), takers(Subscription::Shared));
        let mut closed_loop = ClosedLoop::new(&options, &takers, Duration::ZERO);
        let messages = publish(&mut closed_loop);
        assert_eq!((messages.len(), closed_loop.open()), (4, 4), "two of each publisher");
        let (mut out, mut ack) = (Vec::new(), Vec::new());
        closed_loop.frame(Duration::ZERO, 4, &messages[2], &mut out).expect("a message");
        let text = r#"{"ack":{"sub":"t/x","offsets":[7]}}"#;
        websocket::put_masked_frame(&mut ack, Opcode::Text, text.as_bytes());
        assert_eq!(out, ack);
        assert_eq!(publish(&mut closed_loop).len(), 1);
    }

    #[test]
    fn a_server_that_drops_repeats_swaps_misdirects_or_refuses_is_found_out() {
        let late = Duration::from_secs(2);
        for (subscription, order_errors) in [(Subscription::Shared, 0), (Subscription::Durable, 1)]
        {
            let (options, takers) = (options(), takers(subscription));
            let mut closed_loop = ClosedLoop::new(&options, &takers, Duration::ZERO);
            closed_loop.stretch.keep_time(Duration::ZERO).expect("own figures are readable");
            // The first two are of one publisher, the other two of another.
            let messages = publish(&mut closed_loop);
            let out = &mut Vec::new();
            for (from, message) in [(3, 1), (4, 2), (4, 0), (3, 0)] {
                closed_loop.frame(late, from, &messages[message], out).expect("a message");
            }
            assert!(closed_loop.frame(late, 5, &messages[3], out).is_err(), "no taker");
            let refusal = br#"{"id":2,"error":{"code":"overloaded"}}"#;
            closed_loop.frame(late, 1, refusal, out).expect("a refusal");
            assert_eq!(closed_loop.open(), 0);
            publish(&mut closed_loop);
            closed_loop.stretch.keep_time(late).expect("own figures are readable");
            let report = closed_loop.report().expect("the time is over");
            let values = ["lost", "duplicates", "order_errors", "refused"]
                .map(|name| report.value(name).expect("every report has it"));
            assert_eq!(values, [4.0, 1.0, f64::from(order_errors), 1.0]);
        }
    }
}
