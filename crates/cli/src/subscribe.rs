//! `tidings sub`: prints messages as they come.

mod output;
mod presence;
mod sink;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use futures_util::FutureExt;
use tidings_client::{
    AckMode, Client, Delivery, Event, Reset, StartFrom, SubscribeRequest, Subscription,
};
use tidings_core::limits::{WINDOW_DEFAULT, WINDOW_MAX};
use tidings_core::{Filter, GroupName, Position, ResetReason, SubscriptionName, Topic};

use crate::connect::Connect;
use crate::failure::UsageError;
use crate::parse;
use crate::running::as_client;
use crate::shown::{Colour, Format};
use crate::signals::Stop;
use output::OutputFile;
use sink::Sink;

/// Messages written before they are flushed and acknowledged together.
const BATCH_MAX: usize = 256;

/// Prints messages as they come.
///
/// A message is acknowledged after it was written. Ctrl-C finishes the current one and ends.
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// A topic, or a filter with + (one level) and # (the rest)
    filter: Filter,
    /// Let the server remember what was acknowledged, under this name: messages that come while
    /// nobody listens are kept
    #[arg(long, value_name = "NAME", group = "remembered")]
    durable: Option<SubscriptionName>,
    /// Divide the messages with the other members of this group: each goes to one of them. The
    /// server remembers what the group has acknowledged
    #[arg(long, value_name = "GROUP", group = "remembered")]
    group: Option<GroupName>,
    /// Also print who is on the topic, who joins and who leaves
    #[arg(long, conflicts_with_all = ["raw", "output"])]
    presence: bool,
    /// One JSON object on a line
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Payloads only, one on a line; text without quotes
    #[arg(long)]
    raw: bool,
    /// Do not acknowledge: messages come again after the topic's ack timeout, and that counts as
    /// a failed delivery
    #[arg(long, requires = "remembered")]
    no_ack: bool,
    /// Where to start when nobody remembers the place: new, first, last, or EPOCH:OFFSET (after that
    /// message). The default is new, and first for --durable and
    /// --group
    #[arg(long, value_name = "PLACE", value_parser = parse::from)]
    from: Option<parse::From>,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How many messages may be unacknowledged at once
    #[arg(
        long, value_name = "N", requires = "remembered",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(WINDOW_MAX)),
    )]
    window: Option<u32>,
    /// Append to this file, every message once, also if this command is killed: FILE.position
    /// beside it remembers how far it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_ack", "group"])]
    output: Option<PathBuf>,
    #[command(flatten)]
    connect: Connect,
}

impl Subscribe {
    /// Prints until the count is reached or the process is asked to stop.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut sink = self.sink()?;
        let request = self.request(&sink)?;
        as_client(async move {
            let mut stop = Stop::listen().context("cannot listen for signals")?;
            let subscribed = async {
                let client = self.connect.client().await?;
                let subscription = client.subscribe(request).await?;
                anyhow::Ok((client, subscription))
            };
            let (client, subscription) = tokio::select! {
                subscribed = subscribed => subscribed?,
                () = stop.asked() => return Ok(()),
            };
            let run = Run {
                subscribe: &self,
                client: &client,
                stop,
                sink: &mut sink,
                left: self.count,
                wants_list: false,
            };
            let result = run.until_end(subscription).await;
            // Also after a failure: what was written is acknowledged.
            let closed = client.close().await;
            result.and(closed.context("acknowledging what was written; some of it will come again"))
        })
    }

    fn sink(&self) -> anyhow::Result<Sink> {
        let format = match (self.json, self.raw) {
            (true, _) => Format::Json,
            (false, true) => Format::Raw,
            (false, false) if self.output.is_some() => Format::Human(Colour::Unwanted),
            (false, false) => Format::Human(Colour::of_stdout()),
        };
        let topic = self.filter.as_topic();
        if topic.is_none() {
            self.check_filter()?;
        }
        match (&self.output, topic) {
            (None, _) => Ok(Sink::stdout(format)),
            (Some(path), Some(topic)) => {
                self.output_file(path, &topic).map(|f| Sink::file(format, f))
            }
            (Some(_), None) => {
                Err(UsageError::new("--output is for one topic, not for a filter").into())
            }
        }
    }

    /// Whether what is asked for can be had of many topics.
    fn check_filter(&self) -> Result<(), UsageError> {
        let wrong = match (&self.group, self.from) {
            _ if self.durable.is_some() => "--durable is for one topic, not for a filter",
            _ if self.presence => "--presence is for one topic, not for a filter",
            (None, Some(parse::From::First | parse::From::Last | parse::From::After(_))) => {
                "--from first, last and EPOCH:OFFSET are for one topic: a filter with wildcards gets what comes from now on; name a topic, or leave --from out"
            }
            (Some(_), Some(parse::From::Last | parse::From::After(_))) => {
                "--from last and EPOCH:OFFSET are for one topic: name a topic, or start with first or new"
            }
            (_, None | Some(parse::From::New)) | (Some(_), Some(parse::From::First)) => {
                return Ok(());
            }
        };
        Err(UsageError::new(wrong))
    }

    fn output_file(&self, path: &std::path::Path, topic: &Topic) -> anyhow::Result<OutputFile> {
        OutputFile::open(path, topic, self.durable.as_ref())
    }

    fn request(&self, sink: &Sink) -> anyhow::Result<SubscribeRequest> {
        let filter = self.filter.as_str();
        let mut request = match (&self.durable, &self.group) {
            (Some(name), _) => SubscribeRequest::durable(filter, name.as_str())?,
            (None, Some(group)) => SubscribeRequest::shared(filter, group.as_str())?,
            (None, None) => SubscribeRequest::live(filter)?,
        }
        .ack(AckMode::Manual);
        if self.presence {
            request = request.presence()?;
        }
        if let Some(window) = self.window() {
            request = request.window(window);
        }
        // What the file remembers is more recent than any flag.
        let place = sink.place().map(StartFrom::After);
        let asked = self.from.map(|from| match from {
            parse::From::New => StartFrom::New,
            parse::From::First => StartFrom::First,
            parse::From::Last => StartFrom::Last,
            parse::From::After(position) => StartFrom::After(position),
        });
        if let Some(from) = place.or(asked) {
            request = request.from(from);
        }
        Ok(request)
    }

    /// No more than are wanted: what is delivered and not taken counts as a failed delivery.
    fn window(&self) -> Option<u32> {
        let wanted = self.count.and_then(|count| u32::try_from(count).ok());
        match (self.window, wanted) {
            (Some(window), Some(wanted)) => Some(window.min(wanted)),
            (None, Some(wanted)) => Some(wanted.min(WINDOW_DEFAULT)),
            (window, None) => window,
        }
    }
}

