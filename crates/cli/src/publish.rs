//! `tidings pub`: publishes one message, or one for each line.

mod lines;
mod progress;
mod receipts;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use futures_util::FutureExt;
use tidings_client::{Client, PublishError, PublishOutcome, PublishRequest, PublishTicket};
use tidings_core::{DedupKey, OrderKey, Timestamp, Topic};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock_text::now;
use crate::connect::Connect;
use crate::failure::UsageError;
use crate::parse;
use crate::running::as_client;
use crate::signals::Stop;
use lines::Lines;
use progress::Progress;
use receipts::{Form, Receipts};

/// Answers that may be due at once: more than the client's outbox holds, so it is the outbox that
/// holds up reading.
const TICKETS_MAX: usize = 16 * 1024;

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Publishes one message, or one for each line of a file or of standard input.
///
/// An argument DATA that is a JSON object or array is sent as JSON, any other as text. Lines of
/// standard input or of a file are always text, unless --json says that they are JSON. The command
/// ends when everything is acknowledged, also when the server restarts meanwhile; nothing is
/// published twice by that. Standard output has the id of the one message, which `tidings trace`
/// takes; of lines only with --ids.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings pub room/42 hello
  tidings pub room/42 '{\"hello\":\"world\"}' --key order-17
  tidings pub jobs/mail '{\"to\":7}' --delay 10m
  tidings trace $(tidings pub room/42 hello)
  tail -f app.log | tidings pub logs/app")]
pub(crate) struct Publish {
    /// Where to
    topic: Topic,
    /// What: a JSON object or array is sent as JSON, anything else as text. Without it, or for
    /// `-`, each line of standard input is a message of text
    data: Option<String>,
    /// Each line of this file is a message
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// JSON in and out: take everything as JSON and refuse what is none, and print an object for each
    /// message with its id, topic, offset, or its time if it waits for one
    #[arg(long)]
    json: bool,
    /// Print the id of each line's message, in the order of the lines
    #[arg(long, conflicts_with = "json")]
    ids: bool,
    /// What makes a repeat of this one message recognisable, also in another run
    #[arg(long)]
    key: Option<DedupKey>,
    /// A name and value for the receiver; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = parse::header)]
    headers: Vec<(String, String)>,
    /// What it has in common with messages that a group must take one after the other
    #[arg(long, value_name = "KEY")]
    order_key: Option<OrderKey>,
    /// How long it is worth delivering, from the time it is published
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    ttl: Option<Duration>,
    /// Let the server keep it and publish it then: a moment such as 2026-11-18T11:06:40Z, or
    /// milliseconds since 1970. One that has passed means at once
    #[arg(long, value_name = "MOMENT", value_parser = parse::moment_to_come)]
    deliver_at: Option<Timestamp>,
    /// Let the server keep it and publish it after this time
    #[arg(long, value_name = "TIME", value_parser = parse::some_time, conflicts_with = "deliver_at")]
    delay: Option<Duration>,
    #[command(flatten)]
    connect: Connect,
}

/// Where messages come from.
enum Input {
    One(String),
    Lines(Box<dyn Read + Send>),
}

