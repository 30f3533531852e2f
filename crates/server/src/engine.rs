//! Opening the embedded store and telling what was found.

use std::sync::Arc;

use tidings_core::PolicyTable;
use tidings_storage::{
    CommitObserver, Damage, EmbeddedConfig, EmbeddedStore, OpenError, Origin, Recovered, Store,
};

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
    tell(section, &recovered);
    Ok(Arc::new(store))
}

/// Says what was found: a line in any case, one for each damaged place, and one if offsets of
/// before may mean something else now, or that could not be told.
fn tell(section: &StorageSection, recovered: &Recovered) {
    let directory = section.directory.display();
    match recovered.origin {
        Origin::Here => {}
        Origin::Copied => tracing::warn!(
            %directory,
            "the data directory is a copy, and more may have been written to the original: every \
             topic has a new epoch, and all subscribers are told; if it was moved, stop the \
             server, copy again and run `tidings data moved` before the start"
        ),
        Origin::Unknown => tracing::info!(
            %directory,
            "it cannot be told whether the data directory is a copy: after restoring a backup, run \
             `tidings data restored` before the start"
        ),
    }
    for Damage { file, position, bytes, records } in &recovered.damage {
        tracing::warn!(file, position, bytes, records, "a part of the log is damaged");
    }
    tracing::info!(
        %directory,
        messages = recovered.messages,
        topics = recovered.topics,
        cut_bytes = recovered.cut_bytes,
        damaged_records = recovered.damaged_records,
        damaged_checkpoints = recovered.damaged_checkpoints,
        unclean = recovered.unclean,
        ms = recovered.duration.as_millis() as u64,
        "the log is open"
    );
}
