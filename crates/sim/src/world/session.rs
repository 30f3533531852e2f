//! Sessions: what a client's device remembers, which connection holds which, and what is saved.
//!
//! Besides its subscriber's connection a session may be taken up by another one of the same device
//! (a second tab), which subscribes to nothing: the one before has to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::{
    ClientId, ConnectDecision, ResetReason, Session, SessionError, SessionId, Timestamp, UserId,
    decide_connect,
};

use super::World;
use super::event::{ConnectionId, Event, Process};
use super::faults::RESTART_MAX;
use super::store::{Outcome, SYNC_INTERVAL, Ticket, Write};
use crate::history::{ConnectionName, Record, SessionName, SessionRecord, Subscriber};
use crate::mutation::Mutation;
use crate::sometimes::Sometimes;

/// How long a session waits that could not be saved.
const SAVE_RETRY: Duration = Duration::from_millis(50);

/// Who has a session on the server, in its memory.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    holders: BTreeMap<SessionName, ConnectionId>,
    connections: BTreeMap<ConnectionId, Held>,
}

#[derive(Debug)]
struct Held {
    subscriber: Subscriber,
    session: Session,
}

/// What outlives the server, on the clients' devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    sessions: BTreeMap<Subscriber, SessionName>,
    tabs: BTreeSet<ConnectionId>,
    /// Sessions named so far.
    names: u64,
}

impl World {
    /// What sessions are judged by.
    pub(super) fn record_session_rules(&mut self) {
        let commit = if self.plan.slow_syncs { 1_100 } else { 40 };
        // A save waits for the commit under way, and for its own.
        let lag = self.look_every() + Duration::from_millis(2 * commit);
        let expiry = self.plan.session_expiry;
        // A store that failed to sync ends a little later.
        let unsynced = SYNC_INTERVAL + RESTART_MAX;
        self.record_session(SessionRecord::Rules { expiry, lag, unsynced });
    }

    /// The server hears `connect`, and gives the connection a session, unless it is refused.
    pub(super) fn enters(&mut self, subscriber: Subscriber, connection: ConnectionId) -> bool {
        let (wall, at) = (self.wall(), self.now);
        let shown = self.shown_by(subscriber);
        let known = shown.and_then(|name| self.store.told().sessions.get(&name)).cloned();
        self.coverage.met_if(shown.is_some() && known.is_none(), Sometimes::SessionUnknown);
        let expired = known.as_ref().is_some_and(|session| session.expires_at <= wall);
        self.coverage.met_if(expired, Sometimes::SessionExpired);
        let known = known.map(|session| self.as_mutated(session, subscriber));
        let expires_at = wall.plus(self.plan.session_expiry);
        let (session, resumed) = match decide_connect(wall, &user_of(subscriber), known) {
            Ok(ConnectDecision::Resume(session)) => (Session { expires_at, ..session }, true),
            Ok(ConnectDecision::Create) => (self.new_session(subscriber, expires_at), false),
            Err(SessionError::OtherUser) => {
                self.denies(subscriber, connection, shown);
                return false;
            }
        };
        self.coverage.met_if(resumed, Sometimes::SessionResumed);
        let name = name_of(&session.id);
        let (entering, connection_name) = (name, connection.name());
        self.record_session(SessionRecord::Entered {
            subscriber,
            connection: connection_name,
            shown,
            session: entering,
            resumed,
            wall,
            at,
        });
        self.takes_session(name, connection);
        let held = Held { subscriber, session: session.clone() };
        self.server.sessions.connections.insert(connection, held);
        self.save_session(connection, session);
        let resumed = resumed || self.is(Mutation::SaysResumed);
        let latency = self.latency();
        self.after(latency, Event::Welcomed { subscriber, connection, session: name, resumed });
        self.looks_again(connection);
        true
    }

    /// The session that a client shows: its own, or by a mistake in its program another's.
    fn shown_by(&mut self, subscriber: Subscriber) -> Option<SessionName> {
        if self.chaos() && self.random.chance(3) {
            let others = self.devices.sessions.iter().filter(|(whose, _)| **whose != subscriber);
            let others: Vec<_> = others.map(|(_, name)| *name).collect();
            if !others.is_empty() {
                return Some(others[self.random.index(others.len())]);
            }
        }
        self.devices.sessions.get(&subscriber).copied()
    }

    fn as_mutated(&self, session: Session, subscriber: Subscriber) -> Session {
        let half = self.plan.session_expiry / 2;
        match self.mutation {
            Some(Mutation::SessionNeverExpires) => {
                Session { expires_at: Timestamp::from_ms(u64::MAX), ..session }
            }
            Some(Mutation::SessionExpiresEarly) => {
                Session { expires_at: session.expires_at.minus(half), ..session }
            }
            Some(Mutation::SessionOfAnybody) => Session { user: user_of(subscriber), ..session },
            _ => session,
        }
    }

