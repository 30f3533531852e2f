//! Tasks on tokio, each with a name, so that a panic says whose it was.

use std::future::Future;

use tracing::Instrument as _;

/// Runs `task` until it ends. A panic in it ends it alone, and is logged by the panic hook within
/// the span that names it.
pub(crate) fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task.instrument(tracing::debug_span!("task", name)));
}
