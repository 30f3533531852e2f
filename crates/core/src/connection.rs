//! The life of a connection: who has to say something by when.

use std::time::Duration;

use crate::close::CloseCode;
use crate::limits;
use crate::time::{Instant, Timestamp};

/// The deadlines of every connection of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// From accept to the `connect` frame.
    pub handshake_timeout: Duration,
    /// Silence after which the server pings.
    pub ping_interval: Duration,
    /// Silence after a ping that counts as death.
    pub pong_timeout: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            handshake_timeout: limits::HANDSHAKE_TIMEOUT_DEFAULT,
            ping_interval: limits::PING_INTERVAL_DEFAULT,
            pong_timeout: limits::PONG_TIMEOUT_DEFAULT,
        }
    }
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Upgraded, but nobody has said who they are.
    AwaitingConnect {
        /// By when they must.
        due: Instant,
    },
    /// Authenticated and heard of lately.
    Active {
        /// When the peer was last heard.
        heard: Instant,
    },
    /// Pinged and not heard since.
    AwaitingPong {
        /// By when an answer must come.
        due: Instant,
    },
    /// A close was decided; nothing else happens.
    Closed,
}

/// Something for the caller to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEffect {
    /// Send a ping.
    Ping,
    /// Send a close with this code and end the connection.
    Close(CloseCode),
}

/// Decides when a connection is pinged and when it is given up. Sixteen bytes of state and the
/// end of its token, since a server has many.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    state: ConnectionState,
    token_expires_at: Option<Timestamp>,
}

impl Connection {
    /// A connection accepted at `now`.
    pub fn accepted(settings: &ConnectionSettings, now: Instant) -> Self {
        let due = now + settings.handshake_timeout;
        Self { state: ConnectionState::AwaitingConnect { due }, token_expires_at: None }
    }

    /// The `connect` frame was accepted (or a fresh token was shown). A connection that is closed
    /// stays closed.
    pub fn authenticated(&mut self, now: Instant, token_expires_at: Option<Timestamp>) {
        if self.state != ConnectionState::Closed {
            self.state = ConnectionState::Active { heard: now };
            self.token_expires_at = token_expires_at;
        }
    }

    /// A frame came from the peer, whatever it says.
    pub fn heard(&mut self, now: Instant) {
        match self.state {
            ConnectionState::Active { .. } | ConnectionState::AwaitingPong { .. } => {
                self.state = ConnectionState::Active { heard: now };
            }
            ConnectionState::AwaitingConnect { .. } | ConnectionState::Closed => {}
        }
    }

    /// Time has passed. `wall` judges the token, `now` everything else.
    pub fn deadline_passed(
        &mut self,
        settings: &ConnectionSettings,
        now: Instant,
        wall: Timestamp,
    ) -> Option<ConnectionEffect> {
        if self.token_expires_at.is_some_and(|at| at <= wall) {
            return Some(self.close(CloseCode::TokenExpired));
        }
        match self.state {
            ConnectionState::AwaitingConnect { due } if due <= now => {
                Some(self.close(CloseCode::HandshakeTimeout))
            }
            ConnectionState::AwaitingPong { due } if due <= now => {
                Some(self.close(CloseCode::PongTimeout))
            }
            ConnectionState::Active { heard } if heard + settings.ping_interval <= now => {
                self.state = ConnectionState::AwaitingPong { due: now + settings.pong_timeout };
                Some(ConnectionEffect::Ping)
            }
            ConnectionState::AwaitingConnect { .. }
            | ConnectionState::AwaitingPong { .. }
            | ConnectionState::Active { .. }
            | ConnectionState::Closed => None,
        }
    }

    /// A close was decided elsewhere.
    pub const fn close(&mut self, code: CloseCode) -> ConnectionEffect {
        self.state = ConnectionState::Closed;
        self.token_expires_at = None;
        ConnectionEffect::Close(code)
    }

    /// When [`deadline_passed`](Self::deadline_passed) is wanted.
    pub fn next_deadline(
        &self,
        settings: &ConnectionSettings,
        now: Instant,
        wall: Timestamp,
    ) -> Option<Instant> {
        let silence = match self.state {
            ConnectionState::AwaitingConnect { due } | ConnectionState::AwaitingPong { due } => due,
            ConnectionState::Active { heard } => heard + settings.ping_interval,
            ConnectionState::Closed => return None,
        };
        let token = self
            .token_expires_at
            .map(|at| now + Duration::from_millis(at.as_ms().saturating_sub(wall.as_ms())));
        Some(token.map_or(silence, |token| token.min(silence)))
    }

    /// Where it is in its life.
    pub const fn state(&self) -> ConnectionState {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: ConnectionSettings = ConnectionSettings {
        handshake_timeout: Duration::from_secs(10),
        ping_interval: Duration::from_secs(25),
        pong_timeout: Duration::from_secs(10),
    };

    fn at(seconds: u64) -> Instant {
        Instant::from_ms(seconds * 1000)
    }

    fn wall(seconds: u64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    #[test]
    fn a_silent_socket_is_closed() {
        let mut connection = Connection::accepted(&SETTINGS, at(0));
        connection.heard(at(5)); // Bytes are not a `connect` frame.
        assert_eq!(connection.deadline_passed(&SETTINGS, at(9), wall(9)), None);
        assert_eq!(
            connection.deadline_passed(&SETTINGS, at(10), wall(10)),
            Some(ConnectionEffect::Close(CloseCode::HandshakeTimeout))
        );
        assert_eq!(connection.next_deadline(&SETTINGS, at(10), wall(10)), None);
    }

    #[test]
    fn a_peer_is_pinged_only_after_silence_and_dead_without_an_answer() {
        let mut connection = Connection::accepted(&SETTINGS, at(0));
        connection.authenticated(at(1), None);
        connection.heard(at(20));
        assert_eq!(connection.deadline_passed(&SETTINGS, at(26), wall(26)), None);
        assert_eq!(connection.next_deadline(&SETTINGS, at(26), wall(26)), Some(at(45)));
        assert_eq!(
            connection.deadline_passed(&SETTINGS, at(45), wall(45)),
            Some(ConnectionEffect::Ping)
        );
        connection.heard(at(50));
        assert_eq!(
            connection.deadline_passed(&SETTINGS, at(75), wall(75)),
            Some(ConnectionEffect::Ping)
        );
        assert_eq!(
            connection.deadline_passed(&SETTINGS, at(85), wall(85)),
            Some(ConnectionEffect::Close(CloseCode::PongTimeout))
        );
    }

    #[test]
    fn a_token_ends_by_the_wall_clock_and_nothing_else_does() {
        let mut connection = Connection::accepted(&SETTINGS, at(0));
        connection.authenticated(at(0), Some(wall(1_000)));
        // The wall clock jumps an hour ahead: only the token is judged by it.
        assert_eq!(
            connection.deadline_passed(&SETTINGS, at(1), wall(3_600)),
            Some(ConnectionEffect::Close(CloseCode::TokenExpired))
        );
        let mut connection = Connection::accepted(&SETTINGS, at(0));
        connection.authenticated(at(0), None);
        assert_eq!(connection.deadline_passed(&SETTINGS, at(1), wall(9_999_999)), None);
    }
}
