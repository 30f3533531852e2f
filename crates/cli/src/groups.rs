//! `tidings groups`: how shared subscriptions stand, for operators.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;
use tidings_core::{Filter, GroupName};

use crate::operator::{OperatorPort, QueryText, escaped, text};
use crate::running::as_client;
use crate::standard_output;
use crate::table;

/// Shows how groups stand: what waits, what members have and who they are.
///
/// LAG is how many messages are not settled, UNACKED how many of them members have, OLDEST how long
/// ago the longest unsettled one was first delivered. Those with the most waiting come first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings groups
  tidings groups workers
  tidings groups workers --filter 'jobs/#' --json")]
pub(crate) struct Groups {
    /// The groups of this name in full, with members and topics
    group: Option<GroupName>,
    /// Of the groups of that name the one of this topic or filter
    #[arg(long, requires = "group")]
    filter: Option<Filter>,
    /// One JSON object on a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorPort,
}

impl Groups {
    /// Shows them.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        as_client(async move {
            let answer = self.operator.ask(Method::GET, &self.path(), None).await?;
            let groups = answer["groups"].as_array().map_or(&[][..], Vec::as_slice);
            let lines: Vec<_> = match (self.json, &self.group) {
                (true, _) => groups.iter().map(Value::to_string).collect(),
                (false, None) => sums(groups),
                (false, Some(_)) => groups.iter().flat_map(in_full).collect(),
            };
            let out: String = lines.iter().map(|line| format!("{line}\n")).collect();
            standard_output::write(out.as_bytes())?;
            let total = answer["total"].as_u64().unwrap_or(0);
            if groups.is_empty() && !self.json {
                eprintln!("there are no groups");
            } else if total > groups.len() as u64 {
                eprintln!("there are {total} groups; these have the most waiting");
            }
            Ok(())
        })
    }

    fn path(&self) -> String {
        let Some(group) = &self.group else { return "/v1/groups".to_owned() };
        let mut query = QueryText::default();
        if let Some(filter) = &self.filter {
            query.add("filter", filter.as_str());
        }
        format!("/v1/groups/{}{}", escaped(group.as_str()), query.as_str())
    }
}

/// A line for each group.
fn sums(groups: &[Value]) -> Vec<String> {
    let head = ["GROUP", "FILTER", "LAG", "UNACKED", "MEMBERS", "OLDEST"].map(str::to_owned);
    let row = |group: &Value| {
        let names = ["group", "filter", "lag", "unacked", "members"];
        let [group_name, filter, lag, unacked, members] = names.map(|name| text(&group[name]));
        [group_name, filter, lag, unacked, members, age(&group["oldest_unacked_ms"])]
    };
    match groups {
        [] => Vec::new(),
        groups => {
            table::lines(&[head].into_iter().chain(groups.iter().map(row)).collect::<Vec<_>>())
        }
    }
}

/// One group with its members and topics.
fn in_full(group: &Value) -> Vec<String> {
    let rows = |name: &str| group[name].as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!(
        "group {} of {}: lag {}, {} unacked",
        text(&group["group"]),
        text(&group["filter"]),
        text(&group["lag"]),
        text(&group["unacked"]),
    )];
    let mut members = vec![["  MEMBER", "UNACKED", "WINDOW"].map(str::to_owned)];
    members.extend(rows("members").iter().map(|member| {
        let who = format!("  {} ({})", text(&member["user"]), text(&member["client"]));
        [who, text(&member["unacked"]), text(&member["window"])]
    }));
    match members.len() {
        1 => lines.push("  it has no members now".to_owned()),
        _ => lines.extend(table::lines(&members)),
    }
    let mut topics = vec![["  TOPIC", "LAG", "UNACKED", "OLDEST"].map(str::to_owned)];
    topics.extend(rows("topics").iter().map(|topic| {
        let name = format!("  {}", text(&topic["topic"]));
        let oldest = age(&topic["oldest_unacked_ms"]);
        [name, text(&topic["lag"]), text(&topic["unacked"]), oldest]
    }));
    if topics.len() > 1 {
        lines.extend(table::lines(&topics));
    }
    lines
}

fn age(ms: &Value) -> String {
    ms.as_u64().map_or_else(|| "-".to_owned(), |ms| format!("{:?}", Duration::from_millis(ms)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_rows_or_told_in_full() {
        let mut group = json!({
            "group": "workers", "filter": "jobs/#", "lag": 12, "unacked": 3, "members": 2,
            "topics": 1, "oldest_unacked_ms": 1500,
        });
        let idle = json!({
            "group": "mail", "filter": "m", "lag": 0, "unacked": 0, "members": 0, "topics": 0,
            "oldest_unacked_ms": null,
        });
        assert_eq!(
            sums(&[group.clone(), idle]),
            [
                "GROUP    FILTER  LAG  UNACKED  MEMBERS  OLDEST",
                "workers  jobs/#  12   3        2        1.5s",
                "mail     m       0    0        0        -",
            ]
        );
        assert!(sums(&[]).is_empty());
        group["members"] = json!([{"user": "bob", "client": "c\u{7}", "unacked": 3, "window": 8}]);
        group["topics"] = json!([
            {"topic": "jobs/1", "lag": 12, "unacked": 3, "oldest_unacked_ms": 1500},
        ]);
        assert_eq!(
            in_full(&group),
            [
                "group workers of jobs/#: lag 12, 3 unacked",
                "  MEMBER    UNACKED  WINDOW",
                "  bob (c\u{fffd})  3        8",
                "  TOPIC   LAG  UNACKED  OLDEST",
                "  jobs/1  12   3        1.5s",
            ]
        );
        group["members"] = json!([]);
        assert!(in_full(&group).contains(&"  it has no members now".to_owned()));
    }
}
