//! What a client tells about its connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{CloseCode, Comeback};
use tidings_protocol::{Connected, ErrorBody, ErrorCode};

use crate::reconnect::Advice;
use crate::tls::TlsFault;

/// Where a client's connection is in its life.
#[derive(Clone, Debug)]
pub enum State {
    /// Nothing has been tried yet.
    Disconnected,
    /// Looking for the server.
    Connecting {
        /// Which attempt this is, from 1; it starts over after a connection that lasted.
        attempt: u32,
    },
    /// The socket is open, and the server is told who is there.
    Authenticating,
    /// Connected: what the server said, including whether the session was taken up again.
    Ready(Arc<Connected>),
    /// Not connected; the client comes back by itself.
    Reconnecting {
        /// The number of the next attempt, from 1.
        attempt: u32,
        /// How long it waits before it.
        retry_after: Duration,
        /// Why the last attempt or connection ended.
        cause: Disconnect,
    },
    /// The end: the client does not come back.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a client does not come back.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The application closed it, or dropped its last handle.
    #[error("the client was closed")]
    Asked,
    /// Coming back would not help.
    #[error(transparent)]
    Failed(#[from] Disconnect),
}

/// Why a connection, or an attempt at one, ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// No socket to the server.
    #[error("cannot reach {address}: is the server running there?")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// No TLS session over the socket.
    #[error("no TLS connection to {address}: {fault}")]
    Tls {
        /// With whom.
        address: String,
        /// What was wrong.
        fault: TlsFault,
    },
    /// The server closed while it was asked for a WebSocket.
    #[error("{address} closed the connection without an answer{hint}")]
    NoAnswer {
        /// Who was asked.
        address: String,
        /// What it may mean.
        hint: &'static str,
    },
    /// The answer to the request for a WebSocket was another one.
    #[error("{address} answered with HTTP status {status} instead of a WebSocket{hint}")]
    Status {
        /// Who answered.
        address: String,
        /// The status.
        status: u16,
        /// What it may mean, or what the answer said.
        hint: String,
        /// When the answer says to try again.
        retry_after: Option<Duration>,
    },
    /// The answer was no WebSocket of the native protocol.
    #[error("{address} does not speak the protocol of Tidings: {detail}")]
    NotTidings {
        /// Who answered.
        address: String,
        /// What was wrong.
        detail: String,
    },
    /// The connection was not made in time.
    #[error("{address} did not answer within {after:?}")]
    TimedOut {
        /// Who did not.
        address: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The token source had no token.
    #[error("the token source failed")]
    Token {
        /// What it said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The server refused the `connect` frame.
    #[error("the server refuses the connection: {} ({})", error.message, error.code.as_str())]
    Refused {
        /// What it said.
        error: ErrorBody,
    },
    /// The server closed.
    #[error("the server closed the connection: {reason} ({code})")]
    Closed {
        /// The close code.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// The server announced that it goes away.
    #[error("the server goes away: {reason}")]
    Goaway {
        /// Why.
        reason: String,
        /// How long to wait before coming back, if it said.
        retry_after: Option<Duration>,
    },
    /// The socket ended without a word.
    #[error("the connection to the server was lost")]
    Lost {
        /// What the system said, if anything.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// The server has been silent for too long.
    #[error("the server has been silent for too long")]
    Silent,
    /// The server sent what is no frame of the protocol.
    #[error("the server sent a frame that cannot be read: {detail}")]
    BadFrame {
        /// What was wrong.
        detail: String,
    },
}

/// Whether the client has ever been connected, and whether its token can change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) was_connected: bool,
    pub(crate) asks_for_tokens: bool,
}

impl Disconnect {
    /// When to come back; `None` for not at all.
    pub(crate) fn advice(&self, circumstances: Circumstances) -> Option<Advice> {
        match self {
            Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::TimedOut { .. }
            | Self::Token { .. }
            | Self::Lost { .. }
            | Self::Silent
            | Self::BadFrame { .. } => Some(Advice::Backoff),
            // A certificate may be replaced while a client is away, but one that never was right
            // is told at once.
            Self::Tls { fault, .. } => {
                let comes_back = !fault.is_permanent() || circumstances.was_connected;
                comes_back.then_some(Advice::Backoff)
            }
            Self::NotTidings { .. } => circumstances.was_connected.then_some(Advice::Backoff),
            Self::Status { status, retry_after, .. } => {
                // A proxy answers for a server that is away with whatever it likes, but an
                // address that never was right will not become so.
                let is_temporary = *status >= 500 || matches!(status, 408 | 425 | 429);
                let comes_back = is_temporary || circumstances.was_connected;
                comes_back.then_some(retry_after.map_or(Advice::Backoff, Advice::After))
            }
            Self::Refused { error } => after_refusal(error, circumstances),
            Self::Closed { code, .. } if *code == CloseCode::TokenExpired.code() => {
                circumstances.asks_for_tokens.then_some(Advice::AtOnce)
            }
            Self::Closed { code, .. } => match Comeback::after(*code) {
                Comeback::Final => None,
                Comeback::AtOnce => Some(Advice::AtOnce),
                Comeback::WithBackoff => Some(Advice::Backoff),
            },
            Self::Goaway { retry_after: Some(wait), .. } => Some(Advice::After(*wait)),
            Self::Goaway { reason, retry_after: None } => after_goaway(reason),
        }
    }
}

/// The session is the one thing in a `connect` that a client can do without.
fn after_refusal(error: &ErrorBody, circumstances: Circumstances) -> Option<Advice> {
    match error.code {
        ErrorCode::SessionDenied => Some(Advice::AtOnce),
        ErrorCode::TokenExpired => circumstances.asks_for_tokens.then_some(Advice::Backoff),
        code if code.is_temporary() => {
            Some(error.retry_after.map_or(Advice::Backoff, Advice::After))
        }
        _ => None,
    }
}

/// Where the close frame after it was lost, the word stands for the code. One that is not known is
/// no end: a client that comes back once too often is told so.
fn after_goaway(reason: &str) -> Option<Advice> {
    let known = CloseCode::ALL.into_iter().find(|code| code.as_str() == reason);
    match known.map(|code| Comeback::after(code.code())) {
        Some(Comeback::Final) => None,
        Some(Comeback::AtOnce | Comeback::WithBackoff) | None => Some(Advice::Backoff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Circumstances = Circumstances { was_connected: false, asks_for_tokens: false };
    const OLD: Circumstances = Circumstances { was_connected: true, asks_for_tokens: true };

    fn closed(code: u16) -> Disconnect {
        Disconnect::Closed { code, reason: String::new() }
    }

    fn status(status: u16) -> Disconnect {
        let (address, hint) = (String::new(), String::new());
        Disconnect::Status { address, status, hint, retry_after: None }
    }

    fn refused(code: ErrorCode) -> Disconnect {
        Disconnect::Refused { error: ErrorBody::new(code, "no") }
    }

    #[test]
    fn the_range_of_a_close_code_decides() {
        for (code, expected) in [
            (4000, None),
            (4003, None),
            (4099, None),
            (4200, Some(Advice::AtOnce)),
            (4299, Some(Advice::AtOnce)),
            (4402, Some(Advice::Backoff)),
            (1000, Some(Advice::Backoff)),
            (1006, Some(Advice::Backoff)),
            (4700, Some(Advice::Backoff)),
        ] {
            assert_eq!(closed(code).advice(OLD), expected, "{code}");
        }
        assert_eq!(closed(4200).advice(NEW), None, "the same token would expire again");
    }

    #[test]
    fn a_wrong_address_is_told_at_once_and_an_outage_is_waited_out() {
        for (code, new, old) in [(404, false, true), (401, false, true), (503, true, true)] {
            assert_eq!(status(code).advice(NEW).is_some(), new, "{code}");
            assert_eq!(status(code).advice(OLD).is_some(), old, "{code}");
        }
    }

    #[test]
    fn a_refusal_is_final_unless_something_can_change() {
        for (code, new, old) in [
            (ErrorCode::Unauthenticated, None, None),
            (ErrorCode::TokenExpired, None, Some(Advice::Backoff)),
            (ErrorCode::SessionDenied, Some(Advice::AtOnce), Some(Advice::AtOnce)),
            (ErrorCode::Overloaded, Some(Advice::Backoff), Some(Advice::Backoff)),
        ] {
            assert_eq!(refused(code).advice(NEW), new, "{code:?}");
            assert_eq!(refused(code).advice(OLD), old, "{code:?}");
        }
    }

    #[test]
    fn goaway_names_the_time_or_a_word_that_decides() {
        let wait = Some(Duration::from_millis(1200));
        for (reason, retry_after, expected) in [
            ("draining", wait, wait.map(Advice::After)),
            ("something_new", wait, wait.map(Advice::After)),
            ("pong_timeout", None, Some(Advice::Backoff)),
            ("something_new", None, Some(Advice::Backoff)),
            ("forbidden", None, None),
            ("taken_over", None, None),
        ] {
            let goaway = Disconnect::Goaway { reason: reason.to_owned(), retry_after };
            assert_eq!(goaway.advice(OLD), expected, "{reason} {retry_after:?}");
        }
    }
}
