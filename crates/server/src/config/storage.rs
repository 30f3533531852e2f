//! `[storage]`: the embedded store.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quantity::ByteSize;
use super::text;

/// `[storage]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSection {
    /// Where everything is kept; made if it does not exist.
    pub directory: PathBuf,
    /// Size of one file of the log.
    pub segment_bytes: ByteSize,
    /// Most bytes that wait to be written before publishes are refused for the moment.
    pub queue_bytes_max: ByteSize,
    /// Most bytes of disk before publishes are refused for the moment.
    pub disk_bytes_max: ByteSize,
    /// How long a publish key is remembered.
    #[serde(with = "text::duration")]
    pub dedup_window: Duration,
    /// Most publish keys remembered, over all topics.
    pub dedup_keys_max: usize,
    /// How long a write of durability `async` may wait for its sync.
    #[serde(with = "text::duration")]
    pub async_sync_interval: Duration,
    /// How long the cursor of a durable subscription is kept that nobody uses.
    #[serde(with = "text::duration")]
    pub cursor_expiry: Duration,
}

impl Default for StorageSection {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("./tidings-data"),
            segment_bytes: ByteSize::from_mib(64),
            queue_bytes_max: ByteSize::from_mib(64),
            disk_bytes_max: ByteSize::from_mib(10 * 1024),
            dedup_window: Duration::from_secs(24 * 60 * 60),
            dedup_keys_max: 1_000_000,
            async_sync_interval: Duration::from_millis(50),
            cursor_expiry: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}
