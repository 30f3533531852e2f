//! The door: sockets are accepted, TLS is agreed on, HTTP is answered, and WebSockets are handed
//! to a shard for good. Runs on tokio; nothing of a delivery passes through here.

mod admission;
mod http_connection;
mod listener;
mod operator_door;
mod patience;
mod refusals;
mod tls;
mod tls_socket;
mod turnstile;
mod unsent;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use admission::Admission;
pub use listener::ListenError;
pub(crate) use listener::listen;
pub(crate) use operator_door::OperatorDoor;
pub(crate) use refusals::Refusals;
pub use tls::TlsError;
pub(crate) use tls::tls_config;
use tls_socket::TlsSocket;
use turnstile::{Arrival, Turn, Turnstile};
pub(crate) use upgrade::upgrade;

use crate::env::{Env, Seat};

/// How long the accept loop rests when the process is out of descriptors: it neither spins nor
/// gives up.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The public listener and everything it needs to answer.
pub(crate) struct Door {
    pub(crate) env: Arc<Env>,
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) router: Router,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) refusals: Refusals,
}

impl Door {
    /// Accepts until told to stop.
    pub(crate) async fn run(self) {
        let door = Arc::new(self);
        let (way, turnstile) = Turnstile::new(door.env.seats.max());
        door.tasks.spawn(Arc::clone(&door).usher(turnstile));
        loop {
            let accepted = tokio::select! {
                () = door.stop.cancelled() => return,
                accepted = door.listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => door.admit(&way, socket, peer),
                Err(error) => {
                    tracing::warn!(%error, "accepting a socket failed");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    /// Limits first: a socket without a seat costs one write.
    fn admit(self: &Arc<Self>, way: &Sender<Arrival>, socket: TcpStream, peer: SocketAddr) {
        let Some(seat) = self.env.seats.take() else {
            self.env.metrics.connections_refused.inc();
            // A 503 can be said only where that takes no TLS handshake.
            if self.tls.is_none() {
                self.refusals.refuse(socket, &self.tasks);
            }
            return;
        };
        let (door, way) = (Arc::clone(self), way.clone());
        self.tasks.spawn(async move {
            // What answers a peer takes memory: it is made once there is something to answer.
            let limit = door.env.settings.connection.handshake_timeout;
            let spoken = tokio::select! {
                // Nothing has begun that a graceful stop would have to wait for.
                () = door.stop.cancelled() => return,
                spoken = tokio::time::timeout(limit, socket.readable()) => spoken,
            };
            match spoken {
                // There is room for all who have a seat; the other end goes only when the runtime
                // does.
                Ok(_) => drop(way.try_send(Arrival { socket, peer, seat })),
                Err(_) => tracing::debug!("a socket said nothing"),
            }
        });
    }

    /// Lets arrivals in, as long as any come.
    async fn usher(self: Arc<Self>, mut turnstile: Turnstile) {
        while let Some((arrival, turn)) = turnstile.next().await {
            let door = Arc::clone(&self);
            self.tasks.spawn(async move {
                let work = door.receive(arrival, turn.clone());
                turn.take(work).await;
            });
        }
    }

    /// TLS, if configured, then HTTP.
    async fn receive(&self, Arrival { socket, peer, seat }: Arrival, turn: Turn) {
        http_connection::bound(&socket, &self.env.settings);
        // In boxes: a task has room for the largest of what it may become, and is copied whole when
        // it begins and when it ends.
        match &self.tls {
            None => Box::pin(self.answer(socket, peer, (seat, turn))).await,
            Some(config) => Box::pin(self.answer_tls(config, socket, peer, (seat, turn))).await,
        }
    }

    async fn answer_tls(
        &self,
        config: &Arc<ServerConfig>,
        socket: TcpStream,
        peer: SocketAddr,
        place: (Seat, Turn),
    ) {
        let limit = self.env.settings.connection.handshake_timeout;
        match tokio::time::timeout(limit, TlsSocket::accept(config, socket)).await {
            Ok(Ok(stream)) => Box::pin(self.answer(stream, peer, place)).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    /// Answers HTTP on one connection until it ends or becomes a WebSocket.
    async fn answer<S>(&self, stream: S, peer: SocketAddr, (seat, turn): (Seat, Turn))
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let admission = Admission::new(seat, turn, &self.tasks, &self.stop);
        let within = (&self.env.settings, &self.stop);
        http_connection::answer((stream, peer), &self.router, admission, within).await;
    }
}
