//! `[trace]`: what is remembered for the story of a message, and where its spans go.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[trace]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceSection {
    /// Delivery events that each event loop remembers.
    pub events: usize,
    /// Where a collector takes spans (OTLP over HTTP, as JSON). Without it there are none.
    pub otlp_url: Option<String>,
    /// Header lines for the collector; in a file, since they usually hold a token.
    pub otlp_headers_file: Option<PathBuf>,
}

impl Default for TraceSection {
    fn default() -> Self {
        Self { events: 64 * 1024, otlp_url: None, otlp_headers_file: None }
    }
}
