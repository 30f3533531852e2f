//! The application's handle on a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_core::{DedupKey, Topic};
use tidings_protocol::http::PublishOutcome;
use tidings_protocol::{History, HistoryRequest, Present};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::builder::{ClientBuilder, Settings};
use crate::feedback::Feedback;
use crate::gate::Gate;
use crate::history::HistoryError;
use crate::limits::{FEEDBACK_MAX, MAILBOX_MAX, QUESTIONS_IN_FLIGHT_MAX};
use crate::presence::PresenceError;
use crate::publish::{PublishError, PublishRequest, PublishTicket, Ticket, close_reason};
use crate::question::Question;
use crate::state::{CloseReason, State};
use crate::subscribe::{AckMode, SubscribeAnswer, SubscribeError, SubscribeRequest};
use crate::subscription::Subscription;
use crate::task::Task;

/// What handles ask of the task.
#[derive(Debug)]
pub(crate) enum Command {
    Publish { request: Box<PublishRequest>, weight: usize, ticket: Ticket },
    Subscribe(Box<SubscribeCommand>),
    Inbox(InboxCommand),
    Ask(Question),
    Close { unanswered: oneshot::Sender<usize> },
}

/// A request for a subscription with the place for its answer.
#[derive(Debug)]
pub(crate) struct SubscribeCommand {
    pub(crate) request: SubscribeRequest,
    pub(crate) answer: SubscribeAnswer,
    /// For the subscription's answers.
    pub(crate) feedback: mpsc::Sender<Feedback>,
}

/// A wish for the inbox, with the place for its answer.
#[derive(Debug)]
pub(crate) struct InboxCommand {
    pub(crate) ack: AckMode,
    pub(crate) answer: SubscribeAnswer,
    /// For the subscription's answers.
    pub(crate) feedback: mpsc::Sender<Feedback>,
}

/// A connection to a server that keeps itself up: it publishes, subscribes, comes back after
/// every disconnect and goes on where it was.
///
/// Cheap to clone. Dropping the last clone closes it in the background as
/// [`close`](Self::close) does.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mailbox: mpsc::Sender<Command>,
    feedback: mpsc::Sender<Feedback>,
    state: watch::Receiver<State>,
    gate: Arc<Gate>,
    questions: Semaphore,
    /// Whether the client gives itself a name.
    is_named: bool,
    /// What this client's keys start with: unique among all clients.
    key_prefix: u64,
    next_key: AtomicU64,
}

/// What a close left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Not everything published was answered in time.
    #[error(
        "{count} messages were not answered in time and may or may not have been stored; \
         publishing them again with the same keys is safe"
    )]
    Unanswered {
        /// How many.
        count: usize,
    },
}

