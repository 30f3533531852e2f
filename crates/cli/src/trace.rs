//! `tidings trace`: the story of one message.

use std::fmt::Write as _;

use clap::Args;
use http::Method;
use serde_json::Value;
use tidings_core::{MessageId, Timestamp};

use crate::clock_text::{day, time_of_day};
use crate::operator::{OperatorPort, text};
use crate::running::as_client;
use crate::standard_output;

/// Shows what became of a message: who published it, who got it and when, and who did not take it.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The message's id, as `--json` prints it
    id: MessageId,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorPort,
}

impl Trace {
    /// Shows it.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        as_client(async move {
            let path = format!("/v1/messages/{}", self.id);
            let story = self.operator.ask(Method::GET, &path, None).await?;
            let shown = if self.json { format!("{story}\n") } else { for_people(&story) };
            standard_output::write(shown.as_bytes())
        })
    }
}

/// Something that happened, and when.
struct Moment {
    at: u64,
    what: String,
}

fn for_people(story: &Value) -> String {
    let mut out = String::new();
    let moments = timeline(story);
    let zero = moments.first().map_or(0, |moment| moment.at);
    let _ = writeln!(out, "{}", text(&story["id"]));
    if !moments.is_empty() {
        let at = Timestamp::from_ms(zero);
        let _ = writeln!(out, "{} {}", day(at), time_of_day(at));
    }
    let lines: Vec<_> =
        moments.iter().map(|m| (after(m.at.saturating_sub(zero)), &m.what)).collect();
    let width = lines.iter().map(|(after, _)| after.len()).max().unwrap_or(0);
    for (after, what) in &lines {
        let _ = writeln!(out, "  {after:>width$}  {what}");
    }
    let standing = list(&story["subscriptions"]);
    if !standing.is_empty() {
        let _ = writeln!(out, "now");
        for subscription in standing {
            let _ = writeln!(out, "  {}", stands(subscription));
        }
    }
    for note in notes(story, zero) {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

/// Everything with a time, in its order.
fn timeline(story: &Value) -> Vec<Moment> {
    let mut moments = Vec::new();
    let scheduled = &story["scheduled"];
    if let Some(at) = scheduled["at"].as_u64() {
        let what = format!("scheduled for {}{}", text(&scheduled["topic"]), about(scheduled));
        moments.push(Moment { at, what });
    }
    for place in list(&story["places"]) {
        let Some(at) = place["at"].as_u64() else { continue };
        let mut what = format!("published to {} #{}", text(&place["topic"]), place["offset"]);
        match place["replay_of"].as_u64() {
            Some(letter) => {
                let _ = write!(what, " again, from dead letter {letter}");
            }
            None => what.push_str(&about(&story["published"])),
        }
        moments.push(Moment { at, what });
    }
    for event in list(&story["events"]) {
        let happened = text(&event["what"]).replace('_', " ");
        let verb = match happened.as_str() {
            "sent" => "sent to".to_owned(),
            "acked" | "nacked" | "refused" | "given up" => format!("{happened} by"),
            "returned" => "given back unsent by".to_owned(),
            _ => format!("{happened}:"),
        };
        let attempt = match event["attempt"].as_u64() {
            Some(attempt) if attempt > 1 => format!(", attempt {attempt}"),
            Some(_) | None => String::new(),
        };
        // What a group does by itself is done on no connection.
        let client = event["client"].as_str();
        let on = client.map_or_else(String::new, |_| format!(" on {}", text(&event["client"])));
        let what = format!("{verb} {}{on}{attempt}", who(event));
        moments.push(Moment { at: event["at"].as_u64().unwrap_or(0), what });
    }
    for letter in list(&story["dead_letters"]) {
        let reasons = text(&letter["reasons"]);
        let said = if reasons.is_empty() { String::new() } else { format!(": {reasons}") };
        let what = format!(
            "dead letter {} for {}: {} after {} attempts{said}",
            letter["offset"],
            who(letter),
            text(&letter["gave_up"]).replace('_', " "),
            letter["attempts"],
        );
        moments.push(Moment { at: letter["at"].as_u64().unwrap_or(0), what });
    }
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// Who published what.
fn about(published: &Value) -> String {
    let mut about = String::new();
    for (name, shown) in [
        ("from", "by"),
        ("bytes", "bytes:"),
        ("order_key", "order key"),
        ("ttl_ms", "time to live in ms:"),
        ("traceparent", "traceparent"),
    ] {
        let value = text(&published[name]);
        if !value.is_empty() {
            let _ = write!(about, ", {shown} {value}");
        }
    }
    about
}

/// Whose subscription.
fn who(named: &Value) -> String {
    match named["group"].as_str() {
        Some(_) => format!("group {}", text(&named["group"])),
        None => format!("{}/{}", text(&named["user"]), text(&named["durable"])),
    }
}

fn stands(subscription: &Value) -> String {
    let mut line = format!("{}: {}", who(subscription), text(&subscription["state"]));
    if let Some(attempt) = subscription["waiting"]["attempt"].as_u64() {
        let client = text(&subscription["client"]);
        let _ = write!(line, ", attempt {attempt} waits for {client}");
    }
    let failed = list(&subscription["failed"]).len() as u64;
    let failed = failed.max(subscription["attempts_failed"].as_u64().unwrap_or(0));
    if failed > 0 {
        let _ = write!(line, ", {failed} failed");
    }
    line
}

/// What the reader must know to take the story for no more than it is.
fn notes(story: &Value, zero: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(due) = story["deliver_at"].as_u64() {
        let at = Timestamp::from_ms(due);
        notes.push(format!("it waits to be published at {} {}", day(at), time_of_day(at)));
    }
    let places = list(&story["places"]);
    for gone in places.iter().filter(|place| place["kept"] == false) {
        notes.push(format!("{} #{} is trimmed", text(&gone["topic"]), gone["offset"]));
    }
    if story["published"]["expired"] == true {
        notes.push("its time to live is over".to_owned());
    }
    match story["record_from"].as_u64() {
        None if places.is_empty() => {}
        None => notes.push("deliveries are not recorded (trace.events = 0)".to_owned()),
        Some(since) if since > zero => {
            let at = Timestamp::from_ms(since);
            let when = format!("{} {}", day(at), time_of_day(at));
            notes.push(format!(
                "deliveries are recorded since {when}; what was before is not shown"
            ));
        }
        Some(_) => {}
    }
    if story["dead_letters_complete"] == false {
        notes.push("there are more dead letters than were looked at".to_owned());
    }
    notes.extend(list(&story["not_kept"]).iter().map(|what| format!("not kept: {}", text(what))));
    notes
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// `+12 ms`, `+3.4 s`, `+5m 2s`.
fn after(ms: u64) -> String {
    match ms {
        0..1000 => format!("+{ms} ms"),
        1000..60_000 => format!("+{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("+{}m {}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("+{}h {}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_is_told_in_the_order_of_time_from_its_publish_on() {
        let w = json!({"user": "alice", "durable": "w", "client": "desk", "offset": 7});
        let event = |at: u64, what: &str, attempt: Option<u64>| {
            let mut event = w.clone();
            event["at"] = json!(at);
            event["what"] = json!(what);
            event["attempt"] = json!(attempt);
            event
        };
        let story = json!({
            "id": "01JD0M2Q8G00Z0000000000003",
            "places": [{"topic": "jobs/1", "offset": 7, "at": 1_795_000_000_000_u64, "kept": true}],
            "published": {"from": "shop", "bytes": 12},
            "events": [
                event(1_795_000_000_002, "sent", Some(1)),
                event(1_795_000_030_002, "timed_out", Some(1)),
                event(1_795_000_031_500, "sent", Some(2)),
                event(1_795_000_091_500, "acked", None),
                json!({"at": 1_795_000_091_600_u64, "what": "returned", "group": "g", "client": "c"}),
                json!({"at": 1_795_000_091_700_u64, "what": "given_up", "group": "g"}),
            ],
            "subscriptions": [
                {"user": "alice", "durable": "w", "state": "settled"},
                {"user": "bob", "durable": "p", "state": "pending", "attempts_failed": 2,
                 "client": "b\u{1b}", "waiting": {"attempt": 3, "sent_at": 0}},
            ],
            "dead_letters": [], "dead_letters_complete": true,
            "record_from": 1_794_000_000_000_u64,
            "not_kept": ["x"],
        });
        let expected = "\
01JD0M2Q8G00Z0000000000003
2026-11-18 11:06:40Z
    +0 ms  published to jobs/1 #7, by shop, bytes: 12
    +2 ms  sent to alice/w on desk
  +30.0 s  timed out: alice/w on desk
  +31.5 s  sent to alice/w on desk, attempt 2
  +1m 31s  acked by alice/w on desk
  +1m 31s  given back unsent by group g on c
  +1m 31s  given up by group g
now
  alice/w: settled
  bob/p: pending, attempt 3 waits for b\u{fffd}, 2 failed
note: not kept: x
";
        assert_eq!(for_people(&story), expected);
    }

    #[test]
    fn what_waits_is_told_with_its_own_topic_and_its_time() {
        let story = json!({
            "id": "01JD0M2Q8G00Z0000000000003",
            "places": [],
            "scheduled": {
                "topic": "jobs/1", "at": 1_795_000_000_000_u64,
                "deliver_at": 1_795_000_060_000_u64, "from": "shop", "bytes": 12,
            },
            "deliver_at": 1_795_000_060_000_u64,
        });
        let expected = "\
01JD0M2Q8G00Z0000000000003
2026-11-18 11:06:40Z
  +0 ms  scheduled for jobs/1, by shop, bytes: 12
note: it waits to be published at 2026-11-18 11:07:40Z
";
        assert_eq!(for_people(&story), expected);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let story = json!({
            "id": "01JD0M2Q8G00Z0000000000003",
            "places": [{"topic": "a", "offset": 7, "kept": false}],
            "record_from": 1_795_000_000_000_u64, "dead_letters_complete": false,
        });
        let told = for_people(&story);
        assert!(told.contains("a #7 is trimmed"), "{told}");
        assert!(told.contains("recorded since 2026-11-18"), "{told}");
        assert!(told.contains("more dead letters"), "{told}");
    }
}