impl Publish {
    /// Publishes everything and tells how much that was.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let input = self.input()?;
        if self.key.is_some() && matches!(input, Input::Lines(_)) {
            return Err(UsageError::new(
                "--key is for one message: with the same key every line after the first would count as its repeat",
            )
            .into());
        }
        // What cannot be sent is told before a server is looked for.
        if let Input::One(data) = &input {
            self.request(data.as_bytes(), true)?;
        }
        as_client(async move {
            let mut stop = Stop::listen().context("cannot listen for signals")?;
            let client = tokio::select! {
                client = self.connect.client() => client?,
                () = stop.asked() => bail!("interrupted before anything was sent"),
            };
            let form = match &input {
                _ if self.json => Form::Object,
                Input::Lines(_) if !self.ids => Form::Nothing,
                Input::One(_) | Input::Lines(_) => Form::Id,
            };
            let run = Run::new(&self, &client, stop, form);
            let result = match input {
                Input::One(data) => run.one(&data).await,
                Input::Lines(reader) => run.lines(reader).await,
            };
            // Every answer is in already, so there is nothing for the close to lose.
            let _ = client.close().await;
            result
        })
    }

    fn input(&self) -> anyhow::Result<Input> {
        if let Some(file) = &self.file {
            let opened =
                File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
            return Ok(Input::Lines(Box::new(opened)));
        }
        match &self.data {
            Some(data) if data != "-" => Ok(Input::One(data.clone())),
            None if std::io::stdin().is_terminal() => Err(UsageError::new(
                "there is nothing to publish: give DATA, or --file, or - to type lines",
            )
            .into()),
            Some(_) | None => Ok(Input::Lines(Box::new(std::io::stdin()))),
        }
    }

    fn request(&self, data: &[u8], is_argument: bool) -> anyhow::Result<PublishRequest> {
        let topic = self.topic.as_str();
        let looks_like_json = data.starts_with(b"{") || data.starts_with(b"[");
        let as_json = || PublishRequest::json_text(topic, data);
        let request = match std::str::from_utf8(data) {
            _ if self.json => as_json()?,
            Ok(text) if is_argument && looks_like_json => {
                as_json().or_else(|_| PublishRequest::text(topic, text))?
            }
            Ok(text) => PublishRequest::text(topic, text)?,
            // Not text, so it travels as it is.
            Err(_) => PublishRequest::bytes(topic, data.to_vec())?,
        };
        let mut request =
            self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        if let Some(key) = &self.key {
            request = request.key(key.clone());
        }
        if let Some(order_key) = &self.order_key {
            request = request.order_key(order_key.clone());
        }
        if let Some(ttl) = self.ttl {
            request = request.ttl(ttl);
        }
        if let Some(at) = self.deliver_at.or(self.delay.map(|delay| now().plus(delay))) {
            request = request.deliver_at(at);
        }
        Ok(request)
    }
}

/// One run of the command.
struct Run<'a> {
    publish: &'a Publish,
    client: &'a Client,
    stop: Stop,
    /// Messages without an answer, in order.
    tickets: VecDeque<PublishTicket>,
    /// Lines handed to the client.
    read: u64,
    /// The first thing that went wrong, after which nothing more is read.
    failure: Option<anyhow::Error>,
    progress: Progress,
    receipts: Receipts,
}

impl<'a> Run<'a> {
    fn new(publish: &'a Publish, client: &'a Client, stop: Stop, form: Form) -> Self {
        Self {
            publish,
            client,
            stop,
            tickets: VecDeque::new(),
            read: 0,
            failure: None,
            progress: Progress::new(publish.topic.clone()),
            receipts: Receipts::new(publish.topic.clone(), form),
        }
    }

    /// Publishes one message.
    async fn one(mut self, data: &str) -> anyhow::Result<()> {
        let request = self.publish.request(data.as_bytes(), true)?;
        let outcome = tokio::select! {
            outcome = self.client.publish(request) => outcome?,
            () = self.stop.asked() => bail!("interrupted before the message was acknowledged: it may be stored or not"),
        };
        self.progress.acknowledged(&outcome);
        self.receipts.add(&outcome);
        eprintln!("{}", self.progress.summary());
        self.receipts.flush()
    }

