//! `tidings scheduled`: messages for later, in an operator's hands.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;
use tidings_core::{Filter, MessageId, Timestamp};

use crate::clock_text::{day, time_of_day};
use crate::operator::{OperatorPort, QueryText, text};
use crate::running::as_client;
use crate::standard_output;

/// Most messages in one answer of the server.
const PAGE: u64 = 1000;

/// Looks at messages that wait for their time, and takes them off the schedule.
///
/// It asks the operator's port, for the messages of all users. Programs list and cancel their user's
/// own with a token at /v1/scheduled on the public port.
#[derive(Debug, Args)]
pub(crate) struct Scheduled {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them, the next one first
    List(List),
    /// Take one off: it will not be published
    Cancel(Cancel),
}

/// Lists messages that wait for their time, the next one first.
#[derive(Debug, Args)]
struct List {
    /// To this topic, or to topics that match
    #[arg(long, value_name = "FILTER")]
    topic: Option<Filter>,
    /// Of this user
    #[arg(long)]
    user: Option<String>,
    /// At most this many; 0 for all there are
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// One JSON object on a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorPort,
}

/// Takes a message off the schedule.
#[derive(Debug, Args)]
struct Cancel {
    /// The message's id, as `pub` and `list` tell it
    id: MessageId,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorPort,
}

impl Scheduled {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        as_client(async move {
            match self.what {
                What::List(list) => list.run().await,
                What::Cancel(cancel) => cancel.run().await,
            }
        })
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let mut left = if self.limit == 0 { u64::MAX } else { self.limit };
        let (mut cursor, mut is_empty) = (None::<String>, true);
        loop {
            let mut query = QueryText::default();
            query.add("limit", &left.min(PAGE).to_string());
            let topic = self.topic.as_ref().map(Filter::as_str);
            for (name, value) in
                [("topic", topic), ("user", self.user.as_deref()), ("cursor", cursor.as_deref())]
            {
                if let Some(value) = value {
                    query.add(name, value);
                }
            }
            let path = format!("/v1/scheduled{}", query.as_str());
            let page = self.operator.ask(Method::GET, &path, None).await?;
            let found = page["scheduled"].as_array().map_or(&[][..], Vec::as_slice);
            is_empty &= found.is_empty();
            left -= (found.len() as u64).min(left);
            let lines: String = found.iter().map(|one| line(one, self.json)).collect();
            standard_output::write(lines.as_bytes())?;
            cursor = page["cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || left == 0 {
                break;
            }
        }
        if self.json {
            return Ok(());
        }
        match (is_empty, cursor) {
            (true, _) => eprintln!("no such message waits for its time"),
            (false, Some(_)) => eprintln!("there are more: --limit 0 for all"),
            (false, None) => {}
        }
        Ok(())
    }
}

impl Cancel {
    async fn run(self) -> anyhow::Result<()> {
        let path = format!("/v1/scheduled/{}", self.id);
        let cancelled = self.operator.ask(Method::DELETE, &path, None).await?;
        let shown = match self.json {
            true => format!("{cancelled}\n"),
            false => format!("cancelled {}", line(&cancelled, false)),
        };
        standard_output::write(shown.as_bytes())
    }
}

fn line(scheduled: &Value, as_json: bool) -> String {
    if as_json {
        return format!("{scheduled}\n");
    }
    let due = Timestamp::from_ms(scheduled["deliver_at"].as_u64().unwrap_or(0));
    let by = match scheduled["user"].as_str() {
        Some(_) => format!(", by {}", text(&scheduled["user"])),
        None => String::new(),
    };
    let (id, topic) = (text(&scheduled["id"]), text(&scheduled["topic"]));
    format!("{id}  due {} {}  to {topic}{by}\n", day(due), time_of_day(due))
}
