//! The task that owns a client's connection, from the first attempt to the last goodbye.
//!
//! It waits for things and passes them on; what they mean is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Instant, SessionId};
use tidings_protocol::ErrorCode;
use tokio::sync::{mpsc, oneshot, watch};

use crate::agenda::Agenda;
use crate::builder::Settings;
use crate::client::Command;
use crate::clock::Clock;
use crate::feedback::Feedback;
use crate::gate::Gate;
use crate::limits::BATCH_MAX;
use crate::reconnect::Reconnect;
use crate::state::{Circumstances, CloseReason, Disconnect, State};

mod establish;
mod stay;

use self::establish::{Established, establish};

/// Whether the application wants the client to go on.
#[derive(Debug)]
enum Wish {
    GoOn,
    /// Once everything is said and answered, or at this time.
    Close {
        by: Instant,
    },
}

/// How a connection ended.
#[derive(Debug)]
enum Exit {
    /// As the application wished.
    Asked,
    /// For another reason.
    Cause(Disconnect),
}

/// The task that owns a client's connection.
#[derive(Debug)]
pub(crate) struct Task {
    settings: Arc<Settings>,
    clock: Clock,
    mailbox: mpsc::Receiver<Command>,
    /// Whether there are handles left that could send commands.
    has_handles: bool,
    feedback: mpsc::Receiver<Feedback>,
    /// Taken in together, and emptied again at once.
    commands: Vec<Command>,
    answers: Vec<Feedback>,
    state: watch::Sender<State>,
    gate: Arc<Gate>,
    agenda: Agenda,
    reconnect: Reconnect,
    session: Option<SessionId>,
    was_connected: bool,
    wish: Wish,
    /// Who waits for the end.
    closers: Vec<oneshot::Sender<usize>>,
}

impl Task {
    pub(crate) fn new(
        settings: Settings,
        seed: u64,
        mailbox: mpsc::Receiver<Command>,
        feedback: mpsc::Receiver<Feedback>,
        state: watch::Sender<State>,
        gate: Arc<Gate>,
    ) -> Self {
        Self {
            clock: Clock::start(),
            mailbox,
            has_handles: true,
            feedback,
            commands: Vec::with_capacity(BATCH_MAX),
            answers: Vec::with_capacity(BATCH_MAX),
            state,
            gate,
            agenda: Agenda::new(settings.codec),
            reconnect: Reconnect::new(settings.backoff, seed),
            session: None,
            was_connected: false,
            wish: Wish::GoOn,
            closers: Vec::new(),
            settings: Arc::new(settings),
        }
    }

    /// Connects and comes back until there is a reason not to.
    pub(crate) async fn run(mut self) {
        let reason = loop {
            let attempt = self.reconnect.attempt();
            tracing::debug!(attempt, address = %self.settings.address, "connecting");
            self.state.send_replace(State::Connecting { attempt });
            let connecting =
                establish(Arc::clone(&self.settings), self.session.clone(), self.state.clone());
            let opened = tokio::select! {
                opened = connecting => opened,
                () = self.serve_until_done() => break CloseReason::Asked,
            };
            let (exit, lasted) = match opened {
                Ok(established) => self.stay_connected(established).await,
                Err(cause) => (Exit::Cause(cause), None),
            };
            let cause = match exit {
                Exit::Asked => break CloseReason::Asked,
                Exit::Cause(cause) => cause,
            };
            let Some(delay) = self.delay_after(&cause, lasted) else {
                break CloseReason::Failed(cause);
            };
            let attempt = self.reconnect.attempt();
            tracing::info!(%cause, attempt, ?delay, "disconnected, coming back");
            self.state.send_replace(State::Reconnecting { attempt, retry_after: delay, cause });
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.serve_until_done() => break CloseReason::Asked,
            }
        };
        self.end(&reason);
    }

    async fn stay_connected(&mut self, established: Established) -> (Exit, Option<Duration>) {
        let connected = Arc::clone(&established.connected);
        self.session = Some(connected.session.clone());
        self.was_connected = true;
        let since = self.clock.now();
        self.agenda.connected(since, &connected);
        tracing::info!(node = %connected.node, user = %connected.user, "connected");
        self.state.send_replace(State::Ready(connected));
        let exit = self.stay(established).await;
        self.agenda.disconnected();
        (exit, Some(self.clock.now().since(since)))
    }

    /// How long to wait before the next attempt; `None` for no more.
    fn delay_after(&mut self, cause: &Disconnect, lasted: Option<Duration>) -> Option<Duration> {
        if let Disconnect::Refused { error } = cause
            && error.code == ErrorCode::SessionDenied
        {
            // A session of another user, or of a server that forgot whose it was: go on without.
            self.session = None;
        }
        let circumstances = Circumstances {
            was_connected: self.was_connected,
            asks_for_tokens: self.settings.token.is_asked(),
        };
        let advice = cause.advice(circumstances)?;
        Some(self.reconnect.ended(lasted, advice))
    }

    /// Takes commands and feedback in while there is no connection; returns when the application
    /// wants the end and nothing, or no time, is left.
    async fn serve_until_done(&mut self) {
        loop {
            let end = match self.wish {
                Wish::GoOn => None,
                Wish::Close { by } if self.agenda.is_done() || by <= self.clock.now() => return,
                Wish::Close { by } => Some(by),
            };
            tokio::select! {
                count = self.mailbox.recv_many(&mut self.commands, BATCH_MAX),
                    if self.has_handles => self.take_commands(count),
                _ = self.feedback.recv_many(&mut self.answers, BATCH_MAX) => self.take_feedback(),
                () = self.clock.wait_until(end) => {}
            }
            self.gate.release(self.agenda.take_freed());
        }
    }

    /// Takes in what `recv_many` gave.
    fn take_commands(&mut self, count: usize) {
        if count == 0 {
            self.has_handles = false;
            self.close();
        }
        // An application that acks, drops and subscribes again means that order.
        while let Ok(feedback) = self.feedback.try_recv() {
            self.agenda.feedback(feedback);
        }
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            match command {
                Command::Publish { request, weight, ticket } => {
                    self.agenda.publish(*request, weight, ticket);
                }
                Command::Subscribe(command) => self.agenda.subscribe(*command),
                Command::Inbox(command) => self.agenda.inbox(command),
                Command::Ask(question) => self.agenda.ask(question),
                Command::Close { unanswered } => {
                    self.closers.push(unanswered);
                    self.close();
                }
            }
        }
        self.commands = commands;
    }

    fn take_feedback(&mut self) {
        for feedback in self.answers.drain(..) {
            self.agenda.feedback(feedback);
        }
    }

    fn close(&mut self) {
        if let Wish::GoOn = self.wish {
            self.wish = Wish::Close { by: self.clock.now() + self.settings.close_timeout };
        }
    }

    /// Everybody who waits hears the reason.
    fn end(mut self, reason: &CloseReason) {
        let unanswered = self.agenda.unanswered();
        tracing::info!(%reason, unanswered, "closed");
        // First of all: those whose place in a queue goes away look here for the reason.
        self.state.send_replace(State::Closed { reason: reason.clone() });
        self.gate.close();
        self.mailbox.close();
        self.agenda.end(reason);
        while let Ok(command) = self.mailbox.try_recv() {
            if let Command::Close { unanswered } = command {
                self.closers.push(unanswered);
            }
        }
        for closer in self.closers {
            // Whoever closed may not wait for it.
            let _ = closer.send(unanswered);
        }
    }
}
