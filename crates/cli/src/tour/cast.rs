//! Who and what is on stage, so that it can be cleared at any moment.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

use crate::signals::Stop;

/// What a shell says of a command that Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// The processes of the tour and its directory.
#[derive(Clone, Debug)]
pub(super) struct Cast(Arc<Mutex<OnStage>>);

#[derive(Debug)]
struct OnStage {
    directory: PathBuf,
    playing: Vec<Child>,
}

impl Cast {
    /// Nobody yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(OnStage { directory, playing: Vec::new() })))
    }

    /// Clears the stage and ends the tour when the process is asked to stop, for as long as the
    /// returned runtime lives.
    pub(super) fn leave_when_asked(&self) -> Result<Runtime> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("the runtime cannot start")?;
        let mut stop =
            runtime.block_on(async { Stop::listen() }).context("cannot listen for signals")?;
        let cast = self.clone();
        runtime.spawn(async move {
            stop.asked().await;
            // Held to the end, so that nobody else enters the stage.
            let mut on_stage = cast.lock();
            on_stage.clear();
            std::process::exit(INTERRUPTED);
        });
        Ok(runtime)
    }

    /// Starts a process and gives its number and what it says.
    pub(super) fn enter(&self, command: &mut Command) -> Result<Entered> {
        let mut on_stage = self.lock();
        let mut child = command.spawn().context("cannot start a command of the tour")?;
        let entered =
            Entered { id: child.id(), stdout: child.stdout.take(), stderr: child.stderr.take() };
        on_stage.playing.push(child);
        Ok(entered)
    }

    /// Kills a process with SIGKILL.
    pub(super) fn kill(&self, id: u32) -> Result<()> {
        if let Some(mut child) = self.lock().take(id) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Waits for the end of a process that has said everything, and so ends at once.
    pub(super) fn wait(&self, id: u32) -> Result<ExitStatus> {
        let mut child = self.lock().take(id).context("a process of the tour is gone")?;
        Ok(child.wait()?)
    }

    /// How a process has ended, if it has.
    pub(super) fn ended(&self, id: u32) -> Result<Option<ExitStatus>> {
        let mut on_stage = self.lock();
        let playing = on_stage.playing.iter_mut().find(|child| child.id() == id);
        Ok(playing.context("a process of the tour is gone")?.try_wait()?)
    }

    /// Ends everybody and removes the directory.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, OnStage> {
        // What is on stage is on stage, also after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnStage {
    fn take(&mut self, id: u32) -> Option<Child> {
        let place = self.playing.iter().position(|child| child.id() == id)?;
        Some(self.playing.swap_remove(place))
    }

    fn clear(&mut self) {
        for mut child in self.playing.drain(..) {
            // The directory goes with them, so there is nothing to save.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A process that has entered the stage.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) id: u32,
    pub(super) stdout: Option<std::process::ChildStdout>,
    pub(super) stderr: Option<std::process::ChildStderr>,
}
