//! A connection from the server's welcome to its end.

use std::time::Duration;

use bytes::Bytes;
use tidings_core::{Instant, Timestamp};
use tidings_protocol::Goaway;
use tokio::sync::mpsc;

use super::establish::{Established, next_frame};
use super::{Exit, Task, Wish};
use crate::agenda::Notice;
use crate::clock::wall_now;
use crate::heartbeat::{Heartbeat, HeartbeatEffect};
use crate::limits::{BATCH_MAX, BURST_MAX, GOAWAY_PATIENCE, RETRY_DEFAULT};
use crate::socket::{Socket, SocketEvent};
use crate::state::Disconnect;
use crate::subscription::Queued;
use crate::token::{TokenFuture, TokenSource};

/// What the loop was woken by.
#[derive(Debug)]
enum Wake {
    Commands(usize),
    Feedback,
    Socket(SocketEvent),
    /// There is room in the queue that had none, or nobody reads it any more.
    Room(Option<mpsc::OwnedPermit<Queued>>),
    Token(Result<String, crate::token::BoxError>),
    Time,
}

/// A fresh token, before the one in use expires.
enum Refresh {
    None,
    At(Instant),
    Asking(TokenFuture),
}

/// What belongs to one connection.
struct Link {
    socket: Socket,
    heartbeat: Heartbeat,
    /// Frames received and not taken in, because a queue has no room.
    incoming: Bytes,
    refresh: Refresh,
    /// What the server said about going away, and when to stop waiting for it to.
    goaway: Option<(Goaway, Instant)>,
}

impl Task {
    /// Serves a connection until it ends.
    pub(super) async fn stay(&mut self, established: Established) -> Exit {
        let Established { socket, connected, rest } = established;
        let now = self.clock.now();
        let mut link = Link {
            socket,
            heartbeat: Heartbeat::new(connected.ping, now),
            incoming: rest,
            refresh: self.refresh(now, connected.expires_at),
            goaway: None,
        };
        loop {
            let now = self.clock.now();
            if let Err(cause) = self.take_frames(now, &mut link) {
                return Exit::Cause(link.ended(cause));
            }
            self.write(now, &mut link.socket).await;
            self.gate.release(self.agenda.take_freed());
            if self.is_over(now, &link) {
                link.socket.close().await;
                return Exit::Asked;
            }
            let wake = self.wait(&mut link).await;
            if let Err(cause) = self.wake(&mut link, wake) {
                return Exit::Cause(link.ended(cause));
            }
        }
    }

    /// Takes in what has been received, as far as there is room for it.
    fn take_frames(&mut self, now: Instant, link: &mut Link) -> Result<(), Disconnect> {
        while !self.agenda.is_stalled()
            && let Some(frame) = next_frame(self.settings.codec, &mut link.incoming)?
        {
            match self.agenda.received(now, frame) {
                Some(Notice::Goaway(goaway)) => {
                    let patience = goaway.retry_after.unwrap_or_default() + GOAWAY_PATIENCE;
                    link.goaway = Some((goaway, now + patience));
                }
                Some(Notice::Refreshed { expires_at }) => {
                    link.refresh = self.refresh(now, expires_at);
                }
                None => {}
            }
        }
        match self.agenda.is_stalled() {
            true => link.heartbeat.pause(now),
            false => link.heartbeat.resume(now),
        }
        Ok(())
    }

    async fn write(&mut self, now: Instant, socket: &mut Socket) {
        if socket.is_idle() {
            let mut frames = Vec::new();
            self.agenda.write(now, &mut frames);
            if !frames.is_empty() {
                socket.write(frames).await;
            }
        }
    }

    /// Whether the application wants the end and nothing, or no time, is left.
    fn is_over(&self, now: Instant, link: &Link) -> bool {
        match self.wish {
            Wish::GoOn => false,
            Wish::Close { by } => by <= now || (self.agenda.is_done() && link.socket.is_idle()),
        }
    }

    async fn wait(&mut self, link: &mut Link) -> Wake {
        let deadline = self.next_deadline(link);
        let has_room = self.agenda.has_room();
        let full_queue = self.agenda.full_queue();
        let may_read = full_queue.is_none() && link.incoming.is_empty();
        tokio::select! {
            // Everything here is cancel safe: what is not taken stays where it is.
            event = link.socket.event(may_read) => Wake::Socket(event),
            count = self.mailbox.recv_many(&mut self.commands, BATCH_MAX),
                if has_room && self.has_handles => Wake::Commands(count),
            _ = self.feedback.recv_many(&mut self.answers, BATCH_MAX), if has_room => {
                Wake::Feedback
            }
            room = room(full_queue) => Wake::Room(room),
            token = link.refresh.token() => Wake::Token(token),
            () = self.clock.wait_until(deadline) => Wake::Time,
        }
    }

