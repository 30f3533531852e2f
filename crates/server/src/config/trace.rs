//! `[trace]`: what is remembered for the story of a message.

use serde::{Deserialize, Serialize};

/// `[trace]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceSection {
    /// Delivery events that each event loop remembers.
    pub events: usize,
}

impl Default for TraceSection {
    fn default() -> Self {
        Self { events: 64 * 1024 }
    }
}
