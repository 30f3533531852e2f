//! Doing something to many dead letters, in as many requests as it takes.

use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::bail;
use http::Method;
use serde_json::{Value, json};

use super::filters::Filters;
use crate::failure::UsageError;
use crate::operator::{OperatorPort, QueryText, text};
use crate::standard_output;

/// How often a line is written where it cannot be changed.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed {
    path: &'static str,
    /// What the server calls it when it is done, and people do.
    done: &'static str,
}

pub(super) const REPLAY: Deed = Deed { path: "/v1/dead-letters/replay", done: "replayed" };
pub(super) const PURGE: Deed = Deed { path: "/v1/dead-letters/purge", done: "purged" };

/// Does it to all that `query` leaves, as far as there were any when it began.
pub(super) async fn run(
    operator: &OperatorPort,
    deed: Deed,
    query: &QueryText,
    json: bool,
) -> anyhow::Result<()> {
    let mut progress = Progress::begin(deed);
    let (mut done, mut failed, mut errors) = (0, 0, Vec::new());
    let mut cursor: Option<String> = None;
    loop {
        let mut query = query.clone();
        query.add("limit", "500");
        if let Some(cursor) = &cursor {
            query.add("cursor", cursor);
        }
        let path = format!("{}{}", deed.path, query.as_str());
        let answer = match operator.ask(Method::POST, &path, None).await {
            Ok(answer) => answer,
            Err(error) => {
                let sofar =
                    format!("{done} were {} before that; ask again for the rest", deed.done);
                return Err(error.context(sofar));
            }
        };
        done += answer[deed.done].as_u64().unwrap_or(0);
        failed += answer["failed"].as_u64().unwrap_or(0);
        errors.extend(answer["errors"].as_array().into_iter().flatten().cloned());
        progress.show(done, failed, &answer["kept"]);
        cursor = answer["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    progress.end();
    tell(deed, done, failed, &errors, json)
}

/// How far it is, on standard error: a line that changes on a terminal, a line now and then elsewhere.
struct Progress {
    deed: Deed,
    begun: Instant,
    told: Instant,
    is_terminal: bool,
}

impl Progress {
    fn begin(deed: Deed) -> Self {
        let now = Instant::now();
        Self { deed, begun: now, told: now, is_terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, done: u64, failed: u64, kept: &Value) {
        if !self.is_terminal && self.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.told = Instant::now();
        let a_second = done as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let (begin, end) = if self.is_terminal { ("\r\u{1b}[K", "") } else { ("", "\n") };
        let mut stderr = std::io::stderr().lock();
        // A reader that takes no progress is no reason to stop.
        let _ = write!(
            stderr,
            "{begin}{done} {}, {failed} failed, {a_second:.0} a second; {} dead letters are left{end}",
            self.deed.done,
            text(kept)
        );
        let _ = stderr.flush();
    }

    fn end(&self) {
        if self.is_terminal {
            eprint!("\r\u{1b}[K");
        }
    }
}

fn tell(deed: Deed, done: u64, failed: u64, errors: &[Value], json: bool) -> anyhow::Result<()> {
    let letters = if done == 1 { "dead letter" } else { "dead letters" };
    let line = if json {
        json!({ deed.done: done, "failed": failed }).to_string()
    } else {
        format!("{} {done} {letters}", deed.done)
    };
    standard_output::write(format!("{line}\n").as_bytes())?;
    if failed == 0 {
        return Ok(());
    }
    for error in errors {
        eprintln!("#{}: {} ({})", error["offset"], text(&error["detail"]), text(&error["code"]));
    }
    bail!("{failed} could not be {}; they are still there", deed.done)
}

/// Asks whether all that the filters leave shall be removed.
pub(super) async fn is_meant(operator: &OperatorPort, filters: &Filters) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let message = "this removes messages for good: add --yes if that is meant";
        return Err(UsageError::new(message).into());
    }
    let mut query = filters.query();
    let which = if query.is_empty() { "all" } else { "those that match of" };
    query.add("limit", "1");
    let path = format!("/v1/dead-letters{}", query.as_str());
    let page = operator.ask(Method::GET, &path, None).await?;
    let (kept, mut answer) = (text(&page["kept"]), String::new());
    eprint!("remove {which} {kept} dead letters for good? [y/N] ");
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
