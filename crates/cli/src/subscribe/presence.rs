//! `--presence`: who is on the topic, who joins and who leaves, each as a line.

use std::io::{self, Write};

use serde::Serialize;
use tidings_client::{Member, PresenceChange, Present};

use crate::shown::Format;

/// The list of those who are there.
pub(super) fn write_list(out: &mut Vec<u8>, format: Format, present: &Present) -> io::Result<()> {
    let Present { topic, members, total } = present;
    if format == Format::Json {
        let topic = topic.as_str();
        return write_json(out, &List { topic, present: shown(members), total: *total });
    }
    write!(out, "{topic}  here  {}", names(members))?;
    match total.saturating_sub(members.len() as u64) {
        0 => {}
        more => write!(out, " and {more} more")?,
    }
    out.write_all(b"\n")
}

/// What changed; nothing for an event that only says that others were lost.
pub(super) fn write_change(
    out: &mut Vec<u8>,
    format: Format,
    change: &PresenceChange,
) -> io::Result<()> {
    let PresenceChange { topic, joined, left, reset: _ } = change;
    if joined.is_empty() && left.is_empty() {
        return Ok(());
    }
    if format == Format::Json {
        let (joined, left) = (shown(joined), shown(left));
        return write_json(out, &Change { topic: topic.as_str(), joined, left });
    }
    for (what, members) in [("joined", joined), ("left", left)] {
        if !members.is_empty() {
            writeln!(out, "{topic}  {what}  {}", names(members))?;
        }
    }
    Ok(())
}

fn write_json(out: &mut Vec<u8>, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}

fn names(members: &[Member]) -> String {
    let name = |Member { user, client, .. }: &Member| format!("{user} ({client})");
    let names: Vec<_> = members.iter().map(name).collect();
    // Ids have no control characters that could steer a terminal.
    names.join(", ")
}

fn shown<'a>(members: &'a [Member]) -> Vec<ShownMember<'a>> {
    let shown = |Member { user, client, since }: &'a Member| ShownMember {
        user: user.as_str(),
        client: client.as_str(),
        since: since.as_ms(),
    };
    members.iter().map(shown).collect()
}

#[derive(Serialize)]
struct ShownMember<'a> {
    user: &'a str,
    client: &'a str,
    since: u64,
}

/// Keys are what scripts rely on: add, never rename.
#[derive(Serialize)]
struct List<'a> {
    topic: &'a str,
    present: Vec<ShownMember<'a>>,
    total: u64,
}

/// See [`List`].
#[derive(Serialize)]
struct Change<'a> {
    topic: &'a str,
    joined: Vec<ShownMember<'a>>,
    left: Vec<ShownMember<'a>>,
}

#[cfg(test)]
mod tests {
    use tidings_core::{ClientId, Timestamp, Topic, UserId};

    use super::*;
    use crate::shown::Colour;

    const PLAIN: Format = Format::Human(Colour::Unwanted);

    fn member(user: &str, client: &str) -> Member {
        Member {
            user: UserId::parse(user).unwrap(),
            client: ClientId::parse(client).unwrap(),
            since: Timestamp::from_ms(1_795_000_000_000),
        }
    }

    fn topic() -> Topic {
        Topic::parse("room/42").unwrap()
    }

    fn list(format: Format, total: u64) -> String {
        let members = vec![member("bob", "phone"), member("eve", "web")];
        let mut out = Vec::new();
        write_list(&mut out, format, &Present { topic: topic(), members, total }).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn change(format: Format, joined: &[Member], left: &[Member]) -> String {
        let (joined, left) = (joined.to_vec(), left.to_vec());
        let change = PresenceChange { topic: topic(), joined, left, reset: false };
        let mut out = Vec::new();
        write_change(&mut out, format, &change).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_read_who_is_there() {
        assert_eq!(list(PLAIN, 2), "room/42  here  bob (phone), eve (web)\n");
        assert_eq!(list(PLAIN, 5), "room/42  here  bob (phone), eve (web) and 3 more\n");
        let (bob, eve) = (member("bob", "phone"), member("eve", "web"));
        let both = change(PLAIN, std::slice::from_ref(&bob), &[eve]);
        assert_eq!(both, "room/42  joined  bob (phone)\nroom/42  left  eve (web)\n");
        assert_eq!(change(PLAIN, &[], &[]), "");
        assert_eq!(change(PLAIN, &[bob], &[]), "room/42  joined  bob (phone)\n");
    }

    #[test]
    fn scripts_get_objects() {
        let bob = r#"{"user":"bob","client":"phone","since":1795000000000}"#;
        let eve = r#"{"user":"eve","client":"web","since":1795000000000}"#;
        let expected = format!(r#"{{"topic":"room/42","present":[{bob},{eve}],"total":2}}"#);
        assert_eq!(list(Format::Json, 2), expected + "\n");
        let expected = format!(r#"{{"topic":"room/42","joined":[{bob}],"left":[]}}"#);
        assert_eq!(change(Format::Json, &[member("bob", "phone")], &[]), expected + "\n");
    }
}
