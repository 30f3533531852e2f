//! Being asked to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells whether the process was asked to stop (SIGINT or SIGTERM). A second request ends the
/// process at once: what is unfinished is not acknowledged, so nothing is lost by it.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Starts to listen. Must be called within the runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (tell, asked) = watch::channel(false);
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            // Fails only when nobody listens any more, and then the process is ending.
            let _ = tell.send(true);
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(1);
        });
        Ok(Self(asked))
    }

    /// Waits until the process is asked to stop. Cancel safe.
    pub(crate) async fn asked(&mut self) {
        // The sender lives until the process ends.
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
