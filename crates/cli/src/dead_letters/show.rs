//! `tidings dead-letters show`.

use std::fmt::Write as _;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::list::{moment, subscription};
use crate::operator::{OperatorPort, text};
use crate::parse;
use crate::standard_output;

/// Shows a dead letter with its data and what became of each attempt.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Which one: its offset, as `list` prints it
    #[arg(value_parser = parse::dead_letter)]
    offset: u64,
    /// One JSON object on a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorPort,
}

impl Show {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let path = format!("/v1/dead-letters/{}", self.offset);
        let letter = self.operator.ask(Method::GET, &path, None).await?;
        let shown = if self.json { format!("{letter}\n") } else { for_people(&letter) };
        standard_output::write(shown.as_bytes())
    }
}

fn for_people(letter: &Value) -> String {
    let message = &letter["message"];
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(out, "{name:<12} {value}");
        }
    };
    line("message", text(&message["id"]));
    line("published", format!("{} #{}", text(&letter["topic"]), text(&message["offset"])));
    line("", if message["at"].is_u64() { moment(&message["at"]) } else { String::new() });
    line("from", text(&letter["from"]));
    line("order key", text(&letter["order_key"]));
    line("given up", moment(&letter["at"]));
    line("by", subscription(letter));
    line("because", text(&letter["gave_up"]).replace('_', " "));
    line("attempts", text(&letter["attempts"]));
    for attempt in letter["history"].as_array().into_iter().flatten() {
        line("", attempt_line(attempt));
    }
    line("type", text(&letter["content_type"]));
    for (name, value) in letter["headers"].as_object().into_iter().flatten() {
        line("header", format!("{}: {}", text(&Value::from(name.as_str())), text(value)));
    }
    match (letter.get("data"), letter.get("data_base64")) {
        (Some(data), _) => {
            let pretty = serde_json::to_string_pretty(data).unwrap_or_default();
            // JSON writes control characters of C0 out; those of C1 could still steer a terminal.
            let harmless = |c: char| c.is_control() && c != '\n';
            let _ = writeln!(out, "\n{}", pretty.replace(harmless, "\u{fffd}"));
        }
        (None, Some(_)) => {
            let _ = writeln!(out, "\n{} bytes; --json shows them as base64", letter["bytes"]);
        }
        (None, None) => {}
    }
    out
}

/// `#2 to phone at …: nacked after 1.2 s: db down`.
pub(crate) fn attempt_line(attempt: &Value) -> String {
    let ms = |name: &str| attempt[name].as_u64().unwrap_or(0);
    let took = std::time::Duration::from_millis(ms("ended_at").saturating_sub(ms("sent_at")));
    let ended = text(&attempt["ended"]).replace('_', " ");
    let mut line = format!(
        "#{} to {} at {}: {ended} after {took:?}",
        text(&attempt["attempt"]),
        text(&attempt["client"]),
        moment(&attempt["sent_at"]),
    );
    let reason = text(&attempt["reason"]);
    if !reason.is_empty() {
        let _ = write!(line, ": {reason}");
    }
    line
}
