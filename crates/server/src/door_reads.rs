//! Reads of the log for HTTP requests: on threads that may block, a few at a time.

use std::sync::Arc;

use tidings_core::Topic;
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::{ReadBatch, ReadFrom, ReadLimit, Store};
use tokio::sync::Semaphore;

use crate::problem::store_error;

/// Reads at the same time. Most hit the page cache and take microseconds; without a bound, one
/// message for a thousand streams would start hundreds of threads. Who waits for a turn is served
/// in order.
const AT_ONCE: usize = 4;

/// The turns that are to be had.
#[derive(Debug)]
pub(crate) struct DoorReads {
    turns: Arc<Semaphore>,
}

impl Default for DoorReads {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl DoorReads {
    /// Reads from the log once it is this read's turn.
    pub(crate) async fn read(
        &self,
        store: &Arc<dyn Store>,
        topic: &Topic,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ErrorBody> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("nobody closes the semaphore");
        let (store, topic) = (Arc::clone(store), topic.clone());
        let read = tokio::task::spawn_blocking(move || {
            // Also when nobody waits for the outcome any more, the turn ends with the read.
            let _turn = turn;
            store.read(&topic, from, limit)
        });
        let read = read.await.map_err(|error| {
            ErrorBody::new(ErrorCode::Internal, format!("reading the log ended early: {error}"))
        })?;
        read.map_err(|error| store_error(&error))
    }
}
