//! The `connect` frame: who is there, and which session they get.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_core::{
    ClientId, CloseCode, ConnectDecision, Principal, Session, SessionId, decide_connect,
};
use tidings_protocol::{Connect, Connected, ErrorBody, ErrorCode, RequestId, ServerBody};

use super::connection::{Active, Phase};
use super::subscription::Subscriptions;
use super::{PendingWrite, Shard};
use crate::auth::AuthError;
use crate::clock::Clock;
use crate::directory::Place;
use crate::inbox::Letter;

/// Tokens refused on one connection before it is closed: a check costs up to 100 µs.
const REFUSED_REFRESHES_MAX: u8 = 8;

impl Shard {
    pub(super) fn connect(&mut self, slot: u32, id: Option<RequestId>, connect: Connect) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let token = match &mut connection.phase {
            Phase::Awaiting { token } => {
                connect.token.clone().or(token.take().map(|hidden| hidden.0))
            }
            Phase::Active(_) | Phase::Closing { .. } => {
                let message = "this connection is connected already";
                let error = ErrorBody::new(ErrorCode::AlreadyConnected, message);
                return self.send_error(slot, id, error);
            }
        };
        let wall = Clock::wall();
        let principal = match self.env.authenticator.principal(token.as_deref(), wall) {
            Ok(principal) => principal,
            Err(error) => return self.refuse(slot, id, &error),
        };
        let known = connect.session.as_ref().and_then(|session| self.known_session(session));
        let decision = match decide_connect(wall, &principal.user, known) {
            Ok(decision) => decision,
            Err(error) => {
                let body = ErrorBody::new(ErrorCode::SessionDenied, error.to_string());
                self.send_error(slot, id, body);
                return self.close(slot, CloseCode::Unauthenticated);
            }
        };
        let is_named = connect.client.is_some();
        let (session, resumed) = self.session(decision, &principal, connect.client, wall);
        self.activate(slot, id, principal, session, resumed);
        // A name that the server made up is another one each time: its cursor would never move.
        if is_named && self.env.settings.subscribe_inbox {
            self.subscribe_own_inbox(slot);
        }
    }

    /// A session that a connection has, or one that waits. The store may not have heard of the
    /// former yet: `connected` does not wait for it.
    fn known_session(&self, id: &SessionId) -> Option<Session> {
        self.env.directory.session(id).or_else(|| self.env.store.session(id))
    }

    fn session(
        &self,
        decision: ConnectDecision,
        principal: &Principal,
        client: Option<ClientId>,
        wall: tidings_core::Timestamp,
    ) -> (Session, bool) {
        let expires_at = wall.plus(self.env.settings.session_expiry);
        match decision {
            ConnectDecision::Resume(session) => {
                let client = client.unwrap_or_else(|| session.client.clone());
                (Session { client, expires_at, ..session }, true)
            }
            ConnectDecision::Create => {
                let id = random_name();
                let client = client.unwrap_or_else(|| {
                    // Not of the session's name: that is a secret, and this is shown to others.
                    let made_up = format!("c-{}", &random_name()[..8]);
                    ClientId::parse(&made_up).expect("base64 is a valid client name")
                });
                let id = SessionId::parse(&id).expect("base64 is a valid session name");
                (Session { id, user: principal.user.clone(), client, expires_at }, false)
            }
        }
    }

    fn activate(
        &mut self,
        slot: u32,
        id: Option<RequestId>,
        principal: Arc<Principal>,
        session: Session,
        resumed: bool,
    ) {
        let Some(connection) = self.key(slot) else { return };
        let place = Place { lane: self.inbox.lane(), connection };
        let session = Arc::new(session);
        if let Some(before) = self.env.directory.take_session(&session, place) {
            let letter = Letter::TakeOver { holder: before.connection };
            self.env.inboxes[before.lane as usize].post(letter);
        }
        self.save_session(Arc::clone(&session), PendingWrite::Session { connection });
        let connected = Connected {
            session: session.id.clone(),
            user: principal.user.clone(),
            client: session.client.clone(),
            node: self.env.settings.node.clone(),
            resumed,
            ping: self.env.settings.connection.ping_interval,
            expires_at: principal.expires_at,
            limits: self.env.settings.limits,
        };
        let now = self.now;
        if let Some(connection) = self.connection(connection) {
            connection.life.authenticated(now, principal.expires_at);
            connection.phase = Phase::Active(Box::new(Active {
                principal,
                session,
                since: Clock::wall(),
                subscriptions: Subscriptions::new(),
                publishes_in_flight: 0,
                history_in_flight: 0,
                refused_refreshes: 0,
            }));
        }
        self.env.metrics.sessions.inc();
        self.arm(slot);
        self.send(slot, id, ServerBody::Connected(connected));
    }

    fn refuse(&mut self, slot: u32, id: Option<RequestId>, error: &AuthError) {
        self.send_error(slot, id, ErrorBody::new(error.code(), error.to_string()));
        let code = match error.code() {
            ErrorCode::TokenExpired => CloseCode::TokenExpired,
            _ => CloseCode::Unauthenticated,
        };
        self.close(slot, code);
    }

    /// A fresh token on a live connection: the same user, from now on with its capabilities.
    pub(super) fn refresh(&mut self, slot: u32, id: Option<RequestId>, token: &str) {
        let principal = self.env.authenticator.principal(Some(token), Clock::wall());
        let now = self.now;
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let Phase::Active(active) = &mut connection.phase else { return };
        match principal {
            Ok(fresh) if fresh.user == active.principal.user => {
                connection.life.authenticated(now, fresh.expires_at);
                let expires_at = fresh.expires_at;
                active.principal = fresh;
                self.end_forbidden_subscriptions(slot);
                self.arm(slot);
                self.send(slot, id, ServerBody::Refreshed { expires_at });
            }
            Ok(_) => {
                let message = "the fresh token is another user's";
                let error = ErrorBody::new(ErrorCode::Unauthenticated, message);
                self.send_error(slot, id, error);
            }
            Err(error) => {
                active.refused_refreshes += 1;
                let too_many = active.refused_refreshes > REFUSED_REFRESHES_MAX;
                self.send_error(slot, id, ErrorBody::new(error.code(), error.to_string()));
                if too_many {
                    self.close(slot, CloseCode::Unauthenticated);
                }
            }
        }
    }
}

/// 128 random bits as text.
fn random_name() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}