/// One run of the command.
struct Run<'a> {
    subscribe: &'a Subscribe,
    client: &'a Client,
    stop: Stop,
    sink: &'a mut Sink,
    /// Messages still wanted, if that is bounded.
    left: Option<u64>,
    /// Whether the list of those who are there is to be asked for.
    wants_list: bool,
}

impl Run<'_> {
    async fn until_end(mut self, mut subscription: Subscription) -> anyhow::Result<()> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.left != Some(0) {
            let event = tokio::select! {
                biased;
                () = self.stop.asked() => return Ok(()),
                event = subscription.next() => event,
            };
            let Some(event) = event else { return Ok(()) };
            self.take(event, &mut batch)?;
            // What else is there goes out with the same write.
            while batch.len() < BATCH_MAX && self.left != Some(0) {
                let Some(Some(event)) = subscription.next().now_or_never() else { break };
                if let Err(error) = self.take(event, &mut batch) {
                    self.settle(&mut batch)?;
                    return Err(error);
                }
            }
            self.settle(&mut batch)?;
            if self.wants_list {
                self.wants_list = false;
                self.list().await?;
            }
        }
        Ok(())
    }

    /// Asks who is there, and tells it.
    async fn list(&mut self) -> anyhow::Result<()> {
        let Some(topic) = self.subscribe.filter.as_topic() else { return Ok(()) };
        let present = tokio::select! {
            biased;
            // Told again when the loop looks.
            () = self.stop.asked() => return Ok(()),
            present = self.client.presence(&topic) => present,
        };
        match present {
            Ok(present) => {
                self.sink
                    .write_notice(|out, format| presence::write_list(out, format, &present))?;
                self.sink.flush()
            }
            // Messages are what this is for; what changes is still told.
            Err(error) => {
                eprintln!("{topic}: {error}");
                Ok(())
            }
        }
    }

    /// Writes a message to the sink's buffer, or tells of anything else.
    fn take(&mut self, event: Event, batch: &mut Vec<Delivery>) -> anyhow::Result<()> {
        match event {
            Event::Message(delivery) => {
                if self.sink.write(&delivery)? {
                    self.left = self.left.map(|left| left - 1);
                }
                batch.push(delivery);
            }
            Event::Subscribed { place: None, again: true } if self.subscribe.group.is_none() => {
                eprintln!(
                    "{}: messages published while away were not received",
                    self.subscribe.filter
                );
            }
            Event::Subscribed { .. } => {}
            Event::Reset(reset) => eprintln!("{}", self.describe(&reset)),
            Event::Presence(change) => {
                self.wants_list |= change.reset;
                self.sink
                    .write_notice(|out, format| presence::write_change(out, format, &change))?;
            }
            Event::Missed { count } => {
                eprintln!(
                    "{}: {count} messages were not received: the output is too slow",
                    self.subscribe.filter
                );
            }
            Event::Ended(reason) => bail!("the subscription has ended: {reason}"),
            // The list may grow.
            other => eprintln!("{other:?}"),
        }
        Ok(())
    }

    /// Why it goes on at another place than asked for.
    fn describe(&self, reset: &Reset) -> String {
        let Reset { topic, first, epoch, .. } = reset;
        let what = match reset.reason {
            ResetReason::EpochChanged => "the log was lost, rebuilt or restored".to_owned(),
            ResetReason::Trimmed => format!("messages before #{first} are gone"),
            ResetReason::AheadOfHead => match self.subscribe.from {
                Some(parse::From::After(Position { epoch, offset })) => {
                    format!("the place {epoch}:{offset} is not of this log")
                }
                Some(parse::From::New | parse::From::First | parse::From::Last) | None => {
                    "the place to go on from is not of this log".to_owned()
                }
            },
            ResetReason::Damaged => {
                format!("messages before #{first} are damaged in the log and lost")
            }
            ResetReason::Skipped => {
                "the topic asks for messages to be left out when they come too fast".to_owned()
            }
        };
        format!("{topic}: {what}; starting with #{first} in epoch {epoch}")
    }

    /// Makes what was written safe, then acknowledges it.
    fn settle(&mut self, batch: &mut Vec<Delivery>) -> anyhow::Result<()> {
        self.sink.flush()?;
        for delivery in batch.drain(..) {
            if !self.subscribe.no_ack {
                delivery.ack();
            }
        }
        Ok(())
    }
}
