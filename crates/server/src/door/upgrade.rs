//! From an HTTP request to a socket of a shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tidings_protocol::ErrorCode;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::SeatHolder;
use crate::env::{Env, Seat};
use crate::inbox::Letter;
use crate::problem::HttpError;
use crate::shard::{Handoff, Stream};
use crate::websocket::{Upgrade, check_upgrade};

/// `GET /v1/ws`.
pub(crate) async fn upgrade(
    State(env): State<Arc<Env>>,
    mut request: Request,
) -> Result<Response, HttpError> {
    let mut upgrade = check_upgrade(request.headers())
        .map_err(|error| HttpError::new(ErrorCode::BadFrame, error.to_string()))?;
    if upgrade.token.is_none() && env.settings.token_in_query {
        upgrade.token = query_token(request.uri().query());
    }
    let holder = request.extensions().get::<SeatHolder>().cloned();
    let seat = holder.and_then(|holder| holder.take());
    let seat = seat.ok_or_else(|| {
        HttpError::new(ErrorCode::BadFrame, "this connection has been upgraded already")
    })?;
    let upgraded = hyper::upgrade::on(&mut request);
    let response = switching(&upgrade);
    let task = hand_over(env, upgraded, upgrade, seat);
    crate::task::spawn("upgrade", task);
    Ok(response)
}

fn switching(upgrade: &Upgrade) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&upgrade.accept).expect("base64 is a header value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if upgrade.names_subprotocol {
        let name = HeaderValue::from_static(upgrade.codec.subprotocol());
        headers.insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    response
}

/// Waits until the 101 is out, then gives the bare socket to a shard.
async fn hand_over(env: Arc<Env>, upgraded: OnUpgrade, upgrade: Upgrade, seat: Seat) {
    let upgraded = match upgraded.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "an upgrade was not completed"),
    };
    match take_apart(upgraded) {
        Ok((stream, input)) => {
            let Upgrade { codec, token, .. } = upgrade;
            let handoff = Handoff { stream, codec, token, input, slot_taken: seat };
            next_inbox(&env).post(Letter::Adopt(Box::new(handoff)));
        }
        Err(error) => tracing::warn!(%error, "a socket could not be handed over"),
    }
}

/// The socket, its TLS state, and what has been read past the request.
fn take_apart(upgraded: Upgraded) -> std::io::Result<(Stream, Bytes)> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let socket = parts.io.into_inner().into_std()?;
            Ok((Stream::Plain(mio::net::TcpStream::from_std(socket)), parts.read_buf))
        }
        Err(upgraded) => {
            let parts = upgraded
                .downcast::<TokioIo<TlsStream<TcpStream>>>()
                .map_err(|_| std::io::Error::other("a socket of an unknown kind"))?;
            let (socket, session) = parts.io.into_inner().into_inner();
            let socket = mio::net::TcpStream::from_std(socket.into_std()?);
            Ok((Stream::tls(socket, session), parts.read_buf))
        }
    }
}

/// Shards take turns.
fn next_inbox(env: &Env) -> &Arc<crate::inbox::Inbox> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let turn = NEXT.fetch_add(1, Ordering::Relaxed);
    &env.inboxes[turn % env.inboxes.len()]
}

/// The `token` of a query, where the configuration allows one (`auth.token_in_query`).
fn query_token(query: Option<&str>) -> Option<String> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let token = pairs.into_iter().find(|(name, _)| *name == "token")?.1;
    // A JWT has no character that a query would have to escape.
    Some(token.to_owned())
}
