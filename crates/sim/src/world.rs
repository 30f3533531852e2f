//! Publishers, a store, a server and subscribers in virtual time, with everything that can come
//! between them. The decisions are those of `tidings-core`; the rest is a model.

mod durable;
mod event;
mod faults;
mod inbox;
mod link;
mod live;
mod publishing;
mod session;
mod store;

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{Backoff, DeliveryPolicy, Epoch, Instant, Offset, Timestamp};

use crate::checker;
use crate::history::Record;
use crate::mutation::Mutation;
use crate::random::Random;
use crate::run::{Layer, Run};
use crate::sometimes::Coverage;
use crate::trace::{Trace, Tracing};
use crate::violation::{Promise, Violation};
use durable::DurableConnection;
use event::{ConnectionId, Event, EventQueue, Process};
use faults::Fault;
use inbox::DurableClient;
use link::Link;
use live::{LiveClient, LiveConnection};
use publishing::Publisher;
use session::{Devices, Sessions};
use store::{Outcome, Refused, Store, Ticket, Told, Write};

/// Far more than any run needs; one that gets here goes round in circles.
const EVENTS_MAX: u32 = 40_000;

/// How long an answered ack may wait for its cursor: for a slow commit under way, and for its own.
const CURSOR_LAG_MAX: Duration = Duration::from_millis(2_200);

/// What a seed has drawn for its whole run.
#[derive(Clone, Debug)]
struct Plan {
    faults: Vec<Fault>,
    /// Requests and answers of publishers get lost.
    loses_answers: bool,
    /// Durable subscribers nack, refuse and forget.
    hesitates: bool,
    /// Some syncs take long.
    slow_syncs: bool,
    latency_max: u64,
    delivery: DeliveryPolicy,
    /// How long a session outlives its connection.
    session_expiry: Duration,
    /// When faults end.
    chaos_until: Instant,
}

impl Plan {
    fn draw(random: &mut Random) -> Self {
        let mut faults = Fault::ALL.to_vec();
        faults.retain(|_| random.chance(60));
        if faults.is_empty() {
            faults.push(Fault::LiveDrops);
        }
        let base = random.between(5, 80);
        Self {
            faults,
            loses_answers: random.chance(60),
            hesitates: random.chance(60),
            slow_syncs: random.chance(50),
            latency_max: if random.chance(20) { 150 } else { random.between(1, 40) },
            delivery: DeliveryPolicy {
                ack_timeout: Duration::from_millis(random.between(100, 400)),
                attempts_max: random.between(1, 4) as u32,
                backoff: Backoff {
                    base: Duration::from_millis(base),
                    cap: Duration::from_millis(base * 4),
                },
            },
            session_expiry: draw_expiry(random),
            chaos_until: Instant::from_ms(random.between(500, 3_000)),
        }
    }
}

/// Most sessions outlive a run, but for a clock that is set; some do not outlive an absence.
fn draw_expiry(random: &mut Random) -> Duration {
    let long = random.chance(50);
    Duration::from_millis(if long { 4 * 60 * 60 * 1_000 } else { random.between(100, 1_200) })
}

/// The server's process: what is lost when it ends.
#[derive(Debug, Default)]
struct Server {
    up: bool,
    process: Process,
    live: BTreeMap<usize, LiveConnection>,
    durable: BTreeMap<usize, DurableConnection>,
    sessions: Sessions,
    /// Durable subscriptions whose first cursor is on its way, and who is to be answered.
    making: BTreeMap<usize, ConnectionId>,
    /// Durable subscriptions whose last cursor is on its way, and who waits for them.
    leaving: BTreeMap<usize, Option<ConnectionId>>,
    /// The last message heard of. Readers of the log may be ahead.
    heard: Offset,
    news: Link,
}

impl Server {
    fn start(&mut self, head: Offset) {
        self.up = true;
        self.heard = head;
    }

    fn stop(&mut self) {
        *self = Self { process: Process(self.process.0 + 1), ..Self::default() };
    }
}

#[derive(Debug)]
struct World {
    now: Instant,
    /// How far the wall clock was set, in milliseconds.
    clock_set: i64,
    random: Random,
    plan: Plan,
    mutation: Option<Mutation>,
    queue: EventQueue,
    store: Store,
    server: Server,
    publishers: Vec<Publisher>,
    live: Vec<LiveClient>,
    durable: Vec<DurableClient>,
    devices: Devices,
    /// Messages and connections named so far.
    names: u64,
    connections: u64,
    history: Vec<Record>,
    coverage: Coverage,
    trace: Trace,
}

