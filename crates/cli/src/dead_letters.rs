//! `tidings dead-letters`: messages that were given up, in an operator's hands.

mod edit;
mod filters;
mod list;
mod many;
mod show;

use anyhow::bail;
use clap::{ArgGroup, Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use tidings_core::Topic;

use crate::failure::UsageError;
use crate::operator::{OperatorPort, text};
use crate::parse;
use crate::running::as_client;
use crate::standard_output;
use filters::Filters;

/// Looks at messages that were given up, publishes them again, or removes them.
#[derive(Debug, Args)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them, oldest first or newest first
    List(list::List),
    /// Show one with its data and what became of each attempt
    Show(show::Show),
    /// Publish them again, to the subscription that gave them up
    Replay(Replay),
    /// Remove them for good
    Purge(Purge),
}

/// Publishes dead letters again under their own ids, and takes them off the list.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["offset", "all"])))]
struct Replay {
    /// Which one: its offset, as `list` prints it; or --all
    #[arg(value_parser = parse::dead_letter)]
    offset: Option<u64>,
    /// All of them, or all that the filters leave
    #[arg(long)]
    all: bool,
    /// To everybody who reads the topic, not only to the subscription that gave it up
    #[arg(long)]
    to_all: bool,
    /// Change the data first, as JSON in $VISUAL or $EDITOR
    #[arg(long, conflicts_with_all = ["all", "data"])]
    edit: bool,
    /// With this data instead, JSON
    #[arg(long, value_name = "JSON", conflicts_with = "all")]
    data: Option<String>,
    /// To this topic instead, and there to everybody
    #[arg(long, value_name = "TOPIC", conflicts_with = "all")]
    into: Option<Topic>,
    /// One JSON object on a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    operator: OperatorPort,
}

/// Removes dead letters for good.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["offset", "all"])))]
struct Purge {
    /// Which one: its offset, as `list` prints it; or --all
    #[arg(value_parser = parse::dead_letter)]
    offset: Option<u64>,
    /// All of them, or all that the filters leave
    #[arg(long)]
    all: bool,
    /// Do not ask whether that is meant
    #[arg(long)]
    yes: bool,
    /// One JSON object on a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    operator: OperatorPort,
}

impl DeadLetters {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        as_client(async move {
            match self.what {
                What::List(list) => list.run().await,
                What::Show(show) => show.run().await,
                What::Replay(replay) => replay.run().await,
                What::Purge(purge) => purge.run().await,
            }
        })
    }
}

impl Replay {
    async fn run(self) -> anyhow::Result<()> {
        let Some(offset) = self.offset else {
            let mut query = self.filters.query_for_change();
            if self.to_all {
                query.add("to", "all");
            }
            return many::run(&self.operator, many::REPLAY, &query, self.json).await;
        };
        self.filters.refuse()?;
        let body = self.body(offset).await?;
        let path = format!("/v1/dead-letters/{offset}/replay");
        let answer = self.operator.ask(Method::POST, &path, Some(body)).await?;
        let line = if self.json {
            answer.to_string()
        } else {
            let again = if answer["duplicate"] == true { " (had been already)" } else { "" };
            let (topic, id) = (text(&answer["topic"]), text(&answer["id"]));
            format!("replayed {id} as {topic} #{}{again}", answer["offset"])
        };
        standard_output::write(format!("{line}\n").as_bytes())
    }

    async fn body(&self, offset: u64) -> anyhow::Result<Vec<u8>> {
        let mut body = json!({});
        if let Some(topic) = &self.into {
            body["topic"] = json!(topic.as_str());
        }
        if self.to_all {
            body["to"] = json!("all");
        }
        if let Some(data) = &self.data {
            let data: Value = serde_json::from_str(data)
                .map_err(|error| UsageError::new(format!("--data is no JSON: {error}")))?;
            body["data"] = data;
        }
        if self.edit {
            let path = format!("/v1/dead-letters/{offset}");
            let letter = self.operator.ask(Method::GET, &path, None).await?;
            body["data"] = edit::edited(offset, &letter)?;
        }
        Ok(body.to_string().into_bytes())
    }
}

impl Purge {
    async fn run(self) -> anyhow::Result<()> {
        let Some(offset) = self.offset else {
            let query = self.filters.query_for_change();
            if !self.yes && !many::is_meant(&self.operator, &self.filters).await? {
                bail!("nothing was removed");
            }
            return many::run(&self.operator, many::PURGE, &query, self.json).await;
        };
        self.filters.refuse()?;
        let path = format!("/v1/dead-letters/{offset}");
        self.operator.ask(Method::DELETE, &path, None).await?;
        let line = if self.json {
            json!({"purged": 1, "failed": 0}).to_string()
        } else {
            "purged 1 dead letter".to_owned()
        };
        standard_output::write(format!("{line}\n").as_bytes())
    }
}