    fn next_deadline(&self, link: &Link) -> Option<Instant> {
        let end = match self.wish {
            Wish::GoOn => None,
            Wish::Close { by } => Some(by),
        };
        let refresh = match link.refresh {
            Refresh::At(at) => Some(at),
            Refresh::None | Refresh::Asking(_) => None,
        };
        let goaway = link.goaway.as_ref().map(|(_, until)| *until);
        let deadlines = [Some(link.heartbeat.next_deadline()), end, refresh, goaway];
        deadlines.into_iter().flatten().chain(self.agenda.next_deadline()).min()
    }

    fn wake(&mut self, link: &mut Link, wake: Wake) -> Result<(), Disconnect> {
        match wake {
            Wake::Commands(count) => self.take_commands(count),
            Wake::Feedback => self.take_feedback(),
            Wake::Room(room) => self.agenda.room(self.clock.now(), room),
            Wake::Token(token) => self.take_token(link, token),
            Wake::Time => return self.time_passed(link),
            Wake::Socket(event) => {
                let mut next = Some(event);
                // What has come in a burst is answered at once, so that acks and publishes batch.
                for _ in 0..BURST_MAX {
                    let Some(event) = next else { break };
                    self.take_event(link, event)?;
                    let may_read = link.incoming.is_empty() && !self.agenda.is_stalled();
                    next = if may_read { link.socket.event_now() } else { None };
                }
                if let Some(event) = next {
                    self.take_event(link, event)?;
                }
            }
        }
        Ok(())
    }

    fn take_event(&mut self, link: &mut Link, event: SocketEvent) -> Result<(), Disconnect> {
        match event {
            SocketEvent::Flushed => Ok(()),
            SocketEvent::Received(bytes) => {
                let now = self.clock.now();
                link.heartbeat.heard(now);
                link.incoming = bytes;
                self.take_frames(now, link)
            }
            SocketEvent::Ended(cause) => Err(cause),
        }
    }

    fn time_passed(&mut self, link: &mut Link) -> Result<(), Disconnect> {
        let now = self.clock.now();
        match link.heartbeat.deadline_passed(now) {
            Some(HeartbeatEffect::Ping) => self.agenda.ping(),
            Some(HeartbeatEffect::Dead) => return Err(Disconnect::Silent),
            None => {}
        }
        if let Some((_, until)) = &link.goaway
            && *until <= now
        {
            return Err(Disconnect::Lost { source: None });
        }
        if let (Refresh::At(at), TokenSource::Asked(ask)) = (&link.refresh, &self.settings.token)
            && *at <= now
        {
            link.refresh = Refresh::Asking(ask());
        }
        self.agenda.deadline_passed(now);
        Ok(())
    }

    /// When a fresh token is wanted: with a tenth of the time left, and time to try again.
    fn refresh(&self, now: Instant, expires_at: Option<Timestamp>) -> Refresh {
        match expires_at {
            Some(at) if self.settings.token.is_asked() => {
                let left = Duration::from_millis(at.as_ms().saturating_sub(wall_now().as_ms()));
                Refresh::At(now + (left - left / 10).max(RETRY_DEFAULT))
            }
            Some(_) | None => Refresh::None,
        }
    }

    fn take_token(&mut self, link: &mut Link, token: Result<String, crate::token::BoxError>) {
        match token {
            Ok(token) => {
                self.agenda.refresh(token);
                // The server's answer says until when it lasts.
                link.refresh = Refresh::None;
            }
            Err(error) => {
                // The connection goes on: the token in use may last for a while.
                tracing::warn!(%error, "the token source failed, asking again");
                link.refresh = Refresh::At(self.clock.now() + RETRY_DEFAULT);
            }
        }
    }
}

impl Link {
    /// The cause of the end, as the server announced it if it did.
    fn ended(self, cause: Disconnect) -> Disconnect {
        match (self.goaway, cause) {
            (Some((goaway, _)), Disconnect::Lost { .. }) => {
                Disconnect::Goaway { reason: goaway.reason, retry_after: goaway.retry_after }
            }
            // The code's range decides whether to come back, and the announcement when, if it says.
            (
                Some((Goaway { reason, retry_after: Some(wait) }, _)),
                Disconnect::Closed { code, .. },
            ) if tidings_core::Comeback::after(code) == tidings_core::Comeback::WithBackoff => {
                Disconnect::Goaway { reason, retry_after: Some(wait) }
            }
            (_, cause) => cause,
        }
    }
}

impl Refresh {
    /// The token, when it is asked for and there; never otherwise.
    async fn token(&mut self) -> Result<String, crate::token::BoxError> {
        match self {
            Self::Asking(asking) => asking.await,
            Self::None | Self::At(_) => std::future::pending().await,
        }
    }
}

/// Waits for room in a full queue; for ever without one.
async fn room(queue: Option<mpsc::Sender<Queued>>) -> Option<mpsc::OwnedPermit<Queued>> {
    match queue {
        Some(queue) => queue.reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}
