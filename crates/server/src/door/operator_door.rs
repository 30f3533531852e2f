//! The operator's listener: plain HTTP, for few. It shares the process's descriptors and the runtime with
//! the public one, so what comes to it is bounded in the same way.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ACCEPT_REST, Refusals, http_connection};
use crate::env::Env;

/// Connections at once. Operators, their consoles and their metrics take a few dozen; so many leave the
/// descriptors of a process to its clients and its log, whoever comes here and says nothing.
const CONNECTIONS_MAX: usize = 256;

/// The operator's listener and everything it needs to answer.
pub(crate) struct OperatorDoor {
    env: Arc<Env>,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    places: Arc<Semaphore>,
    refusals: Refusals,
    /// Connections and refusals.
    tasks: TaskTracker,
}

impl OperatorDoor {
    pub(crate) fn new(
        env: Arc<Env>,
        listener: TcpListener,
        router: Router,
        stop: CancellationToken,
    ) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (refusals, tasks) = (Refusals::default(), TaskTracker::new());
        Self { env, listener, router, stop, places, refusals, tasks }
    }

    /// Accepts until told to stop, then waits for the requests that are being answered.
    pub(crate) async fn run(self) {
        let door = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = door.stop.cancelled() => break,
                accepted = door.listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => door.admit(socket, peer),
                Err(error) => {
                    tracing::warn!(%error, "accepting a socket of the operator failed");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
        door.tasks.close();
        door.tasks.wait().await;
    }

    fn admit(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::debug!(%peer, "the operator's port has no place left");
            return self.refusals.refuse(socket, &self.tasks);
        };
        let door = Arc::clone(self);
        self.tasks.spawn(async move { door.answer(socket, peer, place).await });
    }

    async fn answer(&self, socket: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let settings = &self.env.settings;
        http_connection::bound(&socket, settings);
        http_connection::answer((socket, peer), &self.router, (), (settings, &self.stop)).await;
        drop(place);
    }
}
