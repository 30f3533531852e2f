//! The runtime under a command, and a server's life from start to drain.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, bail};
use tidings_server::{RunningServer, ServerBuilder};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::memory;
use crate::signals::Stop;

/// Threads of a command that talks to a server: one for the connection, one to spare.
const CLIENT_THREADS: usize = 2;

/// How long the last tasks may take after a server has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs a command that talks to a server.
pub(crate) fn as_client(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(CLIENT_THREADS)
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let result = runtime.block_on(command);
    // What is left waits for nothing that matters.
    runtime.shutdown_background();
    result
}

/// Starts a server, calls `started`, and serves until asked to stop; then drains.
pub(crate) fn as_server(
    server: ServerBuilder,
    started: impl FnOnce(&RunningServer),
) -> anyhow::Result<()> {
    tidings_memory::keep_large_blocks_apart();
    let runtime = Runtime::new().context("the runtime cannot start")?;
    let result = runtime.block_on(serve(server, started));
    runtime.shutdown_timeout(FAREWELL);
    result
}

async fn serve(server: ServerBuilder, started: impl FnOnce(&RunningServer)) -> anyhow::Result<()> {
    // Before the server, so that no request to stop finds the default action.
    let mut stop = Stop::listen().context("cannot listen for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let server = server.start().await?;
    started(&server);
    let returning = tokio::spawn(memory::return_when_quiet());
    loop {
        tokio::select! {
            () = stop.asked() => break,
            _ = hang_up.recv() => {
                tracing::warn!("SIGHUP is ignored: the configuration is read at the start only; restart to change it");
            }
            what = server.failed() => {
                server.shutdown().await;
                bail!("the server has failed: {what}; restart it");
            }
        }
    }
    returning.abort();
    server.shutdown().await;
    Ok(())
}