    fn new_session(&mut self, subscriber: Subscriber, expires_at: Timestamp) -> Session {
        self.devices.names += 1;
        let id = id_of(SessionName::new(self.devices.names));
        let client = ClientId::parse("phone").expect("a valid client");
        Session { id, user: user_of(subscriber), client, expires_at }
    }

    fn denies(
        &mut self,
        subscriber: Subscriber,
        connection: ConnectionId,
        shown: Option<SessionName>,
    ) {
        self.coverage.met(Sometimes::SessionDenied);
        if let Some(shown) = shown {
            self.record_session(SessionRecord::Denied { subscriber, shown });
        }
        self.connection_ends(subscriber, connection);
    }

    /// A connection has the session from now on; the one before it is closed, and told why.
    fn takes_session(&mut self, session: SessionName, connection: ConnectionId) {
        let before = self.server.sessions.holders.insert(session, connection);
        let Some(before) = before.filter(|before| *before != connection) else { return };
        let Some(held) = self.server.sessions.connections.get(&before) else { return };
        let subscriber = held.subscriber;
        if !self.is(Mutation::TakesOverSilently) {
            let latency = self.latency();
            self.after(latency, Event::ToldTakenOver { subscriber, connection: before });
        }
        self.server_closes(subscriber, before);
    }

    /// The server's side of a connection ends. Its session waits for its expiry, unless it is
    /// another connection's by now: then it is that one's to save.
    pub(super) fn leaves_session(&mut self, connection: ConnectionId) {
        let Some(held) = self.server.sessions.connections.remove(&connection) else { return };
        let name = name_of(&held.session.id);
        let holder = self.server.sessions.holders.get(&name).copied();
        let is_ours = holder == Some(connection);
        self.coverage.met_if(!is_ours, Sometimes::FormerHolderEnded);
        if is_ours || self.is(Mutation::LeaverFreesSession) {
            self.server.sessions.holders.remove(&name);
        }
        if is_ours {
            let expires_at = self.wall().plus(self.plan.session_expiry);
            self.save_session(connection, Session { expires_at, ..held.session });
        }
    }

    fn save_session(&mut self, connection: ConnectionId, session: Session) {
        let name = name_of(&session.id);
        let ticket = Ticket::Session { connection, session: name, expires_at: session.expires_at };
        if self.submit(Write::SaveSession { name, session }, ticket).is_err() {
            self.tell(ticket, Outcome::Refused);
        }
    }

    /// A session is saved, or is not: then it is a little later.
    pub(super) fn session_saved(
        &mut self,
        connection: ConnectionId,
        session: SessionName,
        expires_at: Timestamp,
        outcome: Outcome,
    ) {
        let (wall, expiry) = (self.wall(), self.plan.session_expiry);
        match outcome {
            Outcome::Saved => {
                self.record_session(SessionRecord::Kept { session, expires_at, at: self.now })
            }
            Outcome::Refused | Outcome::Published(_) | Outcome::Duplicate { .. } => {
                self.coverage.met(Sometimes::SessionRefused);
                self.record_session(SessionRecord::Lags { session });
                if let Some(held) = self.server.sessions.connections.get_mut(&connection) {
                    held.session.save_refused(wall, expiry, SAVE_RETRY);
                }
            }
        }
    }

    /// The server looks at a connection from time to time. (At the end, only what is owed is left
    /// to happen.)
    fn looks_again(&mut self, connection: ConnectionId) {
        if self.chaos() {
            let process = self.server.process;
            self.after(self.look_every(), Event::SessionLooked { connection, process });
        }
    }

    fn look_every(&self) -> Duration {
        (self.plan.session_expiry / 8).min(Duration::from_millis(100))
    }

    pub(super) fn session_looked(&mut self, connection: ConnectionId, process: Process) {
        let (wall, expiry) = (self.wall(), self.plan.session_expiry);
        if self.server.process != process {
            return;
        }
        let lets_expire = self.is(Mutation::LetsSessionExpire);
        let Some(held) = self.server.sessions.connections.get_mut(&connection) else { return };
        if !lets_expire && let Some(session) = held.session.renew(wall, expiry) {
            self.coverage.met(Sometimes::SessionRenewed);
            self.save_session(connection, session);
        }
        self.looks_again(connection);
    }

    /// A second tab of somebody's device shows the session of the first.
    pub(super) fn tab_opens(&mut self) {
        let whose: Vec<_> = self.devices.sessions.keys().copied().collect();
        if whose.is_empty() || !self.server.up {
            return;
        }
        let subscriber = whose[self.random.index(whose.len())];
        let connection = self.new_connection();
        self.devices.tabs.insert(connection);
        let (latency, process) = (self.latency(), self.server.process);
        self.after(latency, Event::TabConnects { subscriber, connection, process });
    }

