//! `tidings history`: prints messages of the past.

use std::io::{IsTerminal, Write};

use clap::Args;
use tidings_client::{Client, History as Part, HistoryFrom, HistoryRequest};
use tidings_core::limits::READ_MESSAGES_MAX;
use tidings_core::{Position, Topic};

use crate::clock_text::{day, now};
use crate::connect::Connect;
use crate::parse::{self, Moment};
use crate::running::as_client;
use crate::shown::{self, Colour, Format, Shown};

/// Prints messages of the past, oldest first.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Whose past
    topic: Topic,
    /// From this moment on: such as 2026-11-18T11:06:40Z, so long ago (10m), or milliseconds since
    /// 1970. The default is the earliest message kept
    #[arg(long, value_name = "MOMENT", value_parser = parse::moment, conflicts_with = "after")]
    since: Option<Moment>,
    /// After this message
    #[arg(long, value_name = "EPOCH:OFFSET", value_parser = parse::position)]
    after: Option<Position>,
    /// At most this many; 0 for all there are
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// One JSON object on a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl History {
    /// Prints them.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        as_client(async move {
            let client = self.connect.client().await?;
            let result = self.print(&client).await;
            // Nothing is on its way, so there is nothing for the close to lose.
            let _ = client.close().await;
            result
        })
    }

    async fn print(&self, client: &Client) -> anyhow::Result<()> {
        let mut from = match (self.since, self.after) {
            (Some(since), _) => HistoryFrom::Since(since.resolve(now())),
            (None, Some(position)) => HistoryFrom::After(position),
            (None, None) => HistoryFrom::First,
        };
        let mut left = if self.limit == 0 { u64::MAX } else { self.limit };
        let mut is_empty = true;
        loop {
            let asked = Some(left.min(READ_MESSAGES_MAX as u64) as u32);
            let request = HistoryRequest { topic: self.topic.clone(), from, limit: asked };
            let part = client.history(request).await?;
            if !part.recovered {
                let Part { first, epoch, .. } = &part;
                let what = match from {
                    HistoryFrom::After(Position { offset, .. }) if offset.next() < *first => {
                        format!(
                            "what followed the position is gone; this starts at #{first}, the \
                             earliest kept in epoch {epoch}"
                        )
                    }
                    HistoryFrom::After(_) | HistoryFrom::Since(_) | HistoryFrom::First => {
                        "some messages are damaged in the log and left out".to_owned()
                    }
                };
                eprintln!("{}: {what}", self.topic);
            }
            self.write(&part)?;
            is_empty &= part.messages.is_empty();
            left -= (part.messages.len() as u64).min(left);
            let last = part.messages.last().map(|message| message.offset);
            let (Some(offset), true, true) = (last, part.more, left > 0) else {
                if is_empty {
                    eprintln!("{}: there are no messages", self.topic);
                }
                Self::tell_rest(&part);
                return Ok(());
            };
            from = HistoryFrom::After(Position { epoch: part.epoch, offset });
        }
    }

    fn write(&self, part: &Part) -> anyhow::Result<()> {
        let format = if self.json { Format::Json } else { Format::Human(Colour::of_stdout()) };
        let mut lines = Vec::new();
        let mut last_day = String::new();
        for message in &part.messages {
            let this_day = day(message.at);
            if self.is_for_people() && this_day != last_day {
                writeln!(lines, "{this_day}")?;
                last_day = this_day;
            }
            let shown = Shown {
                topic: &message.topic,
                epoch: Some(part.epoch),
                offset: message.offset,
                id: message.id,
                attempt: message.attempt,
                data: &message.data,
                content_type: message.content_type.as_ref(),
                headers: &message.headers,
                from: message.from.as_ref(),
                order_key: message.order_key.as_ref(),
                at: message.at,
            };
            shown::write(&mut lines, format, shown)?;
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&lines)?;
        Ok(stdout.flush()?)
    }

    /// Days are told between the messages where no script reads them.
    fn is_for_people(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// That there is more, and how to get it, is told beside the output: who keeps that has no more
    /// of it than was asked for, and should know.
    fn tell_rest(part: &Part) {
        if let (true, Some(last)) = (part.more, part.messages.last()) {
            eprintln!(
                "there is more: --after {}:{}, or --limit 0 for all",
                part.epoch, last.offset
            );
        }
    }
}
