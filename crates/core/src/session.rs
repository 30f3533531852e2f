//! Sessions: what outlives a connection.

use std::time::Duration;

use crate::id::{ClientId, SessionId, UserId};
use crate::time::Timestamp;

/// The record of a session. Cursors live beside it under their own [`CursorKey`](crate::CursorKey)s, so a session
/// that expires takes no cursor with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its secret name.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Which device or process of the user.
    pub client: ClientId,
    /// When it is forgotten unless its client comes back.
    pub expires_at: Timestamp,
}

impl Session {
    /// When it has to be saved again while its client stays, if it lasts `expiry`: half of that
    /// before it expires, so that a save that is late or fails once does not end the session of a
    /// client that never left.
    pub fn renewal(&self, expiry: Duration) -> Timestamp {
        self.expires_at.minus(expiry / 2)
    }

    /// Its client is still there at `now`: once its [renewal](Self::renewal) is due, the whole of
    /// `expiry` begins anew. Returns what is to be saved then.
    pub fn renew(&mut self, now: Timestamp, expiry: Duration) -> Option<Self> {
        if now < self.renewal(expiry) {
            return None;
        }
        self.expires_at = now.plus(expiry);
        Some(self.clone())
    }

    /// It could not be saved at `now`: its renewal is due again after `pause`.
    pub fn save_refused(&mut self, now: Timestamp, expiry: Duration, pause: Duration) {
        self.expires_at = now.plus(expiry / 2 + pause);
    }
}

/// How a connect ends up with a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectDecision {
    /// The client showed no session, or one that is gone: make a new one.
    Create,
    /// The session lives and is the user's: go on with it.
    Resume(Session),
}

/// Why a session cannot be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The session is another user's.
    #[error("the session belongs to another user")]
    OtherUser,
}

/// Decides what a client gets that shows `wanted` (as looked up in the store).
///
/// A session that is unknown or expired is replaced by a new one and the client is told by
/// `resumed: false`; one of another user is refused.
pub fn decide_connect(
    now: Timestamp,
    user: &UserId,
    wanted: Option<Session>,
) -> Result<ConnectDecision, SessionError> {
    match wanted {
        Some(session) if session.user != *user => Err(SessionError::OtherUser),
        Some(session) if session.expires_at > now => Ok(ConnectDecision::Resume(session)),
        Some(_) | None => Ok(ConnectDecision::Create),
    }
}

/// When a user was last seen who had `sessions`, each of which is saved for `expiry` when its
/// client connects, from time to time while it stays, and when its connection ends. So after a
/// crash a user may have been seen later than this says, and never earlier.
pub fn last_seen(sessions: &[Session], expiry: Duration) -> Option<Timestamp> {
    sessions.iter().map(|session| session.expires_at.minus(expiry)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(user: &str, expires_at: u64) -> Session {
        Session {
            id: SessionId::parse("s1").unwrap(),
            user: UserId::parse(user).unwrap(),
            client: ClientId::parse("phone").unwrap(),
            expires_at: Timestamp::from_ms(expires_at),
        }
    }

    #[test]
    fn a_user_was_last_seen_when_the_last_session_was_saved() {
        let expiry = Duration::from_millis(100);
        assert_eq!(last_seen(&[], expiry), None);
        let sessions = [session("alice", 250), session("alice", 300), session("alice", 120)];
        assert_eq!(last_seen(&sessions, expiry), Some(Timestamp::from_ms(200)));
    }

    #[test]
    fn a_session_whose_client_stays_is_renewed_when_half_of_its_time_is_over() {
        let expiry = Duration::from_millis(100);
        let mut kept = session("alice", 200);
        assert_eq!(kept.renewal(expiry), Timestamp::from_ms(150));
        assert_eq!(kept.renew(Timestamp::from_ms(149), expiry), None);
        let renewed = kept.renew(Timestamp::from_ms(150), expiry);
        assert_eq!(renewed, Some(session("alice", 250)));
        assert_eq!(kept, session("alice", 250));
    }

    #[test]
    fn a_session_that_could_not_be_saved_is_renewed_after_a_pause() {
        let (expiry, pause) = (Duration::from_millis(100), Duration::from_millis(10));
        let mut kept = session("alice", 250);
        kept.save_refused(Timestamp::from_ms(160), expiry, pause);
        assert_eq!(kept.renewal(expiry), Timestamp::from_ms(170));
        assert_eq!(kept.renew(Timestamp::from_ms(169), expiry), None);
        let renewed = kept.renew(Timestamp::from_ms(170), expiry);
        assert_eq!(renewed, Some(session("alice", 270)));
    }

    #[test]
    fn a_session_is_resumed_only_by_its_user_and_before_it_expires() {
        let alice = UserId::parse("alice").unwrap();
        let now = Timestamp::from_ms(100);
        let alive = session("alice", 101);
        assert_eq!(
            decide_connect(now, &alice, Some(alive.clone())),
            Ok(ConnectDecision::Resume(alive))
        );
        assert_eq!(decide_connect(now, &alice, None), Ok(ConnectDecision::Create));
        assert_eq!(
            decide_connect(now, &alice, Some(session("alice", 100))),
            Ok(ConnectDecision::Create)
        );
        assert_eq!(
            decide_connect(now, &alice, Some(session("bob", 101))),
            Err(SessionError::OtherUser)
        );
    }
}
