//! Which dead letters a command is about.

use clap::Args;
use tidings_core::{Filter, MessageId};

use crate::clock_text::now;
use crate::failure::UsageError;
use crate::operator::QueryText;
use crate::parse::{self, Moment};

/// Which dead letters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which")]
pub(super) struct Filters {
    /// Of this topic, or of topics that match
    #[arg(long, value_name = "FILTER")]
    topic: Option<Filter>,
    /// Of this message, by its own id
    #[arg(long, value_name = "ID")]
    message: Option<MessageId>,
    /// Given up by subscriptions of this user
    #[arg(long)]
    user: Option<String>,
    /// Given up by durable subscriptions of this name
    #[arg(long, value_name = "NAME")]
    durable: Option<String>,
    /// Given up by this group
    #[arg(long)]
    group: Option<String>,
    /// timed_out, nacked, refused or connection_ended; or a part of what was said of them
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Given up from this moment on: such as 2026-11-18T11:06:40Z, so long ago (10m), or
    /// milliseconds since 1970
    #[arg(long, value_name = "MOMENT", value_parser = parse::moment)]
    since: Option<Moment>,
    /// Given up before this moment, written in the same ways
    #[arg(long, value_name = "MOMENT", value_parser = parse::moment)]
    until: Option<Moment>,
}

impl Filters {
    /// As the server wants it.
    pub(super) fn query(&self) -> QueryText {
        let mut query = QueryText::default();
        let moment = |moment: Option<Moment>| moment.map(|m| m.resolve(now()).as_ms().to_string());
        for (name, value) in [
            ("topic", self.topic.as_ref().map(|topic| topic.as_str().to_owned())),
            ("id", self.message.map(|id| id.to_string())),
            ("user", self.user.clone()),
            ("durable", self.durable.clone()),
            ("group", self.group.clone()),
            ("reason", self.reason.clone()),
            ("since", moment(self.since)),
            ("until", moment(self.until)),
        ] {
            if let Some(value) = value {
                query.add(name, &value);
            }
        }
        query
    }

    /// The same where something is done to all of them: without a filter that is said.
    pub(super) fn query_for_change(&self) -> QueryText {
        let mut query = self.query();
        if query.is_empty() {
            query.add("all", "true");
        }
        query
    }

    /// Where one dead letter is named, there is nothing to filter.
    pub(super) fn refuse(&self) -> Result<(), UsageError> {
        if self.query().is_empty() {
            return Ok(());
        }
        Err(UsageError::new("filters go with --all, not with the offset of one dead letter"))
    }
}
