//! Starting and stopping: from a configuration to running threads and tasks, and back.

mod settings;
mod start_error;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tidings_core::{Epoch, PolicyTable};
use tidings_storage::{CommitObserver, MemoryConfig, MemoryStore, Store, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Authenticator, KeyError, OperatorKey, OriginRules};
use crate::clock::Clock;
use crate::commit::CommitFanOut;
use crate::config::{Config, Secret};
use crate::directory::Directory;
use crate::disconnects::Disconnects;
use crate::door::{Door, OperatorDoor, Refusals, listen, tls_config};
use crate::door_lane::DoorLane;
use crate::door_reads::DoorReads;
use crate::env::{Env, Seats, Seeds};
use crate::inbox::{Letter, Waiting, Whose};
use crate::kept_attempts::KeptAttempts;
use crate::metrics::Metrics;
use crate::operator::Facts;
use crate::presence::Roster;
use crate::reader::Readers;
use crate::resting_groups::RestingGroups;
use crate::schedule::SharedSchedule;
use crate::shard::{Shard, ShardSeat};
use crate::spans::{Export, Exporter, Spans};
use crate::watchers::Watchers;
use crate::{engine, http, operator};
use settings::{presence_settings, settings};
pub use start_error::StartError;

/// Time that the export of spans has at the end, however long the drain took.
const EXPORT_LEAST: Duration = Duration::from_millis(500);

/// Which store a server keeps its topics in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The embedded log, in the configured directory.
    #[default]
    Embedded,
    /// Memory: everything is gone when the server stops. For tests and try-outs.
    Memory,
}

/// Builds a server.
#[derive(Debug)]
pub struct ServerBuilder {
    config: Config,
    engine: Engine,
    routes: Router,
}

/// A server to be. See [`Server::builder`].
#[derive(Debug)]
pub struct Server;

impl Server {
    /// A server with `config`, over the embedded store.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), tidings_server::StartError> {
    /// use tidings_server::{Config, Server};
    ///
    /// let mut config = Config::default();
    /// config.auth.open = true; // Only on loopback; `validate` sees to that.
    /// let server = Server::builder(config).start().await?;
    /// println!("listening on {}", server.public_addr());
    /// server.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(config: Config) -> ServerBuilder {
        ServerBuilder { config, engine: Engine::Embedded, routes: Router::new() }
    }

    /// Starts a server with `config`, over the embedded store.
    pub async fn start(config: Config) -> Result<RunningServer, StartError> {
        Self::builder(config).start().await
    }
}

impl ServerBuilder {
    /// Keeps topics in `engine`.
    #[must_use]
    pub const fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Serves `routes` on the public port beside the server's own, behind the same rules for
    /// origins, with the same deadline, and with a line in the log for each request.
    ///
    /// # Panics
    ///
    /// [`start`](Self::start) does if one of them is a route of the server's own.
    #[must_use]
    pub fn routes(mut self, routes: Router) -> Self {
        self.routes = routes;
        self
    }

    /// Checks the configuration, opens the store, and listens. Port 0 takes a free port.
    ///
    /// Must be called within a tokio runtime. Opening the store reads the end of the log and may
    /// take seconds after a crash.
    pub async fn start(self) -> Result<RunningServer, StartError> {
        let Self { config, engine, routes } = self;
        config.validate()?;
        let tls = config.tls.as_ref().map(tls_config).transpose()?;
        let public = listen(config.server.listen, "server.listen")?;
        let operator = listen(config.server.operator, "server.operator")?;
        let Parts { env, seats, readers, exporter } = parts(&config, engine).await?;
        // The store has made the directory by now, and keeps other servers out of it.
        let operator_key = Arc::new(operator_key(&config, engine)?);
        let (failure, failed) = watch::channel(None);
        let shards = start_shards(&env, seats, &failure)?;
        let running = RunningServer {
            public_addr: public.local_addr()?,
            operator_addr: operator.local_addr()?,
            operator_key,
            env: Arc::clone(&env),
            shards,
            readers,
            export: exporter.map(Exporter::start),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            stopped: CancellationToken::new(),
            failed,
        };
        let router = http::router(&env, OriginRules::new(&config), routes);
        running.open_door(public, tls, router);
        running.open_operator(operator, facts(&config, engine, &running));
        running.tasks.spawn(crate::schedule::run(env.clone(), running.draining.clone()));
        running.wake_watchers();
        tracing::info!(
            public = %running.public_addr, operator = %running.operator_addr,
            tls = config.tls.is_some(), shards = env.inboxes.len(), "serving"
        );
        Ok(running)
    }
}

/// A server's parts before any of them listens or runs, but the readers.
pub(crate) struct Parts {
    pub(crate) env: Arc<Env>,
    pub(crate) seats: Vec<ShardSeat>,
    /// Their threads.
    pub(crate) readers: Vec<JoinHandle<()>>,
    exporter: Option<Exporter>,
}

