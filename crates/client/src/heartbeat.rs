//! Decides when silence is death.

use std::time::Duration;

use tidings_core::Instant;

use crate::limits::PING_GRACE;

/// Something for the caller to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeartbeatEffect {
    /// Send a ping.
    Ping,
    /// The server has been silent for too long: come back.
    Dead,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// The socket is read, so silence means something.
    Listening { heard: Instant, pinged: bool },
    /// The socket is not read because the application is slow: silence is ours, and the server
    /// must go on hearing from us.
    Paused { ping_at: Instant },
}

/// Watches one connection. The server pings a quiet client at its interval; when even that fails
/// to come, the client asks once, and gives up when no answer comes either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    ping: Duration,
    mode: Mode,
}

impl Heartbeat {
    pub(crate) const fn new(ping: Duration, now: Instant) -> Self {
        Self { ping, mode: Mode::Listening { heard: now, pinged: false } }
    }

    /// Something came from the server.
    pub(crate) const fn heard(&mut self, now: Instant) {
        self.mode = Mode::Listening { heard: now, pinged: false };
    }

    /// The socket is no longer read.
    pub(crate) fn pause(&mut self, now: Instant) {
        if let Mode::Listening { .. } = self.mode {
            self.mode = Mode::Paused { ping_at: now + self.ping / 2 };
        }
    }

    /// The socket is read again.
    pub(crate) const fn resume(&mut self, now: Instant) {
        if let Mode::Paused { .. } = self.mode {
            self.heard(now);
        }
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        let grace = PING_GRACE.min(self.ping);
        match self.mode {
            Mode::Listening { heard, pinged: false } => heard + self.ping + grace / 2,
            Mode::Listening { heard, pinged: true } => heard + self.ping + grace,
            Mode::Paused { ping_at } => ping_at,
        }
    }

    pub(crate) fn deadline_passed(&mut self, now: Instant) -> Option<HeartbeatEffect> {
        if now < self.next_deadline() {
            return None;
        }
        match self.mode {
            Mode::Listening { heard, pinged: false } => {
                self.mode = Mode::Listening { heard, pinged: true };
                Some(HeartbeatEffect::Ping)
            }
            Mode::Listening { pinged: true, .. } => Some(HeartbeatEffect::Dead),
            Mode::Paused { .. } => {
                self.mode = Mode::Paused { ping_at: now + self.ping / 2 };
                Some(HeartbeatEffect::Ping)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: Duration = Duration::from_secs(25);

    fn at(seconds: u64) -> Instant {
        Instant::from_ms(seconds * 1000)
    }

    #[test]
    fn asks_once_and_then_gives_up() {
        let mut heartbeat = Heartbeat::new(PING, at(0));
        assert_eq!(heartbeat.deadline_passed(at(29)), None);
        assert_eq!(heartbeat.deadline_passed(at(30)), Some(HeartbeatEffect::Ping));
        assert_eq!(heartbeat.deadline_passed(at(34)), None);
        assert_eq!(heartbeat.deadline_passed(at(35)), Some(HeartbeatEffect::Dead));
        heartbeat.heard(at(35));
        assert_eq!(heartbeat.next_deadline(), at(65));
    }

    #[test]
    fn keeps_the_server_hearing_while_nothing_is_read() {
        let mut heartbeat = Heartbeat::new(PING, at(0));
        heartbeat.pause(at(10));
        for second in [23, 36, 49, 3600] {
            assert_eq!(heartbeat.deadline_passed(at(second)), Some(HeartbeatEffect::Ping));
        }
        heartbeat.resume(at(3600));
        assert_eq!(heartbeat.next_deadline(), at(3630));
    }
}
