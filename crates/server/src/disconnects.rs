//! The latest connections that ended, and why: for operators, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_core::{ClientId, CloseCode, Timestamp, UserId};

/// Ends that are remembered of connections that came through `connect`: those of a crowd that leaves at
/// once, in 2 MiB with the longest names.
const KEPT_MAX: usize = 4096;

/// Ends that are remembered of those that did not. Anybody can make such, so they have their own place and
/// push nobody out whom an operator looks for.
const STRANGERS_KEPT_MAX: usize = 256;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The server closed it.
    Server(CloseCode),
    /// The client closed it, with this code and text if it gave them.
    Client { code: Option<u16>, said: String },
    /// Nobody said goodbye.
    Lost(Loss),
}

/// How a socket goes without a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Its peer has ended it.
    PeerEnded,
    /// Reading failed: its peer has reset it, or it was not reached for long.
    ReadFailed,
    /// Writing failed, for the same reasons.
    WriteFailed,
    /// It was still open when a drain had to end.
    DrainEnded,
    /// The server's close frame was not answered.
    CloseUnanswered,
}

impl Loss {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::PeerEnded => "peer_ended",
            Self::ReadFailed => "read_failed",
            Self::WriteFailed => "write_failed",
            Self::DrainEnded => "drain_ended",
            Self::CloseUnanswered => "close_unanswered",
        }
    }
}

/// A connection that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disconnect {
    pub(crate) at: Timestamp,
    /// Who was there; nobody if it never came through `connect`.
    pub(crate) who: Option<Who>,
    pub(crate) ending: Ending,
}

/// Whose connection it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) user: UserId,
    pub(crate) client: ClientId,
    /// Since it came through `connect`.
    pub(crate) lasted: Duration,
}

impl Disconnect {
    /// Who ended it.
    pub(crate) const fn by(&self) -> &'static str {
        match &self.ending {
            Ending::Server(_) | Ending::Lost(Loss::DrainEnded) => "server",
            Ending::Client { .. } => "client",
            Ending::Lost(_) => "network",
        }
    }

    /// The code of the close frame that began it.
    pub(crate) const fn code(&self) -> Option<u16> {
        match &self.ending {
            Ending::Server(code) => Some(code.code()),
            Ending::Client { code, .. } => *code,
            Ending::Lost(_) => None,
        }
    }

    /// Why: what the client said, or a word.
    pub(crate) fn reason(&self) -> &str {
        match &self.ending {
            Ending::Server(code) => code.as_str(),
            Ending::Client { said, .. } if !said.is_empty() => said,
            Ending::Client { code, .. } => word(*code),
            Ending::Lost(loss) => loss.as_str(),
        }
    }
}

/// What a client means that gives a code and says nothing.
fn word(code: Option<u16>) -> &'static str {
    let known = CloseCode::ALL.into_iter().find(|known| Some(known.code()) == code);
    match (known, code) {
        (Some(known), _) => known.as_str(),
        // RFC 6455 §7.4.1: what a browser gives when a page is left.
        (None, Some(1001)) => "going_away",
        (None, Some(_)) => "other",
        (None, None) => "none",
    }
}

/// The latest ends, of all shards.
#[derive(Debug)]
pub(crate) struct Disconnects(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    users: Ring,
    strangers: Ring,
    /// From when on every end of a user's connection is kept.
    since: Timestamp,
    /// How many have ended.
    count: u64,
}

/// The latest ends, oldest first, each with its number. Shared, so that a shard waits for no reader but for
/// the time of a copy.
type Ring = VecDeque<(u64, Arc<Disconnect>)>;