    /// Publishes each line.
    async fn lines(mut self, reader: Box<dyn Read + Send>) -> anyhow::Result<()> {
        let mut lines = Lines::of(reader).context("cannot start to read")?;
        let mut ticks = interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut was_interrupted = false;
        while self.failure.is_none() && !was_interrupted {
            tokio::select! {
                () = self.stop.asked() => was_interrupted = true,
                answer = next_answer(&mut self.tickets), if !self.tickets.is_empty() => {
                    self.tickets.pop_front();
                    self.settle(answer);
                }
                batch = lines.next(), if self.tickets.len() < TICKETS_MAX => match batch {
                    Ok(Some(batch)) => was_interrupted = self.enqueue(batch).await,
                    Ok(None) => break,
                    Err(error) => {
                        let context = format!("reading line {}", self.read + 1);
                        self.failure = Some(anyhow::Error::from(error).context(context));
                    }
                },
                _ = ticks.tick() => self.tell(),
            }
        }
        self.finish(was_interrupted).await
    }

    /// Hands lines to the client, which waits while its outbox is full. Returns whether the
    /// command was interrupted.
    async fn enqueue(&mut self, batch: Vec<Vec<u8>>) -> bool {
        for line in batch {
            let request = self.publish.request(&line, false);
            let fitting = request.and_then(|request| {
                self.client.check_size(&request)?;
                Ok(request)
            });
            let request = match fitting {
                Ok(request) => request,
                Err(error) => {
                    self.failure = Some(error.context(format!("line {}", self.read + 1)));
                    return false;
                }
            };
            let ticket = tokio::select! {
                ticket = self.client.enqueue(request) => ticket,
                () = self.stop.asked() => return true,
            };
            self.tickets.push_back(ticket);
            self.read += 1;
            self.settle_ready();
        }
        false
    }

    /// Takes the answers that are there.
    fn settle_ready(&mut self) {
        while let Some(answer) = self.tickets.front_mut().and_then(FutureExt::now_or_never) {
            self.tickets.pop_front();
            self.settle(answer);
        }
    }

    fn settle(&mut self, answer: Result<PublishOutcome, PublishError>) {
        match answer {
            Ok(outcome) => {
                self.progress.acknowledged(&outcome);
                self.receipts.add(&outcome);
            }
            Err(error) => {
                let line = self.read - self.tickets.len() as u64;
                let error = anyhow::Error::from(error).context(format!("line {line}"));
                self.failure.get_or_insert(error);
            }
        }
        if self.receipts.is_full() || self.tickets.is_empty() {
            self.print_receipts();
        }
    }

    /// Prints what is known of messages. If that fails, nothing more is read.
    fn print_receipts(&mut self) {
        if self.receipts.is_empty() {
            return;
        }
        self.progress.clear();
        if let Err(error) = self.receipts.flush() {
            self.failure.get_or_insert(error);
        }
    }

    /// Tells how it goes.
    fn tell(&mut self) {
        self.print_receipts();
        self.progress.show(self.read, self.tickets.len());
    }

    /// Waits for the answers still due and tells how it went.
    async fn finish(mut self, was_interrupted: bool) -> anyhow::Result<()> {
        self.settle_ready();
        let mut told = false;
        let mut ticks = interval(PROGRESS_INTERVAL);
        while !self.tickets.is_empty() {
            tokio::select! {
                answer = next_answer(&mut self.tickets) => {
                    self.tickets.pop_front();
                    self.settle(answer);
                }
                () = self.stop.asked(), if !told => {
                    told = true;
                    self.progress.clear();
                    eprintln!(
                        "finishing {} messages on their way; Ctrl-C again gives up on them",
                        self.tickets.len()
                    );
                }
                _ = ticks.tick() => self.tell(),
            }
        }
        self.print_receipts();
        self.progress.clear();
        eprintln!("{}", self.progress.summary());
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if was_interrupted {
            return Err(anyhow!(
                "interrupted after line {}: everything up to it is acknowledged, nothing after it was sent",
                self.read
            ));
        }
        Ok(())
    }
}

/// The answer to the first of `tickets`; pends for ever when there is none.
async fn next_answer(
    tickets: &mut VecDeque<PublishTicket>,
) -> Result<PublishOutcome, PublishError> {
    match tickets.front_mut() {
        Some(ticket) => ticket.await,
        None => std::future::pending().await,
    }
}
