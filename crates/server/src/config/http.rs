//! `[http]`: the HTTP interface.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quantity::ByteSize;
use super::text;

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    /// Pages of which origins may call the HTTP interface. Compared as they are.
    pub cors_origins: Vec<String>,
    /// Largest request body.
    pub body_bytes: ByteSize,
    /// Longest time from a request's first byte to its answer.
    #[serde(with = "text::duration")]
    pub request_timeout: Duration,
    /// Most streams, and history requests that wait, at once.
    pub streams_max: usize,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            cors_origins: Vec::new(),
            body_bytes: ByteSize::from_mib(2),
            request_timeout: Duration::from_secs(30),
            streams_max: 10_000,
        }
    }
}
