//! The frames of the native protocol as values. How they look as bytes is the codecs' business.

mod client;
mod delivery;
mod server;

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

use crate::error_code::ErrorCode;

pub use client::*;
pub use delivery::*;
pub use server::*;

/// What ties a reply to its request: chosen by the client, unique among its open requests.
pub type RequestId = NonZeroU32;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorBody {
    /// Which error; decides `temporary` and the HTTP status.
    pub code: ErrorCode,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// When to try again, for temporary errors.
    pub retry_after: Option<Duration>,
}

impl ErrorBody {
    /// An error without a time to come back.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }
}

/// A frame ready to be written: shared by every connection that gets it.
pub type Encoded = Bytes;