/// Runs one seed.
pub(crate) fn run(layer: Layer, seed: u64, mutation: Option<Mutation>, tracing: Tracing) -> Run {
    let mut world = World::new(layer, seed, mutation, tracing);
    let verdict = world.play().and_then(|()| checker::check(&world.history, CURSOR_LAG_MAX));
    if let Err(violation) = &verdict {
        world.trace.line(|| violation.to_string());
    }
    world.store.add_coverage(&mut world.coverage);
    Run { verdict, coverage: world.coverage, trace: world.trace }
}

impl World {
    fn new(layer: Layer, seed: u64, mutation: Option<Mutation>, tracing: Tracing) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let mut trace = Trace::new(tracing);
        trace.line(|| format!("{plan:?}"));
        let epoch = Epoch::new(random.seed());
        let publisher = |random: &mut Random| {
            let patience = Duration::from_millis(random.between(60, 400));
            Publisher::new(random.between(2, 12) as u32, patience)
        };
        let publishers = (0..random.between(1, 3)).map(|_| publisher(&mut random)).collect();
        let live = (0..random.between(1, 3)).map(|_| LiveClient::default()).collect();
        let durable = (0..random.between(1, 2)).map(|_| DurableClient::default()).collect();
        Self {
            now: Instant::ORIGIN,
            clock_set: 0,
            random,
            plan,
            mutation,
            queue: EventQueue::default(),
            store: Store::new(layer, mutation, epoch),
            server: Server::default(),
            publishers,
            live,
            durable,
            devices: Devices::default(),
            names: 0,
            connections: 0,
            history: Vec::new(),
            coverage: Coverage::default(),
            trace,
        }
    }

    /// Runs until nothing is left to happen.
    fn play(&mut self) -> Result<(), Violation> {
        self.record_session_rules();
        for publisher in 0..self.publishers.len() {
            self.comes_back(Event::PublisherActs { publisher });
        }
        for client in 0..self.live.len() {
            self.comes_back(Event::LiveConnects { client });
        }
        for client in 0..self.durable.len() {
            self.comes_back(Event::DurableConnects { client });
        }
        self.queue.add(self.now, Event::Trouble);
        self.restart(false);
        for _ in 0..EVENTS_MAX {
            let Some((at, event)) = self.queue.next() else {
                self.record_log();
                self.record_sessions();
                return Ok(());
            };
            self.now = at;
            self.trace.line(|| format!("{:>7} {event:?}", at.as_ms()));
            self.handle(event);
        }
        let what = format!("still busy after {EVENTS_MAX} events");
        Err(Violation::new(Promise::Liveness, what))
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::PublisherActs { publisher } => self.publisher_acts(publisher),
            Event::PublishArrives { request, process } => self.publish_arrives(request, process),
            Event::PublishAnswered { request, answer } => self.publish_answered(request, answer),
            Event::PublishTimesOut { request } => self.publish_times_out(request),
            Event::StoreSteps { process } => self.store_steps(process),
            Event::Heard { head_before, offset, name, process } => {
                if self.server.process == process {
                    self.fan_out(head_before, offset, name);
                    self.server.heard = self.server.heard.max(offset);
                    self.durable_tail_advanced(offset);
                }
            }
            Event::LiveConnects { client } => self.live_connects(client),
            Event::LiveSubscribes { client, connection, process } => {
                self.live_subscribes(client, connection, process);
            }
            Event::LiveReads { client, connection } => self.live_reads(client, connection),
            Event::LiveRead { client, connection, batch } => {
                self.live_read(client, connection, batch);
            }
            Event::LiveFrame { client, connection, frame } => {
                self.live_frame(client, connection, frame);
            }
            Event::DurableConnects { client } => self.durable_connects(client),
            Event::DurableSubscribes { client, connection, process } => {
                self.durable_subscribes(client, connection, process);
            }
            Event::DurableGivesUp { client, connection } => {
                self.durable_gives_up(client, connection);
            }
            Event::DurableFrame { client, connection, frame } => {
                self.durable_frame(client, connection, frame);
            }
            Event::DurableDecides { client, connection, offset } => {
                self.durable_decides(client, connection, offset);
            }
            Event::DurableReplies { client, connection, reply } => {
                self.durable_replies(client, connection, reply);
            }
            Event::DurableDeadline { client, connection } => {
                self.durable_deadline(client, connection);
            }
            Event::DurableSaves { client, connection } => self.durable_saves(client, connection),
            Event::StoreSyncs { process } => self.store_syncs(process),
            Event::TabConnects { subscriber, connection, process } => {
                self.tab_connects(subscriber, connection, process);
            }
            Event::Welcomed { subscriber, connection, session, resumed } => {
                self.welcomed(subscriber, connection, session, resumed);
            }
            Event::ToldTakenOver { subscriber, connection } => {
                self.told_taken_over(subscriber, connection);
            }
            Event::SessionLooked { connection, process } => {
                self.session_looked(connection, process);
            }
            Event::Trouble => self.trouble(),
            Event::SpaceFreed => self.store.free_space(),
            Event::Crash { process } => self.crash(process, false),
            Event::Restart { lost } => self.restart(lost),
        }
    }

    /// Gives the store a write, and starts a commit if none is under way.
    fn submit(&mut self, write: Write, ticket: Ticket) -> Result<(), Refused> {
        self.store.submit(write, ticket)?;
        self.begin_commit();
        Ok(())
    }

    fn begin_commit(&mut self) {
        if self.store.begin(self.wall()) {
            self.store_steps_soon();
        }
    }

    fn store_steps_soon(&mut self) {
        let slow = self.plan.slow_syncs && self.random.chance(15);
        let latency = self.random.between(0, if slow { 500 } else { 10 });
        let process = self.server.process;
        self.after(Duration::from_millis(latency), Event::StoreSteps { process });
    }

    fn store_steps(&mut self, process: Process) {
        if self.server.process != process {
            return;
        }
        let Told { outcomes, head_before: mut head, appended, durable } =
            self.store.step(self.wall());
        self.record_durable(durable);
        self.restart_if_poisoned();
        if let Some(wait) = self.store.sync_wanted() {
            self.after(wait, Event::StoreSyncs { process });
        }
        for (ticket, outcome) in outcomes {
            self.tell(ticket, outcome);
        }
        for (offset, name) in appended {
            let at = self.server.news.arrival(self.now, self.random.between(0, 15));
            self.queue.add(at, Event::Heard { head_before: head, offset, name, process });
            head = head.max(offset);
        }
        let (unsynced, untold) = self.store.unsynced_and_untold();
        if unsynced || untold {
            self.store_steps_soon();
        } else {
            self.begin_commit();
        }
    }

    fn store_syncs(&mut self, process: Process) {
        if self.server.process == process {
            self.store.sync();
            self.restart_if_poisoned();
        }
    }

    fn tell(&mut self, ticket: Ticket, outcome: Outcome) {
        match ticket {
            Ticket::Nobody => {}
            Ticket::Publisher(request) => self.publish_done(request, outcome),
            Ticket::NewCursor { durable } => self.cursor_made(durable, outcome),
            Ticket::LastCursor { durable } => self.durable_left(durable, outcome),
            Ticket::Cursor { durable, connection, reserved } => {
                self.cursor_saved(durable, connection, reserved, outcome);
            }
            Ticket::DeadLetter { durable, connection, offset } => {
                self.letter_done(durable, connection, offset, outcome);
            }
            Ticket::Session { connection, session, expires_at } => {
                self.session_saved(connection, session, expires_at, outcome);
            }
        }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn record(&mut self, record: Record) {
        self.trace.line(|| format!("            {record:?}"));
        self.history.push(record);
    }

    /// What the server's wall clock shows.
    fn wall(&self) -> Timestamp {
        const START: u64 = 1_795_000_000_000;
        Timestamp::from_ms((START + self.now.as_ms()).saturating_add_signed(self.clock_set))
    }

    /// Whether faults still happen.
    fn chaos(&self) -> bool {
        self.now < self.plan.chaos_until
    }

    fn latency(&mut self) -> Duration {
        Duration::from_millis(self.random.between(1, self.plan.latency_max))
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.queue.add(self.now + wait, event);
    }

    /// Somebody tries again after a while.
    fn comes_back(&mut self, event: Event) {
        let wait = Duration::from_millis(self.random.between(5, 250));
        self.after(wait, event);
    }

    const fn new_connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }
}
