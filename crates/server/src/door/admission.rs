//! What a connection has that the door let in, for those of its requests that want more.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::turnstile::Turn;
use crate::env::Seat;

/// Goes with every request of a connection.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// On its way from the accept loop to the shard: whoever takes it keeps it.
    seat: Arc<Mutex<Option<Seat>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Kept until the connection is with its shard, or ends.
    _turn: Turn,
}

impl Admission {
    pub(super) fn new(
        seat: Seat,
        turn: Turn,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let seat = Arc::new(Mutex::new(Some(seat)));
        Self { seat, tasks: tasks.clone(), stop: stop.clone(), _turn: turn }
    }

    /// The seat, unless it has been taken.
    pub(super) fn take_seat(&self) -> Option<Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the server is going away: shards take no more sockets.
    pub(super) fn is_draining(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Runs `task` to its end, which a graceful stop waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}
