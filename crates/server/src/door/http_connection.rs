//! One connection that speaks HTTP/1.1, on the public port or on the operator's: what bounds it, and
//! how it is answered.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{patience, unsent};
use crate::env::Settings;

/// Bytes of a request's head (RFC 9110 leaves the number to the server).
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bounds what a peer may leave untaken of its answers: it keeps a place from others, and memory.
pub(super) fn bound(socket: &TcpStream, settings: &Settings) {
    // Deltas of a few bytes must not wait for each other's acknowledgement.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    patience::bound(socket, settings.request_timeout);
    unsent::bound(socket, settings.outbound_bytes);
}

/// Answers on one connection until it ends or becomes something else; once told to stop, to the end of
/// the request it is in. Every request carries `kept` and its peer's address.
pub(super) async fn answer<S, K>(
    (stream, peer): (S, SocketAddr),
    router: &Router,
    kept: K,
    (settings, stop): (&Settings, &CancellationToken),
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    K: Clone + Send + Sync + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(kept.clone());
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.connection.handshake_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    finish(pin!(connection), stop).await;
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
