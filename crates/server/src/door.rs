//! The door: sockets are accepted, TLS is agreed on, HTTP is answered, and WebSockets are handed
//! to a shard for good. Runs on tokio; nothing of a delivery passes through here.

mod admission;
mod listener;
mod patience;
mod tls;
mod tls_socket;
mod turnstile;
mod unsent;
mod upgrade;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use admission::Admission;
pub use listener::ListenError;
pub(crate) use listener::listen;
pub use tls::TlsError;
pub(crate) use tls::tls_config;
use tls_socket::TlsSocket;
use turnstile::{Arrival, Turn, Turnstile};
pub(crate) use upgrade::upgrade;

use crate::env::{Env, Seat};

/// How long the accept loop rests when the process is out of descriptors: it neither spins nor
/// gives up.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What is left to do with a socket that nobody has a seat for: one write, at most this long.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Refusals written at the same time; further sockets are closed without a word.
const REFUSALS_MAX: usize = 64;

/// Bytes of a request's head (RFC 9110 leaves the number to the server).
const HEAD_BYTES_MAX: usize = 16 * 1024;

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The public listener and everything it needs to answer.
pub(crate) struct Door {
    pub(crate) env: Arc<Env>,
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) router: Router,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) refusals: AtomicUsize,
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
            return self.refuse(socket);
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
        // Deltas of a few bytes must not wait for each other's acknowledgement.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        // Whoever leaves an answer untaken keeps a seat from others.
        patience::bound(&socket, self.env.settings.request_timeout);
        unsent::bound(&socket, self.env.settings.outbound_bytes);
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

    /// Says 503 and `Retry-After`, where that can be said without a TLS handshake.
    fn refuse(self: &Arc<Self>, mut socket: TcpStream) {
        if self.tls.is_some() || self.refusals.fetch_add(1, Ordering::Relaxed) >= REFUSALS_MAX {
            if self.tls.is_none() {
                self.refusals.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        }
        let door = Arc::clone(self);
        self.tasks.spawn(async move {
            let _ = tokio::time::timeout(REFUSAL_TIMEOUT, async {
                socket.write_all(REFUSAL).await?;
                socket.shutdown().await?;
                // Closing with unread input would reset the connection under the answer.
                tokio::io::copy(&mut socket, &mut tokio::io::sink()).await
            })
            .await;
            door.refusals.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Answers HTTP on one connection until it ends or becomes a WebSocket.
    async fn answer<S>(&self, stream: S, peer: SocketAddr, (seat, turn): (Seat, Turn))
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let admission = Admission::new(seat, turn, &self.tasks, &self.stop);
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(admission.clone());
            request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
            router.clone().oneshot(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.env.settings.connection.handshake_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        finish(pin!(connection), &self.stop).await;
    }
}

/// Runs a connection to its end; once told to stop, to the end of the request it is in.
async fn finish<S>(
    mut connection: Pin<
        &mut hyper::server::conn::http1::UpgradeableConnection<
            TokioIo<S>,
            impl hyper::service::Service<
                Request<Incoming>,
                Response = axum::response::Response,
                Error = std::convert::Infallible,
                Future: Future + Send,
            >,
        >,
    >,
    stop: &CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
