//! Reading a topic's past.

use tidings_protocol::ErrorBody;

use crate::state::CloseReason;

/// Why a topic's past could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The server refused.
    #[error("the server refused to show history: {} ({})", error.message, error.code.as_str())]
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
