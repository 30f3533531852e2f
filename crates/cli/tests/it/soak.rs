//! A soak of the real binary over real sockets: publishers, live and durable subscribers of every
//! habit, and a server that is killed every few seconds. What the clients saw is judged by the
//! checker of the simulation, per topic:
//!
//! - what was acknowledged is in the log once, at the place that was told, after every kill (P1,
//!   P5), and what anybody saw is too (P3); nobody disagrees about what is at a place (P2);
//! - a live subscriber gets everything once and in order, or is told of a gap that there is (P2,
//!   P6, P8);
//! - a durable subscriber gets everything until it is acked or a dead letter (P4); what is
//!   new comes in order, and what may have come before says so;
//! - what it acked and got an answer for does not come again, unless the server was killed within
//!   [`CURSOR_LAG_MAX`] after the answer;
//! - a session that was given is taken up again, unless the server was killed just after.
//!
//! `TIDINGS_SOAK_SECONDS` makes it longer (`cargo xtask soak`).

mod durable;
mod ledger;
mod link;
mod live;
mod publisher;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_core::{Epoch, Offset, Position, TopicState};
use tidings_sim::checker;
use tidings_sim::history::{Name, Record, Subscriber};

use crate::program::{Dice, Server};
use durable::{Habit, durable_name};
use ledger::{Count, Ledger, Moment};
use link::{Gone, Link};

const TOPICS: usize = 3;
const PUBLISHERS: usize = 2;
const LIVE: usize = 2;
const HABITS: [Habit; 5] = [Habit::Fast, Habit::Slow, Habit::Nacks, Habit::Leaves, Habit::Leaves];
const SECONDS: u64 = 25;

/// A cursor is saved 25 ms after it moved, behind what the disk has to do before.
const CURSOR_LAG_MAX: Duration = Duration::from_secs(2);
/// How long a client waits for a server that is not there.
const RETRY: Duration = Duration::from_millis(20);
/// How long what is owed may take once the trouble is over.
const DRAIN_MAX: Duration = Duration::from_secs(120);

const CONFIGURATION: &str = r##"
[auth]
open = true

[server]
drain_timeout = "2s"

[log]
level = "error"

[[topic]]
match = "soak/#"
ack_timeout = "1s"
attempts_max = 4
backoff_base = "20ms"
backoff_cap = "500ms"
"##;

/// Where a client works.
#[derive(Clone, Copy, Debug)]
struct Place {
    port: u16,
    topic: usize,
}

fn topic_name(topic: usize) -> String {
    format!("soak/{topic}")
}

#[test]
fn a_soak_loses_nothing_and_says_what_it_repeats() {
    let seconds = std::env::var("TIDINGS_SOAK_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |seconds| seconds.parse().expect("a number of seconds"));
    let mut dice = Dice::new();
    let mut server = Server::serve(CONFIGURATION);
    server.start();
    let ledger = Arc::new(Ledger::new(TOPICS));
    for topic in 0..TOPICS {
        look(&ledger, &server, topic);
    }
    let (publishers, subscribers) = start_clients(&ledger, &server, &mut dice);
    let (kills, stops) = make_trouble(&ledger, &mut server, &mut dice, seconds);
    ledger.finish();
    join(publishers);
    let heads: Vec<_> = (0..TOPICS).map(|topic| log_of(&server, topic).0.head).collect();
    ledger.drain(&heads);
    watch(&ledger, &subscribers);
    join(subscribers);
    let letters = dead_letters(&ledger, &server);
    for topic in 0..TOPICS {
        look(&ledger, &server, topic);
    }
    print_summary(&ledger, &heads, kills, stops, letters);
    judge(&ledger);
    assert!(ledger.counted(Count::Repeats) > 0, "nothing was ever repeated");
    assert!(ledger.counted(Count::Acknowledged) > seconds * 20, "hardly anything was published");
}

/// Starts everybody: publishers and subscribers.
fn start_clients(
    ledger: &Arc<Ledger>,
    server: &Server,
    dice: &mut Dice,
) -> (Vec<JoinHandle<()>>, Vec<JoinHandle<()>>) {
    let port = server.port;
    let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
    for topic in 0..TOPICS {
        let place = Place { port, topic };
        for _ in 0..PUBLISHERS {
            let (ledger, dice) = (Arc::clone(ledger), dice.split());
            publishers.push(std::thread::spawn(move || publisher::publish(&ledger, place, dice)));
        }
        for number in 0..LIVE {
            let (ledger, dice) = (Arc::clone(ledger), dice.split());
            let follow = move || live::follow(&ledger, place, number, dice);
            subscribers.push(std::thread::spawn(follow));
        }
        for (number, habit) in HABITS.into_iter().enumerate() {
            let (ledger, dice) = (Arc::clone(ledger), dice.split());
            let take = move || durable::take(&ledger, place, number, habit, dice);
            subscribers.push(std::thread::spawn(take));
        }
    }
    (publishers, subscribers)
}

/// Kills the server every few seconds, and now and then asks it to stop; gives how often.
fn make_trouble(ledger: &Ledger, server: &mut Server, dice: &mut Dice, seconds: u64) -> (u64, u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut kills, mut stops) = (0, 0);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1_000 + dice.below(3_000)));
        if dice.below(5) == 0 {
            // Every cursor is saved: nothing that was settled may come again.
            assert!(server.stop().success(), "the server did not stop as it should");
            stops += 1;
        } else {
            ledger.killing();
            server.kill();
            kills += 1;
        }
        ledger.next_process();
        server.start();
        look(ledger, server, dice.below(TOPICS as u64) as usize);
        println!(
            "{kills} kills, {stops} stops: {} acknowledged, {} live and {} durable deliveries, {} repeats",
            ledger.counted(Count::Acknowledged),
            ledger.counted(Count::Live),
            ledger.counted(Count::Durable),
            ledger.counted(Count::Repeats)
        );
    }
    (kills, stops)
}