impl Client {
    /// Sets up a client of the server at `url` (`ws://host:port/v1/ws`, or `wss://` for TLS).
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    pub(crate) fn start(
        runtime: &tokio::runtime::Handle,
        settings: Settings,
        seed: u64,
        (messages_max, bytes_max): (usize, usize),
    ) -> Self {
        let (mailbox, commands) = mpsc::channel(MAILBOX_MAX);
        let (feedback, answers) = mpsc::channel(FEEDBACK_MAX);
        let (state_in, state) = watch::channel(State::Disconnected);
        let gate = Arc::new(Gate::new(messages_max, bytes_max));
        let is_named = settings.client.is_some();
        let task = Task::new(settings, seed, commands, answers, state_in, Arc::clone(&gate));
        runtime.spawn(task.run());
        let shared = Shared {
            mailbox,
            feedback,
            state,
            gate,
            questions: Semaphore::new(QUESTIONS_IN_FLIGHT_MAX),
            is_named,
            key_prefix: seed,
            next_key: AtomicU64::new(1),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Where the connection is in its life, now and whenever it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.clone()
    }

    /// Waits until the client is connected. Fails only when it has given up: a server that
    /// cannot be reached is tried again and again, so give this a timeout.
    pub async fn ready(&self) -> Result<(), CloseReason> {
        let mut state = self.state();
        let settled = |state: &State| matches!(state, State::Ready(_) | State::Closed { .. });
        match state.wait_for(settled).await.as_deref() {
            Ok(State::Closed { reason }) => Err(reason.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(CloseReason::Asked),
        }
    }

    /// Whether the server takes a message as large as this one, as far as its limits are known.
    /// [`publish`](Self::publish) and [`enqueue`](Self::enqueue) tell as well, but only when the
    /// message's turn comes.
    pub fn check_size(&self, request: &PublishRequest) -> Result<(), PublishError> {
        let bytes = request.publish.data.bytes().len();
        match &*self.shared.state.borrow() {
            State::Ready(connected) if bytes > connected.limits.message_bytes as usize => {
                let bytes_max = connected.limits.message_bytes as usize;
                Err(PublishError::TooLarge { bytes, bytes_max })
            }
            State::Ready(_)
            | State::Disconnected
            | State::Connecting { .. }
            | State::Authenticating
            | State::Reconnecting { .. }
            | State::Closed { .. } => Ok(()),
        }
    }

    /// Publishes, and waits until the message is durable as its topic's policy says: in the topic,
    /// or among those that wait for their time. While the client is not connected it waits;
    /// temporary refusals are retried.
    pub async fn publish(&self, request: PublishRequest) -> Result<PublishOutcome, PublishError> {
        self.enqueue(request).await.await
    }

    /// Publishes without waiting for the answer, which the ticket will tell: for programs that
    /// publish much. Waits while the outbox is full. Messages leave in the order of the calls.
    ///
    /// Cancel safe: nothing is published if it is cancelled.
    pub async fn enqueue(&self, mut request: PublishRequest) -> PublishTicket {
        let (ticket, answer) = oneshot::channel();
        let shared = &*self.shared;
        let waiting = PublishTicket { answer, state: shared.state.clone() };
        if request.publish.key.is_none() {
            request.publish.key = Some(shared.next_key());
        }
        let weight = request.weight();
        let entry = match shared.gate.enter(weight).await {
            Some(Ok(entry)) => entry,
            Some(Err(error)) => {
                // The receiver is right here.
                let _ = ticket.send(Err(error));
                return waiting;
            }
            // The client has ended: the ticket finds nobody on the other side, and says why.
            None => return waiting,
        };
        if let Ok(place) = shared.mailbox.reserve().await {
            place.send(Command::Publish { request: Box::new(request), weight, ticket });
            entry.keep();
        }
        waiting
    }

    /// Subscribes, and waits until the server has agreed. While the client is not connected it
    /// waits.
    pub async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<Subscription, SubscribeError> {
        let (answer, subscription) = oneshot::channel();
        let feedback = self.shared.feedback.clone();
        let command = SubscribeCommand { request, answer, feedback };
        self.subscription(Command::Subscribe(Box::new(command)), subscription).await
    }

    /// Takes the inbox: the durable subscription to its user's topic that a server, if it is
    /// configured so, starts by itself for every client with a
    /// [name](crate::ClientBuilder::client_id). Waits until the server says that it stands. One
    /// that starts none never does, so give this a timeout, or ask for a
    /// [durable](SubscribeRequest::durable) subscription instead.
    ///
    /// Call it right after the client was built: an inbox that nobody wants when the server starts
    /// it is declined, and what it had brought by then comes again.
    pub async fn inbox(&self, ack: AckMode) -> Result<Subscription, SubscribeError> {
        if !self.shared.is_named {
            return Err(SubscribeError::InboxWithoutName);
        }
        let (answer, subscription) = oneshot::channel();
        let feedback = self.shared.feedback.clone();
        let command = InboxCommand { ack, answer, feedback };
        self.subscription(Command::Inbox(command), subscription).await
    }

    async fn subscription(
        &self,
        command: Command,
        subscription: oneshot::Receiver<Result<Subscription, SubscribeError>>,
    ) -> Result<Subscription, SubscribeError> {
        // If the client has ended the answer's place is gone with the command.
        let _ = self.shared.mailbox.send(command).await;
        let closed = |_| Err(SubscribeError::Closed { reason: close_reason(&self.shared.state) });
        subscription.await.unwrap_or_else(closed)
    }

    /// Reads a part of a topic's past. While the client is not connected it waits.
    pub async fn history(&self, request: HistoryRequest) -> Result<History, HistoryError> {
        let (answer, history) = oneshot::channel();
        let closed = || HistoryError::Closed { reason: close_reason(&self.shared.state) };
        let asked = self.ask(Question::History { request, answer }, history).await;
        asked.unwrap_or_else(|| Err(closed()))
    }

    /// Asks who is on a topic. While the client is not connected it waits.
    pub async fn presence(&self, topic: &Topic) -> Result<Present, PresenceError> {
        let (answer, present) = oneshot::channel();
        let closed = || PresenceError::Closed { reason: close_reason(&self.shared.state) };
        let question = Question::Presence { topic: topic.clone(), answer };
        let asked = self.ask(question, present).await;
        asked.unwrap_or_else(|| Err(closed()))
    }

    /// The answer to a question; `None` if the client ended first.
    async fn ask<T>(&self, question: Question, answer: oneshot::Receiver<T>) -> Option<T> {
        let _place = self.shared.questions.acquire().await.ok()?;
        let _ = self.shared.mailbox.send(Command::Ask(question)).await;
        answer.await.ok()
    }

    /// Ends the client: waits for answers to everything published, sends the acks that are due,
    /// says goodbye. Bounded by [`ClientBuilder::close_timeout`].
    pub async fn close(self) -> Result<(), CloseError> {
        let (unanswered, count) = oneshot::channel();
        let _ = self.shared.mailbox.send(Command::Close { unanswered }).await;
        match count.await {
            // A client that had ended before has told its tickets.
            Ok(0) | Err(_) => Ok(()),
            Ok(count) => Err(CloseError::Unanswered { count }),
        }
    }
}

impl Shared {
    fn next_key(&self) -> DedupKey {
        let number = self.next_key.fetch_add(1, Ordering::Relaxed);
        DedupKey::parse(&format!("{:016x}-{number}", self.key_prefix))
            .expect("at most 37 letters and digits")
    }
}