/// Opens the store and puts the parts together.
pub(crate) async fn parts(config: &Config, engine: Engine) -> Result<Parts, StartError> {
    let authenticator = Authenticator::new(&config.auth)?;
    let seats = (0..shard_count(config)).map(|lane| ShardSeat::new(lane as u32));
    let seats: Vec<ShardSeat> = seats.collect::<Result<_, _>>()?;
    let inboxes: Vec<_> = seats.iter().map(|seat| Arc::clone(&seat.inbox)).collect();
    let policies = Arc::new(config.policy_table());
    let door_lane = Arc::new(DoorLane::new(&policies));
    let schedule = Arc::<SharedSchedule>::default();
    let watchers = Arc::new(Watchers::new(config.http.streams_max));
    let fan_out = CommitFanOut::new(
        inboxes.clone(),
        Arc::clone(&door_lane),
        Arc::clone(&schedule),
        Arc::clone(&watchers),
    );
    let store = open_store(engine, config, &policies, Arc::new(fan_out)).await?;
    authenticator.revocations().load(store.as_ref())?;
    schedule.load(store.as_ref())?;
    let (readers, reading) = Readers::start(&store, &policies)?;
    let metrics = Metrics::new();
    let (spans, exporter) = Spans::new(&config.trace, &config.server.node, random_u64(), &metrics)?;
    let env = Arc::new(Env {
        settings: settings(config),
        clock: Clock::start(),
        store,
        readers,
        directory: Directory::default(),
        disconnects: Disconnects::new(Clock::wall()),
        roster: Roster::new(presence_settings(config), &inboxes),
        attempts: KeptAttempts::default(),
        resting_groups: RestingGroups::default(),
        authenticator,
        door_reads: DoorReads::new(&policies),
        policies,
        metrics,
        spans,
        inboxes,
        door_lane,
        schedule,
        watchers,
        seats: Arc::new(Seats::new(config.server.connections_max)),
        looks_at_users: Semaphore::new(1),
        seeds: Seeds::from(random_u64()),
    });
    Ok(Parts { env, seats, readers: reading, exporter })
}

fn join_all(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        let name = thread.thread().name().unwrap_or("?").to_owned();
        if thread.join().is_err() {
            tracing::error!(thread = name, "a thread ended by a panic");
        }
    }
}

/// A server that runs. Dropping it leaves it running until the process ends; call
/// [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct RunningServer {
    public_addr: SocketAddr,
    operator_addr: SocketAddr,
    operator_key: Arc<OperatorKey>,
    env: Arc<Env>,
    shards: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
    /// Spans on their way to a collector.
    export: Option<Export>,
    tasks: TaskTracker,
    /// No new connections; readiness is off.
    draining: CancellationToken,
    /// Nothing more is answered.
    stopped: CancellationToken,
    failed: watch::Receiver<Option<String>>,
}

impl RunningServer {
    /// Where clients connect.
    pub const fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    /// Where the operator looks.
    pub const fn operator_addr(&self) -> SocketAddr {
        self.operator_addr
    }

    /// What the operator's port asks for: `Authorization: Bearer KEY`.
    pub fn operator_key(&self) -> &Secret {
        self.operator_key.secret()
    }