/// Lets the history know what a log holds.
fn look(ledger: &Ledger, server: &Server, topic: usize) {
    let moment: Moment = ledger.moment(topic);
    let (state, messages) = log_of(server, topic);
    let name = |data: &Value| Name::new(data["data"]["name"].as_u64().unwrap());
    let messages =
        messages.iter().map(|m| (Offset::new(m["offset"].as_u64().unwrap()), name(m))).collect();
    ledger.found(topic, &moment, state, messages);
}

fn log_of(server: &Server, topic: usize) -> (TopicState, Vec<Value>) {
    read_log(server, &topic_name(topic)).expect("the server runs")
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
fn dead_letters(ledger: &Ledger, server: &Server) -> usize {
    let (_, letters) = read_log(server, "$dead-letters").expect("the server runs");
    for letter in &letters {
        let header = |name: &str| letter["headers"][name].as_str().unwrap();
        let topic = (0..TOPICS).find(|topic| topic_name(*topic) == header("tidings-topic"));
        let names = 0..HABITS.len();
        let number = names.into_iter().find(|n| durable_name(*n) == header("tidings-durable"));
        let (Some(topic), Some(number)) = (topic, number) else {
            panic!("a dead letter of nobody's: {letter}");
        };
        let epoch: Epoch = header("tidings-epoch").parse().unwrap();
        let offset = Offset::new(header("tidings-offset").parse().unwrap());
        let (subscriber, position) = (Subscriber::Durable(number), Position { epoch, offset });
        ledger.record(topic, Record::DeadLettered { subscriber, position });
    }
    letters.len()
}

/// Waits for the subscribers; those that do not end in time are told to.
fn watch(ledger: &Ledger, subscribers: &[JoinHandle<()>]) {
    let until = Instant::now() + DRAIN_MAX;
    while subscribers.iter().any(|subscriber| !subscriber.is_finished()) {
        if Instant::now() > until {
            return ledger.give_up();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn join(clients: Vec<JoinHandle<()>>) {
    for client in clients {
        client.join().expect("a client of the soak failed");
    }
}

fn print_summary(ledger: &Ledger, heads: &[Offset], kills: u64, stops: u64, letters: usize) {
    println!("\n{kills:>9}  kills\n{stops:>9}  stops");
    let stored: u64 = heads.iter().map(|head| head.get()).sum();
    println!("{stored:>9}  messages in {} topics\n{letters:>9}  dead letters", heads.len());
    for (count, what) in Count::ALL {
        println!("{:>9}  {what}", ledger.counted(count));
    }
}

/// Every topic's history keeps every promise, or the test fails and leaves the history behind.
fn judge(ledger: &Ledger) {
    let mut broken = Vec::new();
    for topic in 0..TOPICS {
        let history = ledger.history(topic);
        let Err(violation) = checker::check(&history, CURSOR_LAG_MAX) else { continue };
        let name = format!("tidings-soak-{}-{topic}.txt", std::process::id());
        let file = std::env::temp_dir().join(name);
        let lines: Vec<_> = history.iter().map(|record| format!("{record:?}")).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        broken.push(format!("{}: {violation}\nhistory: {}", topic_name(topic), file.display()));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    println!("{:>9}  lost, out of order, or repeated without saying so", 0);
}
