//! The documents say what the code does: tables between markers are written from it
//! (`UPDATE_EXPECT=1` writes them anew), examples are decoded, and no code is left out.

use std::fmt::Write as _;
use std::path::PathBuf;

use tidings_core::{CloseCode, Comeback, limits};
use tidings_protocol::{
    Codec, DATA_DEPTH_MAX, ErrorCode, decode_client_frame, decode_server_frame,
};

fn path(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../docs").join(name)
}

/// Compares what stands between the markers of `table` in docs/protocol.md with `expected`.
fn check_table(table: &str, expected: &str) {
    let path = path("protocol.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- begin {table} -->\n"), format!("<!-- end {table} -->"));
    let (before, rest) = text.split_once(&begin).expect("the table has a begin marker");
    let (actual, after) = rest.split_once(&end).expect("the table has an end marker");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
    } else {
        assert_eq!(actual, expected, "run with UPDATE_EXPECT=1");
    }
}

/// One test for all tables: they are written into one file.
#[test]
fn the_tables_are_fresh() {
    check_codes();
    check_limits();
}

fn check_codes() {
    let mut errors =
        "| code | HTTP | temporary | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for code in ErrorCode::ALL {
        let (word, status, meaning) = (code.as_str(), code.http_status(), code.meaning());
        let temporary = if code.is_temporary() { "yes" } else { "no" };
        writeln!(errors, "| [`{word}`](errors.md#{word}) | {status} | {temporary} | {meaning} |")
            .unwrap();
    }
    check_table("error codes", &errors);

    let mut codes = "| code | reason | then |\n| --- | --- | --- |\n".to_owned();
    for code in CloseCode::ALL {
        let then = match Comeback::after(code.code()) {
            Comeback::Final => "do not come back",
            Comeback::AtOnce => "come back at once",
            Comeback::WithBackoff => "come back with backoff",
        };
        writeln!(codes, "| {} | `{}` | {then} |", code.code(), code.as_str()).unwrap();
    }
    check_table("close codes", &codes);
}

fn check_limits() {
    let ms = |duration: std::time::Duration| duration.as_millis().to_string();
    let limits = [
        ("bytes of a topic or filter", limits::TOPIC_BYTES_MAX.to_string()),
        ("levels of a topic or filter", limits::TOPIC_LEVELS_MAX.to_string()),
        (
            "bytes of a user, client, session, durable or group name",
            limits::ID_BYTES_MAX.to_string(),
        ),
        ("bytes of a key", limits::DEDUP_KEY_BYTES_MAX.to_string()),
        ("bytes of an order key", limits::ORDER_KEY_BYTES_MAX.to_string()),
        ("bytes of a content type", limits::CONTENT_TYPE_BYTES_MAX.to_string()),
        ("headers of a message", limits::HEADERS_MAX.to_string()),
        ("bytes of all headers of a message", limits::HEADERS_BYTES_MAX.to_string()),
        ("arrays and objects in each other in JSON data", DATA_DEPTH_MAX.to_string()),
        ("bytes of data that can be configured at most", limits::MESSAGE_BYTES_MAX.to_string()),
        ("bytes of a token", limits::TOKEN_BYTES_MAX.to_string()),
        ("bytes of the reason of a nack", limits::REASON_BYTES_MAX.to_string()),
        ("`delay_ms` and `by_ms`", ms(limits::REDELIVERY_DELAY_MAX)),
        ("`window`, and offsets in one ack", limits::WINDOW_MAX.to_string()),
        ("messages in one history reply", limits::READ_MESSAGES_MAX.to_string()),
        ("members in one `present` reply", limits::PRESENCE_MEMBERS_MAX.to_string()),
        ("messages in one HTTP batch", limits::PUBLISH_BATCH_MAX.to_string()),
    ];
    let mut table = "| at most | |\n| --- | --- |\n".to_owned();
    for (what, limit) in limits {
        writeln!(table, "| {what} | {limit} |").unwrap();
    }
    check_table("limits", &table);
}

#[test]
fn every_error_code_has_its_section() {
    let text = std::fs::read_to_string(path("errors.md")).unwrap();
    let mut sections = text.lines().filter_map(|line| line.strip_prefix("## "));
    for code in ErrorCode::ALL {
        assert_eq!(sections.next(), Some(code.as_str()), "one section each, in the table's order");
    }
    assert_eq!(sections.next(), None);
}

/// Lines of docs/protocol.md that start with an arrow are frames: `→` from the client, `←` from
/// the server. Each must decode, and examples must be there for every kind.
#[test]
fn the_examples_are_frames() {
    let text = std::fs::read_to_string(path("protocol.md")).unwrap();
    let (mut client_kinds, mut server_kinds) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some(frame) = line.strip_prefix("→ ") {
            let frame = decode_client_frame(Codec::Json, &mut frame.as_bytes()).unwrap();
            client_kinds.push(frame.unwrap_or_else(|error| panic!("{line}: {error}")).body.kind());
        } else if let Some(frame) = line.strip_prefix("← ") {
            let frame = decode_server_frame(Codec::Json, &mut frame.as_bytes()).unwrap();
            server_kinds.push(frame.unwrap_or_else(|error| panic!("{line}: {error}")).body.kind());
        }
    }
    for kinds in [&mut client_kinds, &mut server_kinds] {
        kinds.sort_unstable();
        kinds.dedup();
    }
    assert_eq!(client_kinds.len(), 12, "{client_kinds:?}");
    assert_eq!(server_kinds.len(), 16, "{server_kinds:?}");
}
