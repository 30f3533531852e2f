//! A soak of the real binary over real sockets: publishers, live and durable subscribers of every
//! habit, members of groups, readers over HTTP, messages for later, clients that come and go, and a
//! server that is killed every few seconds. What the clients saw is judged by the checker of the
//! simulation, per topic:
//!
//! - what was acknowledged is in the log once, at the place that was told, after every kill (P1,
//!   P5), and what anybody saw is too (P3); nobody disagrees about what is at a place (P2);
//! - a live subscriber gets everything once and in order, or is told of a gap that there is (P2,
//!   P6, P8);
//! - a durable subscriber gets everything until it is acked or a dead letter (P4); what is
//!   new comes in order, and what may have come before says so;
//! - what it acked and got an answer for does not come again, unless the server was killed within
//!   [`CURSOR_LAG_MAX`] after the answer;
//! - a session that was given is taken up again, unless the server was killed just after;
//! - where retention trims what a slow reader has not had, it is told, and of no more than that (P6).
//!
//! And over topics:
//!
//! - a message of a group is done by one member in the end, or is a dead letter; it is with one member
//!   at a time, one delivery alone is the first, and messages of an order key come one after the
//!   other, in the order of their topic;
//! - a message for later is published once, not before its time, soon after it if a server is there,
//!   and never if it was cancelled;
//! - a list of who is on a topic names those who are, and no ghosts.
//!
//! `TIDINGS_SOAK_SECONDS` makes it longer (`cargo xtask soak`).

mod durable;
mod follow;
mod http;
mod jobs;
mod later;
mod ledger;
mod link;
mod live;
mod logs;
mod members;
mod poll;
mod publisher;
mod room;
mod stream;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidings_core::Offset;
use tidings_sim::history::Subscriber;
use tidings_sim::{Violation, checker};

use crate::program::{Dice, Server};
use durable::Habit;
use jobs::{GROUPS, JOBS};
use later::LATER;
use ledger::{Count, Ledger};
use logs::{dead_letters, log_of, look, names_in};
use members::Trait;

const TOPICS: [&str; 7] = [
    "soak/0",
    "soak/1",
    "soak/2",
    "soak/jobs/quick",
    "soak/jobs/patient",
    "soak/later",
    "soak/short",
];
/// Topics with live and durable subscribers.
const PLAIN: Range<usize> = 0..3;
/// A topic that keeps few messages: whoever is slow loses some, and is told.
const SHORT: usize = 6;
/// The window of its durable subscribers: small, so that being told late is noticed before the next
/// kill, after which they are told anew.
const SHORT_WINDOW: u32 = 4;
const PUBLISHERS: usize = 2;
const LIVE: usize = 2;
const HABITS: [Habit; 5] = [Habit::Fast, Habit::Slow, Habit::Nacks, Habit::Leaves, Habit::Leaves];
const SECONDS: u64 = 20;
/// What a publisher of jobs waits after each: members take their time.
const JOB_PAUSE: Duration = Duration::from_millis(8);

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

[limits]
presence_grace = "500ms"

[[topic]]
match = "soak/room"
presence = true

[[topic]]
match = "soak/short"
retention_messages = 40
ack_timeout = "5s"
attempts_max = 4
backoff_base = "20ms"
backoff_cap = "500ms"

[[topic]]
match = "soak/jobs/patient"
ack_timeout = "60s"
attempts_max = 4
backoff_base = "20ms"
backoff_cap = "500ms"

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

fn topic_name(topic: usize) -> &'static str {
    TOPICS[topic]
}

fn topic_number(name: &str) -> usize {
    let number = TOPICS.iter().position(|topic| *topic == name);
    number.unwrap_or_else(|| panic!("a topic of nobody's: {name}"))
}

