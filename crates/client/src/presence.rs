//! Asking who is on a topic.

use tidings_protocol::ErrorBody;

use crate::state::CloseReason;

/// Why it is not known who is on a topic.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// The server refused.
    #[error("the server refused to tell who is there: {} ({})", error.message, error.code.as_str())]
    Refused {
        /// What it said; `code.is_temporary()` tells whether trying again can help.
        error: ErrorBody,
    },
    /// The client ended.
    #[error("the client ended before the server answered: {reason}")]
    Closed {
        /// Why.
        reason: CloseReason,
    },
}