impl Disconnects {
    /// Nothing has ended before `now`.
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Kept { users: Ring::new(), strangers: Ring::new(), since: now, count: 0 }))
    }

    /// A connection has ended.
    pub(crate) fn add(&self, disconnect: Disconnect) {
        let disconnect = Arc::new(disconnect);
        let mut kept = self.lock();
        kept.count += 1;
        let end = (kept.count, disconnect);
        if end.1.who.is_none() {
            if kept.strangers.len() == STRANGERS_KEPT_MAX {
                kept.strangers.pop_front();
            }
            return kept.strangers.push_back(end);
        }
        if kept.users.len() == KEPT_MAX {
            kept.users.pop_front();
            kept.since = kept.users.front().map_or(end.1.at, |(_, oldest)| oldest.at);
        }
        kept.users.push_back(end);
    }

    /// All that are kept, newest first, and from when on that is every one of a user's connection.
    pub(crate) fn latest(&self) -> (Vec<Arc<Disconnect>>, Timestamp) {
        let kept = self.lock();
        let mut ends: Vec<_> = kept.users.iter().chain(&kept.strangers).cloned().collect();
        let since = kept.since;
        drop(kept);
        ends.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        (ends.into_iter().map(|(_, end)| end).collect(), since)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(at: u64, ending: Ending) -> Disconnect {
        let user = UserId::parse("alice").unwrap();
        let client = ClientId::parse("phone").unwrap();
        let who = Some(Who { user, client, lasted: Duration::ZERO });
        Disconnect { at: Timestamp::from_ms(at), who, ending }
    }

    #[test]
    fn the_latest_are_kept_and_it_is_known_since_when() {
        let disconnects = Disconnects::new(Timestamp::from_ms(5));
        let lost = |at| ended(at, Ending::Lost(Loss::PeerEnded));
        for at in 10..10 + KEPT_MAX as u64 {
            disconnects.add(lost(at));
        }
        let (kept, since) = disconnects.latest();
        assert_eq!((kept.len(), since), (KEPT_MAX, Timestamp::from_ms(5)));
        disconnects.add(lost(9999));
        let (kept, since) = disconnects.latest();
        assert_eq!((kept.len(), since), (KEPT_MAX, Timestamp::from_ms(11)));
        assert_eq!(*kept[0], lost(9999));
    }

    #[test]
    fn who_never_connected_pushes_nobody_out() {
        let disconnects = Disconnects::new(Timestamp::from_ms(5));
        let lost = |at| ended(at, Ending::Lost(Loss::PeerEnded));
        let stranger = |at| Disconnect { who: None, ..lost(at) };
        disconnects.add(stranger(6));
        disconnects.add(lost(7));
        for at in 10..10 + KEPT_MAX as u64 {
            disconnects.add(stranger(at));
        }
        disconnects.add(lost(9998));
        disconnects.add(stranger(9999));
        let (kept, since) = disconnects.latest();
        assert_eq!((kept.len(), since), (STRANGERS_KEPT_MAX + 2, Timestamp::from_ms(5)));
        assert_eq!((&*kept[0], &*kept[1]), (&stranger(9999), &lost(9998)));
        assert_eq!(**kept.last().unwrap(), lost(7));
    }

    #[test]
    fn every_end_has_a_reason() {
        let client = |code, said: &str| Ending::Client { code, said: said.to_owned() };
        for (ending, by, code, reason) in [
            (Ending::Server(CloseCode::Forbidden), "server", Some(4002), "forbidden"),
            (client(Some(1000), ""), "client", Some(1000), "normal"),
            (client(Some(1001), ""), "client", Some(1001), "going_away"),
            (client(Some(3000), ""), "client", Some(3000), "other"),
            (client(None, ""), "client", None, "none"),
            (client(Some(1000), "signed out"), "client", Some(1000), "signed out"),
            (Ending::Lost(Loss::ReadFailed), "network", None, "read_failed"),
            (Ending::Lost(Loss::DrainEnded), "server", None, "drain_ended"),
        ] {
            let ended = ended(1, ending);
            assert_eq!((ended.by(), ended.code(), ended.reason()), (by, code, reason));
        }
    }
}
