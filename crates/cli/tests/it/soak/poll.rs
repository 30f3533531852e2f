//! A reader that asks for the next page of a topic's history again and again, and waits there.

use std::time::Duration;

use serde_json::Value;
use tidings_sim::history::Subscriber;

use super::follow::Place;
use super::ledger::{Count, Ledger, Stage};
use super::link::Gone;
use super::{RETRY, SHORT, http, topic_name};
use crate::program::Dice;

/// How long the server holds back an empty page.
const WAIT_MS: u64 = 1_000;

/// What it waits between two pages of a topic that is trimmed, at most: it falls behind now and then.
const REST_MAX_MS: u64 = 1_500;

/// Reads a topic until it has all of it.
pub(crate) fn read(
    ledger: &Ledger,
    port: u16,
    topic: usize,
    subscriber: Subscriber,
    mut dice: Dice,
) {
    let mut place = Place::new(ledger, topic, subscriber);
    let mut cursor: Option<String> = None;
    while !place.is_done() && !ledger.is_overdue() {
        let mut path =
            format!("/v1/history?topic={}&limit=50&wait_ms={WAIT_MS}", topic_name(topic));
        if let Some(cursor) = &cursor {
            path += &format!("&cursor={cursor}");
        }
        let page = http::send(port, "GET", &path, "").and_then(|socket| {
            if ledger.stage() == Stage::Trouble && dice.below(40) == 0 {
                // Before the answer, which may be on its way.
                ledger.count(Count::Left, 1);
                return Err(Gone);
            }
            http::answer(socket)
        });
        let Ok((status, page)) = page else {
            std::thread::sleep(RETRY);
            continue;
        };
        if status == 503 {
            std::thread::sleep(RETRY);
            continue;
        }
        assert_eq!(status, 200, "{page}");
        take(ledger, &mut place, &page);
        if topic == SHORT && ledger.stage() == Stage::Trouble {
            std::thread::sleep(Duration::from_millis(dice.below(REST_MAX_MS)));
        }
        cursor = Some(page["cursor"].as_str().unwrap().to_owned());
    }
}

fn take(ledger: &Ledger, place: &mut Place<'_>, page: &Value) {
    if page["recovered"] != true {
        place.reset(page);
    }
    place.goes_on(page);
    for message in page["messages"].as_array().unwrap() {
        ledger.count(Count::Polled, 1);
        place.got(message);
    }
}