#[test]
fn a_soak_loses_nothing_and_says_what_it_repeats() {
    let seconds = std::env::var("TIDINGS_SOAK_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |seconds| seconds.parse().expect("a number of seconds"));
    let mut dice = Dice::new();
    let mut server = Server::serve(CONFIGURATION);
    server.start();
    let ledger = Arc::new(Ledger::new(TOPICS.len()));
    for topic in 0..TOPICS.len() {
        look(&ledger, &server, topic);
    }
    jobs::open(&ledger);
    ledger.ready();
    let (port, operator_port) = (server.port, server.operator_port);
    let mut clients = Clients { ledger: &ledger, port, operator_port, dice: &mut dice };
    let (mut publishers, mut subscribers) = (clients.publish(), clients.subscribe());
    publishers.extend(clients.visit());
    subscribers.extend(clients.work());
    subscribers.extend(clients.read_over_http());
    let (kills, stops) = make_trouble(&ledger, &mut server, &mut dice, seconds);
    ledger.finish();
    join(publishers);
    later::wait(&server);
    let heads: Vec<_> = (0..TOPICS.len()).map(|topic| log_of(&server, topic).0.head).collect();
    ledger.drain(&heads);
    jobs::wait(&ledger, &server);
    watch(&ledger, &subscribers);
    join(subscribers);
    let letters = dead_letters(&ledger, &server);
    for topic in 0..TOPICS.len() {
        look(&ledger, &server, topic);
    }
    print_summary(&ledger, &heads, kills, stops, letters);
    judge(&ledger, &server);
    assert!(ledger.counted(Count::Repeats) > 0, "nothing was ever repeated");
    assert!(ledger.counted(Count::JobsAgain) > 0, "no job was ever given to another member");
    assert!(ledger.counted(Count::Acknowledged) > seconds * 20, "hardly anything was published");
}

/// Starts everybody.
#[derive(Debug)]
struct Clients<'a> {
    ledger: &'a Arc<Ledger>,
    port: u16,
    operator_port: u16,
    dice: &'a mut Dice,
}

impl Clients<'_> {
    /// A thread that does `what`.
    fn start(&mut self, what: impl FnOnce(&Ledger, u16, Dice) + Send + 'static) -> JoinHandle<()> {
        let (ledger, port, dice) = (Arc::clone(self.ledger), self.port, self.dice.split());
        std::thread::spawn(move || what(&ledger, port, dice))
    }

    fn publish(&mut self) -> Vec<JoinHandle<()>> {
        let plain = PLAIN
            .chain([SHORT])
            .flat_map(|topic| [topic; PUBLISHERS])
            .map(|topic| (topic, Duration::ZERO));
        let publishers = plain.chain(JOBS.map(|topic| (topic, JOB_PAUSE)));
        let start = |(topic, pause)| {
            self.start(move |ledger, port, dice| {
                publisher::publish(ledger, Place { port, topic }, pause, dice);
            })
        };
        let mut started: Vec<_> = publishers.map(start).collect();
        let operator_port = self.operator_port;
        started.push(self.start(move |ledger, port, dice| {
            later::publish(ledger, port, operator_port, dice);
        }));
        started
    }

    /// Live and durable subscribers.
    fn subscribe(&mut self) -> Vec<JoinHandle<()>> {
        let mut started = Vec::new();
        for topic in PLAIN {
            for number in 0..LIVE {
                started.push(self.start(move |ledger, port, dice| {
                    live::follow(ledger, Place { port, topic }, number, dice);
                }));
            }
            for (number, habit) in HABITS.into_iter().enumerate() {
                started.push(self.start(move |ledger, port, dice| {
                    durable::take(ledger, Place { port, topic }, number, habit, dice);
                }));
            }
        }
        let topic = LATER;
        started.push(self.start(move |ledger, port, dice| {
            live::follow(ledger, Place { port, topic }, 0, dice);
        }));
        started.push(self.start(move |ledger, port, dice| {
            durable::take(ledger, Place { port, topic }, 0, Habit::Fast, dice);
        }));
        let topic = SHORT;
        for (number, habit) in HABITS.into_iter().enumerate().take(2) {
            started.push(self.start(move |ledger, port, dice| {
                durable::take(ledger, Place { port, topic }, number, habit, dice);
            }));
        }
        started
    }

    /// Clients that come and go, and one that asks for them.
    fn visit(&mut self) -> Vec<JoinHandle<()>> {
        let visitors = (0..room::CLIENTS).map(|number| {
            self.start(move |ledger, port, dice| room::visit(ledger, port, number, dice))
        });
        let mut started: Vec<_> = visitors.collect();
        started.push(self.start(|ledger, port, _| room::ask(ledger, port)));
        started
    }

    /// Members of groups.
    fn work(&mut self) -> Vec<JoinHandle<()>> {
        let mut started = Vec::new();
        for group in 0..GROUPS.len() {
            for habit in Trait::ALL {
                started.push(self.start(move |ledger, port, dice| {
                    members::work(ledger, port, group, habit, dice);
                }));
            }
        }
        started
    }

    /// Event streams and long polls.
    fn read_over_http(&mut self) -> Vec<JoinHandle<()>> {
        let (streams, polls) = (Subscriber::Live(LIVE), Subscriber::Live(LIVE + 1));
        vec![
            self.start(move |ledger, port, dice| stream::read(ledger, port, [0, 1], streams, dice)),
            self.start(move |ledger, port, dice| stream::read(ledger, port, [2, 3], streams, dice)),
            self.start(move |ledger, port, dice| poll::read(ledger, port, 0, polls, dice)),
            self.start(move |ledger, port, dice| poll::read(ledger, port, 2, polls, dice)),
            self.start(move |ledger, port, dice| poll::read(ledger, port, SHORT, polls, dice)),
        ]
    }
}