    pub(super) fn tab_connects(
        &mut self,
        subscriber: Subscriber,
        connection: ConnectionId,
        process: Process,
    ) {
        if self.server.process == process && self.server.up {
            self.enters(subscriber, connection);
        }
    }

    /// A client hears which session it has.
    pub(super) fn welcomed(
        &mut self,
        subscriber: Subscriber,
        connection: ConnectionId,
        session: SessionName,
        resumed: bool,
    ) {
        if self.is_open(subscriber, connection) {
            let connection = connection.name();
            self.record_session(SessionRecord::Welcomed { connection, session, resumed });
            // A program that showed another's by mistake does not remember it: two devices with
            // one session would take it from each other for ever.
            let mut devices = self.devices.sessions.iter();
            let anothers = devices.any(|(whose, name)| *whose != subscriber && *name == session);
            if !anothers {
                self.devices.sessions.insert(subscriber, session);
            }
        }
    }

    /// A client hears that its session is another connection's.
    pub(super) fn told_taken_over(&mut self, subscriber: Subscriber, connection: ConnectionId) {
        if self.is_open(subscriber, connection) {
            self.coverage.met(Sometimes::SessionTakenOver);
            let name = connection.name();
            self.record_session(SessionRecord::ToldTakenOver { connection: name });
            self.connection_ends(subscriber, connection);
        }
    }

    /// Whether a connection is open as its client sees it.
    fn is_open(&self, subscriber: Subscriber, connection: ConnectionId) -> bool {
        let current = match subscriber {
            Subscriber::Live(client) => self.live[client].connection,
            Subscriber::Durable(client) => self.durable[client].connection,
        };
        current == Some(connection) || self.devices.tabs.contains(&connection)
    }

    /// The server closes a connection of its own accord.
    fn server_closes(&mut self, subscriber: Subscriber, connection: ConnectionId) {
        self.leaves_session(connection);
        match subscriber {
            Subscriber::Live(client) => self.live_detaches(client, connection),
            Subscriber::Durable(client) => self.durable_detaches(client, connection),
        }
    }

    /// A connection ends at both ends.
    fn connection_ends(&mut self, subscriber: Subscriber, connection: ConnectionId) {
        if self.devices.tabs.remove(&connection) {
            self.client_left(connection);
            self.leaves_session(connection);
            return;
        }
        match subscriber {
            Subscriber::Live(client) if self.live[client].connection == Some(connection) => {
                self.live_drops(client);
            }
            Subscriber::Durable(client) if self.durable[client].connection == Some(connection) => {
                self.durable_drops(client);
            }
            Subscriber::Live(_) | Subscriber::Durable(_) => {}
        }
    }

    /// Tabs go with the server they were connected to.
    pub(super) fn tabs_close(&mut self) {
        for connection in std::mem::take(&mut self.devices.tabs) {
            self.client_left(connection);
        }
    }

    /// A connection is over for its client.
    pub(super) fn client_left(&mut self, connection: ConnectionId) {
        let (connection, at) = (connection.name(), self.now);
        self.record_session(SessionRecord::Left { connection, at });
    }

    /// The sessions that the store holds go into the history.
    pub(super) fn record_sessions(&mut self) {
        let sessions = self.store.told().sessions.iter();
        let sessions = sessions.map(|(name, session)| (*name, session.expires_at)).collect();
        let wall = self.wall();
        self.record_session(SessionRecord::Found { sessions, wall });
    }

    pub(super) fn record_session(&mut self, record: SessionRecord) {
        self.record(Record::Session(record));
    }

    /// The reason that a client is told.
    pub(super) fn reason_as_mutated(&self, reason: ResetReason) -> ResetReason {
        if self.is(Mutation::BlamesTrims) { ResetReason::Trimmed } else { reason }
    }
}

impl ConnectionId {
    const fn name(self) -> ConnectionName {
        ConnectionName::new(self.0)
    }
}

fn user_of(subscriber: Subscriber) -> UserId {
    let user = match subscriber {
        Subscriber::Live(client) => format!("live-{client}"),
        Subscriber::Durable(client) => format!("durable-{client}"),
    };
    UserId::parse(&user).expect("a valid user")
}

pub(super) fn id_of(name: SessionName) -> SessionId {
    SessionId::parse(&name.number().to_string()).expect("a valid session")
}

fn name_of(id: &SessionId) -> SessionName {
    SessionName::new(id.as_str().parse().expect("sessions are named by numbers here"))
}
