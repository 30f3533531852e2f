//! `tidings dead-letters list`.

use clap::Args;
use http::Method;
use serde_json::Value;
use tidings_core::Timestamp;

use super::filters::Filters;
use crate::clock_text::{day, time_of_day};
use crate::operator::{OperatorPort, text};
use crate::standard_output;
use crate::table;

/// Most dead letters in one answer of the server.
const PAGE: u64 = 500;

/// The longest reason shown on a line, characters.
const REASON_CHARS_MAX: usize = 60;

/// Lists dead letters, oldest first unless asked otherwise.
#[derive(Debug, Args)]
pub(super) struct List {
    /// At most this many; 0 for all there are
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// The one that was given up last comes first
    #[arg(long)]
    newest: bool,
    /// One JSON object on a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    operator: OperatorPort,
}

impl List {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut left = if self.limit == 0 { u64::MAX } else { self.limit };
        let mut cursor: Option<String> = None;
        let mut is_first = true;
        loop {
            let mut query = self.filters.query();
            query.add("limit", &left.min(PAGE).to_string());
            if self.newest {
                query.add("order", "newest");
            }
            if let Some(cursor) = &cursor {
                query.add("cursor", cursor);
            }
            let path = format!("/v1/dead-letters{}", query.as_str());
            let page = self.operator.ask(Method::GET, &path, None).await?;
            let letters = page["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
            left -= (letters.len() as u64).min(left);
            self.write(letters, is_first)?;
            is_first &= letters.is_empty();
            cursor = page["cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || left == 0 {
                self.tell_rest(is_first, cursor.is_some());
                return Ok(());
            }
        }
    }

    fn write(&self, letters: &[Value], with_head: bool) -> anyhow::Result<()> {
        let mut out = String::new();
        if self.json {
            for letter in letters {
                out.push_str(&format!("{letter}\n"));
            }
        } else if !letters.is_empty() {
            let head = ["OFFSET", "WHEN", "MESSAGE", "GIVEN UP BY", "AFTER", "WHY"];
            let mut rows = vec![head.map(str::to_owned)];
            rows.extend(letters.iter().map(row));
            for line in table::lines(&rows).iter().skip(usize::from(!with_head)) {
                out.push_str(&format!("{line}\n"));
            }
        }
        standard_output::write(out.as_bytes())
    }

    fn tell_rest(&self, is_empty: bool, is_more: bool) {
        if self.json {
            return;
        }
        if is_empty && !is_more {
            eprintln!("there are no dead letters like that");
        } else if is_more {
            eprintln!("there are more: --limit 0 for all");
        }
    }
}

fn row(letter: &Value) -> [String; 6] {
    let attempts = letter["attempts"].as_u64().unwrap_or(0);
    let times = if attempts == 1 { "attempt" } else { "attempts" };
    [
        text(&letter["offset"]),
        moment(&letter["at"]),
        format!("{} #{}", text(&letter["topic"]), text(&letter["message"]["offset"])),
        subscription(letter),
        format!("{attempts} {times}"),
        why(letter),
    ]
}

/// Day and time, UTC.
pub(super) fn moment(at: &Value) -> String {
    let at = Timestamp::from_ms(at.as_u64().unwrap_or(0));
    format!("{} {}", day(at), time_of_day(at))
}

/// Whose subscription gave it up.
pub(super) fn subscription(letter: &Value) -> String {
    match letter["group"].as_str() {
        Some(_) => format!("group {}", text(&letter["group"])),
        None => format!("{}/{}", text(&letter["user"]), text(&letter["durable"])),
    }
}

fn why(letter: &Value) -> String {
    let gave_up = text(&letter["gave_up"]).replace('_', " ");
    let reasons = text(&letter["reasons"]);
    if reasons.is_empty() {
        return gave_up;
    }
    let cut: String = reasons.chars().take(REASON_CHARS_MAX).collect();
    let rest = if cut.len() < reasons.len() { "…" } else { "" };
    format!("{gave_up}: {cut}{rest}")
}