/// Kills the server every few seconds, and now and then asks it to stop; gives how often.
fn make_trouble(ledger: &Ledger, server: &mut Server, dice: &mut Dice, seconds: u64) -> (u64, u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut kills, mut stops) = (0, 0);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1_000 + dice.below(3_000)));
        if dice.below(5) == 0 {
            // Every cursor is saved: nothing that was settled may come again.
            ledger.stopping();
            assert!(server.stop().success(), "the server did not stop as it should");
            stops += 1;
        } else {
            ledger.killing();
            server.kill();
            kills += 1;
        }
        ledger.next_process();
        server.start();
        ledger.ready();
        look(ledger, server, dice.below(TOPICS.len() as u64) as usize);
        println!(
            "{kills} kills, {stops} stops: {} acknowledged, {} live and {} durable deliveries, \
             {} to members, {} repeats",
            ledger.counted(Count::Acknowledged),
            ledger.counted(Count::Live),
            ledger.counted(Count::Durable),
            ledger.counted(Count::Jobs),
            ledger.counted(Count::Repeats)
        );
    }
    (kills, stops)
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

/// Every history keeps every promise, or the test fails and leaves the history behind.
fn judge(ledger: &Ledger, server: &Server) {
    let mut broken = Vec::new();
    for (topic, name) in TOPICS.iter().enumerate() {
        let history = ledger.history(topic);
        let verdict = if topic == SHORT {
            checker::check_trimmed(&history, CURSOR_LAG_MAX, SHORT_WINDOW).map(|missed| {
                println!("{missed:>9}  messages trimmed before a slow reader had them, and told");
                assert!(missed > 0, "nobody was slow enough to lose anything");
            })
        } else {
            checker::check(&history, CURSOR_LAG_MAX)
        };
        broken.extend(judged(name, verdict, &history));
    }
    let verdict = jobs::judge(ledger, server);
    broken.extend(judged("groups", verdict, &ledger.group_history()));
    broken.extend(judged("later", later::judge(ledger, server), &ledger.schedule()));
    broken.extend(judged("presence", room::judge(ledger), &ledger.presence()));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    println!("{:>9}  lost, out of order, or repeated without saying so", 0);
}

/// What to say of a history that breaks a promise.
fn judged<R: Debug>(name: &str, verdict: Result<(), Violation>, history: &[R]) -> Option<String> {
    let violation = verdict.err()?;
    let name_of_file = name.replace('/', "-");
    let file = format!("tidings-soak-{}-{name_of_file}.txt", std::process::id());
    let file = std::env::temp_dir().join(file);
    let lines: Vec<_> = history.iter().map(|record| format!("{record:?}")).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    Some(format!("{name}: {violation}\nhistory: {}", file.display()))
}