    /// Resolves when a part of the server has failed that it cannot run without, with what
    /// happened; for as long as all is well it does not resolve.
    pub fn failed(&self) -> impl Future<Output = String> + use<> {
        let mut failed = self.failed.clone();
        async move {
            let failure = failed.wait_for(Option::is_some).await.map(|failure| failure.clone());
            match failure {
                Ok(Some(failure)) => failure,
                // Every shard has ended by itself: the server is shutting down.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        }
    }

    /// Closes a user's connections on this server, finally.
    pub fn disconnect(&self, user: &tidings_core::UserId) {
        self.env.disconnect(user, Whose::All);
    }

    /// Drains and stops: no new connections, readiness off, clients told in waves when to come
    /// back, requests answered, cursors saved, the log synced. Takes at most about the configured
    /// `server.drain_timeout`.
    pub async fn shutdown(self) {
        let timeout = self.env.settings.drain_timeout;
        tracing::info!(connections = self.env.seats.taken(), ?timeout, "draining");
        self.draining.cancel();
        self.env.watchers.drain();
        let due = self.env.clock.now() + timeout;
        let deadline = Instant::now() + timeout;
        for inbox in &self.env.inboxes {
            inbox.post(Letter::Drain { due });
        }
        self.tasks.close();
        if tokio::time::timeout(timeout, self.tasks.wait()).await.is_err() {
            tracing::warn!("some HTTP requests were cut off by the drain's deadline");
        }
        let Self { env, shards, readers, export, stopped, .. } = self;
        let join = tokio::task::spawn_blocking(move || {
            join_all(shards);
            // Not before: to let go of what it has, a shard may have to read.
            env.readers.close();
            join_all(readers);
            // A socket that was posted while its shard ended is closed with its letter.
            for inbox in &env.inboxes {
                inbox.take(&mut Waiting::default());
            }
            env.store.close();
        });
        if let Err(error) = join.await {
            tracing::error!(%error, "stopping failed");
        }
        if let Some(export) = export {
            // The last spans end with the last connections, which may have taken all of the time.
            export.close(deadline.max(Instant::now() + EXPORT_LEAST)).await;
        }
        stopped.cancel();
        tracing::info!("stopped");
    }

    fn open_door(
        &self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        router: Router,
    ) {
        let door = Door {
            env: Arc::clone(&self.env),
            listener,
            tls,
            router,
            tasks: self.tasks.clone(),
            stop: self.draining.clone(),
            refusals: Refusals::default(),
        };
        crate::task::spawn("door", door.run());
    }

    fn wake_watchers(&self) {
        let (watchers, stopped) = (Arc::clone(&self.env.watchers), self.stopped.clone());
        crate::task::spawn("watchers", async move {
            tokio::select! {
                () = watchers.ring() => {}
                () = stopped.cancelled() => {}
            }
        });
    }

    fn open_operator(&self, listener: TcpListener, facts: Facts) {
        let key = Arc::clone(&self.operator_key);
        let router = operator::router(Arc::clone(&self.env), self.draining.clone(), key, facts);
        let stopped = self.stopped.clone();
        let door = OperatorDoor::new(Arc::clone(&self.env), listener, router, stopped);
        crate::task::spawn("operator", door.run());
    }
}

fn start_shards(
    env: &Arc<Env>,
    seats: Vec<ShardSeat>,
    failure: &watch::Sender<Option<String>>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let start = |(lane, seat): (usize, ShardSeat)| {
        let shard = Shard::new(Arc::clone(env), seat);
        let alarm = Alarm { lane, failure: failure.clone() };
        std::thread::Builder::new().name(format!("shard-{lane}")).spawn(move || {
            let alarm = alarm;
            shard.run();
            drop(alarm);
        })
    };
    seats.into_iter().enumerate().map(start).collect()
}

/// Tells that a shard has ended by a panic: its connections are gone, so the process must be
/// restarted rather than run on with a part of its clients deaf.
struct Alarm {
    lane: usize,
    failure: watch::Sender<Option<String>>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failure.send_replace(Some(format!("shard {} ended by a panic", self.lane)));
        }
    }
}

async fn open_store(
    engine: Engine,
    config: &Config,
    policies: &Arc<PolicyTable>,
    observer: Arc<dyn CommitObserver>,
) -> Result<Arc<dyn Store>, StartError> {
    match engine {
        Engine::Memory => {
            let memory = MemoryConfig {
                dedup_window: config.storage.dedup_window,
                dedup_keys_max: config.storage.dedup_keys_max,
                cursor_expiry: config.storage.cursor_expiry,
                // Another life each time, so that nobody resumes into it from an earlier one.
                epoch: Epoch::new(random_u64()),
                ..MemoryConfig::default()
            };
            Ok(Arc::new(MemoryStore::new(
                &memory,
                Arc::clone(policies),
                observer,
                Arc::new(SystemClock),
            )))
        }
        Engine::Embedded => {
            let (section, policies) = (config.storage.clone(), Arc::clone(policies));
            let open = move || engine::open_embedded(&section, policies, observer);
            let opened = tokio::task::spawn_blocking(open).await;
            Ok(opened.map_err(std::io::Error::other)??)
        }
    }
}

/// The key of the configuration, or one that the server makes.
fn operator_key(config: &Config, engine: Engine) -> Result<OperatorKey, KeyError> {
    match (OperatorKey::configured(&config.auth)?, engine) {
        (Some(key), _) => Ok(key),
        (None, Engine::Embedded) => OperatorKey::kept_in(&config.storage.directory),
        (None, Engine::Memory) => Ok(OperatorKey::for_this_run()),
    }
}

fn facts(config: &Config, engine: Engine, running: &RunningServer) -> Facts {
    let storage = &config.storage;
    Facts {
        started_at: Clock::wall(),
        public: running.public_addr,
        operator: running.operator_addr,
        has_tls: config.tls.is_some(),
        auth_open: config.auth.open,
        config: config.shown(),
        kept_in: match engine {
            Engine::Embedded => Some((storage.directory.clone(), storage.disk_bytes_max.as_u64())),
            Engine::Memory => None,
        },
    }
}

fn shard_count(config: &Config) -> usize {
    match config.server.shards {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

fn random_u64() -> u64 {
    getrandom::u64().expect("the system has randomness")
}
