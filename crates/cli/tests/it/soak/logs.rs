//! What the logs of the server hold.

use serde_json::{Value, json};
use tidings_core::{Epoch, Offset, Position, TopicState};
use tidings_sim::history::{Name, Record, Subscriber};

use super::durable::durable_name;
use super::ledger::{Ledger, Moment};
use super::link::{Gone, Link};
use super::{HABITS, jobs, topic_name, topic_number};
use crate::program::Server;

/// Lets the history know what a log holds.
pub(crate) fn look(ledger: &Ledger, server: &Server, topic: usize) {
    let moment: Moment = ledger.moment(topic);
    let (state, messages) = log_of(server, topic);
    ledger.found(topic, &moment, state, names_in(&messages));
}

/// Where each message of a log stands.
pub(crate) fn names_in(messages: &[Value]) -> Vec<(Offset, Name)> {
    let name = |data: &Value| Name::new(data["data"]["name"].as_u64().unwrap());
    messages.iter().map(|m| (Offset::new(m["offset"].as_u64().unwrap()), name(m))).collect()
}

pub(crate) fn log_of(server: &Server, topic: usize) -> (TopicState, Vec<Value>) {
    read_log(server, topic_name(topic)).expect("the server runs")
}

/// A topic's state and everything in it.
fn read_log(server: &Server, topic: &str) -> Result<(TopicState, Vec<Value>), Gone> {
    let mut link = Link::open(&Ledger::new(0), server.port)?;
    let mut messages: Vec<Value> = Vec::new();
    let mut after = None;
    loop {
        let mut body = json!({"topic": topic, "limit": 500});
        if let Some(after) = &after {
            body["after"] = Value::clone(after);
        }
        let id = link.request("history", body)?;
        let answer = link.answer(id)?;
        let history = &answer["history"];
        let epoch = history["epoch"].as_str().unwrap_or_else(|| panic!("no history: {answer}"));
        messages.extend(history["messages"].as_array().unwrap().iter().cloned());
        if history["more"] != true {
            let offset = |field: &str| Offset::new(history[field].as_u64().unwrap());
            let (first, head) = (offset("first"), offset("offset"));
            return Ok((TopicState { epoch: epoch.parse().unwrap(), first, head }, messages));
        }
        let last = messages.last().map(|message| message["offset"].clone());
        after = Some(json!({"epoch": epoch, "offset": last}));
    }
}

/// Lets the histories know what became a dead letter; gives how many.
pub(crate) fn dead_letters(ledger: &Ledger, server: &Server) -> usize {
    let (_, letters) = read_log(server, "$dead-letters").expect("the server runs");
    for letter in &letters {
        if let Some(record) = jobs::dead_letter(ledger, letter) {
            ledger.record_group(record);
            continue;
        }
        let header = |name: &str| letter["headers"][name].as_str().unwrap();
        let topic = topic_number(header("tidings-topic"));
        let mut names = 0..HABITS.len();
        let number = names.find(|n| durable_name(*n) == header("tidings-durable"));
        let number = number.unwrap_or_else(|| panic!("a dead letter of nobody's: {letter}"));
        let epoch: Epoch = header("tidings-epoch").parse().unwrap();
        let offset = Offset::new(header("tidings-offset").parse().unwrap());
        let (subscriber, position) = (Subscriber::Durable(number), Position { epoch, offset });
        ledger.record(topic, Record::DeadLettered { subscriber, position });
    }
    letters.len()
}
