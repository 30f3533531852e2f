//! `tidings users`: one user, in an operator's hands.

use std::fmt::Write as _;

use clap::Args;
use http::Method;
use serde_json::{Value, json};
use tidings_core::{Timestamp, UserId};

use crate::clock_text::{day, now, time_of_day};
use crate::operator::{OperatorPort, QueryText, escaped, text};
use crate::parse::{self, Moment};
use crate::running::as_client;
use crate::standard_output;
use crate::table;

/// Shows whether a user is online, and what waits for them; closes their connections, or ends their
/// tokens.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings users alice
  tidings users alice --disconnect
  tidings users alice --revoke
  tidings users alice --revoke --issued-by 2026-11-18T11:06:40Z")]
pub(crate) struct Users {
    /// Who
    user: UserId,
    /// Close their connections to this server. A token that is still valid lets them in again
    #[arg(long, conflicts_with = "revoke")]
    disconnect: bool,
    /// End every token that was issued to them by now, and close the connections that it let in
    #[arg(long)]
    revoke: bool,
    /// End those issued by this moment only: such as 2026-11-18T11:06:40Z, so long ago (10m), or
    /// milliseconds since 1970
    #[arg(long, value_name = "MOMENT", value_parser = parse::moment, requires = "revoke")]
    issued_by: Option<Moment>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorPort,
}

impl Users {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        as_client(async move {
            let answer = if self.disconnect {
                self.close().await?
            } else if self.revoke {
                self.end_tokens().await?
            } else {
                self.show().await?
            };
            standard_output::write(answer.as_bytes())
        })
    }

    fn path(&self, what: &str) -> String {
        format!("/v1/users/{}{what}", escaped(self.user.as_str()))
    }

    async fn show(&self) -> anyhow::Result<String> {
        let user = self.operator.ask(Method::GET, &self.path(""), None).await?;
        Ok(if self.json { format!("{user}\n") } else { for_people(&user) })
    }

    async fn close(&self) -> anyhow::Result<String> {
        self.operator.ask(Method::POST, &self.path("/disconnect"), None).await?;
        let user = self.user.as_str();
        Ok(match self.json {
            true => format!("{}\n", json!({ "user": user })),
            false => format!("the connections of {user} are being closed\n"),
        })
    }

    async fn end_tokens(&self) -> anyhow::Result<String> {
        let mut query = QueryText::default();
        if let Some(moment) = self.issued_by {
            query.add("issued_by", &moment.resolve(now()).as_ms().to_string());
        }
        let path = self.path(&format!("/revoke{}", query.as_str()));
        let revoked = self.operator.ask(Method::POST, &path, None).await?;
        if self.json {
            return Ok(format!("{revoked}\n"));
        }
        let (user, at) = (text(&revoked["user"]), moment(&revoked["issued_by"]));
        Ok(format!("tokens issued to {user} by {at} no longer count\n"))
    }
}

fn for_people(user: &Value) -> String {
    let mut out = String::new();
    let name = text(&user["user"]);
    let _ = match (user["online"] == true, user["last_seen"].is_u64()) {
        (true, _) => writeln!(out, "{name} is online"),
        (false, true) => {
            writeln!(out, "{name} is offline, last seen {}", moment(&user["last_seen"]))
        }
        (false, false) => writeln!(out, "{name} is offline, and has no session here"),
    };
    let connections = list(&user["connections"]);
    let head = ["CONNECTION", "SINCE", "SUBSCRIPTIONS"];
    let row = |c: &Value| [text(&c["client"]), moment(&c["since"]), text(&c["subscriptions"])];
    append_table(&mut out, head, connections.iter().map(row).collect());
    let total = user["connections_total"].as_u64().unwrap_or(0);
    if total > connections.len() as u64 {
        let _ = writeln!(out, "these are the oldest of {total}");
    }
    let head = ["DURABLE", "TOPIC", "PENDING", "NEXT", "MOVED"];
    let row = |c: &Value| {
        let saved_at = moment(&c["saved_at"]);
        [text(&c["durable"]), text(&c["topic"]), text(&c["pending"]), text(&c["next"]), saved_at]
    };
    append_table(&mut out, head, list(&user["cursors"]).iter().map(row).collect());
    out
}

fn append_table<const COLUMNS: usize>(
    out: &mut String,
    head: [&str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
) {
    if rows.is_empty() {
        return;
    }
    out.push('\n');
    let rows: Vec<_> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    for line in table::lines(&rows) {
        let _ = writeln!(out, "{line}");
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Day and time, UTC.
fn moment(at: &Value) -> String {
    let at = Timestamp::from_ms(at.as_u64().unwrap_or(0));
    format!("{} {}", day(at), time_of_day(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_shown_with_connections_and_what_waits() {
        let user = json!({
            "user": "alice", "online": true, "last_seen": 1_795_000_000_000_u64,
            "connections": [
                {"client": "ph\u{1b}one", "since": 1_795_000_000_000_u64, "subscriptions": 3},
            ],
            "connections_total": 2,
            "cursors": [{
                "durable": "phone", "topic": "jobs/1", "pending": 12, "next": 7,
                "saved_at": 1_795_000_000_000_u64,
            }],
        });
        let expected = "\
alice is online

CONNECTION  SINCE                 SUBSCRIPTIONS
ph\u{fffd}one      2026-11-18 11:06:40Z  3
these are the oldest of 2

DURABLE  TOPIC   PENDING  NEXT  MOVED
phone    jobs/1  12       7     2026-11-18 11:06:40Z
";
        assert_eq!(for_people(&user), expected);
    }

    #[test]
    fn who_is_away_was_seen_some_time_or_never() {
        let away = json!({"user": "bob", "online": false, "last_seen": 1_795_000_000_000_u64});
        assert_eq!(for_people(&away), "bob is offline, last seen 2026-11-18 11:06:40Z\n");
        let never = json!({"user": "bob", "online": false, "last_seen": null});
        assert_eq!(for_people(&never), "bob is offline, and has no session here\n");
    }
}
