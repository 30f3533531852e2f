//! `[websocket]`: what is agreed with those who connect by WebSocket.

use serde::{Deserialize, Serialize};

use super::quantity::ByteSize;

/// `[websocket]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocketSection {
    /// Whether messages are compressed for clients that offer it (permessage-deflate, RFC 7692).
    pub compression: bool,
    /// The shortest message that is compressed.
    pub compression_min: ByteSize,
}

impl WebSocketSection {
    /// The shortest message that is compressed; `None` if none is.
    pub(crate) fn deflate_bytes_min(&self) -> Option<usize> {
        self.compression.then(|| self.compression_min.as_usize())
    }
}

impl Default for WebSocketSection {
    fn default() -> Self {
        Self { compression: false, compression_min: ByteSize::from_bytes(256) }
    }
}
