//! Opening the embedded store and telling what was found.

use std::sync::Arc;

use tidings_core::PolicyTable;
use tidings_storage::{CommitObserver, EmbeddedConfig, EmbeddedStore, OpenError, Store};

use crate::config::StorageSection;

/// Opens the store in the configured directory. Blocks while the end of the log is read.
pub(crate) fn open_embedded(
    section: &StorageSection,
    policies: Arc<PolicyTable>,
    observer: Arc<dyn CommitObserver>,
) -> Result<Arc<dyn Store>, OpenError> {
    let config = EmbeddedConfig {
        segment_bytes: u32::try_from(section.segment_bytes.as_u64()).unwrap_or(u32::MAX),
        queue_bytes_max: section.queue_bytes_max.as_usize(),
        log_bytes_max: section.disk_bytes_max.as_u64(),
        dedup_window: section.dedup_window,
        dedup_keys_max: section.dedup_keys_max,
        async_sync_interval: section.async_sync_interval,
        cursor_expiry: section.cursor_expiry,
        ..EmbeddedConfig::new(&section.directory)
    };
    let (store, recovered) = EmbeddedStore::open(&config, policies, observer)?;
    tracing::info!(directory = %section.directory.display(), ?recovered, "the log is open");
    Ok(Arc::new(store))
}
