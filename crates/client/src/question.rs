//! Requests that are asked once and answered once, and asked again on the next connection if this
//! one ends first.

use tidings_core::Topic;
use tidings_protocol::{ClientBody, ErrorBody, History, HistoryRequest, Present, ServerBody};
use tokio::sync::oneshot;

use crate::history::HistoryError;
use crate::presence::PresenceError;

/// A request with the place for its answer.
#[derive(Debug)]
pub(crate) enum Question {
    History { request: HistoryRequest, answer: oneshot::Sender<Result<History, HistoryError>> },
    Presence { topic: Topic, answer: oneshot::Sender<Result<Present, PresenceError>> },
}

impl Question {
    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_withdrawn(&self) -> bool {
        match self {
            Self::History { answer, .. } => answer.is_closed(),
            Self::Presence { answer, .. } => answer.is_closed(),
        }
    }

    /// What to say to the server.
    pub(crate) fn body(&self) -> ClientBody {
        match self {
            Self::History { request, .. } => ClientBody::History(request.clone()),
            Self::Presence { topic, .. } => ClientBody::Presence { topic: topic.clone() },
        }
    }

    /// The server has answered; whoever asked may have stopped waiting.
    pub(crate) fn answered(self, body: ServerBody) {
        match (self, body) {
            (Self::History { answer, .. }, ServerBody::History(history)) => {
                let _ = answer.send(Ok(history));
            }
            (Self::Presence { answer, .. }, ServerBody::Present(present)) => {
                let _ = answer.send(Ok(present));
            }
            (question, body) => {
                let (asked, answered) = (question.body().kind(), body.kind());
                tracing::warn!(asked, answered, "the server answers another question");
            }
        }
    }

    /// The server has refused to answer.
    pub(crate) fn refused(self, error: ErrorBody) {
        match self {
            Self::History { answer, .. } => {
                let _ = answer.send(Err(HistoryError::Refused { error }));
            }
            Self::Presence { answer, .. } => {
                let _ = answer.send(Err(PresenceError::Refused { error }));
            }
        }
    }
}
